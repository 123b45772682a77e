package certificate

import (
	"context"
	"errors"
	"maps"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
)

// collection is what a scan of the ledger finds for one request or order.
type collection struct {
	target escrow.Seq

	officers  []escrow.Seq
	holds     map[uint32][]escrow.Seq // placed and released, by hold
	epoch     []escrow.Seq            // the last before the order, and the one that carries it out
	parts     []escrow.Seq            // the other records of the story
	lastAct   escrow.Seq              // last record an officer answers for
	slots     map[uint32]uint64       // facets by hold, since the last order
	held      []Held
	order     *events.ErasureExecuted
	orderSeq  escrow.Seq
	committed *events.EpochCommitted
	purged    bool
	gone      bool
	found     bool
	certified string // digest in the last ErasureCertified event
}

// collect reads what concerns a request or an order from the ledger. Messages and events of other kinds are not looked at.
func collect(ctx context.Context, ledger *archive.Ledger, target escrow.Seq) (*collection, error) {
	c := &collection{target: target, holds: map[uint32][]escrow.Seq{}, slots: map[uint32]uint64{}}
	err := ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		switch rec.Header.Kind {
		case archive.KindPolicy, archive.KindRequest, archive.KindHold, archive.KindErase, archive.KindPurge, archive.KindKeyEpoch:
		default:
			return nil
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		return c.take(rec.Seq, e.Fact)
	})
	if err != nil {
		return nil, err
	}
	if !c.found {
		return nil, refuse(escrow.NotFound, target, "this is neither a request for an erasure nor an order")
	}
	return c, nil
}

func refuse(kind escrow.Kind, seq escrow.Seq, text string) *escrow.Error {
	return &escrow.Error{Op: "certificate.Build", Kind: kind, Record: &seq, Err: errors.New(text)}
}

func (c *collection) take(seq escrow.Seq, f events.Fact) error {
	switch f := f.(type) {
	case events.OfficerAdded, events.OfficerRemoved:
		c.officers = append(c.officers, seq)
	case events.ErasureRequested:
		if seq == c.target {
			c.found = true
			c.act(seq)
		}
	case events.ErasureApproved:
		if f.Request == c.target {
			c.act(seq)
		}
	case events.ErasureRestricted:
		if f.Request == c.target {
			c.parts = append(c.parts, seq)
		}
	case events.ErasureWithdrawn:
		if f.Request == c.target {
			return refuse(escrow.Conflict, seq, "the request was withdrawn; nothing was destroyed, and there is nothing to certify")
		}
	case events.ErasureCertified:
		if f.Request == c.target {
			c.certified = f.Digest
		}
	case events.HoldPlaced:
		c.holds[f.Hold] = append(c.holds[f.Hold], seq)
	case events.HoldReleased:
		c.holds[f.Hold] = append(c.holds[f.Hold], seq)
	default:
		c.takeStep(seq, f)
	}
	return nil
}

func (c *collection) act(seq escrow.Seq) {
	c.parts, c.lastAct = append(c.parts, seq), seq
}

// takeStep takes the steps from the slots on, which do not name the request.
func (c *collection) takeStep(seq escrow.Seq, f events.Fact) {
	switch f := f.(type) {
	case events.HoldSlotsAdded:
		c.slots[f.Hold] += uint64(len(f.Slots))
	case events.ErasureExecuted:
		c.takeOrder(seq, f)
	case events.EpochCommitted:
		switch {
		case c.order == nil:
			c.epoch = []escrow.Seq{seq}
		case c.committed == nil && f.Applied > escrow.TreeSize(c.orderSeq):
			c.epoch, c.committed = append(c.epoch, seq), &f
		}
	case events.IndexPurged:
		if c.order != nil && !c.purged && f.UpTo > escrow.TreeSize(c.orderSeq) {
			c.parts, c.purged = append(c.parts, seq), true
		}
	case events.RootsDestroyed:
		if c.committed != nil && !c.gone && opens(f, c.committed.Epoch) {
			c.parts, c.gone = append(c.parts, seq), destroysLast(f, c.committed.Epoch)
		}
	}
}

func (c *collection) takeOrder(seq escrow.Seq, f events.ErasureExecuted) {
	slots := c.slots
	c.slots = map[uint32]uint64{}
	if c.order != nil || seq != c.target && !(c.found && slices.Contains(f.Requests, c.target)) {
		return
	}
	if !c.found {
		for _, hold := range f.Holds {
			for _, act := range c.holds[hold] {
				c.act(act)
			}
		}
		c.lastAct = slices.Max(append(c.parts, 0))
	}
	c.found, c.order, c.orderSeq = true, &f, seq
	c.parts = append(c.parts, seq)
	for _, hold := range slices.Sorted(maps.Keys(slots)) {
		c.held = append(c.held, Held{hold, slots[hold]})
	}
}

// records returns the numbers of the records of the story, ascending: with the officers up to the last act.
func (c *collection) records() []escrow.Seq {
	all := slices.Concat(c.parts, c.epoch)
	if c.order == nil {
		all = slices.Clone(c.parts)
	}
	for _, seq := range c.officers {
		if seq < c.lastAct {
			all = append(all, seq)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
