package bleveindex_test

import (
	"context"
	"testing"
	"time"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

// batch is how many documents are applied at a time: more let building and writing overlap.
const batch = 3000

// BenchmarkApply compares searchable ingest with and without sealed files: same engine, same documents, same batches, in one run.
func BenchmarkApply(b *testing.B) {
	docs := mails(b)
	for i := range docs {
		docs[i].Seq = escrow.Seq(i)
		complete(&docs[i])
	}
	for _, sealed := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "sealed"}[sealed], func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				dir := b.TempDir()
				restore := func() {}
				if !sealed {
					restore = bleveindex.WithoutSealing()
				}
				x, err := bleveindex.Open(context.Background(), dir, &fakeKeys{}, config())
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				start := time.Now()
				cpu := cpuTime()
				for i := 0; i < len(docs); i += batch {
					end := min(len(docs), i+batch)
					change(b, x, bleveindex.Batch{Docs: docs[i:end], Position: escrow.TreeSize(end)})
				}
				b.ReportMetric(float64(len(docs))/time.Since(start).Seconds(), "docs/s")
				b.ReportMetric(float64(len(docs))/(cpuTime()-cpu).Seconds(), "docs/cpu-s")
				b.StopTimer()
				b.ReportMetric(float64(size(b, dir))/float64(len(docs)), "B/doc")
				closeIndex(b, x)
				restore()
			}
		})
	}
}

// BenchmarkSearch compares queries likewise.
func BenchmarkSearch(b *testing.B) {
	docs := mails(b)
	for i := range docs {
		docs[i].Seq = escrow.Seq(i)
		complete(&docs[i])
	}
	for _, sealed := range []bool{false, true} {
		restore := func() {}
		if !sealed {
			restore = bleveindex.WithoutSealing()
		}
		x, err := bleveindex.Open(context.Background(), b.TempDir(), &fakeKeys{}, config())
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < len(docs); i += batch {
			end := min(len(docs), i+batch)
			change(b, x, bleveindex.Batch{Docs: docs[i:end], Position: escrow.TreeSize(end)})
		}
		for _, q := range []string{"energy", "the", "energy market -power", `"energy market"`, "from:skilling", "nego*", "markt~1", "energy after:2001-05"} {
			b.Run(map[bool]string{false: "plain/", true: "sealed/"}[sealed]+q, func(b *testing.B) {
				r := index.Request{Query: parse(b, q), Limit: 25}
				for range b.N {
					search(b, x, r)
				}
			})
		}
		b.Run(map[bool]string{false: "plain/", true: "sealed/"}[sealed]+"the, newest", func(b *testing.B) {
			r := index.Request{Query: parse(b, "the"), Limit: 25, Newest: true}
			for range b.N {
				search(b, x, r)
			}
		})
		closeIndex(b, x)
		restore()
	}
}

func size(b *testing.B, dir string) (n int64) {
	for _, data := range contents(b, dir) {
		n += int64(len(data))
	}
	return n
}
