package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
	"escrow/internal/vfs"
)

// TestSnapshotIsALedger takes a snapshot at every size, across segments, and copies it after the ledger has grown: the copy is the ledger of then.
func TestSnapshotIsALedger(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(t)
	cfg.SegmentBytes = 1500
	l := open(t, mem, cfg)
	defer closeLedger(t, l)
	var snaps []archive.Snapshot
	for n := range 12 {
		snap, err := l.Snapshot()
		if err != nil || int(snap.Size) != n {
			t.Fatalf("snapshot of %d records: %d, %v", n, snap.Size, err)
		}
		snaps = append(snaps, snap)
		grow(t, l, n+1)
	}
	if last := snaps[len(snaps)-1]; len(last.Segments) < 3 {
		t.Fatalf("%d segments do not test anything", len(last.Segments))
	}
	for n, snap := range snaps {
		copied := vfs.NewMem()
		if err := copied.MkdirAll("ledger/segments", 0o700); err != nil {
			t.Fatal(err)
		}
		for _, s := range snap.Segments {
			b := load(t, mem, s.Name)
			if int64(len(b)) < s.Bytes {
				t.Fatalf("%s has %d bytes, the snapshot wants %d", s.Name, len(b), s.Bytes)
			}
			if want := "ledger/" + s.Inner; filepath.ToSlash(s.Name) != want {
				t.Errorf("segment %s, want %s", s.Name, want)
			}
			store(t, copied, s.Name, b[:s.Bytes])
		}
		store(t, copied, "ledger/"+archive.InnerCheckpoint, snap.Checkpoint)
		c := open(t, copied, config(t))
		if int(c.Size()) != n || !bytes.Equal(c.Checkpoint(), snap.Checkpoint) {
			t.Errorf("the copy has %d records, the snapshot %d", c.Size(), n)
		}
		checkContent(t, c)
		checkSound(t, c)
		closeLedger(t, c)
	}
}

func TestSnapshotSaysWhatItCannotSee(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem())
	cfg := config(t)
	cfg.SegmentBytes = 1500
	l := open(t, faulty, cfg)
	defer closeLedger(t, l)
	grow(t, l, 9)
	faulty.Fail(vfs.Plan{At: faulty.Ops() + 1, Err: errDisk})
	if _, err := l.Snapshot(); escrow.KindOf(err) != escrow.Unavailable || !errors.Is(err, errDisk) {
		t.Errorf("snapshot: %v", err)
	}
}

func TestExtends(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, config(t))
	var older [][]byte
	for n := range 9 {
		older = append(older, l.Checkpoint())
		grow(t, l, n+1)
	}
	defer closeLedger(t, l)
	signed := func(c archive.Checkpoint) []byte {
		b, err := note.Sign(&note.Note{Text: c.Text()}, signer(t))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	size, root := l.Root()
	tests := []struct {
		name string
		cp   []byte
		size escrow.TreeSize
		kind escrow.Kind
		text string
	}{
		{"its own", l.Checkpoint(), 9, 0, ""},
		{"longer", signed(archive.Checkpoint{Origin: origin, Size: 12, Root: root}), 12, escrow.Forged, "records 9 to 11 are missing"},
		{"the same size, another root", signed(archive.Checkpoint{Origin: origin, Size: size, Root: tlog.Hash{1}}), size, escrow.Forged, "another history"},
		{"smaller, another root", signed(archive.Checkpoint{Origin: origin, Size: 5, Root: root}), 5, escrow.Forged, "another history"},
		{"empty, another root", signed(archive.Checkpoint{Origin: origin, Size: 0, Root: root}), 0, escrow.Forged, "another history"},
		{"signature broken", bytes.Replace(l.Checkpoint(), []byte("\n9\n"), []byte("\n8\n"), 1), 0, escrow.Forged, "not signed"},
		{"no checkpoint", []byte("hello\n"), 0, escrow.Forged, "not signed"},
	}
	for n, cp := range older {
		tests = append(tests, struct {
			name string
			cp   []byte
			size escrow.TreeSize
			kind escrow.Kind
			text string
		}{fmt.Sprintf("of %d records", n), cp, escrow.TreeSize(n), 0, ""})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cp, err := l.Extends(test.cp)
			if cp.Size != test.size || escrow.KindOf(err) != test.kind && err != nil || (err != nil) != (test.text != "") ||
				err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("size %d, %v", cp.Size, err)
			}
		})
	}
}
