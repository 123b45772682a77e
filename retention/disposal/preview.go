package disposal

import (
	"context"
	"iter"
	"slices"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/events"
)

// Preview counts what a request would do to messages, as keys and holds are now: of a person those in which the person takes part, of a conversation those of
// it, in any order and each once. What is unreadable already is not counted. Errors are those of reading the ledger, and Unavailable when ctx ends.
func (p *Pipeline) Preview(ctx context.Context, f events.ErasureRequested, seqs iter.Seq[escrow.Seq]) (events.Counts, error) {
	counts := events.Counts{Why: map[string]uint64{}}
	if err := p.ready(); err != nil {
		return counts, err
	}
	after := reachOf(events.ErasureExecuted{Subjects: f.Subjects, Messages: f.Messages, Tenant: f.Scope == events.ScopeTenant})
	for seq := range seqs {
		if err := ctx.Err(); err != nil {
			return counts, escrow.Errorf("disposal.Preview", escrow.Unavailable, "stopped before everything was counted: %w", err)
		}
		m, err := p.look(seq)
		if err != nil {
			return counts, err
		}
		if m != nil && p.readable(m, 0, nil) {
			p.foresee(m, &after, &counts)
		}
	}
	return counts, nil
}

// foresee counts one readable message.
func (p *Pipeline) foresee(m *message, after *reach, counts *events.Counts) {
	policy := m.sealed.Context().Policy.Name
	switch {
	case p.anyAlive(m.facets[0].Slots, after) && m.names(after):
		counts.Stays++
		counts.Why[policy]++
	case p.anyAlive(m.facets[0].Slots, after):
		counts.LosesIdentity++
		counts.Why[policy]++
	case p.readable(m, 0, after) || len(p.state.holding(m.sealed.Context().Seq)) > 0:
		counts.Held++
	default:
		counts.Dies++
		if !m.writtenBy(after) {
			counts.DiesOfOthers++
		}
	}
}

// names reports whether the body belongs to somebody the order erases, beside others for whom it stays.
func (m *message) names(after *reach) bool {
	return slices.ContainsFunc(m.facets[0].Slots, func(refs []keytree.Ref) bool { return slices.ContainsFunc(refs, after.takes) })
}

// writtenBy reports whether the author is erased, or the message as such.
func (m *message) writtenBy(after *reach) bool {
	return slices.ContainsFunc(m.facets, func(f seal.FacetInfo) bool {
		return f.Kind == seal.FacetIdentity && f.Index == 0 && slices.ContainsFunc(f.Slots, func(refs []keytree.Ref) bool { return slices.ContainsFunc(refs, after.takes) })
	})
}
