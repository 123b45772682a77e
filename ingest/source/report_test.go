package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest/source"
)

func TestReportText(t *testing.T) {
	large := escrow.Errorf("source.Read", escrow.Invalid, "too large")
	r, err := source.Run(t.Context(), list(source.Item{Path: "a", ID: "1"}, source.Item{Path: "b\n.eml", Err: large}, source.Item{Path: "c", Line: 7, Err: large},
		source.Item{Path: "d", Err: errors.New("odd")}, source.Item{Path: "e.png", Ignored: "not a message"}), newArchive(), source.Config{})
	try(t, err)
	var b bytes.Buffer
	try(t, r.WriteText(&b))
	want := `4 read: 1 new, 0 duplicate, 3 failed
failed: 3
       2  too large
       1  odd
  "b\n.eml": too large
  c:7: too large
  d: odd
ignored, because no message: 1
       1  not a message
  e.png: not a message
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	if err := r.WriteText(brokenWriter{}); err == nil {
		t.Error("no error")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// TestReportIsBounded refuses every message for another reason, and ignores as many files.
func TestReportIsBounded(t *testing.T) {
	a := newArchive()
	a.answer = func(n int, _ natslog.PublishMsg) error {
		return escrow.Errorf("test", escrow.Invalid, "%s %d", strings.Repeat("ä", 500), n)
	}
	var seq iter.Seq[source.Item] = func(yield func(source.Item) bool) {
		for i := range 1000 {
			if !yield(source.Item{Path: "a", Line: i + 1}) || !yield(source.Item{Path: fmt.Sprint(i), Ignored: fmt.Sprint(i)}) {
				return
			}
		}
	}
	r, err := source.Run(t.Context(), seq, a, source.Config{})
	try(t, err)
	asJSON(t, r)
	var b bytes.Buffer
	try(t, r.WriteText(&b))
	if r.Failed != 1000 || r.Ignored != 1000 || len(r.Reasons) > 65 || len(r.IgnoredFor) > 65 || b.Len() > 40_000 {
		t.Errorf("%d reasons, %d reasons to ignore, a text of %d bytes", len(r.Reasons), len(r.IgnoredFor), b.Len())
	}
	if !strings.Contains(b.String(), "and 980 more") {
		t.Error("the text does not say that there is more")
	}
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	clock := time.Date(2026, 2, 2, 10, 0, 0, 0, time.UTC)
	done := int64(0)
	p := source.NewLines(&b, func() time.Time { return clock }, 5000, func() int64 { return done })
	a := newArchive()
	a.answer = func(int, natslog.PublishMsg) error {
		clock = clock.Add(time.Second)
		done += 100
		return nil
	}
	_, err := source.Run(t.Context(), items(25), a, source.Config{Window: 1, Progress: p})
	try(t, err)
	want := `9 read, 9 new, 0 duplicate, 0 failed, 0 ignored; 1 a second; 20% of 5000 bytes
19 read, 19 new, 0 duplicate, 0 failed, 0 ignored; 1 a second; 40% of 5000 bytes
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	unknown := source.NewLines(&b, func() time.Time { return clock }, 0, nil)
	clock = clock.Add(time.Minute)
	unknown.Show(&source.Report{Read: 120})
	if got := b.String(); got != "120 read, 0 new, 0 duplicate, 0 failed, 0 ignored; 2 a second\n" {
		t.Errorf("got %q", got)
	}
}

func TestBar(t *testing.T) {
	for _, total := range []int64{0, 2500} {
		var b bytes.Buffer
		done := int64(0)
		bar := source.NewBar(&b, total, func() int64 { done += 100; return done })
		_, err := source.Run(context.Background(), items(30), newArchive(), source.Config{Progress: bar})
		try(t, err, bar.Close())
		if b.Len() == 0 {
			t.Errorf("total %d: nothing was drawn", total)
		}
		try(t, source.NewBar(brokenWriter{}, total, func() int64 { return 1 }).Close())
	}
}
