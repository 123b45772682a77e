package disposal_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/retention/disposal"
)

// BenchmarkUnreadable measures how long it takes from the approval of an erasure until nobody is shown the person, and until the keys are gone, for people
// with few and with many messages; with ESCROW_LARGE for one with a million. Files are in memory, so it is the work that is compared. Each run erases once:
// use -benchtime=1x.
func BenchmarkUnreadable(b *testing.B) {
	counts := []int{10, 10_000}
	if os.Getenv("ESCROW_LARGE") != "" {
		counts = append(counts, 1_000_000)
	}
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var restricted, unreadable time.Duration
			for range b.N {
				b.StopTimer()
				v := found(b, settings{})
				v.fill(n)
				request := v.record("dpo", person(v.subject("ana")))
				b.StartTimer()
				start := b.Elapsed()
				v.record("legal", v.approval(request))
				restricted += b.Elapsed() - start
				ordered, done := v.ledger.Size()+1, make(chan error)
				go func() {
					_, err := v.Advance(ctx(), disposal.Options{})
					done <- err
				}()
				check(b, v.WaitApplied(ctx(), ordered))
				unreadable += b.Elapsed() - start
				b.StopTimer()
				check(b, <-done)
				v.close()
			}
			b.ReportMetric(float64(restricted.Microseconds())/float64(b.N)/1000, "ms-restricted")
			b.ReportMetric(float64(unreadable.Microseconds())/float64(b.N)/1000, "ms-unreadable")
		})
	}
}

// fill appends n messages from ana to bob.
func (v *vault) fill(n int) {
	v.t.Helper()
	for n > 0 {
		size := v.ledger.Size()
		entries := make([]archive.Entry, min(n, 5000))
		for i := range entries {
			entries[i] = must(v.entry(escrow.Seq(size)+escrow.Seq(i), 1, 100, "principal", "ana", "bob"))(v.t)
		}
		check(v.t, v.ledger.AppendAt(ctx(), size, entries))
		n -= len(entries)
	}
}
