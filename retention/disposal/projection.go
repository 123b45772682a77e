package disposal

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/officers"
	"escrow/retention"
)

// projection is what the ledger says of requests, holds, expiry, epochs and officers. Everything in it can be computed again from the ledger. Its memory
// is bounded by the acts of officers and, for holds, one number a message that is held and has slots.
type projection struct {
	roster officers.Roster
	taking sync.Mutex // one catchUp at a time

	mu       sync.RWMutex
	position escrow.TreeSize // events before it are taken in
	acts     uint64          // acts of officers so far
	cases    map[escrow.Seq]*Case
	active   map[escrow.Seq]*Case // cases that are neither withdrawn nor certified
	holds    []*Hold              // by number, which are dense from 0

	restricting []*Case                     // cases that restrict now
	single      []*Case                     // those of them that restrict messages, and not people
	subjects    map[uint32]bool             // subjects restricted now
	slotted     map[escrow.Seq][]escrow.Seq // message → HoldSlotsAdded records with slots of it
	slotHold    map[escrow.Seq]uint32       // HoldSlotsAdded record → its hold

	ordered   escrow.TreeSize // behind the last order
	purged    escrow.TreeSize // orders before it are purged from the index
	committed events.EpochCommitted
	tenant    bool // the end of the tenant was ordered

	first     uint32            // day on which the archive was founded
	expired   map[uint16]uint32 // class → first day not ordered to expire yet
	ingested  uint32            // first day of the log not ordered to expire yet
	beat      time.Time         // when something was last ordered because of the clock; at first when the archive was founded
	roots     map[uint64]root   // epochs from floor on whose roots were recorded as destroyed or pending
	rootFloor uint64            // roots of all epochs before it are destroyed
	lastRoots *Step             // the last RootsDestroyed
}

// root is what was recorded of an epoch's roots.
type root struct {
	done bool      // destroyed at every store
	due  time.Time // when the last of them is gone at its provider, if that is known
}

// taken returns up to where the ledger is taken in.
func (s *projection) taken() escrow.TreeSize {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.position
}

func (s *projection) took(size escrow.TreeSize) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = max(s.position, size)
}

// founded prepares the projection and takes the time of the first record as the first at which the clock was right.
func (s *projection) founded(ledger *archive.Ledger) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cases == nil {
		s.cases, s.active = map[escrow.Seq]*Case{}, map[escrow.Seq]*Case{}
		s.subjects, s.slotted = map[uint32]bool{}, map[escrow.Seq][]escrow.Seq{}
		s.slotHold, s.expired, s.roots, s.rootFloor = map[escrow.Seq]uint32{}, map[uint16]uint32{}, map[uint64]root{}, 1
	}
	if !s.beat.IsZero() || ledger.Size() == 0 {
		return nil
	}
	h, err := ledger.Header(0)
	if err != nil {
		return err
	}
	s.beat, s.first = h.Time, uint32(retention.DayOf(h.Time))
	return nil
}

// apply takes in one event, in ledger order.
func (s *projection) apply(rec archive.Record, f events.Fact) error {
	if err := s.roster.Apply(rec, f); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = escrow.TreeSize(rec.Seq) + 1
	if _, ok := f.(events.Act); ok {
		s.acts++
	}
	at := &Step{rec.Seq, rec.Header.Time}
	switch f := f.(type) {
	case events.HoldPlaced:
		return s.placed(f, *at)
	case events.HoldReleased:
		if h := s.hold(f.Hold); h != nil {
			h.Released = at
		}
	case events.HoldSlotsAdded:
		s.slots(f, rec.Seq)
	case events.ErasureExecuted:
		s.executed(f, at)
	case events.EpochCommitted:
		s.commit(f, at)
	case events.IndexPurged:
		s.purge(f, at)
	case events.RootsDestroyed:
		s.rootsDestroyed(f, at)
	default:
		s.applyRequest(f, at)
	}
	return nil
}

// applyRequest takes in a step of a request that an officer took, or its end.
func (s *projection) applyRequest(f events.Fact, at *Step) {
	switch f := f.(type) {
	case events.ErasureRequested:
		c := &Case{Seq: at.Seq, Request: f, Asked: at.At}
		s.cases[at.Seq], s.active[at.Seq] = c, c
	case events.ErasureApproved:
		if c := s.cases[f.Request]; c != nil {
			c.Approved, c.Until, c.Approver = at, f.Until, f.Officer
		}
	case events.ErasureRestricted:
		if c := s.cases[f.Request]; c != nil {
			c.Restricted = at
		}
	case events.ErasureWithdrawn:
		if c := s.cases[f.Request]; c != nil {
			c.Withdrawn = at
			delete(s.active, f.Request)
		}
	case events.ErasureCertified:
		if c := s.cases[f.Request]; c != nil {
			c.Certified, c.Digest = at, f.Digest
			delete(s.active, f.Request)
		}
	}
	s.restrict()
}

