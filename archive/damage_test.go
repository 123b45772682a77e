package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"escrow"
	"escrow/archive"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// small returns a closed ledger of a few segments, and its files.
func small(t *testing.T, cfg archive.Config) (*vfs.Mem, []string) {
	t.Helper()
	mem := vfs.NewMem()
	l := open(t, mem, cfg)
	grow(t, l, 13)
	closeLedger(t, l)
	return mem, files(t, mem, "ledger")
}

func files(t *testing.T, fsys vfs.FS, dir string) (names []string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			names = append(names, files(t, fsys, name)...)
		} else if e.Name() != "LOCK" {
			names = append(names, name)
		}
	}
	return names
}

func load(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func store(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	if err := vfs.WriteFileAtomic(fsys, name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func isDerived(name string) bool { return strings.Contains(name, "/derived/") }

// found says whether Open or Verify notices that something is wrong. Whatever they say, it fails the test if a record is read that was never appended.
func found(t *testing.T, mem vfs.FS, cfg archive.Config, records int) error {
	t.Helper()
	l, err := archive.Open(context.Background(), mem, "ledger", cfg)
	if err != nil {
		return err
	}
	defer closeLedger(t, l)
	for i := range records {
		rec, err := l.Read(escrow.Seq(i))
		if want := message(i); err == nil && (!bytes.Equal(rec.Blob, want.Blob) || rec.Header.Once != want.Header.Once) {
			t.Fatalf("record %d is read with other content", i)
		}
	}
	n := 0
	scanned := l.Scan(context.Background(), 0, func(r archive.Record) error {
		if want := message(n); int(r.Seq) != n || !bytes.Equal(r.Blob, want.Blob) {
			t.Fatalf("record %d is scanned with other content", n)
		}
		n++
		return nil
	})
	report := verify(t, l)
	if report.Sound() {
		if scanned != nil || n != records {
			t.Fatalf("verify finds nothing, but %d of %d records are scanned: %v", n, records, scanned)
		}
		return nil
	}
	return errors.New(report.Findings[0].String())
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	cfg := workloadConfig(t)
	mem, names := small(t, cfg)
	flips := 0
	for _, name := range names {
		original := load(t, mem, name)
		for at := range original {
			clone := mem.Clone()
			b := bytes.Clone(original)
			b[at] ^= [...]byte{0x01, 0x80, 0xff}[at%3]
			store(t, clone, name, b)
			err := found(t, clone, cfg, 13)
			flips++
			if isDerived(name) != (err == nil) {
				t.Errorf("%s, byte %d: %v", name, at, err)
			}
			if kind := escrow.KindOf(err); err != nil && kind == escrow.Unavailable {
				t.Errorf("%s, byte %d: kind %s: %v", name, at, kind, err)
			}
		}
	}
	t.Logf("%d flips in %d files", flips, len(names))
}

func TestEveryTruncationIsFound(t *testing.T) {
	cfg := workloadConfig(t)
	mem, names := small(t, cfg)
	cuts := 0
	for _, name := range names {
		original := load(t, mem, name)
		for size := range original {
			clone := mem.Clone()
			store(t, clone, name, original[:size])
			err := found(t, clone, cfg, 13)
			cuts++
			// An empty checkpoint is what a power cut may leave.
			if fine := isDerived(name) || path.Base(name) == "checkpoint" && size == 0; fine != (err == nil) {
				t.Errorf("%s, %d bytes: %v", name, size, err)
			}
		}
	}
	t.Logf("%d truncations", cuts)
}

func TestEveryMissingFileIsFound(t *testing.T) {
	cfg := workloadConfig(t)
	mem, names := small(t, cfg)
	for _, name := range names {
		clone := mem.Clone()
		if err := clone.Remove(name); err != nil {
			t.Fatal(err)
		}
		if isDerived(name) || path.Base(name) == "checkpoint" {
			if err := found(t, clone, cfg, 13); err != nil {
				t.Errorf("without %s: %v", name, err)
			}
			continue
		}
		if err := found(t, clone, cfg, 13); err == nil {
			t.Errorf("%s missing is not noticed", name)
		}
		// Without derived files to compare with, too.
		clone.Remove("ledger/derived/rows")
		if err := found(t, clone, cfg, 13); err == nil {
			t.Errorf("%s and the rows missing is not noticed", name)
		}
	}
}

func TestSegmentsExchangedAreFound(t *testing.T) {
	cfg := workloadConfig(t)
	mem, names := small(t, cfg)
	var segments []string
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") {
			segments = append(segments, name)
		}
	}
	if len(segments) < 3 {
		t.Fatalf("%d segments", len(segments))
	}
	for i, a := range segments {
		for _, b := range segments[i+1:] {
			clone := mem.Clone()
			store(t, clone, a, load(t, mem, b))
			store(t, clone, b, load(t, mem, a))
			if err := found(t, clone, cfg, 13); err == nil {
				t.Errorf("%s and %s exchanged is not noticed", a, b)
			}
		}
	}
}

func TestDamageNamesSegmentOffsetAndRecord(t *testing.T) {
	cfg := config(t)
	cfg.SegmentBytes = 0
	mem := vfs.NewMem()
	l := open(t, mem, cfg)
	for i := range 4 {
		if _, err := l.Append(t.Context(), messages(2*i, 2)); err != nil {
			t.Fatal(err)
		}
	}
	closeLedger(t, l)
	const name = "ledger/segments/00000000000000000000.seg"
	b := load(t, mem, name)
	at, seq := frameOffset(t, b, 3), escrow.Seq(3)
	b[at+20] ^= 1
	store(t, mem, name, b)
	_, err := archive.Open(t.Context(), mem, "ledger", cfg)
	if err == nil || escrow.KindOf(err) != escrow.Corrupt {
		t.Fatalf("open: %v", err)
	}
	want := fmt.Sprintf("record %d: segment %s, offset %d: ", seq, path.Base(name), at)
	if !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
}

// frameOffset returns where the frame of a record begins in a segment that starts with record 0.
func frameOffset(t *testing.T, b []byte, record int) escrow.Offset {
	t.Helper()
	scan := segment.NewScanner(bytes.NewReader(b), segment.HeaderBytes, escrow.Offset(len(b)))
	for n := 0; ; {
		at := scan.Offset()
		f, err := scan.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == segment.TypeRecord {
			if n == record {
				return at
			}
			n++
		}
	}
}

// TestVerifyGoesOnAfterDamage damages one record after another in an open ledger: each time exactly this record is unreadable and named, the others
// are not concerned.
func TestVerifyGoesOnAfterDamage(t *testing.T) {
	for _, what := range []struct {
		name  string
		shift escrow.Offset // of the damaged byte in the frame
	}{{"length", 2}, {"type", 4}, {"header", 30}, {"blob", 270}} {
		t.Run(what.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()})
			defer closeLedger(t, l)
			grow(t, l, 20)
			const name = "ledger/segments/00000000000000000000.seg"
			original := load(t, mem, name)
			f, err := mem.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			for damaged := range 20 {
				at := int64(frameOffset(t, original, damaged) + what.shift)
				f.WriteAt([]byte{original[at] ^ 0x11}, at)
				report := verify(t, l)
				if report.Count != 1 || report.Findings[0].Place.Seq == nil || int(*report.Findings[0].Place.Seq) != damaged || report.Size != 20 {
					t.Errorf("record %d damaged: %d records, findings %v", damaged, report.Size, report.Findings)
				}
				for i := range 20 {
					if _, err := l.Read(escrow.Seq(i)); (err != nil) != (i == damaged) {
						t.Errorf("record %d damaged, record %d: %v", damaged, i, err)
					}
				}
				f.WriteAt(original[at:at+1], at)
			}
			checkSound(t, l)
		})
	}
}

