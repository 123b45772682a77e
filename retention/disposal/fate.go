package disposal

import (
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/events"
)

// reach is which shares an order destroys.
type reach struct {
	subjects map[uint32]bool
	messages []events.SeqRange
	days     []events.DayRange
	holds    []uint32
	tenant   bool
}

func reachOf(f events.ErasureExecuted) reach {
	k := reach{subjects: make(map[uint32]bool, len(f.Subjects)), messages: f.Messages, days: f.Days, holds: f.Holds, tenant: f.Tenant}
	for _, leaf := range f.Subjects {
		k.subjects[leaf] = true
	}
	return k
}

// takes reports whether the order destroys a share. Numbers of subjects, messages and holds are unique over the generations of their trees.
func (k *reach) takes(ref keytree.Ref) bool {
	switch ref.Kind {
	case keytree.KindSubject:
		return k.tenant || k.subjects[ref.Leaf]
	case keytree.KindMessage:
		return k.tenant || within(k.messages, escrow.Seq(ref.Leaf))
	case keytree.KindHold:
		return k.tenant || slices.Contains(k.holds, ref.Leaf)
	case keytree.KindRetention:
		return k.tenant || slices.ContainsFunc(k.days, func(d events.DayRange) bool {
			return d.Class == ref.Tree && d.From <= ref.Leaf && ref.Leaf <= d.To
		})
	}
	return k.tenant
}

// alive reports whether every share of a slot exists and, if an order is given, still does after it.
func (p *Pipeline) alive(refs []keytree.Ref, after *reach) bool {
	return !slices.ContainsFunc(refs, func(ref keytree.Ref) bool {
		return after != nil && after.takes(ref) || !p.cfg.Keys.Alive(ref)
	})
}

// anyAlive is alive for at least one of the slots.
func (p *Pipeline) anyAlive(slots [][]keytree.Ref, after *reach) bool {
	return slices.ContainsFunc(slots, func(refs []keytree.Ref) bool { return p.alive(refs, after) })
}

// message is a record of a message as the pipeline sees it: which keys open which facet.
type message struct {
	sealed *seal.Sealed
	facets []seal.FacetInfo // with the slots they were sealed with
	added  []addedSlot      // slots of holds
}

// look reads a message without decrypting anything. It returns nil for a record that is no message or whose bytes are reclaimed.
func (p *Pipeline) look(seq escrow.Seq) (*message, error) {
	rec, err := p.cfg.Ledger.Read(seq)
	if err != nil {
		return nil, err
	}
	return p.inspect(rec)
}

// inspect is look at a record that was read already.
func (p *Pipeline) inspect(rec archive.Record) (*message, error) {
	if rec.Header.Kind != archive.KindMessage || rec.Blob == nil {
		return nil, nil
	}
	sealed, err := p.cfg.Sealer.Parse(rec.Blob)
	if err != nil {
		return nil, &escrow.Error{Op: "disposal", Kind: escrow.KindOf(err), Record: &rec.Seq, Err: err}
	}
	if sealed.Context().Seq != rec.Seq {
		return nil, &escrow.Error{Op: "disposal", Kind: escrow.Forged, Record: &rec.Seq, Err: escrow.Errorf("disposal", escrow.Forged, "the sealed part belongs to another record")}
	}
	m := &message{sealed: sealed, facets: sealed.Facets()}
	m.added, err = p.addedSlots(rec.Seq)
	return m, err
}

// readable reports whether facet i can be opened now or, if an order is given, after it: by the slots it was sealed with or by those of holds.
func (p *Pipeline) readable(m *message, i int, after *reach) bool {
	return p.anyAlive(m.facets[i].Slots, after) || slices.ContainsFunc(m.added, func(a addedSlot) bool {
		return a.Facet == i && p.alive(a.Slot.Refs, after)
	})
}