// restrict computes what is restricted now.
func (s *projection) restrict() {
	s.restricting, s.single = s.restricting[:0], s.single[:0]
	clear(s.subjects)
	for _, c := range s.active {
		if !c.restricts() {
			continue
		}
		s.restricting = append(s.restricting, c)
		if c.Request.Scope == events.ScopeTenant || len(c.Request.Messages) > 0 {
			s.single = append(s.single, c)
		}
		for _, leaf := range c.Request.Subjects {
			s.subjects[leaf] = true
		}
	}
}

func (s *projection) placed(f events.HoldPlaced, at Step) error {
	if int(f.Hold) != len(s.holds) {
		return &escrow.Error{Op: "disposal.Open", Kind: escrow.Corrupt, Record: &at.Seq,
			Err: escrow.Errorf("disposal.Open", escrow.Corrupt, "hold %d is placed where hold %d should be", f.Hold, len(s.holds))}
	}
	s.holds = append(s.holds, &Hold{Number: f.Hold, Matter: f.Matter, Messages: f.Messages, Officer: f.Officer, Placed: at})
	return nil
}

func (s *projection) hold(number uint32) *Hold {
	if int(number) >= len(s.holds) {
		return nil
	}
	return s.holds[number]
}

func (s *projection) slots(f events.HoldSlotsAdded, seq escrow.Seq) {
	s.slotHold[seq] = f.Hold
	for _, slot := range f.Slots {
		if at := s.slotted[slot.Seq]; len(at) == 0 || at[len(at)-1] != seq {
			s.slotted[slot.Seq] = append(at, seq)
		}
	}
}

func (s *projection) executed(f events.ErasureExecuted, at *Step) {
	s.ordered = escrow.TreeSize(at.Seq) + 1
	s.tenant = s.tenant || f.Tenant
	for _, number := range f.Requests {
		if c := s.cases[number]; c != nil {
			c.Executed = at
		}
	}
	for _, number := range f.Holds {
		if h := s.hold(number); h != nil {
			h.Ended = at
			s.forgetSlots(h)
		}
	}
	for _, d := range f.Days {
		s.expired[d.Class] = max(s.expired[d.Class], d.To+1)
	}
	for _, d := range f.IngestDays {
		s.ingested = max(s.ingested, d.To+1)
	}
	if len(f.Days)+len(f.IngestDays) > 0 {
		s.beat = at.At
	}
}

// forgetSlots drops what is known of the slots of a hold that ended.
func (s *projection) forgetSlots(h *Hold) {
	for seq := range events.Seqs(h.Messages) {
		at, ok := s.slotted[seq]
		if !ok {
			continue
		}
		at = slices.DeleteFunc(at, func(record escrow.Seq) bool { return s.slotHold[record] == h.Number })
		if s.slotted[seq] = at; len(at) == 0 {
			delete(s.slotted, seq)
		}
	}
	for record, number := range s.slotHold {
		if number == h.Number {
			delete(s.slotHold, record)
		}
	}
}

func (s *projection) commit(f events.EpochCommitted, at *Step) {
	s.committed = f
	for _, c := range s.active {
		if c.Executed == nil || c.Committed != nil || escrow.TreeSize(c.Executed.Seq) >= f.Applied {
			continue
		}
		c.Committed, c.Epoch = at, f.Epoch
	}
}

func (s *projection) purge(f events.IndexPurged, at *Step) {
	s.purged = f.UpTo
	for _, c := range s.active {
		if c.Executed != nil && c.Purged == nil && escrow.TreeSize(c.Executed.Seq) < f.UpTo {
			c.Purged, c.clean = at, s.committed.Epoch
			if c.clean <= s.rootFloor { // nothing was left to destroy: the roots of all earlier states had gone before
				c.Destroyed = cmp.Or(s.lastRoots, at)
			}
		}
	}
	s.restrict()
}

func (s *projection) rootsDestroyed(f events.RootsDestroyed, at *Step) {
	now := map[uint64]root{}
	for _, r := range f.Roots {
		was, seen := now[r.Epoch]
		is := root{done: r.State == events.RootGone && (!seen || was.done), due: was.due}
		if r.Due != nil && r.Due.After(is.due) {
			is.due = *r.Due
		}
		now[r.Epoch] = is
	}
	for epoch, r := range now {
		s.roots[epoch] = r
	}
	for s.roots[s.rootFloor].done {
		delete(s.roots, s.rootFloor)
		s.rootFloor++
	}
	s.lastRoots = at
	for _, c := range s.active {
		if c.Purged != nil && c.Destroyed == nil && c.clean <= s.rootFloor {
			c.Destroyed = at
		}
	}
}

func (s *projection) terminated() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tenant
}
