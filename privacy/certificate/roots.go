package certificate

import (
	"escrow"
	"escrow/events"
)

// firstEpoch is the epoch of a new key state; before it there is no root.
const firstEpoch = 1

// tally follows which roots of the epochs before one are gone. What was recorded last of an epoch counts: a provider may wait before it destroys.
type tally struct {
	before uint64
	gone   map[uint64]bool // epochs recorded so far
	left   int             // of them, those not gone
}

func newTally(before uint64) *tally { return &tally{before: before, gone: map[uint64]bool{}} }

// add takes in what was recorded at one time, and says whether it concerns any of the epochs. An epoch is gone if every store says so.
func (t *tally) add(f events.RootsDestroyed) (concerns bool) {
	now := map[uint64]bool{}
	for _, r := range f.Roots {
		if r.Epoch < t.before {
			earlier, seen := now[r.Epoch]
			now[r.Epoch] = r.State == events.RootGone && (earlier || !seen)
		}
	}
	for epoch, gone := range now {
		if was, seen := t.gone[epoch]; seen && !was {
			t.left--
		}
		if t.gone[epoch] = gone; !gone {
			t.left++
		}
	}
	return len(now) > 0
}

// settled says whether nothing is left: every root recorded is gone, the last one among them. Roots are destroyed oldest first.
func (t *tally) settled() bool {
	return t.left == 0 && (t.before <= firstEpoch || t.gone[t.before-1])
}

// evidence returns what belongs into a certificate of all that was recorded about roots, in order: from the oldest record that matters, because a root it
// concerns was not gone when an order was committed, up to the one after which none is left.
func evidence(all []told[events.RootsDestroyed], committed escrow.Seq, before uint64) []escrow.Seq {
	var records []escrow.Seq
	t := newTally(before)
	for _, r := range all[oldest(all, committed, before):] {
		if t.settled() {
			break
		}
		if t.add(r.fact) {
			records = append(records, r.seq)
		}
	}
	return records
}

// oldest returns the place of the oldest record that matters.
func oldest(all []told[events.RootsDestroyed], committed escrow.Seq, before uint64) int {
	t := newTally(before)
	recorded := map[uint64]int{} // epoch → place of what was recorded last
	end := 0
	for ; end < len(all) && all[end].seq < committed; end++ {
		t.add(all[end].fact)
		for _, r := range all[end].fact.Roots {
			recorded[r.Epoch] = end
		}
	}
	for epoch, gone := range t.gone {
		if !gone || epoch+1 == before {
			end = min(end, recorded[epoch])
		}
	}
	return end
}
