package certificate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"escrow"
	"escrow/events"
	"escrow/retention"
)

// statement returns what a story certifies, with the figures of held facets, which it does not tell.
func (s *story) statement(held []Held) Statement {
	st := Statement{Format: format, Archive: s.origin, Final: s.final(), Held: held, Steps: s.steps(), Pending: s.pending(), Roots: s.roots()}
	if s.requested != nil {
		f := s.requested.fact
		st.Scope, st.Basis, st.Case, st.Request, st.Preview = plain(f.Scope), plain(f.Basis), plain(f.Case), &s.requested.seq, &f.Preview
		st.Extent = Extent{Subjects: len(f.Subjects), Messages: messages(f.Messages), Everything: f.Scope == events.ScopeTenant}
	}
	if s.ordered != nil {
		st.Order = &s.ordered.seq
		if s.requested == nil {
			f := s.ordered.fact
			st.Scope, st.Basis, st.Case, st.Extent = plain(f.Scope), plain(f.Basis), plain(f.Case), extent(f)
		}
	}
	st.Certificate = kind(st.Scope)
	if s.committed != nil {
		f := s.committed.fact
		st.Keys = &Keys{Epoch: f.Epoch, State: plain(f.State), Shares: f.Shares}
		if s.before != nil {
			st.Keys.Before = &s.before.fact.Epoch
		}
		if s.cleaned != nil {
			st.Keys.Cleaned = &s.cleaned.fact.Epoch
		}
	}
	if s.purged != nil {
		f := s.purged.fact
		st.Index = &Index{Removed: f.Removed, Redacted: f.Redacted, Files: f.Files}
		if c := f.Counted; c != nil {
			st.Facets = &Facets{Messages: c.Messages, Dead: c.Dead, Held: c.Held, Others: c.Others}
		}
	}
	st.Claims, st.Remains = append(s.proven(), s.attested(held)...), s.remains(held)
	return st
}

func kind(scope string) Kind {
	switch scope {
	case events.ScopePerson, events.ScopeConversation, events.ScopeMessage:
		return Erasure
	case events.ScopeTenant:
		return Termination
	case events.ScopeExpiry:
		return Expiry
	case events.ScopeHold:
		return Release
	}
	return Order
}

func messages(ranges []events.SeqRange) (n uint64) {
	for _, r := range ranges {
		n += uint64(r.To-r.From) + 1
	}
	return n
}

func extent(f events.ErasureExecuted) Extent {
	e := Extent{Subjects: len(f.Subjects), Messages: messages(f.Messages), Holds: f.Holds, Everything: f.Tenant}
	for _, d := range f.Days {
		e.Days = append(e.Days, Days{Class: &d.Class, From: retention.Day(d.From).String(), To: retention.Day(d.To).String()})
	}
	for _, d := range f.IngestDays {
		e.IngestDays = append(e.IngestDays, Days{From: retention.Day(d.From).String(), To: retention.Day(d.To).String()})
	}
	return e
}

func (s *story) steps() []Step {
	steps := []Step{}
	if s.requested != nil {
		steps = append(steps, Step{Step: Requested, Record: s.requested.seq, Time: s.requested.time, Officer: s.requested.fact.Officer})
	}
	if s.approved != nil {
		until := s.approved.fact.Until.UTC()
		steps = append(steps, Step{Step: Approved, Record: s.approved.seq, Time: s.approved.time, Officer: s.approved.fact.Officer, Until: &until})
	}
	if s.hidden != nil {
		steps = append(steps, Step{Step: Restricted, Record: s.hidden.seq, Time: s.hidden.time})
	}
	if s.ordered != nil {
		steps = append(steps, Step{Step: Ordered, Record: s.ordered.seq, Time: s.ordered.time})
	}
	if s.committed != nil {
		steps = append(steps, Step{Step: Committed, Record: s.committed.seq, Time: s.committed.time})
	}
	if s.purged != nil {
		steps = append(steps, Step{Step: Purged, Record: s.purged.seq, Time: s.purged.time})
	}
	for _, d := range s.destroyed { // may have been recorded before the order, if nothing was left to destroy
		steps = append(steps, Step{Step: Destroyed, Record: d.seq, Time: d.time})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.Record, b.Record) })
	return steps
}

