package disposal

import (
	"context"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/events"
)

// countDead reads the whole ledger after keys were destroyed and counts what became of every facet sealed for a share that the orders not purged yet name,
// if they carry out requests; otherwise it returns nil. A facet that such a share still opens fails it, with kind Internal: success is never said of an
// erasure that left something out. It decrypts nothing.
func (p *Pipeline) countDead(ctx context.Context, upTo escrow.TreeSize) (*events.FacetCount, error) {
	p.state.mu.RLock()
	from := p.state.purged
	p.state.mu.RUnlock()
	orders, err := p.orders(ctx, escrow.Seq(from), upTo)
	if err != nil || !slices.ContainsFunc(orders, func(o events.ErasureExecuted) bool { return len(o.Requests) > 0 }) {
		return nil, err
	}
	named := make([]reach, len(orders))
	for i, o := range orders {
		named[i] = reachOf(o)
	}
	var count events.FacetCount
	err = p.cfg.Ledger.Scan(ctx, 0, func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= upTo {
			return archive.ErrStop
		}
		m, err := p.inspect(rec)
		if err != nil || m == nil {
			return err
		}
		return p.countFacets(m, named, &count)
	})
	return &count, err
}

// countFacets adds the facets of one message.
func (p *Pipeline) countFacets(m *message, named []reach, count *events.FacetCount) error {
	took := func(ref keytree.Ref) bool {
		return slices.ContainsFunc(named, func(k reach) bool { return k.takes(ref) })
	}
	concerned := false
	for i, f := range m.facets {
		of := slices.IndexFunc(f.Slots, func(refs []keytree.Ref) bool { return slices.ContainsFunc(refs, took) })
		if of < 0 {
			continue
		}
		concerned = true
		switch {
		case slices.ContainsFunc(f.Slots, func(refs []keytree.Ref) bool { return slices.ContainsFunc(refs, took) && p.alive(refs, nil) }):
			seq := m.sealed.Context().Seq
			return &escrow.Error{Op: "disposal", Kind: escrow.Internal, Record: &seq,
				Err: escrow.Errorf("disposal", escrow.Internal, "facet %d can still be opened with a share that was ordered to be destroyed", i)}
		case p.anyAlive(f.Slots, nil):
			count.Others++
		case p.readable(m, i, nil):
			count.Held++
		default:
			count.Dead++
		}
	}
	if concerned {
		count.Messages++
	}
	return nil
}
