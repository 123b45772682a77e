package file_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/rootstore/storetest"
	"escrow/internal/vfs"
)

const (
	name    = "roots"
	stripes = 40
	header  = 28672 // bytes of each of the two
	span    = 4096  // bytes of a slot with this number of stripes
)

var key = bytes.Repeat([]byte{0x77}, 32)

// open returns a store with small roots.
func open(t testing.TB, fsys vfs.FS) *file.Store {
	t.Helper()
	s, err := file.Open(fsys, name, file.Config{Stripes: stripes})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, s *file.Store, epoch uint64) {
	t.Helper()
	if err := s.Create(t.Context(), epoch, escrow.TreeSize(epoch)*10); err != nil {
		t.Fatal(err)
	}
}

func wrap(t testing.TB, s *file.Store, epoch uint64) []byte {
	t.Helper()
	wrapped, err := s.Wrap(t.Context(), epoch, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func destroy(t testing.TB, s *file.Store, epoch uint64) {
	t.Helper()
	if err := s.Destroy(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, what string, err error, kind escrow.Kind) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("%s: error %v, want kind %v", what, err, kind)
	}
}

func read(t testing.TB, fsys vfs.FS) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, fsys vfs.FS, b []byte) {
	t.Helper()
	if err := vfs.WriteFileAtomic(fsys, name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rootstore.Store { return open(t, vfs.NewMem()) })
}

func TestStoreOutlivesItsProcess(t *testing.T) {
	fsys := vfs.NewMem()
	s := open(t, fsys)
	create(t, s, 1)
	create(t, s, 2)
	one, two := wrap(t, s, 1), wrap(t, s, 2)
	destroy(t, s, 1)
	s = open(t, fsys)
	if got, err := s.Unwrap(t.Context(), 2, two, nil); err != nil || !bytes.Equal(got, key) {
		t.Errorf("a living root after a restart: %v", err)
	}
	_, err := s.Unwrap(t.Context(), 1, one, nil)
	wantKind(t, "a destroyed root after a restart", err, escrow.Erased)
	if e, err := s.Evidence(t.Context()); err != nil || e.Newest != 2 || e.Size != 20 {
		t.Errorf("evidence after a restart: %+v, %v", e, err)
	}
}

// TestSplitFollowsTheDefinition merges the stripes by docs/format/roots.md and compares with the check in the header.
func TestSplitFollowsTheDefinition(t *testing.T) {
	fsys := vfs.NewMem()
	create(t, open(t, fsys), 1)
	b := read(t, fsys)
	var d [32]byte
	for i := range stripes - 1 {
		var x [40]byte
		binary.BigEndian.PutUint64(x[:], uint64(i))
		subtle.XORBytes(x[8:], d[:], b[2*header+i*32:])
		d = sha256.Sum256(x[:])
	}
	root := make([]byte, 32)
	subtle.XORBytes(root, d[:], b[2*header+(stripes-1)*32:])
	check := sha256.Sum256(append([]byte("escrow/root/check/v1\x00"), root...))
	if !bytes.Equal(check[:], b[header+44:header+76]) {
		t.Error("the stripes do not give the root by the definition")
	}
	if bytes.Contains(b, root) {
		t.Error("the root is in the file in clear")
	}
}

// TestEveryStripeIsNeeded changes one bit of each stripe.
func TestEveryStripeIsNeeded(t *testing.T) {
	fsys := vfs.NewMem()
	s := open(t, fsys)
	create(t, s, 1)
	wrapped := wrap(t, s, 1)
	good := read(t, fsys)
	for i := range stripes {
		bad := bytes.Clone(good)
		bad[2*header+i*32+i%32] ^= 1
		write(t, fsys, bad)
		_, err := open(t, fsys).Unwrap(t.Context(), 1, wrapped, nil)
		wantKind(t, "a stripe changed", err, escrow.Corrupt)
	}
	write(t, fsys, good[:len(good)-1])
	_, err := open(t, fsys).Unwrap(t.Context(), 1, wrapped, nil)
	wantKind(t, "the last stripe cut", err, escrow.Corrupt)
}

