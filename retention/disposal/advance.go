package disposal

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"escrow"
	"escrow/events"
)

// Options of Advance.
type Options struct {
	RootsNow     bool // destroy the roots of earlier key states now, however long they are to be kept
	ClockIsRight bool // expire although the clock is more than MaxClockJump ahead of the last expiry
}

// Report says what Advance did.
type Report struct {
	Order     *escrow.Seq  // record of the order that was written; nil if nothing was due
	Requests  []escrow.Seq // requests it carries out
	Days      int          // retention days of all classes it expires
	Slots     int          // hold slots added before it
	Shares    int          // destroyed
	Epoch     uint64       // of the key state
	Removed   int          // documents removed from the index
	Redacted  int          // documents indexed again without what died
	Files     int          // index files whose keys were destroyed
	Roots     int          // roots of earlier key states recorded as destroyed or pending
	Certified []escrow.Seq // requests that are finished

	ClockAhead time.Duration // by which the clock is ahead of the last expiry, if that keeps expiry from going on: Options.ClockIsRight
	Deferred   []Deferred    // requests that are due and were not ordered
}

// Deferred says why a request that is due was not ordered.
type Deferred struct {
	Request escrow.Seq
	Because error // kind Held, or Unavailable
}

// Advance carries out everything that is due: it finishes what was ordered before, gathers requests whose cooling-off time is over, retention days, days of
// the log and released holds into one order, and carries that out; then it destroys roots that were kept long enough and certifies what is finished. The
// report says what was done, also with an error. An error says which step failed; everything ordered before it is completed by the next call, or by Gate.
func (p *Pipeline) Advance(ctx context.Context, o Options) (Report, error) {
	if !p.gated.Load() {
		return Report{}, p.ready()
	}
	p.work.Lock()
	defer p.work.Unlock()
	var r Report
	err := p.advance(ctx, o, &r)
	r.Epoch = p.cfg.Keys.Epoch()
	return r, err
}

func (p *Pipeline) advance(ctx context.Context, o Options, r *Report) error {
	if err := p.catchUp(ctx); err != nil { // an append before may have failed behind its sync
		return at("ledger", err)
	}
	if err := p.destroyKeys(ctx, r); err != nil {
		return at("puncture", err)
	}
	orderErr := at("order", p.orderDue(ctx, o, r))
	if r.Order != nil {
		ctx = context.WithoutCancel(ctx) // whoever asked may go away; what is ordered is carried out
		if err := p.destroyKeys(ctx, r); err != nil {
			return at("puncture", err)
		}
	}
	for _, d := range r.Deferred {
		if escrow.KindOf(d.Because) != escrow.Held {
			orderErr = errors.Join(orderErr, at("order", d.Because))
		}
	}
	return joined(orderErr, at("purge", p.purge(ctx, r)), at("generations", p.nextGenerations(ctx)), at("roots", p.destroyRoots(ctx, o, r)), at("certify", p.certify(ctx, r)))
}

// at names the step in an error; nil stays nil.
func at(step string, err error) error {
	if err == nil {
		return nil
	}
	return escrow.Errorf("disposal.Advance", escrow.KindOf(err), "step %s is not complete: %w", step, err)
}

// joined returns the errors as one, of the kind of the first, or nil.
func joined(errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	return escrow.Errorf("disposal.Advance", escrow.KindOf(err), "%w", err)
}

