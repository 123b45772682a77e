package natslog

import (
	"maps"
	"sync"

	"escrow"
)

// book keeps the counters of one tenant's channels and the deduplication tags of what is not in the ledger yet. One goroutine assigns, another
// settles, groups in the same order.
type book struct {
	mu       sync.Mutex
	assigned map[[16]byte]uint64 // highest counter given out
	durable  map[[16]byte]uint64 // highest counter stored
	claims   map[[16]byte]*claim
	forget   [][16]byte // tags that are in the ledger now
	gen      uint64     // raised when counters are taken back: groups of an earlier generation must not be stored
	blocked  *group     // whose commit's outcome is unknown: until it is, nothing may be assigned
}

// claim is the first publish with some deduplication tag.
type claim struct {
	content [32]byte
	state   claimState
	seq     uint64 // when stored
	restart bool   // found in the log at start, so content is not known
}

type claimState uint8

const (
	claimed claimState = iota // on its way
	stored
	failed  // surely not stored
	unknown // perhaps stored
)

func newBook(counters map[[16]byte]uint64, pending map[[16]byte]uint64) *book {
	b := &book{assigned: map[[16]byte]uint64{}, durable: map[[16]byte]uint64{}, claims: map[[16]byte]*claim{}}
	for tag, counter := range counters {
		b.assigned[tag], b.durable[tag] = counter, counter
	}
	for once, seq := range pending {
		b.claims[once] = &claim{state: stored, seq: seq, restart: true}
	}
	return b
}

// sealed notes tags that the ledger has from now on. They are forgotten only when the next group begins: a message admitted before the ledger had
// its twin must still find the claim.
func (b *book) sealed(tags [][16]byte) {
	b.mu.Lock()
	b.forget = append(b.forget, tags...)
	b.mu.Unlock()
}

// begin must be called before a group is admitted.
func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, tag := range b.forget {
		delete(b.claims, tag)
	}
	b.forget = nil
}

// assign decides for every admitted item of a group, in order of arrival, whether it is stored and under which counter.
func (b *book) assign(g *group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g.gen = b.gen
	for i := range g.items {
		it := &g.items[i]
		switch {
		case it.err != nil:
		case it.adm.Known:
			it.duplicate, it.seq = true, it.adm.Seq
		case b.blocked != nil:
			it.err = escrow.Errorf("natslog.Intake", escrow.Unavailable, "an earlier message's fate is being found out: publish again in a moment")
		default:
			b.assignOne(g, it)
		}
	}
}

func (b *book) assignOne(g *group, it *item) {
	if it.adm.Once != ([16]byte{}) {
		if c := b.claims[it.adm.Once]; c != nil {
			it.err, it.twin = c.compare(it.adm.Content), c
			return
		}
		it.claim = &claim{content: it.adm.Content}
		b.claims[it.adm.Once] = it.claim
	}
	b.assigned[it.adm.ChannelTag]++
	it.counter = b.assigned[it.adm.ChannelTag]
	g.store = append(g.store, it)
}

// compare says whether a publish with the same tag is the same message.
func (c *claim) compare(content [32]byte) error {
	const op = "natslog.Intake"
	switch {
	case c.restart:
		return escrow.Errorf(op, escrow.Unavailable, "a message with this id is just being filed: publish again in a moment")
	case c.content != content:
		return escrow.Errorf(op, escrow.Conflict, "this id was used for another message: Nats-Msg-Id, or else the id, must be unique within the channel")
	}
	return nil
}

// current reports whether a group may still be stored.
func (b *book) current(g *group) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return g.gen == b.gen && b.blocked == nil
}

// settle records what became of a group: the first len(seqs) of its stored items are durable; the others are not, or not surely, and then it will be
// settled again. Groups that were given counters after those that were not stored lose them.
func (b *book) settle(g *group, seqs []uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, it := range g.store {
		if i < len(seqs) {
			b.keep(it, seqs[i])
			continue
		}
		it.err = err
		b.drop(it, IsUnknown(err))
	}
	switch {
	case IsUnknown(err):
		b.blocked = g
		b.gen++
	case b.blocked == g || b.blocked == nil && len(seqs) < len(g.store):
		b.blocked = nil
		b.gen++
		clear(b.assigned)
		maps.Copy(b.assigned, b.durable)
	}
}

func (b *book) keep(it *item, seq uint64) {
	it.seq, it.err = seq, nil
	b.durable[it.adm.ChannelTag] = it.counter
	if it.claim != nil {
		it.claim.state, it.claim.seq = stored, seq
	}
}

func (b *book) drop(it *item, perhaps bool) {
	if it.claim == nil {
		return
	}
	if perhaps {
		it.claim.state = unknown
		return
	}
	it.claim.state = failed
	if b.claims[it.adm.Once] == it.claim {
		delete(b.claims, it.adm.Once)
	}
}

// marks returns the highest durable counter of every channel a group stored something in.
func (b *book) marks(g *group) map[[16]byte]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[[16]byte]uint64{}
	for _, it := range g.store {
		out[it.adm.ChannelTag] = b.durable[it.adm.ChannelTag]
	}
	return out
}

// outcome returns what to tell the publisher of an item once its group is settled.
func (b *book) outcome(it *item) (seq uint64, duplicate bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.err != nil || it.twin == nil {
		return it.seq, it.duplicate, it.err
	}
	if it.twin.state != stored {
		return 0, false, escrow.Errorf("natslog.Intake", escrow.Unavailable, "the same message was published before and could not be stored: publish again")
	}
	return it.twin.seq, true, nil
}
