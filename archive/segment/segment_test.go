package segment_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

func when() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

func commit() segment.Commit {
	return segment.Commit{First: 3, Size: 5, Root: [32]byte{1, 2, 3}, Time: when()}
}

func TestHeaderRoundTrip(t *testing.T) {
	want := segment.Header{Origin: [32]byte{9, 8, 7}, First: 4711}
	b := want.Append(nil)
	if len(b) != segment.HeaderBytes {
		t.Fatalf("%d bytes", len(b))
	}
	got, err := segment.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i := range b {
		flipped := bytes.Clone(b)
		flipped[i] ^= 0x40
		if _, err := segment.ParseHeader(flipped); err == nil {
			t.Errorf("a flip in byte %d is not noticed", i)
		}
		if _, err := segment.ParseHeader(b[:i]); err == nil {
			t.Errorf("a header of %d bytes is accepted", i)
		}
	}
}

func TestNewerFormatIsRefusedAsSuch(t *testing.T) {
	b := mustHex(t, newerHeader)
	if _, err := segment.ParseHeader(b); err == nil || escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("got %v, want kind invalid", err)
	}
}

func TestNames(t *testing.T) {
	for _, first := range []escrow.Seq{0, 1, 4711, 1<<64 - 1} {
		got, ok := segment.ParseName(segment.Name(first))
		if !ok || got != first {
			t.Errorf("%d becomes %s and back %d, %v", first, segment.Name(first), got, ok)
		}
	}
	for _, name := range []string{"", ".seg", "1.seg", "00000000000000000001", "0000000000000000000x.seg", "000000000000000000001.seg",
		"99999999999999999999.seg", "+0000000000000000001.seg"} {
		if _, ok := segment.ParseName(name); ok {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestFramesRoundTrip(t *testing.T) {
	b := segment.AppendRecord(nil, []byte("meta"), []byte("blob"))
	if len(b) != segment.RecordBytes(4, 4) {
		t.Errorf("a record frame has %d bytes, not %d", len(b), segment.RecordBytes(4, 4))
	}
	b = segment.AppendRecord(b, nil, nil)
	b = segment.AppendCommit(b, commit())
	f, n, err := segment.ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	if meta, blob, err := f.Record(); err != nil || string(meta) != "meta" || string(blob) != "blob" {
		t.Errorf("%q, %q, %v", meta, blob, err)
	}
	if _, err := f.Commit(); err == nil {
		t.Error("a record is read as a commit")
	}
	f, m, err := segment.ParseFrame(b[n:])
	if err != nil {
		t.Fatal(err)
	}
	if meta, blob, err := f.Record(); err != nil || len(meta) != 0 || len(blob) != 0 {
		t.Errorf("%q, %q, %v", meta, blob, err)
	}
	f, k, err := segment.ParseFrame(b[n+m:])
	if err != nil || k != segment.CommitBytes {
		t.Fatal(k, err)
	}
	got, err := f.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(commit(), got); diff != "" {
		t.Error(diff)
	}
	if _, _, err := f.Record(); err == nil {
		t.Error("a commit is read as a record")
	}
}

func TestEveryFlipInAFrameIsNoticed(t *testing.T) {
	for _, b := range [][]byte{segment.AppendRecord(nil, []byte("meta"), []byte("blob")), segment.AppendCommit(nil, commit())} {
		for i := range b {
			for bit := range 8 {
				flipped := bytes.Clone(b)
				flipped[i] ^= 1 << bit
				if _, _, err := segment.ParseFrame(append(flipped, make([]byte, 300)...)); err == nil || escrow.KindOf(err) != escrow.Corrupt {
					t.Errorf("byte %d, bit %d: %v", i, bit, err)
				}
			}
		}
	}
}

// file is a segment of many frames, some longer than what is read at once, and what is in it.
func file(t *testing.T) (vfs.File, int64, [][]byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var b []byte
	var blobs [][]byte
	for i, size := range []int{0, 1, 100, 3 << 20, 5, 1 << 20, 1<<20 - 20, 7, 2 << 20, 300} {
		blob := make([]byte, size)
		for j := range blob {
			blob[j] = byte(rng.Uint32())
		}
		blobs = append(blobs, blob)
		b = segment.AppendRecord(b, []byte{byte(i)}, blob)
	}
	b = segment.AppendCommit(b, commit())
	f, err := vfs.NewMem().OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f, int64(len(b)), blobs
}

func TestScannerReadsFramesOfAnySize(t *testing.T) {
	f, size, blobs := file(t)
	scan := segment.NewScanner(f, 0, escrow.Offset(size))
	for i, want := range blobs {
		frame, err := scan.Next()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if _, blob, err := frame.Record(); err != nil || !bytes.Equal(blob, want) {
			t.Fatalf("frame %d: %d bytes, %v", i, len(blob), err)
		}
	}
	if frame, err := scan.Next(); err != nil || frame.Type != segment.TypeCommit {
		t.Fatalf("%c, %v", frame.Type, err)
	}
	if _, err := scan.Next(); err != io.EOF || scan.Offset() != escrow.Offset(size) {
		t.Errorf("at the end: %v at %d of %d", err, scan.Offset(), size)
	}
}

func TestFindCommit(t *testing.T) {
	f, size, _ := file(t)
	all := func(segment.Commit) bool { return true }
	at, ok, err := segment.FindCommit(f, 3, escrow.Offset(size), all)
	if err != nil || !ok || int64(at) != size-segment.CommitBytes {
		t.Errorf("found at %d, %v, %v", at, ok, err)
	}
	if _, ok, err := segment.FindCommit(f, at+1, escrow.Offset(size), all); ok || err != nil {
		t.Errorf("found behind the last: %v, %v", ok, err)
	}
	none := func(segment.Commit) bool { return false }
	if _, ok, err := segment.FindCommit(f, 0, escrow.Offset(size), none); ok || err != nil {
		t.Errorf("found what is not wanted: %v, %v", ok, err)
	}
	// Across every edge of what is read at once.
	for shift := range segment.CommitBytes + 2 {
		b := make([]byte, 1<<20+segment.CommitBytes-shift)
		b = segment.AppendCommit(b, commit())
		if at, ok, err := segment.FindCommit(bytes.NewReader(b), 0, escrow.Offset(len(b)), all); err != nil || !ok || int(at) != len(b)-segment.CommitBytes {
			t.Errorf("shift %d: found at %d, %v, %v", shift, at, ok, err)
		}
	}
}

func TestScannerTellsDamageFromFailure(t *testing.T) {
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem)
	f, err := faulty.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	b := segment.AppendRecord(nil, []byte("meta"), []byte("blob"))
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := segment.NewScanner(f, 0, escrow.Offset(len(b)+1)).Next(); escrow.KindOf(err) != escrow.Corrupt {
		t.Errorf("a file shorter than it should be: %v", err)
	}
	if _, err := segment.NewScanner(f, 0, escrow.Offset(len(b)-1)).Next(); escrow.KindOf(err) != escrow.Corrupt {
		t.Errorf("a frame beyond the end: %v", err)
	}
	faulty.Fail(vfs.Plan{At: faulty.Ops() + 1, Err: errors.New("injected")})
	if _, err := segment.NewScanner(f, 0, escrow.Offset(len(b))).Next(); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("a read that failed: %v", err)
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(segment.AppendRecord(nil, []byte("meta"), []byte("blob")))
	f.Add(segment.AppendRecord(nil, nil, nil))
	f.Add(segment.AppendCommit(nil, commit()))
	f.Add([]byte{0, 0, 0, 0, 'R', 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 'R', 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := segment.ParseFrame(b)
		if err != nil {
			if escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("kind %s", escrow.KindOf(err))
			}
			return
		}
		var again []byte
		switch frame.Type {
		case segment.TypeRecord:
			meta, blob, err := frame.Record()
			if err != nil {
				return
			}
			again = segment.AppendRecord(nil, meta, blob)
		case segment.TypeCommit:
			c, err := frame.Commit()
			if err != nil {
				return
			}
			again = segment.AppendCommit(nil, c)
		default:
			t.Fatalf("frame type %d accepted", frame.Type)
		}
		if !bytes.Equal(again, b[:n]) {
			t.Errorf("%x is read and becomes %x", b[:n], again)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	f.Add(segment.Header{First: 7}.Append(nil))
	f.Add([]byte("ESCROSEG"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := segment.ParseHeader(b)
		if err == nil && !bytes.Equal(h.Append(nil), b[:segment.HeaderBytes]) {
			t.Errorf("%x is read and becomes %x", b, h.Append(nil))
		}
	})
}
