package disposal

import (
	"context"
	"fmt"
	"strings"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/officers"
)

// Record writes an act of an officer into the ledger and returns its record: officers added and removed, erasures requested, approved and withdrawn, holds
// placed and released. The statement is checked against the roster, the act against what was done before. With an approval the restriction is written in
// the same append, and is in force when Record returns. Kinds: Denied, the officer may not or the statement does not hold; Invalid; NotFound; Conflict, the
// request or hold is not in a state for it; Held, a hold or a statute forbids it; Erased, what it names is unreadable already, or the tenant has ended;
// Unavailable. On return without error the act is durable.
func (p *Pipeline) Record(ctx context.Context, f events.Fact) (escrow.Seq, error) {
	if err := p.ready(); err != nil {
		return 0, err
	}
	act, ok := f.(events.Act)
	if !ok {
		return 0, escrow.Errorf("disposal.Record", escrow.Invalid, "%T is no act of an officer; the pipeline writes it itself", f)
	}
	if hold, ok := f.(events.HoldPlaced); ok {
		return p.placeHold(ctx, hold)
	}
	p.acting.Lock()
	defer p.acting.Unlock()
	if err := p.catchUp(ctx); err != nil { // an append before may have failed behind its sync
		return 0, err
	}
	if err := p.check(act); err != nil {
		return 0, err
	}
	if approval, ok := f.(events.ErasureApproved); ok {
		return p.append(ctx, f, events.ErasureRestricted{Request: approval.Request})
	}
	return p.append(ctx, f)
}

// check says whether an act may be written now. The caller holds acting.
func (p *Pipeline) check(act events.Act) error {
	if err := p.state.roster.Check(p.cfg.Ledger.Origin(), act, p.cfg.Now()); err != nil {
		return err
	}
	switch f := act.(type) {
	case events.ErasureRequested:
		return p.checkRequest(f)
	case events.ErasureApproved:
		return p.checkApproval(f)
	case events.ErasureWithdrawn:
		_, err := p.openCase("withdraw", f.Request)
		return err
	case events.HoldReleased:
		return p.checkRelease(f)
	}
	return nil
}

// checkRequest says whether a request names something, in the form it must have, that can still be erased.
func (p *Pipeline) checkRequest(f events.ErasureRequested) error {
	people, messages := len(f.Subjects) > 0, len(f.Messages) > 0
	var right bool
	switch f.Scope {
	case events.ScopePerson:
		right = people && !messages
	case events.ScopeConversation, events.ScopeMessage:
		right = !people && messages
	case events.ScopeTenant:
		right = !people && !messages
	}
	if !right {
		return escrow.Errorf("disposal.Record", escrow.Invalid,
			"a request names people in the scope %q, messages in %q or %q, and neither in %q", events.ScopePerson, events.ScopeConversation, events.ScopeMessage, events.ScopeTenant)
	}
	if err := p.checkPeople(f.Subjects); err != nil {
		return err
	}
	if err := p.checkRanges(f.Messages); err != nil {
		return err
	}
	if err := p.forbidden(f); err != nil {
		return err
	}
	if f.Scope == events.ScopeTenant || p.somethingAlive(f) {
		return nil
	}
	return escrow.Errorf("disposal.Record", escrow.Erased, "everything the request names has been erased already")
}

// forbidden says what stands against an erasure as a whole, with kind Held. It is asked when it is requested, when it is approved and when it is due, and
// what it refuses by then stays due until it no longer does. Statutory minimum periods belong here, with the article named.
func (p *Pipeline) forbidden(f events.ErasureRequested) error {
	if f.Scope != events.ScopeTenant {
		return nil // a hold defers it message by message, with slots
	}
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	var inForce []string
	for _, h := range p.state.holds {
		if h.Released == nil {
			inForce = append(inForce, fmt.Sprint(h.Number))
		}
	}
	if len(inForce) == 0 {
		return nil
	}
	return escrow.Errorf("disposal", escrow.Held, "everything cannot be erased while holds are in force: %s; release them first", listed(inForce))
}

// somethingAlive reports whether a key of what a request names exists.
func (p *Pipeline) somethingAlive(f events.ErasureRequested) bool {
	for _, leaf := range f.Subjects {
		if p.cfg.Keys.Alive(p.cfg.Keys.Ref(keytree.KindSubject, leaf)) {
			return true
		}
	}
	for seq := range events.Seqs(f.Messages) {
		if p.cfg.Keys.Alive(p.cfg.Keys.Ref(keytree.KindMessage, uint32(seq))) {
			return true
		}
	}
	return false
}

// checkPeople says whether there are so many people, each of them. A number that was never given out must not be used up.
func (p *Pipeline) checkPeople(leaves []uint32) error {
	if len(leaves) > MaxNamed {
		return escrow.Errorf("disposal.Record", escrow.Invalid, "the request names %d people, at most %d are possible; divide it", len(leaves), MaxNamed)
	}
	next := p.cfg.Directory.Next()
	for _, leaf := range leaves {
		if uint64(leaf) >= next {
			return escrow.Errorf("disposal.Record", escrow.NotFound, "there is no person %d: the numbers below %d are given out", leaf, next)
		}
	}
	return nil
}

// checkRanges says whether ranges of messages are sorted, disjoint, and of records there are.
func (p *Pipeline) checkRanges(ranges []events.SeqRange) error {
	if len(ranges) > MaxNamed {
		return escrow.Errorf("disposal.Record", escrow.Invalid, "the messages are named in %d ranges, at most %d are possible; divide them", len(ranges), MaxNamed)
	}
	size := p.cfg.Ledger.Size()
	for i, r := range ranges {
		switch {
		case r.From > r.To || i > 0 && r.From <= ranges[i-1].To:
			return escrow.Errorf("disposal.Record", escrow.Invalid, "ranges of messages must be sorted and disjoint; number %d is not", i+1)
		case escrow.TreeSize(r.To) >= size:
			return escrow.Errorf("disposal.Record", escrow.NotFound, "there is no record %d: the ledger has %d", r.To, size)
		}
	}
	return nil
}

