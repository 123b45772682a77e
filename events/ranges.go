package events

import (
	"slices"

	"escrow"
)

// Ranges returns the run-length form of seqs: sorted, disjoint, without duplicates.
func Ranges(seqs []escrow.Seq) []SeqRange {
	sorted := slices.Compact(slices.Sorted(slices.Values(seqs)))
	var out []SeqRange
	for _, s := range sorted {
		if n := len(out); n > 0 && out[n-1].To+1 == s {
			out[n-1].To = s
			continue
		}
		out = append(out, SeqRange{s, s})
	}
	return out
}

// Seqs calls yield for every record of the ranges, in order.
func Seqs(ranges []SeqRange) func(yield func(escrow.Seq) bool) {
	return func(yield func(escrow.Seq) bool) {
		for _, r := range ranges {
			for s := r.From; s <= r.To; s++ {
				if !yield(s) {
					return
				}
			}
		}
	}
}
