package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/retention"
	"escrow/retention/disposal"
)

// Advance implements API. What is ordered is carried out although who asked goes away.
func (a *Archive) Advance(ctx context.Context, req AdvanceRequest) (AdvanceAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return AdvanceAnswer{}, err
	}
	if err := t.sealAcknowledged(ctx); err != nil {
		return AdvanceAnswer{}, err
	}
	before := t.Ledger.Size()
	report, failure := t.Disposal.Advance(context.WithoutCancel(ctx), disposal.Options{RootsNow: req.RootsNow, ClockIsRight: req.ClockIsRight})
	answer := AdvanceAnswer{Blocked: blocked(report)}
	if failure != nil {
		answer.Problems = append(answer.Problems, failure.Error())
	}
	if answer.Steps, err = t.steps(ctx, escrow.Seq(before)); err != nil {
		return answer, err
	}
	for _, c := range t.Disposal.Cases() {
		answer.Pending = append(answer.Pending, t.pending(c, a.Now())...)
	}
	return answer, nil
}

// blocked says what is due and must not be carried out.
func blocked(r disposal.Report) (why []string) {
	for _, d := range r.Deferred {
		if escrow.KindOf(d.Because) == escrow.Held {
			why = append(why, fmt.Sprintf("request %d: %v", d.Request, d.Because))
		}
	}
	if r.ClockAhead > 0 {
		why = append(why, fmt.Sprintf("retention days: the clock is %d hours ahead of the last time anything expired; look at it, then: escrow retention run --clock-is-right", int(r.ClockAhead.Hours())))
	}
	return why
}

// steps describes the events of the pipeline from a record on.
func (t *Tenant) steps(ctx context.Context, from escrow.Seq) ([]CaseStep, error) {
	steps := []CaseStep{}
	err := t.Ledger.ScanEvents(ctx, from, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		if name, detail := describe(e.Fact); name != "" {
			steps = append(steps, CaseStep{Step: name, Event: rec.Seq, At: rec.Header.Time, Detail: detail})
		}
		return nil
	})
	return steps, err
}

// describe names a step of the pipeline and says what it did; "" for what is none.
func describe(f events.Fact) (name, detail string) {
	switch f := f.(type) {
	case events.ErasureRequested:
		return "requested", fmt.Sprintf("by %s", f.Officer)
	case events.ErasureApproved:
		return "approved", fmt.Sprintf("by %s; to be carried out after %s", f.Officer, f.Until.Format(time.RFC3339))
	case events.ErasureRestricted:
		return "restricted", "nobody is shown it any more"
	case events.ErasureWithdrawn:
		return "withdrawn", fmt.Sprintf("by %s; what was restricted is shown again", f.Officer)
	case events.HoldSlotsAdded:
		return "held", fmt.Sprintf("%d parts of held messages stay readable under hold %d", len(f.Slots), f.Hold)
	case events.ErasureExecuted:
		return "ordered", ordered(f)
	case events.EpochCommitted:
		if f.Trees == 0 {
			return "punctured", "every key of the tenant destroyed"
		}
		return "punctured", fmt.Sprintf("%d key shares destroyed; key state of epoch %d", f.Shares, f.Epoch)
	case events.IndexPurged:
		return "purged", purged(f)
	case events.RootsDestroyed:
		return "roots", rootsGone(f)
	case events.ErasureCertified:
		return "certified", fmt.Sprintf("request %d", f.Request)
	}
	return "", ""
}

// ordered says what an order destroys.
func ordered(f events.ErasureExecuted) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{{uint64(len(f.Subjects)), "people"}, {count(f.Messages), "single messages"}, {days(f.Days), "retention days"}, {leaves(f.IngestDays), "days of the log"}, {uint64(len(f.Holds)), "holds"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if f.Tenant {
		parts = append(parts, "everything")
	}
	return fmt.Sprintf("%s: %s", f.Scope, strings.Join(parts, ", "))
}

func days(ranges []events.DayRange) (n uint64) {
	for _, r := range ranges {
		n += uint64(r.To-r.From) + 1
	}
	return n
}

func leaves(ranges []events.LeafRange) (n uint64) {
	for _, r := range ranges {
		n += uint64(r.To-r.From) + 1
	}
	return n
}

// rootsGone says what became of roots, once for each store.
func rootsGone(f events.RootsDestroyed) string {
	type kind struct{ store, state string }
	n := map[kind]int{}
	var order []kind
	for _, r := range f.Roots {
		k := kind{r.Store, r.State}
		if n[k] == 0 {
			order = append(order, k)
		}
		n[k]++
	}
	var parts []string
	for _, k := range order {
		parts = append(parts, fmt.Sprintf("%d in store %s %s", n[k], k.store, k.state))
	}
	return strings.Join(parts, ", ")
}

// Cases implements API.
func (a *Archive) Cases(_ context.Context, req CasesRequest) (CasesAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return CasesAnswer{}, err
	}
	cases := t.Disposal.Cases()
	if req.Request != nil {
		one, err := t.Disposal.Case(*req.Request)
		if err != nil {
			return CasesAnswer{}, err
		}
		cases = []disposal.Case{one}
	}
	answer := CasesAnswer{Cases: []Case{}}
	for _, c := range cases {
		shown, err := t.showCase(c, a.Now())
		if err != nil {
			return CasesAnswer{}, err
		}
		answer.Cases = append(answer.Cases, shown)
	}
	return answer, nil
}