// openCase returns a request that nothing ended yet: neither a withdrawal nor an order.
func (p *Pipeline) openCase(verb string, request escrow.Seq) (Case, error) {
	c, err := p.Case(request)
	switch {
	case err != nil:
		return c, noRequest("disposal.Record", request)
	case c.Withdrawn != nil:
		return c, escrow.Errorf("disposal.Record", escrow.Conflict, "request %d was withdrawn; there is nothing to %s", request, verb)
	case c.Executed != nil:
		return c, escrow.Errorf("disposal.Record", escrow.Conflict, "request %d was carried out by the order in record %d; it is too late to %s it", request, c.Executed.Seq, verb)
	}
	return c, nil
}

func (p *Pipeline) checkApproval(f events.ErasureApproved) error {
	c, err := p.openCase("approve", f.Request)
	if err != nil {
		return err
	}
	if c.Approved != nil {
		return escrow.Errorf("disposal.Record", escrow.Conflict, "request %d is approved already, in record %d", f.Request, c.Approved.Seq)
	}
	if off := f.Until.Sub(p.cfg.Now().Add(p.cfg.Terms.CoolingOff)).Abs(); off > officers.MaxSkew {
		return escrow.Errorf("disposal.Record", escrow.Invalid, "the cooling-off time is %s from now, and would end %s under this approval; draft it again",
			span(p.cfg.Terms.CoolingOff), f.Until.UTC().Format(time.RFC3339))
	}
	return p.forbidden(c.Request)
}

func (p *Pipeline) checkRelease(f events.HoldReleased) error {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	h := p.state.hold(f.Hold)
	switch {
	case h == nil:
		return escrow.Errorf("disposal.Record", escrow.NotFound, "there is no hold %d", f.Hold)
	case h.Released != nil:
		return escrow.Errorf("disposal.Record", escrow.Conflict, "hold %d was released already, in record %d", f.Hold, h.Released.Seq)
	}
	return nil
}

// placeHold records a hold if every message it names can be read. The messages are looked at before anybody has to wait, and again if an order came between.
func (p *Pipeline) placeHold(ctx context.Context, f events.HoldPlaced) (escrow.Seq, error) {
	if err := p.checkHold(f); err != nil {
		return 0, err
	}
	for {
		ordered := p.orderedUpTo()
		if err := p.WaitApplied(ctx, ordered); err != nil {
			return 0, err
		}
		if err := p.checkReadable(ctx, f.Messages); err != nil {
			return 0, err
		}
		if seq, done, err := p.recordHold(ctx, f, ordered); done {
			return seq, err
		}
	}
}

// recordHold writes a hold unless something was ordered since its messages were looked at.
func (p *Pipeline) recordHold(ctx context.Context, f events.HoldPlaced, ordered escrow.TreeSize) (seq escrow.Seq, done bool, err error) {
	p.acting.Lock()
	defer p.acting.Unlock()
	if err := p.catchUp(ctx); err != nil {
		return 0, true, err
	}
	if p.orderedUpTo() != ordered {
		return 0, false, nil
	}
	if err := p.checkHold(f); err != nil {
		return 0, true, err
	}
	seq, err = p.append(ctx, f)
	return seq, true, err
}

func (p *Pipeline) orderedUpTo() escrow.TreeSize {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return p.state.ordered
}

func (p *Pipeline) checkHold(f events.HoldPlaced) error {
	if err := p.state.roster.Check(p.cfg.Ledger.Origin(), f, p.cfg.Now()); err != nil {
		return err
	}
	if next := p.NextHold(); f.Hold != next {
		return escrow.Errorf("disposal.Record", escrow.Conflict, "the next hold is number %d, not %d; another was placed meanwhile: draft it again", next, f.Hold)
	}
	if len(f.Messages) == 0 {
		return escrow.Errorf("disposal.Record", escrow.Invalid, "a hold names at least one message")
	}
	return p.checkRanges(f.Messages)
}

// checkReadable refuses a hold on messages of which nothing is left to hold.
func (p *Pipeline) checkReadable(ctx context.Context, ranges []events.SeqRange) error {
	var dead []string
	total := count(ranges)
	for seq := range events.Seqs(ranges) {
		if err := ctx.Err(); err != nil {
			return escrow.Errorf("disposal.Record", escrow.Unavailable, "stopped before every message was looked at: %w", err)
		}
		h, err := p.cfg.Ledger.Header(seq)
		if err != nil {
			return err
		}
		if h.Kind != archive.KindMessage {
			return escrow.Errorf("disposal.Record", escrow.Invalid, "record %d is of kind %q, not a message; a hold names messages only", seq, h.Kind)
		}
		m, err := p.look(seq)
		if err != nil {
			return err
		}
		if m == nil || !p.readable(m, 0, nil) {
			dead = append(dead, fmt.Sprint(seq))
		}
	}
	switch {
	case len(dead) == 0:
		return nil
	case uint64(len(dead)) == total:
		return escrow.Errorf("disposal.Record", escrow.Erased, "no message is readable any more that the hold names: %s; nothing can be held", listed(dead))
	}
	return escrow.Errorf("disposal.Record", escrow.Erased,
		"%d of %d messages are not readable any more and cannot be held: %s; nothing was recorded, place the hold without them", len(dead), total, listed(dead))
}

// listed writes the first few of a list and counts the rest.
func listed(all []string) string {
	if len(all) <= namedInErrors {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:namedInErrors], ", "), len(all)-namedInErrors)
}