// pending returns the names of the steps still to come.
func (s *story) pending() []string {
	var names []string
	for _, step := range []struct {
		name string
		done bool
	}{
		{Approved, s.approved != nil || s.requested == nil}, {Restricted, s.hidden != nil || s.requested == nil}, {Ordered, s.ordered != nil},
		{Committed, s.committed != nil}, {Purged, s.purged != nil}, {Destroyed, s.gone},
	} {
		if !step.done {
			names = append(names, step.name)
		}
	}
	return names
}

// roots returns the evidence for the roots that opened states before the first epoch without the keys.
func (s *story) roots() []Root {
	var roots []Root
	for _, d := range s.destroyed {
		for _, r := range d.fact.Roots {
			if r.Epoch < s.epoch() {
				roots = append(roots, Root{Epoch: r.Epoch, Store: plain(r.Store), Method: plain(r.Method), State: plain(r.State), Due: r.Due, Record: d.seq})
			}
		}
	}
	return roots
}

// latest returns the last evidence for each root.
func latest(roots []Root) []Root {
	var last []Root
	for _, r := range roots {
		i := slices.IndexFunc(last, func(l Root) bool { return l.Epoch == r.Epoch && l.Store == r.Store })
		if i < 0 {
			last = append(last, r)
			continue
		}
		last[i] = r
	}
	return last
}

