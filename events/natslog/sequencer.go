package natslog

// Class says what an entry is in relation to those before it.
type Class uint8

// The classes. Those that must be sealed come first.
const (
	Next        Class = iota // the next counter of its channel: seal it
	Gap                      // counters before it are missing: seal it and record the gap
	Late                     // a counter that was reported missing arrives after all: seal it
	Redelivered              // sealed or seen before, from the same place in the log: skip it
	Doubled                  // sealed or seen before, stored in the log twice: skip it
	Reused                   // its counter belongs to another entry already: quarantine it
	Damaged                  // it cannot be parsed: quarantine its bytes
)

var classNames = [...]string{"next", "gap", "late", "redelivered", "doubled", "reused", "damaged"}

// String returns the class in lower case.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// Observed is what the sequencer looks at: one delivery.
type Observed struct {
	Channel [16]byte
	Counter uint64
	Digest  [32]byte
	First   uint64 // stream sequence of its first message
	Seq     uint64 // stream sequence of its last message
	Damaged bool   // it could not be parsed; Channel, Counter and Digest mean nothing
}

// Verdict is what the sequencer found out about one delivery.
type Verdict struct {
	Class    Class
	From, To uint64 // for Gap: the missing counters, both inclusive
	// LostFrom and LostTo are stream sequences missing directly before this delivery, both inclusive; zero if none. Which entries they held shows
	// in the counters, if more of their channels follow.
	LostFrom, LostTo uint64
}

// Sealed is what is known about one counter of a channel.
type Sealed struct {
	Digest [32]byte
	Seq    uint64 // stream sequence it was taken from; zero if that was another stream
}

// Sequencer checks that the counters of every channel are dense. It does no I/O and is not safe for concurrent use: the one sealer owns it.
type Sequencer struct {
	last   map[[16]byte]uint64
	known  func(channel [16]byte, counter uint64) (Sealed, bool)
	recent map[place]Sealed // observed and not yet forgotten
	seq    uint64           // last stream sequence observed, zero before the first
}

type place struct {
	channel [16]byte
	counter uint64
}

// NewSequencer returns a sequencer for channels whose highest sealed counters are last, which it copies. known looks up a sealed counter; it is
// asked only about counters not above the last one.
func NewSequencer(last map[[16]byte]uint64, known func(channel [16]byte, counter uint64) (Sealed, bool)) *Sequencer {
	s := &Sequencer{last: make(map[[16]byte]uint64, len(last)), known: known, recent: map[place]Sealed{}}
	for channel, counter := range last {
		s.last[channel] = counter
	}
	return s
}

// Observe classifies the next delivery and remembers it.
func (s *Sequencer) Observe(o Observed) Verdict {
	v := Verdict{}
	if s.seq != 0 && o.First > s.seq+1 {
		v.LostFrom, v.LostTo = s.seq+1, o.First-1
	}
	s.seq = max(s.seq, o.Seq)
	if o.Damaged {
		v.Class = Damaged
		return v
	}
	s.classify(o, &v)
	return v
}

func (s *Sequencer) classify(o Observed, v *Verdict) {
	last := s.last[o.Channel]
	if o.Counter > last {
		v.Class = Next
		if o.Counter > last+1 {
			v.Class, v.From, v.To = Gap, last+1, o.Counter-1
		}
		s.last[o.Channel] = o.Counter
		s.remember(o)
		return
	}
	before, ok := s.before(o)
	switch {
	case !ok:
		v.Class = Late
		s.remember(o)
	case before.Digest != o.Digest:
		v.Class = Reused
	case before.Seq == 0 || before.Seq == o.Seq:
		v.Class = Redelivered
	default:
		v.Class = Doubled
	}
}

func (s *Sequencer) before(o Observed) (Sealed, bool) {
	if before, ok := s.recent[place{o.Channel, o.Counter}]; ok {
		return before, true
	}
	return s.known(o.Channel, o.Counter)
}

func (s *Sequencer) remember(o Observed) {
	s.recent[place{o.Channel, o.Counter}] = Sealed{Digest: o.Digest, Seq: o.Seq}
}

// Settled tells the sequencer that everything observed so far is in the ledger, where known will find it. It must be called after every append,
// so that memory stays bounded by one batch.
func (s *Sequencer) Settled() { clear(s.recent) }

// Last returns the highest counter observed or sealed in a channel, zero if none.
func (s *Sequencer) Last(channel [16]byte) uint64 { return s.last[channel] }

// Continuity says how a stream found at start relates to what was sealed from it.
type Continuity uint8

// The continuities.
const (
	Continued Continuity = iota // the same stream, at or beyond what was sealed
	Fresh                       // nothing was ever sealed from any stream
	Recreated                   // entries were sealed from an earlier stream of the same name: sequences start anew
	Rewound                     // the same stream lost its end: it will hand out sequences again that were sealed already
)

var continuityNames = [...]string{"continued", "fresh", "recreated", "rewound"}

// String returns the continuity in lower case.
func (c Continuity) String() string {
	if int(c) < len(continuityNames) {
		return continuityNames[c]
	}
	return "unknown"
}

// CheckStream compares a stream, given by its tag and last sequence, with the highest sequences sealed per stream tag. Recreated and Rewound are
// incidents; neither is a reason to skip anything, because entries are known by counter and digest and not by sequence.
func CheckStream(sealed map[[16]byte]uint64, tag [16]byte, last uint64) Continuity {
	was, ok := sealed[tag]
	switch {
	case len(sealed) == 0:
		return Fresh
	case !ok:
		return Recreated
	case last < was:
		return Rewound
	}
	return Continued
}
