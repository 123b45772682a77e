package archive_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/internal/vfs"
)

// The benchmarks print both sides: what the ledger does, and the least that any program with the same durability must do with the same bytes.

func benchEntries(n, size int) []archive.Entry {
	entries := messages(0, n)
	for i := range entries {
		entries[i].Blob = make([]byte, size)
		for j := range entries[i].Blob {
			entries[i].Blob[j] = byte(i * j)
		}
	}
	return entries
}

// renumber gives the entries the tags of the next batch.
func renumber(entries []archive.Entry, batch int) {
	for i := range entries {
		h := &entries[i].Header
		n := batch*len(entries) + i
		h.Stream.Counter, h.Source.Seq = uint64(n+1), uint64(n+1)
		h.Once[0], h.Once[1], h.Once[2], h.Once[3], h.Once[4] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24), 1
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ records, size int }{{1, 300}, {100, 300}, {1000, 300}, {10_000, 300}, {100, 20_000}, {4, 1 << 20}} {
		entries := benchEntries(c.records, c.size)
		b.Run(fmt.Sprintf("ledger/%dx%d", c.records, c.size), func(b *testing.B) {
			l := benchLedger(b, b.TempDir())
			b.SetBytes(int64(c.records * c.size))
			for batch := 0; b.Loop(); batch++ {
				renumber(entries, batch)
				if _, err := l.Append(context.Background(), entries); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*c.records)/b.Elapsed().Seconds(), "records/s")
		})
		b.Run(fmt.Sprintf("parts/%dx%d", c.records, c.size), func(b *testing.B) {
			p := newParts(b, entries)
			b.SetBytes(int64(c.records * c.size))
			for b.Loop() {
				p.append(b)
			}
			b.ReportMetric(float64(b.N*c.records)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkAppendInTurn runs both sides in turn, so that a busy machine slows both, and reports the ratio.
func BenchmarkAppendInTurn(b *testing.B) {
	for _, c := range []struct{ records, size int }{{1000, 300}, {4, 1 << 20}} {
		b.Run(fmt.Sprintf("%dx%d", c.records, c.size), func(b *testing.B) {
			entries := benchEntries(c.records, c.size)
			l := benchLedger(b, b.TempDir())
			p := newParts(b, entries)
			var ledger, parts []time.Duration
			for batch := 0; b.Loop(); batch++ {
				renumber(entries, batch)
				begin := time.Now()
				if _, err := l.Append(context.Background(), entries); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				p.append(b)
				ledger = append(ledger, middle.Sub(begin))
				parts = append(parts, time.Since(middle))
			}
			for _, share := range []int{10, 50} { // the 10th percentile is what a quiet machine would do
				l, p := percentile(ledger, share), percentile(parts, share)
				b.ReportMetric(p.Seconds()/l.Seconds(), fmt.Sprintf("p%d-parts/ledger", share))
				b.ReportMetric(float64(c.records)/l.Seconds(), fmt.Sprintf("p%d-ledger-records/s", share))
				b.ReportMetric(float64(c.records)/p.Seconds(), fmt.Sprintf("p%d-parts-records/s", share))
			}
		})
	}
}

func percentile(d []time.Duration, share int) time.Duration {
	slices.Sort(d)
	return d[len(d)*share/100]
}

// parts is SHA-256 of each record, one write and one sync a batch.
type parts struct {
	f       *os.File
	entries []archive.Entry
	buf     []byte
	sum     byte
}

func newParts(b *testing.B, entries []archive.Entry) *parts {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "parts"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return &parts{f: f, entries: entries}
}

func (p *parts) append(b *testing.B) {
	p.buf = p.buf[:0]
	for i := range p.entries {
		sum := sha256.Sum256(p.entries[i].Blob)
		p.sum ^= sum[0]
		p.buf = append(p.buf, p.entries[i].Blob...)
	}
	if _, err := p.f.Write(p.buf); err != nil {
		b.Fatal(err)
	}
	if err := p.f.Sync(); err != nil {
		b.Fatal(err)
	}
}

func benchLedger(b *testing.B, dir string) *archive.Ledger {
	b.Helper()
	cfg := config(b)
	cfg.SegmentBytes = 0
	l, err := archive.Open(context.Background(), vfs.OS(), dir, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// filled returns the directory of a ledger of n records of 300 bytes.
func filled(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	cfg := config(b)
	cfg.SegmentBytes = 0
	l, err := archive.Open(context.Background(), vfs.OS(), dir, cfg)
	if err != nil {
		b.Fatal(err)
	}
	entries := benchEntries(10_000, 300)
	for batch := range n / 10_000 {
		renumber(entries, batch)
		if _, err := l.Append(context.Background(), entries); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkOpen opens a ledger of a million records, with derived files and without.
func BenchmarkOpen(b *testing.B) {
	dir := filled(b, 1_000_000)
	cfg := config(b)
	cfg.SegmentBytes = 0
	run := func(name string, before func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before()
				b.StartTimer()
				l, err := archive.Open(context.Background(), vfs.OS(), dir, cfg)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if l.Size() != 1_000_000 {
					b.Fatal(l.Size())
				}
				l.Close()
				b.StartTimer()
			}
		})
	}
	run("derived", func() {})
	run("rebuild", func() { os.RemoveAll(filepath.Join(dir, "derived")) })
}

// BenchmarkVerify verifies 200 000 small records, and mail-sized ones; the other side is SHA-256 of the same files.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{300, 8000} {
		dir := b.TempDir()
		l := benchLedger(b, dir)
		entries := benchEntries(2000, size)
		for batch := range 60_000_000 / size / 2000 {
			renumber(entries, batch)
			if _, err := l.Append(context.Background(), entries); err != nil {
				b.Fatal(err)
			}
		}
		st, err := l.Stats()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("ledger/%d", size), func(b *testing.B) {
			b.SetBytes(st.Bytes)
			for b.Loop() {
				if report, err := l.Verify(context.Background(), archive.VerifyOptions{}); err != nil || !report.Sound() {
					b.Fatal(report.Findings, err)
				}
			}
		})
		b.Run(fmt.Sprintf("sha256/%d", size), func(b *testing.B) {
			b.SetBytes(st.Bytes)
			names, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for _, name := range names {
					data, err := os.ReadFile(name)
					if err != nil {
						b.Fatal(err)
					}
					sha256.Sum256(data)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	l := benchLedger(b, filled(b, 100_000))
	n := 0
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			n++
			if _, err := l.Read(escrow.Seq(n * 7919 % 100_000)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("proof", func(b *testing.B) {
		for b.Loop() {
			n++
			if _, err := l.InclusionProof(escrow.Seq(n * 7919 % 100_000)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			if err := l.Scan(context.Background(), 0, func(archive.Record) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*100_000)/b.Elapsed().Seconds(), "records/s")
	})
}