// plain returns text from elsewhere as it can stand in a statement: short, and spelt the same by every JSON writer.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if i := strings.IndexRune("<>&", r); i >= 0 {
			return rune("()+"[i])
		}
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	for len(s) > maxTextBytes {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// proven returns what follows from the records alone.
func (s *story) proven() []Claim {
	var claims []Claim
	prove := func(records []escrow.Seq, format string, args ...any) {
		claims = append(claims, Claim{Basis: Proven, Text: fmt.Sprintf(format, args...), Records: records})
	}
	prove(nil, "Every record in this file is in the ledger, under its number and unaltered, and was written in the order of the numbers.")
	if s.requested != nil {
		prove(append(slices.Clone(s.officers), s.requested.seq), "The erasure was requested with the signature of officer %q, over exactly this request.", s.requested.fact.Officer)
	}
	if s.approved != nil {
		prove(append(slices.Clone(s.officers), s.requested.seq, s.approved.seq),
			"Officer %q approved exactly this request with another key; by the officers in this file neither of the two, nor a third, brought in the other or both.", s.approved.fact.Officer)
	}
	if s.hidden != nil {
		prove([]escrow.Seq{s.hidden.seq}, "That nothing the request concerns is shown any more was recorded.")
	}
	if len(s.holds) > 0 {
		prove(append(slices.Clone(s.officers), s.holds...), "The holds were placed and released with the signatures of officers.")
	}
	if s.ordered != nil && s.requested != nil {
		prove([]escrow.Seq{s.requested.seq, s.approved.seq, s.ordered.seq}, "The order names everything requested. It was written after the cooling-off time and before the keys were destroyed.")
	} else if s.ordered != nil {
		prove([]escrow.Seq{s.ordered.seq}, "The order was written before the keys were destroyed.")
	}
	if s.committed != nil {
		records := []escrow.Seq{s.ordered.seq, s.committed.seq}
		if s.before != nil {
			records = slices.Insert(records, 0, s.before.seq)
		}
		if s.before != nil && s.before.fact.Epoch == s.committed.fact.Epoch {
			prove(records, "After the order the key state of epoch %d, with the digest named here, was recorded as the one in force, as before it.", s.committed.fact.Epoch)
		} else {
			prove(records, "After the order a key state of a new epoch, %d, with the digest named here, was recorded as the one in force.", s.committed.fact.Epoch)
		}
	}
	if s.cleaned != nil {
		prove([]escrow.Seq{s.cleaned.seq, s.purged.seq}, "Before the purge of the index a key state of a later epoch, %d, was recorded as the one in force.", s.cleaned.fact.Epoch)
	}
	return claims
}

// attested returns what the archive says and a reader must believe it, or check in the archive.
func (s *story) attested(held []Held) []Claim {
	var claims []Claim
	attest := func(records []escrow.Seq, format string, args ...any) {
		claims = append(claims, Claim{Basis: Attested, Text: fmt.Sprintf(format, args...), Records: records})
	}
	attest(nil, "The times are those of the clock of the archive.")
	if len(s.officers) > 0 {
		attest(s.officers, "There were no other officers, and none of those who signed had been removed, up to the last signature. Each key was in the hands of its officer alone.")
	}
	if s.requested != nil {
		attest([]escrow.Seq{s.requested.seq}, "The figures of the preview are those of the archive when the request was made.")
	}
	if s.ordered != nil && s.requested != nil {
		attest([]escrow.Seq{s.ordered.seq}, "Nobody withdrew the request before the order.")
	}
	if s.hidden != nil {
		attest([]escrow.Seq{s.hidden.seq}, "From the restriction on, no search, view or export returned what the request concerns, but for messages under a hold.")
	}
	if len(held) > 0 {
		attest(nil, "The facets counted under holds, and no others, were kept readable for the purpose of those holds.")
	}
	if s.committed != nil {
		lost := fmt.Sprintf("the shares the order names: %d were", s.committed.fact.Shares)
		if s.ordered.fact.Tenant {
			lost = "any share: every key of the tenant was"
		}
		attest([]escrow.Seq{s.committed.seq}, "The key state of this epoch cannot derive %s destroyed with this change. What they encrypted is unreadable, for the operator too.", lost)
	}
	if s.purged != nil {
		attest([]escrow.Seq{s.purged.seq}, "No file of the search index holds a word of what was destroyed, unless a message that stays has it too, and the keys of the files replaced are destroyed.")
	}
	if s.purged != nil && s.purged.fact.Counted != nil {
		c := s.purged.fact.Counted
		attest([]escrow.Seq{s.purged.seq}, "After that the whole ledger was read again. Of the facets sealed for what was erased, in %d messages, %d can no longer be opened, %d are kept by holds, and %d stay for other people.",
			c.Messages, c.Dead, c.Held, c.Others)
	}
	if len(s.destroyed) > 0 {
		attest(recordsOf(s.destroyed), "The root stores destroyed the roots listed, in the way they describe; the state is what they said when it was recorded.")
	}
	if s.gone {
		attest(nil, "All roots older than those listed, and where none is listed all there were, had been destroyed before. No earlier copy of the key state can be opened with any root of the archive.")
	}
	attest(nil, "No copy of keys or of readable content was made outside of what the archive controls, other than exports it has recorded.")
	return claims
}

func recordsOf(all []told[events.RootsDestroyed]) (records []escrow.Seq) {
	for _, d := range all {
		records = append(records, d.seq)
	}
	return records
}

// remains lists what is still there after the last step told.
func (s *story) remains(held []Held) []Remaining {
	list := []Remaining{}
	if s.committed == nil {
		list = append(list, Remaining{"the keys: everything is still readable to whoever holds the key state, unless restricted", "the order is carried out"})
	}
	if s.purged == nil {
		list = append(list, Remaining{"words in the search index", "the index is purged"})
	}
	if !s.gone {
		list = append(list, Remaining{"earlier copies of the key state, which the roots before this epoch open", "those roots are destroyed"})
	}
	for _, r := range latest(s.roots()) {
		if r.State != events.RootGone {
			until := "not stated by the provider"
			if r.Due != nil {
				until = r.Due.UTC().Format(time.RFC3339)
			}
			list = append(list, Remaining{fmt.Sprintf("the root of epoch %d in the hands of the provider (%s), which says it is %s", r.Epoch, r.Store, r.State), until})
		}
	}
	for _, h := range held {
		list = append(list, Remaining{fmt.Sprintf("facets under hold %d, readable for its purpose", h.Hold), "the hold is released"})
	}
	return append(list,
		Remaining{"sealed entries of the transport log on their way through", "two days after they arrived, when the keys of their day are destroyed"},
		Remaining{"the unreadable ciphertext", "the ledger is rewritten or given up"},
		Remaining{"a fingerprint of the ciphertext, numbers, times and padded lengths", "for as long as there is a ledger: other records are proven with them"},
		Remaining{"copies exported or disclosed earlier, backups of the systems the messages came from, and what other people wrote without marking it", "not in the power of the archive"})
}
