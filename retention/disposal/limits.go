package disposal

import "time"

// Limits, all inclusive.
const (
	// MaxErasureTime bounds what passes between the approval of an erasure and the end of the last root that opens an earlier copy of the keys. GDPR
	// Art. 12(3) gives one month, and the shortest has 28 days, less what the request waited for its approval; 30 is what is promised.
	MaxErasureTime = 30 * day
	// MaxCoolingOff bounds the cooling-off time: whoever needs longer to reconsider should not approve.
	MaxCoolingOff = 14 * day
	// IndexTime is the time within which an ordered erasure is purged from the index.
	IndexTime = 24 * time.Hour
	// MaxNamed bounds the people and ranges of messages one request, hold or order names together: an event is held in memory whole, a range takes up to 41
	// bytes in it, and a certificate has those of the request and those of the order.
	MaxNamed = 1 << 19
	// MaxClockJump is how far the clock may be ahead of the last expiry without anybody confirming it: expiry runs every day, a machine is seldom off for
	// longer, and a clock that is wrong is usually wrong by years.
	MaxClockJump = 7 * day

	// generationLeaves is after how many subjects or messages the next tree begins. A tree of which half was erased at random has about as many nodes as
	// that, 37 bytes each: 20 MB to rewrite at every erasure if it were one tree for ever, while trees without anybody alive take no room.
	generationLeaves = 1_000_000
	// generationMargin is how far beyond the leaves in use a generation begins. Records under way are sealed under the tree that was theirs when their
	// number was given; the largest batch has half as many.
	generationMargin = 1 << 17

	// namedInErrors bounds the messages an error lists by number; the others are counted.
	namedInErrors = 10
	// slotChunks bounds the parsed HoldSlotsAdded records kept for readers, about 300 kB each.
	slotChunks = 16
	// slotBatch bounds the hold slots gathered before they are appended.
	slotBatch = 16 * 1000

	// retryEvery is the pause before an erasure that could not be completed, for want of disk space say, is tried again.
	retryEvery = 5 * time.Second
	// lookEvery is the pause between two looks at what the clock has made due.
	lookEvery = time.Minute

	// ingestDays is how many days after its own a day of the log may end: it is over then in every time zone, and what was acknowledged in its last second
	// has had a day to be sealed.
	ingestDays = 2

	day = 24 * time.Hour
)