// TestDestroyOverwritesInPlace: nothing of the root is left where it was, no name changes, and the next root takes its place.
func TestDestroyOverwritesInPlace(t *testing.T) {
	mem := vfs.NewMem()
	fsys := vfs.NewFaulty(mem)
	s := open(t, fsys)
	create(t, s, 1)
	create(t, s, 2)
	before, done := read(t, mem), fsys.Ops()
	destroy(t, s, 1)
	for _, op := range fsys.Trace()[done:] {
		if op.Changes() && op.Kind != vfs.OpWrite && op.Kind != vfs.OpSync {
			t.Errorf("Destroy does %s", op)
		}
	}
	after := read(t, mem)
	if len(after) != len(before) {
		t.Errorf("the file went from %d to %d bytes", len(before), len(after))
	}
	for i := range stripes {
		if bytes.Contains(after, before[2*header+i*32:2*header+(i+1)*32]) {
			t.Errorf("stripe %d is still in the file", i)
		}
	}
	if !bytes.Equal(before[2*header+span:], after[2*header+span:]) {
		t.Error("the other root changed")
	}
	create(t, s, 3)
	if again := read(t, mem); len(again) != len(before) || bytes.Equal(again[2*header:2*header+32], after[2*header:2*header+32]) {
		t.Error("the next root did not take the free slot")
	}
}

func TestSlotsAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 512 roots")
	}
	s, err := file.Open(vfs.NewMem(), name, file.Config{Stripes: 2})
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range uint64(file.MaxSlots) {
		create(t, s, epoch+1)
	}
	wrapped := wrap(t, s, 1)
	err = s.Create(t.Context(), file.MaxSlots+1, 0)
	wantKind(t, "one root too many", err, escrow.Conflict)
	if err != nil && !strings.Contains(err.Error(), "full with 512 roots") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	if e, err := s.Evidence(t.Context()); err != nil || e.Newest != file.MaxSlots {
		t.Errorf("the newest epoch is %d, %v", e.Newest, err)
	}
	destroy(t, s, 2)
	create(t, s, file.MaxSlots+1)
	if _, err := s.Unwrap(t.Context(), 1, wrapped, nil); err != nil {
		t.Errorf("the first of many roots: %v", err)
	}
}

func TestHeaders(t *testing.T) {
	fsys := vfs.NewMem()
	s := open(t, fsys)
	create(t, s, 1)
	create(t, s, 2) // change 2, in the first place
	wrapped := wrap(t, s, 1)
	good := read(t, fsys)
	spoil := func(at ...int) vfs.FS {
		bad := bytes.Clone(good)
		for _, i := range at {
			bad[i] ^= 1
		}
		fsys := vfs.NewMem()
		write(t, fsys, bad)
		return fsys
	}
	for _, at := range []int{0, 5, 12, 16, 24, 32, 34, 35, 43, 44, 75, 76, 120, 148} {
		s := open(t, spoil(at))
		if e, err := s.Evidence(t.Context()); err != nil || e.Newest != 1 {
			t.Errorf("byte %d of the newer header changed: newest epoch %d, %v; want what the older one says", at, e.Newest, err)
		}
		if _, err := s.Unwrap(t.Context(), 1, wrapped, nil); err != nil {
			t.Errorf("byte %d of the newer header changed: %v", at, err)
		}
		if e, err := open(t, spoil(header+at)).Evidence(t.Context()); err != nil || e.Newest != 2 {
			t.Errorf("byte %d of the older header changed: newest epoch %d, %v", at, e.Newest, err)
		}
		if at < 35+41+32 { // the older header is shorter
			_, err := open(t, spoil(at, header+at)).Evidence(t.Context())
			wantKind(t, "both headers changed", err, escrow.Corrupt)
		}
	}
	write(t, fsys, good[:20])
	_, err := open(t, fsys).Unwrap(t.Context(), 1, wrapped, nil)
	wantKind(t, "a file cut short", err, escrow.Corrupt)
	wantKind(t, "making a root in a file cut short", open(t, fsys).Create(t.Context(), 9, 0), escrow.Corrupt)
}

