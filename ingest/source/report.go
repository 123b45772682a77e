package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"escrow"
)

// Report says what became of the messages of an import. As JSON it is {"read":…,"new":…,"duplicate":…,"failed":…,"reasons":{…}}, and always
// Read = New + Duplicate + Failed; Reasons add up to Failed.
type Report struct {
	Read      uint64            `json:"read"`
	New       uint64            `json:"new"`
	Duplicate uint64            `json:"duplicate"`
	Failed    uint64            `json:"failed"`
	Reasons   map[string]uint64 `json:"reasons"`

	Ignored    uint64            `json:"-"` // files that are no messages
	IgnoredFor map[string]uint64 `json:"-"` // why, with counts
	FailedAt   []Place           `json:"-"` // the first of them
	IgnoredAt  []Place           `json:"-"` // the first of them
}

// Place is where something was found, and what is to be said about it.
type Place struct {
	Place  string
	Reason string
}

func newReport() Report {
	return Report{Reasons: make(map[string]uint64), IgnoredFor: make(map[string]uint64)}
}

func (r *Report) settled(place string, out outcome) {
	switch {
	case out.err != nil:
		r.failed(place, reason(out.err))
	case out.ack.Duplicate:
		r.Read++
		r.Duplicate++
	default:
		r.Read++
		r.New++
	}
}

func (r *Report) failed(place, why string) {
	r.Read++
	r.Failed++
	count(r.Reasons, why)
	r.FailedAt = note(r.FailedAt, place, why)
}

func (r *Report) ignored(place, why string) {
	r.Ignored++
	count(r.IgnoredFor, why)
	r.IgnoredAt = note(r.IgnoredAt, place, why)
}

func count(m map[string]uint64, why string) {
	if _, known := m[why]; !known && len(m) >= maxReasons {
		why = "other"
	}
	m[why]++
}

func note(places []Place, place, why string) []Place {
	if len(places) >= maxPlaces {
		return places
	}
	return append(places, Place{place, why})
}

// reason is the text of err without the operation, short enough for a report.
func reason(err error) string {
	s := err.Error()
	if e, ok := errors.AsType[*escrow.Error](err); ok && e.Err != nil {
		s = e.Err.Error()
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxReasonBytes {
		s = strings.ToValidUTF8(s[:maxReasonBytes], "") + "…"
	}
	return s
}

// WriteText writes the report for people: the counts, the reasons, and the first places of what failed and what was ignored.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%d read: %d new, %d duplicate, %d failed\n", r.Read, r.New, r.Duplicate, r.Failed)
	writePlaces(b, "failed", r.Failed, r.Reasons, r.FailedAt)
	writePlaces(b, "ignored, because no message", r.Ignored, r.IgnoredFor, r.IgnoredAt)
	return b.Flush() // bufio keeps the first error
}

func writePlaces(b *bufio.Writer, title string, n uint64, reasons map[string]uint64, places []Place) {
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "%s: %d\n", title, n)
	byCount := slices.SortedFunc(maps.Keys(reasons), func(x, y string) int {
		if reasons[x] != reasons[y] {
			return -compareCounts(reasons[x], reasons[y])
		}
		return strings.Compare(x, y)
	})
	for _, why := range byCount {
		fmt.Fprintf(b, "  %6d  %s\n", reasons[why], why)
	}
	for _, p := range places {
		fmt.Fprintf(b, "  %s: %s\n", p.Place, p.Reason)
	}
	if more := n - uint64(len(places)); more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
}

func compareCounts(x, y uint64) int {
	if x < y {
		return -1
	}
	return 1
}