// summary is a case without its steps.
func (t *Tenant) summary(c disposal.Case, now time.Time) Case {
	return Case{Request: c.Seq, State: c.State(), Scope: c.Request.Scope, Basis: c.Request.Basis, Case: c.Request.Case, By: c.Request.Officer,
		Approver: c.Approver, Until: optional(c.Until), Preview: c.Request.Preview, Steps: []CaseStep{}, Pending: t.pending(c, now)}
}

func (t *Tenant) showCase(c disposal.Case, now time.Time) (Case, error) {
	shown := t.summary(c, now)
	taken := []escrow.Seq{c.Seq}
	for _, s := range []*disposal.Step{c.Approved, c.Restricted, c.Withdrawn, c.Executed, c.Committed, c.Purged, c.Destroyed, c.Certified} {
		if s != nil {
			taken = append(taken, s.Seq)
		}
	}
	slices.Sort(taken)
	for _, seq := range slices.Compact(taken) {
		rec, err := t.Ledger.Read(seq)
		if err != nil {
			return shown, err
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return shown, err
		}
		name, detail := describe(e.Fact)
		shown.Steps = append(shown.Steps, CaseStep{Step: name, Event: seq, At: rec.Header.Time, Detail: detail})
	}
	return shown, nil
}

// pending says in plain words what a case waits for, and until when.
func (t *Tenant) pending(c disposal.Case, now time.Time) []string {
	at := func(format string, args ...any) []string {
		return []string{fmt.Sprintf("request %d: ", c.Seq) + fmt.Sprintf(format, args...)}
	}
	switch c.State() {
	case disposal.StateCertified, disposal.StateWithdrawn:
		return nil
	case disposal.StateRequested:
		return at("waits for the approval of another officer")
	case disposal.StateCooling:
		if c.Until.After(now) {
			return at("cooling off until %s; nobody is shown it, and it can be withdrawn", c.Until.Format(time.RFC3339))
		}
		return at("due since %s; carried out by a running server or escrow erase run", c.Until.Format(time.RFC3339))
	case disposal.StateOrdered:
		return at("ordered, the keys are not destroyed yet; it is tried again")
	case disposal.StatePunctured:
		return at("unreadable; the index is not purged yet; it is tried again")
	case disposal.StatePurged:
		return at("unreadable and gone from the index; copies of the keys made before can still be opened until %s", t.rootsDue(c).Format(time.RFC3339))
	}
	return at("the certificate is not made yet; it is tried again")
}

// rootsDue is when the last root is gone that opens a key state from before a case.
func (t *Tenant) rootsDue(c disposal.Case) time.Time {
	terms := t.Disposal.Terms()
	if c.Request.Scope == events.ScopeTenant { // whose roots are not kept
		return c.Committed.At.Add(terms.Wait).UTC()
	}
	return c.Committed.At.Add(terms.KeepRoots + terms.Wait).UTC()
}

// Holds implements API.
func (a *Archive) Holds(_ context.Context, req HoldsRequest) (HoldsAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return HoldsAnswer{}, err
	}
	answer := HoldsAnswer{Holds: []Hold{}}
	for _, h := range t.Disposal.Holds() {
		shown := Hold{Hold: h.Number, Matter: h.Matter, Messages: count(h.Messages), By: h.Officer, Placed: h.Placed.At}
		if h.Released != nil {
			shown.Released = &h.Released.At
		}
		answer.Holds = append(answer.Holds, shown)
	}
	return answer, nil
}

// Officers implements API.
func (a *Archive) Officers(_ context.Context, req OfficersRequest) (OfficersAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return OfficersAnswer{}, err
	}
	answer := OfficersAnswer{Officers: []Officer{}}
	for _, o := range t.Disposal.Roster().Officers() {
		answer.Officers = append(answer.Officers, Officer{Officer: o.Name, Key: o.Key, Sponsor: o.Sponsor, Removed: o.Removed})
	}
	return answer, nil
}

// Retention implements API.
func (a *Archive) Retention(_ context.Context, req RetentionRequest) (RetentionAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return RetentionAnswer{}, err
	}
	return RetentionAnswer{Classes: t.classes()}, nil
}

// classes lists the retention classes and how far each has expired.
func (t *Tenant) classes() []RetentionClass {
	list := []RetentionClass{}
	for _, c := range t.Schedule.Classes() {
		shown := RetentionClass{Name: c.Name, Number: c.Number, Days: c.Days}
		if next := t.Disposal.Expired(c.Number); next > 0 {
			shown.Expired = retention.Day(next - 1).String()
		}
		list = append(list, shown)
	}
	return list
}

// purged says what was cleaned, and what was found dead.
func purged(f events.IndexPurged) string {
	text := fmt.Sprintf("index: %d removed, %d rewritten, %d file keys gone", f.Removed, f.Redacted, f.Files)
	if c := f.Counted; c != nil {
		text += fmt.Sprintf("; ledger: %d parts dead, %d held", c.Dead, c.Held)
	}
	return text
}
