package keystate_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/internal/vfs"
)

// openHanded opens a state whose root store hands out 32 times 0x77.
func openHanded(fsys vfs.FS) (*keystate.State, error) {
	return keystate.Open(context.Background(), fsys, dir, keystate.Config{Roots: []rootstore.Store{handedStore{}}, Now: func() time.Time { return start }})
}

// handedStore has one root in epoch 9 and needs no key.
type handedStore struct{}

func (handedStore) Create(context.Context, uint64, escrow.TreeSize) error { return nil }
func (handedStore) Wrap(_ context.Context, _ uint64, key, _ []byte) ([]byte, error) {
	return key, nil
}
func (handedStore) Unwrap(_ context.Context, _ uint64, wrapped, _ []byte) ([]byte, error) {
	return bytes.Clone(wrapped), nil
}
func (handedStore) Destroy(context.Context, uint64) error { return nil }
func (handedStore) Evidence(context.Context) (rootstore.Evidence, error) {
	return rootstore.Evidence{Newest: 9}, nil
}

// handedHeader is the header of version 5 in epoch 9.
func handedHeader() []byte {
	return append([]byte("ESKS\x02\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x09\x00\x01\x00\x20"), bytes.Repeat([]byte{0x77}, 32)...)
}

// plant writes a key state with the given content, sealed by docs/format/keystate.md.
func plant(t testing.TB, content []byte) vfs.FS {
	t.Helper()
	header := handedHeader()
	bind := committing.Binding{Label: "escrow/keystate/v2", Hash: sha256.Sum256(append([]byte("escrow/keystate/v2\x00"), header...))}
	com, body, err := committing.Seal(bytes.Repeat([]byte{0x77}, 32), bind, content)
	if err != nil {
		t.Fatal(err)
	}
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, fsys, "state", bytes.Join([][]byte{header, com[:], body}, nil))
	return fsys
}

// parts are the pieces of a content.
type parts struct {
	numbers, signing, retired, generations, trees []byte
}

// whole returns the parts of a well-formed content: founding trees, a retention class, two roots retired, two generations of subjects.
func whole() parts {
	return parts{
		numbers:     make([]byte, 8+8+4+1+32),
		signing:     []byte("\x00\x03key"),
		retired:     list(retiredRoot(3, 100), retiredRoot(8, 90)),
		generations: []byte("\x00\x01\x00\x00\x00\x00" + "\x00\x02\x00\x00\x00\x00\x00\x00\x10\x00" + "\x00\x01\x00\x00\x00\x00"),
		trees:       list(tree('E', 0), tree('H', 0), tree('I', 0), tree('M', 0), tree('R', 7), tree('S', 0), tree('S', 1), tree('X', 0)),
	}
}

func (p parts) bytes() []byte {
	return bytes.Join([][]byte{p.numbers, p.signing, p.retired, p.generations, p.trees}, nil)
}

// list is the number of the items and the items.
func list(items ...[]byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(items))), bytes.Join(items, nil)...)
}

func retiredRoot(epoch, at uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, epoch), at)
}

// tree is an encoded tree with its name.
func tree(kind byte, number uint16) []byte {
	return keytree.New(keytree.Share{1}).Append([]byte{kind, byte(number >> 8), byte(number)})
}