func TestFindingsAreBounded(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()})
	defer closeLedger(t, l)
	const n = 1100
	if _, err := l.Append(t.Context(), messages(0, n)); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenFile("ledger/derived/rows", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, l); report.Count != n || len(report.Findings) != 1000 {
		t.Errorf("%d findings, %d listed", report.Count, len(report.Findings))
	}
}

// TestRollBackIsRefused puts older files in the place of newer ones.
func TestRollBackIsRefused(t *testing.T) {
	cfg := workloadConfig(t)
	mem := vfs.NewMem()
	l := open(t, mem, cfg)
	grow(t, l, 5)
	closeLedger(t, l)
	older := mem.Clone()
	l = open(t, mem, cfg)
	grow(t, l, 9)
	closeLedger(t, l)

	checkpoint := load(t, mem, "ledger/checkpoint")
	store(t, older, "ledger/checkpoint", checkpoint)
	_, err := archive.Open(t.Context(), older, "ledger", cfg)
	if err == nil || escrow.KindOf(err) != escrow.Forged {
		t.Fatalf("open: %v", err)
	}
	for _, want := range []string{"5 records", "checkpoint of 9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, want %q in it", err, want)
		}
	}
	if got := load(t, older, "ledger/checkpoint"); !bytes.Equal(got, checkpoint) {
		t.Error("the checkpoint was changed")
	}
	if _, err := archive.OpenReadOnly(t.Context(), older, "ledger", cfg.Verifier); escrow.KindOf(err) != escrow.Forged {
		t.Errorf("open for reading: %v", err)
	}
}