// TestImpossibleHeaders have a right checksum.
func TestImpossibleHeaders(t *testing.T) {
	head := func(stripes uint32, n uint16, slots ...byte) []byte {
		b := append([]byte("ESRT\x01"), make([]byte, 8)...)
		b = binary.BigEndian.AppendUint32(b, stripes)
		b = binary.BigEndian.AppendUint16(append(b, make([]byte, 16)...), n)
		for _, state := range slots {
			b = append(append(b, 0, 0, 0, 0, 0, 0, 0, 1, state), make([]byte, 32)...)
		}
		sum := sha256.Sum256(b)
		return append(b, sum[:]...)
	}
	tests := map[string][]byte{
		"one stripe": head(1, 0), "too many stripes": head(1<<31, 0), "too many slots": head(2, 513), "slots beyond": head(2, 2, 1),
		"state 0": head(2, 1, 0), "state 4": head(2, 1, 4),
	}
	for name, b := range tests {
		fsys := vfs.NewMem()
		write(t, fsys, b)
		_, err := open(t, fsys).Evidence(t.Context())
		wantKind(t, name, err, escrow.Corrupt)
	}
	fsys := vfs.NewMem()
	write(t, fsys, head(2, 1, 3))
	if _, err := open(t, fsys).Evidence(t.Context()); err != nil {
		t.Errorf("a possible header: %v", err)
	}
}

func TestFileSystems(t *testing.T) {
	tests := []struct {
		kind, options string
		weak          bool
	}{
		{"ext4", "rw,relatime", false}, {"ext4", "rw,data=ordered", false}, {"xfs", "rw", false}, {"", "", false},
		{"ext4", "rw,data=journal", true}, {"btrfs", "rw", true}, {"zfs", "rw", true}, {"bcachefs", "rw", true}, {"f2fs", "rw", true}, {"nilfs2", "rw", true},
	}
	for _, test := range tests {
		cfg := file.Config{Stripes: 2, FileSystem: func(dir string) (string, string, error) {
			if dir != "." {
				t.Errorf("asked about %q", dir)
			}
			return test.kind, test.options, nil
		}}
		_, err := file.Open(vfs.NewMem(), name, cfg)
		if test.weak {
			wantKind(t, test.kind+" "+test.options, err, escrow.Invalid)
		} else if err != nil {
			t.Errorf("%s %s: %v", test.kind, test.options, err)
		}
		cfg.AcceptWeak = true
		s, err := file.Open(vfs.NewMem(), name, cfg)
		if err != nil {
			t.Fatalf("%s %s, accepted: %v", test.kind, test.options, err)
		}
		create(t, s, 1)
		e, err := s.Evidence(t.Context())
		if err != nil || !strings.HasPrefix(e.Method, "Clear, not Purge") || strings.Contains(e.Method, "old copies may stay") != test.weak {
			t.Errorf("%s %s: evidence %q, %v", test.kind, test.options, e.Method, err)
		}
	}
	_, err := file.Open(vfs.NewMem(), name, file.Config{FileSystem: func(string) (string, string, error) { return "", "", os.ErrPermission }})
	wantKind(t, "nobody can tell", err, escrow.Unavailable)
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	_, err := file.Open(vfs.NewMem(), "not-mounted/roots", file.Config{})
	wantKind(t, "no folder", err, escrow.Unavailable)
	for _, n := range []int{-1, 1, 1 << 26} {
		_, err = file.Open(vfs.NewMem(), name, file.Config{Stripes: n})
		wantKind(t, "stripes", err, escrow.Invalid)
	}
}

func FuzzOpen(f *testing.F) {
	fsys := vfs.NewMem()
	create(f, open(f, fsys), 1)
	whole := read(f, fsys)
	f.Add(whole[header : header+200])
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := vfs.NewMem()
		write(t, fsys, b)
		s := open(t, fsys)
		if e, err := s.Evidence(t.Context()); err == nil && len(b) < 35+32 {
			t.Errorf("%d bytes are a root file: %+v", len(b), e)
		}
	})
}