func TestMalformedContentIsCorrupt(t *testing.T) {
	if s, err := openHanded(plant(t, whole().bytes())); err != nil || len(s.Retired()) != 2 || s.Ref(keytree.KindSubject, 0x1000).Tree != 1 {
		t.Fatalf("a well-formed content does not open: %v", err)
	}
	terminated := parts{numbers: make([]byte, 53), signing: []byte{0, 0}, retired: list(), generations: bytes.Repeat([]byte("\x00\x01\x00\x00\x00\x00"), 3), trees: list()}
	terminated.numbers[20] = 1
	if s, err := openHanded(plant(t, terminated.bytes())); err != nil || !s.Terminated() {
		t.Fatalf("a well-formed content without keys does not open: %v", err)
	}
	with := func(p parts, change func(*parts)) []byte {
		change(&p)
		return p.bytes()
	}
	all := whole().bytes()
	tests := map[string][]byte{
		"empty":                  nil,
		"a byte more":            append(bytes.Clone(all), 0),
		"terminated twice":       with(terminated, func(p *parts) { p.numbers = bytes.Clone(p.numbers); p.numbers[20] = 2 }),
		"terminated with secret": with(terminated, func(p *parts) { p.numbers = bytes.Clone(p.numbers); p.numbers[30] = 2 }),
		"terminated with trees":  with(terminated, func(p *parts) { p.trees = whole().trees }),
		"signing key too long":   with(whole(), func(p *parts) { p.signing = append([]byte{0x40, 1}, make([]byte, 0x4001)...) }),
		"retired out of order":   with(whole(), func(p *parts) { p.retired = list(retiredRoot(8, 1), retiredRoot(3, 1)) }),
		"retired twice":          with(whole(), func(p *parts) { p.retired = list(retiredRoot(3, 1), retiredRoot(3, 1)) }),
		"retired epoch 0":        with(whole(), func(p *parts) { p.retired = list(retiredRoot(0, 1)) }),
		"retired the present":    with(whole(), func(p *parts) { p.retired = list(retiredRoot(9, 1)) }),
		"retired before time":    with(whole(), func(p *parts) { p.retired = list(retiredRoot(3, 1<<63)) }),
		"too many retired":       with(whole(), func(p *parts) { p.retired = []byte{0xff, 0xff} }),
		"no generation":          with(whole(), func(p *parts) { p.generations = []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00") }),
		"first generation later": with(whole(), func(p *parts) { p.generations = bytes.Repeat([]byte("\x00\x01\x00\x00\x00\x01"), 3) }),
		"generations out of order": with(whole(), func(p *parts) {
			p.generations = []byte("\x00\x01\x00\x00\x00\x00" + "\x00\x03\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x0f\xff" + "\x00\x01\x00\x00\x00\x00")
			p.trees = list(tree('E', 0), tree('H', 0), tree('I', 0), tree('M', 0), tree('S', 0), tree('S', 1), tree('S', 2), tree('X', 0))
		}),
		"generation without tree": with(whole(), func(p *parts) {
			p.trees = list(tree('E', 0), tree('H', 0), tree('I', 0), tree('M', 0), tree('S', 0), tree('X', 0))
		}),
		"generation of no number": with(whole(), func(p *parts) {
			p.trees = list(tree('E', 0), tree('H', 0), tree('I', 0), tree('M', 0), tree('S', 0), tree('S', 2), tree('X', 0))
		}),
		"tree without generation": with(whole(), func(p *parts) {
			p.trees = list(tree('E', 0), tree('H', 0), tree('H', 1), tree('I', 0), tree('M', 0), tree('S', 0), tree('S', 1), tree('X', 0))
		}),
		"a founding tree missing": with(whole(), func(p *parts) {
			p.trees = list(tree('E', 0), tree('I', 0), tree('M', 0), tree('S', 0), tree('S', 1), tree('X', 0))
		}),
		"too many trees":     with(whole(), func(p *parts) { p.trees = append([]byte{0xff, 0xff}, p.trees[2:]...) }),
		"unknown kind":       with(whole(), func(p *parts) { p.trees = list(tree('E', 0), tree('Q', 0)) }),
		"trees out of order": with(whole(), func(p *parts) { p.trees = list(tree('H', 0), tree('E', 0)) }),
		"twice the same":     with(whole(), func(p *parts) { p.trees = list(tree('E', 0), tree('E', 0)) }),
		"malformed tree":     with(whole(), func(p *parts) { p.trees = []byte{0, 1, 'E', 0, 0, 0xff, 0xff, 0xff, 0xff} }),
	}
	for name, b := range tests {
		_, err := openHanded(plant(t, b))
		wantKind(t, name, err, escrow.Corrupt)
	}
	for n := range all {
		if _, err := openHanded(plant(t, all[:n])); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Fatalf("a content cut to %d bytes: %v, want kind corrupt", n, err)
		}
	}
}

func TestMalformedHeaderIsCorrupt(t *testing.T) {
	fsys := plant(t, whole().bytes())
	state := read(t, fsys, "state")
	set := func(at int, to ...byte) []byte {
		b := bytes.Clone(state)
		copy(b[at:], to)
		return b
	}
	tests := map[string][]byte{
		"empty":             nil,
		"magic":             set(0, 'x'),
		"another version":   set(4, 1),
		"change 0":          set(12, 0),
		"epoch 0":           set(20, 0),
		"neither kek":       set(21, 2),
		"no root store":     set(22, 0),
		"four root stores":  set(22, 4),
		"a wrap too long":   set(23, 0x20),
		"a wrap beyond":     set(23, 0x0f, 0xff),
		"a wrap missing":    state[:24],
		"nothing behind it": state[:23+2+32+32+27],
	}
	for name, b := range tests {
		write(t, fsys, "state", b)
		_, err := openHanded(fsys)
		wantKind(t, name, err, escrow.Corrupt)
	}
}

func FuzzOpenContent(f *testing.F) {
	f.Add(whole().bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := plant(t, b)
		s, err := openHanded(fsys)
		if err != nil {
			if escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("error %v, want kind corrupt", err)
			}
			return
		}
		update(t, s, func(tx *keystate.Tx) {})
		if got, want := len(read(t, fsys, "state")), len(handedHeader())+32+len(b)+28; got != want {
			t.Errorf("a content of %d bytes was written back as %d more", len(b), got-want)
		}
	})
}