// TestForkIsRefused replaces the ledger by another one of the same origin and size, made without the key.
func TestForkIsRefused(t *testing.T) {
	cfg := workloadConfig(t)
	mem, _ := small(t, cfg)
	fork := vfs.NewMem()
	l := open(t, fork, cfg)
	var entries []archive.Entry
	for i := range 13 {
		e := message(i)
		e.Blob = append([]byte("changed "), e.Blob...)
		entries = append(entries, e)
	}
	if _, err := l.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	store(t, fork, "ledger/checkpoint", load(t, mem, "ledger/checkpoint"))
	if _, err := archive.Open(t.Context(), fork, "ledger", cfg); err == nil || escrow.KindOf(err) != escrow.Forged {
		t.Errorf("open: %v", err)
	}
}

// TestForgedRecordIsRefused changes a record so that its checksum is right.
func TestForgedRecordIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		at   int // in the payload: behind the length of the header, or in the blob
	}{{"header", 2 + 100}, {"blob", 2 + 250}} {
		t.Run(test.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()})
			defer closeLedger(t, l)
			grow(t, l, 10)
			const name = "ledger/segments/00000000000000000000.seg"
			b := load(t, mem, name)
			at := frameOffset(t, b, 4)
			frame, n, err := segment.ParseFrame(b[at:])
			if err != nil {
				t.Fatal(err)
			}
			frame.Payload[test.at] ^= 1
			meta, blob, err := frame.Record()
			if err != nil {
				t.Fatal(err)
			}
			forged := segment.AppendRecord(nil, meta, blob)
			if len(forged) != n {
				t.Fatal("the length changed")
			}
			f, err := mem.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt(forged, int64(at))
			if _, err := l.Read(4); escrow.KindOf(err) != escrow.Forged {
				t.Errorf("read: %v", err)
			}
			if err := l.Scan(t.Context(), 0, func(archive.Record) error { return nil }); escrow.KindOf(err) != escrow.Forged {
				t.Errorf("scan: %v", err)
			}
			if report := verify(t, l); report.Sound() || report.Findings[0].Kind == escrow.Corrupt && test.name == "blob" {
				t.Errorf("verify: %v", report.Findings)
			}
		})
	}
}

func TestForeignSegmentIsRefused(t *testing.T) {
	cfg := workloadConfig(t)
	mem, names := small(t, cfg)
	last := names[len(names)-1]
	b := load(t, mem, last)
	first, _ := segment.ParseName(path.Base(last))
	header := segment.Header{Origin: [32]byte{1}, First: first}.Append(nil)
	store(t, mem, last, append(header, b[segment.HeaderBytes:]...))
	if _, err := archive.Open(t.Context(), mem, "ledger", cfg); escrow.KindOf(err) != escrow.Forged {
		t.Errorf("open: %v", err)
	}
}
