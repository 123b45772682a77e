package disposal

import (
	"cmp"
	"slices"
	"time"

	"escrow"
	"escrow/events"
)

// Step is a step of a case that has been taken: the record of its event, and when.
type Step struct {
	Seq escrow.Seq
	At  time.Time
}

// Case is a request and what became of it. Steps not taken yet are nil.
type Case struct {
	Seq     escrow.Seq // the record of the request, by which it is called
	Request events.ErasureRequested
	Asked   time.Time
	Until   time.Time // end of the cooling-off time; zero before the approval
	Epoch   uint64    // of the first key state without the shares, 0 before it was committed
	Digest  string    // of the certificate

	Approver string

	clean uint64 // epoch of the first key state without the keys of the index files that were replaced: all earlier ones have to go

	Approved, Restricted, Withdrawn, Executed, Committed, Purged, Destroyed, Certified *Step
}

// States of a case, as Case.State returns them.
const (
	StateRequested = "requested"
	StateCooling   = "cooling-off"
	StateWithdrawn = "withdrawn"
	StateOrdered   = "ordered"
	StatePunctured = "punctured"
	StatePurged    = "purged"
	StateDestroyed = "roots destroyed"
	StateCertified = "certified"
)

// State returns the last step taken, in a word.
func (c Case) State() string {
	switch {
	case c.Certified != nil:
		return StateCertified
	case c.Withdrawn != nil:
		return StateWithdrawn
	case c.Destroyed != nil:
		return StateDestroyed
	case c.Purged != nil:
		return StatePurged
	case c.Committed != nil:
		return StatePunctured
	case c.Executed != nil:
		return StateOrdered
	case c.Approved != nil:
		return StateCooling
	}
	return StateRequested
}

// due reports whether the cooling-off time of an approved request is over and nothing has been ordered.
func (c *Case) due(now time.Time) bool {
	return c.Approved != nil && c.Withdrawn == nil && c.Executed == nil && !c.Until.After(now)
}

// restricts reports whether nobody may be shown what the case concerns: from the approval until the index has followed.
func (c *Case) restricts() bool { return c.Approved != nil && c.Withdrawn == nil && c.Purged == nil }

// Hold is a legal hold.
type Hold struct {
	Number   uint32
	Matter   string
	Messages []events.SeqRange
	Officer  string
	Placed   Step
	Released *Step // nil while it is in force
	Ended    *Step // the order that destroyed its share
}

// covers reports whether a message is under the hold.
func (h *Hold) covers(seq escrow.Seq) bool { return within(h.Messages, seq) }

// within reports whether seq is in one of the sorted, disjoint ranges.
func within(ranges []events.SeqRange, seq escrow.Seq) bool {
	_, found := slices.BinarySearchFunc(ranges, seq, func(r events.SeqRange, seq escrow.Seq) int {
		switch {
		case r.To < seq:
			return -1
		case r.From > seq:
			return 1
		}
		return 0
	})
	return found
}

// union returns what is in any of the lists of ranges, sorted and disjoint.
func union(lists ...[]events.SeqRange) []events.SeqRange {
	all := slices.SortedFunc(slices.Values(slices.Concat(lists...)), func(a, b events.SeqRange) int { return cmp.Compare(a.From, b.From) })
	var out []events.SeqRange
	for _, r := range all {
		if n := len(out); n > 0 && r.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// count returns the number of records in ranges.
func count(ranges []events.SeqRange) uint64 {
	var n uint64
	for _, r := range ranges {
		n += uint64(r.To-r.From) + 1
	}
	return n
}