// FuzzOpenState: who does not have the roots cannot write a state that opens. Each process that fuzzes has roots of its own.
func FuzzOpenState(f *testing.F) {
	r := newRig(f, vfs.NewMem(), 2)
	r.create(f)
	state := read(f, r.fsys, "state")
	f.Add(state)
	f.Add(state[:70])
	f.Fuzz(func(t *testing.T, b []byte) {
		write(t, r.fsys, "state", b)
		if _, err := r.open(); err == nil && !bytes.Equal(b, state) {
			t.Error("another state opened")
		}
	})
}

// TestGoldenState opens a state written by the first version of this format: change 5 in epoch 4, under two root files of which each opens it, and a key of
// the tenant.
func TestGoldenState(t *testing.T) {
	fsys := vfs.NewMem()
	for _, name := range []string{dir, rootsDir} {
		if err := fsys.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"state": dir + "/state", "roots0": rootsDir + "/0", "roots1": rootsDir + "/1"} {
		b, err := os.ReadFile(filepath.Join("testdata", "v2", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(fsys, to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for up := range 2 {
		r := newRig(t, fsys, 2)
		r.kek = &xorKEK{key: 3}
		r.stores[1-up].fail = -1
		s := r.reopen(t)
		for _, ref := range []keytree.Ref{subject(7), {Kind: keytree.KindMessage, Leaf: 9}, {Kind: keytree.KindRetention, Tree: 2, Leaf: 20_000}, {Kind: keytree.KindIndexFile}} {
			_, err := s.Share(ref)
			wantKind(t, "golden", err, escrow.Erased)
		}
		if s.Version() != 5 || s.Epoch() != 4 || s.Applied() != 10 || s.Signed() != 12 || s.IndexLeaves() != 4 || s.Trees() != 9 || s.Stale() {
			t.Errorf("golden state: change %d in epoch %d, applied %d, signed %d, index leaves %d, %d trees", s.Version(), s.Epoch(), s.Applied(), s.Signed(),
				s.IndexLeaves(), s.Trees())
		}
		if !s.Alive(keytree.Ref{Kind: keytree.KindRetention, Tree: 2, Leaf: 20_001}) || s.Ref(keytree.KindSubject, 1000).Tree != 1 || s.Ref(keytree.KindIndexFile, 4).Tree != 1 {
			t.Error("golden state: other keys")
		}
		want := []keystate.Retired{{Epoch: 2, At: start.Add(24 * time.Hour).Truncate(time.Second)}, {Epoch: 3, At: start.Add(24 * time.Hour).Truncate(time.Second)}}
		if diff := cmp.Diff(want, s.Retired()); diff != "" {
			t.Errorf("golden state, retired roots: %s", diff)
		}
	}
}