// orderDue writes one order of everything due, after the slots that spare what is held. It works from what was true at one moment: if officers acted before
// the order was written, or the clock went back, it looks again, the last time with officers waiting.
func (p *Pipeline) orderDue(ctx context.Context, o Options, r *Report) error {
	const patience = 3
	for try := range patience {
		if done, err := p.tryOrder(ctx, o, r, try == patience-1); done || err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipeline) tryOrder(ctx context.Context, o Options, r *Report, alone bool) (done bool, err error) {
	if alone {
		p.acting.Lock()
		defer p.acting.Unlock()
	}
	acts, began := p.acts(), p.cfg.Now()
	order, err := p.due(ctx, o, r)
	if err != nil || order == nil {
		return true, err
	}
	if err := p.addHoldSlots(ctx, *order, r); err != nil {
		return true, at("hold slots", err)
	}
	if !alone {
		p.acting.Lock()
		defer p.acting.Unlock()
		if p.acts() != acts {
			return false, nil
		}
	}
	if p.cfg.Now().Before(began) { // the clock was set back: what was due may not be, at the time the order would have
		return false, nil
	}
	seq, err := p.append(ctx, *order)
	if err != nil {
		return true, err
	}
	r.Order, r.Requests = &seq, order.Requests
	for _, d := range order.Days {
		r.Days += int(d.To-d.From) + 1
	}
	return true, nil
}

func (p *Pipeline) acts() uint64 {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return p.state.acts
}

// due returns the order of everything due now, nil if nothing is.
func (p *Pipeline) due(ctx context.Context, o Options, r *Report) (*events.ErasureExecuted, error) {
	if p.state.terminated() {
		return nil, nil
	}
	now := p.cfg.Now()
	order := &events.ErasureExecuted{Holds: p.released()}
	r.Deferred = nil
	cases := p.dueCases(now)
	ingest := p.dueIngestDays(now, o, r)
	days := p.dueDays(now, o, r)
	sealed, err := p.sealed(ctx, cases, len(ingest)+len(days) > 0)
	if err != nil {
		return nil, err
	}
	var allowed []Case
	for _, c := range cases {
		if err := p.mayOrder(&c, sealed); err != nil {
			r.Deferred = append(r.Deferred, Deferred{c.Seq, err})
			continue
		}
		allowed = append(allowed, c)
	}
	for _, c := range oneOrder(allowed) {
		include(order, &c)
	}
	if order.Tenant {
		return &events.ErasureExecuted{Scope: events.ScopeTenant, Tenant: true, Requests: order.Requests, Basis: order.Basis, Case: order.Case}, nil
	}
	if order.Days = days; !sealed {
		order.Days, ingest = p.beforeTheLog(days), nil
	}
	order.IngestDays = ingest
	slices.Sort(order.Subjects)
	order.Subjects, order.Messages = slices.Compact(order.Subjects), union(order.Messages)
	return named(order), nil
}

// named gives an order its scope, and its legal basis where no request has one; nil if there is nothing in it.
func named(o *events.ErasureExecuted) *events.ErasureExecuted {
	parts := 0
	for _, part := range []struct {
		there        bool
		scope, basis string
	}{
		{len(o.Requests) > 0, o.Scope, o.Basis},
		{len(o.Days) > 0, events.ScopeExpiry, "art5-1-e"},
		{len(o.IngestDays) > 0 && len(o.Days) == 0, events.ScopeIngestDay, "art5-1-e"},
		{len(o.Holds) > 0, events.ScopeHold, "hold-released"},
	} {
		if part.there {
			o.Scope, o.Basis = part.scope, part.basis
			parts++
		}
	}
	switch {
	case parts == 0:
		return nil
	case parts > 1 || len(o.Requests) > 1:
		o.Scope, o.Basis, o.Case = events.ScopeDue, "due", ""
	}
	return o
}

// oneOrder returns the requests that one order can name, the rest are for the next. The end of the tenant, which comes last, needs no names.
func oneOrder(cases []Case) []Case {
	if n := len(cases); n > 0 && cases[n-1].Request.Scope == events.ScopeTenant {
		return cases
	}
	named := 0
	for i, c := range cases {
		if named += len(c.Request.Subjects) + len(c.Request.Messages); named > MaxNamed {
			return cases[:i]
		}
	}
	return cases
}

// include adds what a request names to an order.
func include(o *events.ErasureExecuted, c *Case) {
	o.Requests = append(o.Requests, c.Seq)
	o.Scope, o.Basis, o.Case = c.Request.Scope, c.Request.Basis, c.Request.Case
	o.Subjects = append(o.Subjects, c.Request.Subjects...)
	o.Messages = append(o.Messages, c.Request.Messages...)
	o.Tenant = o.Tenant || c.Request.Scope == events.ScopeTenant
}

// released returns the holds that were released and have a share.
func (p *Pipeline) released() []uint32 {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	var numbers []uint32
	for _, h := range p.state.holds {
		if h.Released != nil && h.Ended == nil {
			numbers = append(numbers, h.Number)
		}
	}
	return numbers
}

// dueCases returns the requests whose cooling-off time is over, in the order they were made, so that the end of the tenant comes last and its basis counts.
func (p *Pipeline) dueCases(now time.Time) []Case {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	var due []Case
	for _, c := range p.state.active {
		if c.due(now) {
			due = append(due, *c)
		}
	}
	ending := func(c Case) int {
		if c.Request.Scope == events.ScopeTenant {
			return 1
		}
		return 0
	}
	slices.SortFunc(due, func(a, b Case) int { return cmp.Or(cmp.Compare(ending(a), ending(b)), cmp.Compare(a.Seq, b.Seq)) })
	return due
}

// waits reports whether a request concerns messages that may still be in the log: one that came after the order would be sealed for the number a person gets
// who returns, and bring back somebody who was just erased.
func (c *Case) waits() bool {
	return c.Request.Scope == events.ScopePerson || c.Request.Scope == events.ScopeTenant
}

// sealed reports whether everything acknowledged is in the ledger, if that matters to anything due.
func (p *Pipeline) sealed(ctx context.Context, cases []Case, days bool) (bool, error) {
	if p.cfg.Sealed == nil || !days && !slices.ContainsFunc(cases, func(c Case) bool { return c.waits() }) {
		return true, nil
	}
	return p.cfg.Sealed(ctx)
}

// mayOrder says what keeps a request that is due from being ordered.
func (p *Pipeline) mayOrder(c *Case, sealed bool) error {
	if !sealed && c.waits() {
		return escrow.Errorf("disposal", escrow.Unavailable,
			"request %d waits: messages acknowledged before are not sealed yet, and an erasure must not overlook them; escrow status says why", c.Seq)
	}
	return p.forbidden(c.Request)
}
