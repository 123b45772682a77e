package certificate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/officers"
)

// told is a fact with the record that tells it.
type told[F events.Fact] struct {
	seq  escrow.Seq
	time time.Time // of the record
	fact F
}

// line is a record of a story, read but not yet understood.
type line struct {
	seq    escrow.Seq
	header archive.Header
	event  events.Event
}

// story is what the records of a certificate tell of one request or one order. Records are taken in ascending order, and each must have a place in it.
type story struct {
	origin string
	target escrow.Seq

	roster    officers.Roster
	officers  []escrow.Seq
	requested *told[events.ErasureRequested]
	approved  *told[events.ErasureApproved]
	hidden    *told[events.ErasureRestricted]
	holds     []escrow.Seq // placed and released
	released  []uint32
	before    *told[events.EpochCommitted]
	ordered   *told[events.ErasureExecuted]
	committed *told[events.EpochCommitted]
	cleaned   *told[events.EpochCommitted] // the last before the purge was recorded, if it is another: without the keys of the index files replaced
	purged    *told[events.IndexPurged]
	destroyed []told[events.RootsDestroyed]
	gone      bool // no root of an epoch before is left
}

// tell makes the story of a request or an order from all its records. The error is of kind Forged: the records do not tell it.
func tell(origin string, target escrow.Seq, lines []line) (*story, error) {
	s := &story{origin: origin, target: target}
	for i, l := range lines {
		if i > 0 && (l.seq <= lines[i-1].seq || l.header.Time.Before(lines[i-1].header.Time)) {
			return nil, s.wrong(l.seq, "the records are not in the order of the ledger")
		}
		if err := s.take(l); err != nil {
			return nil, err
		}
	}
	if s.requested == nil && s.ordered == nil {
		return nil, s.wrong(target, "the record is missing")
	}
	return s, s.end()
}

// end looks at what is only known when all is told: which roots had to go.
func (s *story) end() error {
	if s.cleaned != nil && s.purged == nil {
		return s.wrong(s.cleaned.seq, "this epoch is for the purge, which is missing")
	}
	t := newTally(s.epoch())
	for _, d := range s.destroyed {
		if s.committed == nil || t.settled() || !t.add(d.fact) {
			return s.wrong(d.seq, "these roots are not those that were to be destroyed after the order")
		}
	}
	s.gone = s.committed != nil && t.settled()
	return nil
}

// epoch returns the first epoch whose key state has none of the keys, 0 if there is none yet.
func (s *story) epoch() uint64 {
	switch {
	case s.cleaned != nil:
		return s.cleaned.fact.Epoch
	case s.committed != nil:
		return s.committed.fact.Epoch
	}
	return 0
}

func (s *story) wrong(seq escrow.Seq, format string, args ...any) *escrow.Error {
	return &escrow.Error{Op: "certificate.Verify", Kind: escrow.Forged, Record: &seq, Err: fmt.Errorf(format, args...)}
}

// take puts a record into its place. Acts are checked as they were when they were recorded, against the officers there were then.
func (s *story) take(l line) error {
	if l.event.Source != s.origin {
		return s.wrong(l.seq, "the event is of another archive")
	}
	if want := chronicle.Kind(l.event.Fact); l.header.Kind != want {
		return s.wrong(l.seq, "the record is of kind %q, its event belongs into one of kind %q", l.header.Kind, want)
	}
	said := l.event.Time.Truncate(time.Second)
	if said.After(l.header.Time) { // a leaf is raised to the time of the one before, never lowered
		return s.wrong(l.seq, "the time of its event, %s, is later than that of the record, %s", said.Format(time.RFC3339), l.header.Time.Format(time.RFC3339))
	}
	if err := s.roster.Check(s.origin, l.event.Fact, said); err != nil { // in whole seconds, as statements are: it was checked a moment before it was written
		return s.wrong(l.seq, "nobody who may answers for it: %w", err)
	}
	if err := s.roster.Apply(archive.Record{Seq: l.seq, Header: l.header}, l.event.Fact); err != nil {
		return s.wrong(l.seq, "%w", err)
	}
	switch f := l.event.Fact.(type) {
	case events.OfficerAdded, events.OfficerRemoved:
		return s.takeOfficer(l)
	case events.ErasureRequested, events.ErasureApproved, events.ErasureRestricted:
		return s.takeRequest(l)
	case events.HoldPlaced, events.HoldReleased:
		return s.takeHold(l)
	case events.ErasureExecuted:
		return s.takeOrder(l, f)
	case events.EpochCommitted:
		return s.takeEpoch(l, f)
	case events.IndexPurged:
		if s.ordered == nil || s.committed == nil || s.purged != nil || f.UpTo <= escrow.TreeSize(s.ordered.seq) {
			return s.wrong(l.seq, "this purge is not the one after the order")
		}
		s.purged = at(l, f)
		return nil
	case events.RootsDestroyed:
		s.destroyed = append(s.destroyed, *at(l, f))
		return nil
	}
	return s.wrong(l.seq, "%s has no place in a certificate", l.event.Fact.Type())
}

