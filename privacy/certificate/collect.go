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
	parts     []escrow.Seq            // records of the story
	lastAct   escrow.Seq              // last record an officer answers for
	slots     map[uint32]uint64       // facets by hold, since the last order
	held      []Held
	ordered   escrow.TreeSize              // behind the order, 0 before it
	epoch     *told[events.EpochCommitted] // the last there was, up to the purge
	committed *told[events.EpochCommitted] // the one that carries the order out
	purged    bool
	roots     []told[events.RootsDestroyed] // all there were
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
		c.takeEpoch(seq, f)
	case events.IndexPurged:
		if c.committed != nil && !c.purged && f.UpTo >= c.ordered {
			c.parts, c.purged = append(c.parts, seq), true
		}
	case events.RootsDestroyed:
		c.roots = append(c.roots, told[events.RootsDestroyed]{seq: seq, fact: f})
	}
}

// takeEpoch notes epochs: the last before the order, the one that carries it out, and the last before the purge.
func (c *collection) takeEpoch(seq escrow.Seq, f events.EpochCommitted) {
	if c.purged {
		return
	}
	c.epoch = &told[events.EpochCommitted]{seq: seq, fact: f}
	if c.ordered > 0 && c.committed == nil && f.Applied >= c.ordered {
		c.parts, c.committed = append(c.parts, seq), c.epoch
	}
}

func (c *collection) takeOrder(seq escrow.Seq, f events.ErasureExecuted) {
	slots := c.slots
	c.slots = map[uint32]uint64{}
	if c.ordered > 0 || seq != c.target && !(c.found && slices.Contains(f.Requests, c.target)) {
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
	c.found, c.ordered = true, escrow.TreeSize(seq)+1
	c.parts = append(c.parts, seq)
	if c.epoch != nil {
		c.parts = append(c.parts, c.epoch.seq)
	}
	for _, hold := range slices.Sorted(maps.Keys(slots)) {
		c.held = append(c.held, Held{hold, slots[hold]})
	}
}

// records returns the numbers of the records of the story, ascending: with the officers up to the last act, and the roots that had to go.
func (c *collection) records() []escrow.Seq {
	all := slices.Clone(c.parts)
	if c.committed != nil {
		last := c.committed
		if c.purged && c.epoch.fact.Epoch > last.fact.Epoch {
			last = c.epoch
			all = append(all, last.seq)
		}
		all = append(all, evidence(c.roots, c.committed.seq, last.fact.Epoch)...)
	}
	for _, seq := range c.officers {
		if seq < c.lastAct {
			all = append(all, seq)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
