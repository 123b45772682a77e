package disposal

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/events"
	"escrow/events/chronicle"
)

// Restricted reports whether a share must not be used to show a record to anybody: because an erasure of the person or of the message is approved, or the
// share is that of a hold that was released. A message under a hold in force is exempt. Before Gate, and after the end of the tenant, everything is restricted.
func (p *Pipeline) Restricted(seq escrow.Seq, ref keytree.Ref) bool {
	if !p.gated.Load() {
		return true
	}
	s := &p.state
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tenant {
		return true
	}
	switch ref.Kind {
	case keytree.KindHold:
		h := s.hold(ref.Leaf)
		return h == nil || h.Released != nil
	case keytree.KindSubject:
		return s.subjects[ref.Leaf] && !s.held(seq)
	case keytree.KindMessage:
		return s.messageRestricted(seq)
	}
	return false
}

// RestrictedMessages reports whether an approved erasure concerns a message as such, not through its people. A message under a hold is exempt.
func (p *Pipeline) RestrictedMessages(seq escrow.Seq) bool {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return p.state.messageRestricted(seq)
}

// RestrictedSubjects returns, in ascending order, the people whose erasure is approved and has not reached the index yet.
func (p *Pipeline) RestrictedSubjects() []uint32 {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.state.subjects))
}

func (s *projection) messageRestricted(seq escrow.Seq) bool {
	for _, c := range s.single { // asked for every message that is opened
		if c.Request.Scope == events.ScopeTenant || within(c.Request.Messages, seq) {
			return !s.held(seq)
		}
	}
	return false
}

// held reports whether a message is under a hold in force.
func (s *projection) held(seq escrow.Seq) bool {
	return slices.ContainsFunc(s.holds, func(h *Hold) bool { return h.Released == nil && h.covers(seq) })
}

// holding returns the holds in force a message is under.
func (s *projection) holding(seq escrow.Seq) []uint32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var numbers []uint32
	for _, h := range s.holds {
		if h.Released == nil && h.covers(seq) {
			numbers = append(numbers, h.Number)
		}
	}
	return numbers
}

// Slots returns the slots that holds in force added to a record. Errors are those of reading the ledger.
func (p *Pipeline) Slots(seq escrow.Seq) ([]seal.FacetSlot, error) {
	added, err := p.addedSlots(seq)
	if err != nil {
		return nil, err
	}
	var out []seal.FacetSlot
	for _, a := range added {
		if !a.released {
			out = append(out, a.FacetSlot)
		}
	}
	return out, nil
}

// addedSlot is a slot of a hold whose share exists, though the hold may be released.
type addedSlot struct {
	seal.FacetSlot
	hold     uint32
	released bool
}

func (p *Pipeline) addedSlots(seq escrow.Seq) ([]addedSlot, error) {
	type record struct {
		seq      escrow.Seq
		hold     uint32
		released bool
	}
	s := &p.state
	s.mu.RLock()
	var records []record
	for _, at := range s.slotted[seq] {
		h := s.hold(s.slotHold[at])
		records = append(records, record{at, h.Number, h.Released != nil})
	}
	s.mu.RUnlock()
	var out []addedSlot
	for _, r := range records {
		slots, err := p.chunks.slots(r.seq, p.readSlots)
		if err != nil {
			return nil, err
		}
		for _, slot := range slotsOf(slots, seq) {
			parsed, rest, err := seal.ParseSlot(slot.Slot)
			if err != nil || len(rest) > 0 {
				return nil, &escrow.Error{Op: "disposal.Slots", Kind: escrow.Corrupt, Record: &r.seq, Err: cmp.Or(err, errTrailing())}
			}
			out = append(out, addedSlot{seal.FacetSlot{Facet: slot.Facet, Slot: parsed}, r.hold, r.released})
		}
	}
	return out, nil
}

func errTrailing() error {
	return escrow.Errorf("disposal.Slots", escrow.Corrupt, "something follows a slot")
}

// slotsOf returns the slots of one message among those of a record, which are in the order of messages.
func slotsOf(slots []events.HoldSlot, seq escrow.Seq) []events.HoldSlot {
	from, _ := slices.BinarySearchFunc(slots, seq, func(s events.HoldSlot, seq escrow.Seq) int { return cmp.Compare(s.Seq, seq) })
	to := from
	for to < len(slots) && slots[to].Seq == seq {
		to++
	}
	return slots[from:to]
}

func (p *Pipeline) readSlots(at escrow.Seq) ([]events.HoldSlot, error) {
	rec, err := p.cfg.Ledger.Read(at)
	if err != nil {
		return nil, err
	}
	e, err := chronicle.Read(rec)
	if err != nil {
		return nil, err
	}
	f, ok := e.Fact.(events.HoldSlotsAdded)
	if !ok {
		return nil, &escrow.Error{Op: "disposal.Slots", Kind: escrow.Corrupt, Record: &at, Err: escrow.Errorf("disposal.Slots", escrow.Corrupt, "it holds no slots")}
	}
	return f.Slots, nil
}

// chunkCache keeps the HoldSlotsAdded records read last: who reads a held conversation asks for the same few again and again.
type chunkCache struct {
	mu     sync.Mutex
	chunks map[escrow.Seq][]events.HoldSlot
}

func (c *chunkCache) slots(at escrow.Seq, read func(escrow.Seq) ([]events.HoldSlot, error)) ([]events.HoldSlot, error) {
	c.mu.Lock()
	slots, ok := c.chunks[at]
	c.mu.Unlock()
	if ok {
		return slots, nil
	}
	slots, err := read(at)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chunks == nil || len(c.chunks) >= slotChunks {
		c.chunks = map[escrow.Seq][]events.HoldSlot{}
	}
	c.chunks[at] = slots
	return slots, nil
}

// Cases returns all requests in the order they were made.
func (p *Pipeline) Cases() []Case {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	out := make([]Case, 0, len(p.state.cases))
	for _, c := range p.state.cases {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Case) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// RestrictingCases returns the requests that restrict now, in no order.
func (p *Pipeline) RestrictingCases() []Case {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	out := make([]Case, len(p.state.restricting))
	for i, c := range p.state.restricting {
		out[i] = *c
	}
	return out
}

// Case returns one request, or an error of kind NotFound.
func (p *Pipeline) Case(seq escrow.Seq) (Case, error) {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	c := p.state.cases[seq]
	if c == nil {
		return Case{}, noRequest("disposal.Case", seq)
	}
	return *c, nil
}

func noRequest(op string, seq escrow.Seq) error {
	return escrow.Errorf(op, escrow.NotFound, "record %d is no request for an erasure", seq)
}

// Holds returns all holds by number, released ones included. Their ranges must not be changed.
func (p *Pipeline) Holds() []Hold {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	out := make([]Hold, len(p.state.holds))
	for i, h := range p.state.holds {
		out[i] = *h
	}
	return out
}

// NextHold returns the number the next hold must have, for the draft of a HoldPlaced.
func (p *Pipeline) NextHold() uint32 {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return uint32(len(p.state.holds))
}