func at[F events.Fact](l line, f F) *told[F] { return &told[F]{l.seq, l.header.Time, f} }

// takeOfficer: officers matter up to the last act somebody answered for.
func (s *story) takeOfficer(l line) error {
	if s.approved != nil || s.ordered != nil {
		return s.wrong(l.seq, "the officers after the last act have no place in a certificate")
	}
	s.officers = append(s.officers, l.seq)
	return nil
}

func (s *story) takeRequest(l line) error {
	switch f := l.event.Fact.(type) {
	case events.ErasureRequested:
		if l.seq == s.target && s.requested == nil && s.ordered == nil {
			s.requested = at(l, f)
			return nil
		}
	case events.ErasureApproved:
		if s.requested != nil && f.Request == s.target && s.approved == nil && s.ordered == nil {
			s.approved = at(l, f)
			return nil
		}
	case events.ErasureRestricted:
		if s.approved != nil && f.Request == s.target && s.hidden == nil && s.ordered == nil {
			s.hidden = at(l, f)
			return nil
		}
	}
	return s.wrong(l.seq, "%s has no place here in the story of record %d", l.event.Fact.Type(), s.target)
}

func (s *story) takeHold(l line) error {
	if s.ordered != nil || s.requested != nil {
		return s.wrong(l.seq, "holds have no place here")
	}
	if f, ok := l.event.Fact.(events.HoldReleased); ok {
		s.released = append(s.released, f.Hold)
	}
	s.holds = append(s.holds, l.seq)
	return nil
}

func (s *story) takeOrder(l line, f events.ErasureExecuted) error {
	switch {
	case s.ordered != nil:
		return s.wrong(l.seq, "a certificate is about one order")
	case s.requested == nil && l.seq != s.target:
		return s.wrong(l.seq, "this is not the order certified, record %d", s.target)
	case s.requested == nil:
		if err := s.checkReleased(l.seq, f.Holds); err != nil {
			return err
		}
	case s.approved == nil || s.hidden == nil:
		return s.wrong(l.seq, "the order came before approval and restriction")
	case l.event.Time.Before(s.approved.fact.Until):
		return s.wrong(l.seq, "the order came before the cooling-off time was over")
	case !slices.Contains(f.Requests, s.target) || !covers(f, s.requested.fact):
		return s.wrong(l.seq, "the order does not name everything that was requested")
	}
	s.ordered = at(l, f)
	return nil
}

// checkReleased says whether an officer released each hold the order destroys.
func (s *story) checkReleased(seq escrow.Seq, holds []uint32) error {
	for _, hold := range holds {
		if !slices.Contains(s.released, hold) {
			return s.wrong(seq, "nobody released hold %d", hold)
		}
	}
	for _, hold := range s.released {
		if !slices.Contains(holds, hold) {
			return s.wrong(seq, "the order is not about hold %d", hold)
		}
	}
	return nil
}

// covers says whether an order names everything a request asks for.
func covers(order events.ErasureExecuted, request events.ErasureRequested) bool {
	if request.Scope == events.ScopeTenant || order.Tenant {
		return order.Tenant
	}
	ordered := map[uint32]bool{}
	for _, subject := range order.Subjects {
		ordered[subject] = true
	}
	for _, subject := range request.Subjects {
		if !ordered[subject] {
			return false
		}
	}
	for _, want := range request.Messages {
		i, _ := slices.BinarySearchFunc(order.Messages, want.From, func(r events.SeqRange, seq escrow.Seq) int { return cmp.Compare(r.To, seq) })
		if i == len(order.Messages) || order.Messages[i].From > want.From || order.Messages[i].To < want.To {
			return false
		}
	}
	return len(request.Subjects)+len(request.Messages) > 0
}

func (s *story) takeEpoch(l line, f events.EpochCommitted) error {
	switch {
	case s.ordered == nil && s.before == nil:
		s.before = at(l, f)
	case s.ordered == nil || s.purged != nil || s.cleaned != nil || f.Applied <= escrow.TreeSize(s.ordered.seq):
		return s.wrong(l.seq, "this epoch is not the one that carries the order out")
	case s.before != nil && f.Epoch < s.before.fact.Epoch || s.committed != nil && f.Epoch <= s.committed.fact.Epoch:
		return s.wrong(l.seq, "epochs do not increase")
	case s.committed == nil:
		s.committed = at(l, f)
	default:
		s.cleaned = at(l, f)
	}
	return nil
}

// final says whether every step was taken.
func (s *story) final() bool { return s.purged != nil && s.gone }
