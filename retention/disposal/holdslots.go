package disposal

import (
	"context"
	"slices"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/events"
)

// addHoldSlots keeps what is held: every facet of a message under a hold that no slot it was sealed with would open after the order gets a slot under the
// share of each of its holds in force, unless it has one. It reads every held message; nothing is decrypted but the data keys of those facets.
func (p *Pipeline) addHoldSlots(ctx context.Context, order events.ErasureExecuted, r *Report) error {
	after := reachOf(order)
	w := slotWriter{p: p, slots: map[uint32][]events.HoldSlot{}}
	for seq := range events.Seqs(p.heldRanges()) {
		if err := ctx.Err(); err != nil {
			return escrow.Errorf("disposal.Advance", escrow.Unavailable, "stopped: %w", err)
		}
		if err := w.message(seq, &after); err != nil {
			return err
		}
		if w.pending >= slotBatch {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	err := w.flush(ctx)
	r.Slots += w.written
	return err
}

// heldRanges returns the messages under holds in force.
func (p *Pipeline) heldRanges() []events.SeqRange {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	var lists [][]events.SeqRange
	for _, h := range p.state.holds {
		if h.Released == nil {
			lists = append(lists, h.Messages)
		}
	}
	return union(lists...)
}

// slotWriter gathers slots by hold and appends them.
type slotWriter struct {
	p                *Pipeline
	slots            map[uint32][]events.HoldSlot
	pending, written int
}

// message makes the slots a held message needs to survive an order.
func (w *slotWriter) message(seq escrow.Seq, after *reach) error {
	m, err := w.p.look(seq)
	if err != nil || m == nil {
		return err
	}
	attached := false
	for i := range m.facets {
		if w.p.anyAlive(m.facets[i].Slots, after) || !w.p.readable(m, i, nil) {
			continue // it stays by itself, or is gone already
		}
		for _, hold := range w.p.state.holding(seq) {
			if slices.ContainsFunc(m.added, func(a addedSlot) bool { return a.Facet == i && a.hold == hold }) {
				continue
			}
			if !attached { // the data key may be left under another hold only
				if err := m.attach(); err != nil {
					return err
				}
				attached = true
			}
			if err := w.slot(m, i, hold); err != nil {
				return err
			}
		}
	}
	return nil
}

// attach lets the record be opened by the slots of holds, too.
func (m *message) attach() error {
	for _, a := range m.added {
		if err := m.sealed.AddSlot(a.Facet, a.Slot); err != nil {
			return err
		}
	}
	return nil
}

func (w *slotWriter) slot(m *message, facet int, hold uint32) error {
	slot, err := m.sealed.NewSlot(w.p.cfg.Keys, facet, []keytree.Ref{w.p.cfg.Keys.Ref(keytree.KindHold, hold)})
	if err != nil {
		return err
	}
	w.slots[hold] = append(w.slots[hold], events.HoldSlot{Seq: m.sealed.Context().Seq, Facet: facet, Slot: slot.Append(nil)})
	w.pending++
	return nil
}

// flush appends what was gathered in one append.
func (w *slotWriter) flush(ctx context.Context) error {
	var facts []events.Fact
	for hold, slots := range w.slots {
		for chunk := range slices.Chunk(slots, events.MaxHoldSlots) {
			facts = append(facts, events.HoldSlotsAdded{Hold: hold, Slots: chunk})
		}
	}
	if len(facts) == 0 {
		return nil
	}
	if _, err := w.p.append(ctx, facts...); err != nil {
		return err
	}
	w.written += w.pending
	w.pending = 0
	clear(w.slots)
	return nil
}
