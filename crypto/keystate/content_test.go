package keystate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path"
	"path/filepath"
	"testing"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

// plant writes a key state with the given content, sealed by docs/format/keystate.md, at epoch 1 under a root of 32 times 0x77.
func plant(t testing.TB, content []byte) vfs.FS {
	t.Helper()
	header := []byte("ESKS\x01\x00\x00\x00\x00\x00\x00\x00\x01")
	root := make([]byte, 8192)
	binary.BigEndian.PutUint64(root[4096:], 1)
	copy(root[4096+8:], bytes.Repeat([]byte{0x77}, 32))
	bind := committing.Binding{Label: "escrow/keystate/v1", Hash: sha256.Sum256(append([]byte("escrow/keystate/v1\x00"), header...))}
	com, body, err := committing.Seal(root[4096+8:4096+40], bind, content)
	if err != nil {
		t.Fatal(err)
	}
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, fsys, "root", root)
	write(t, fsys, "state", bytes.Join([][]byte{header, com[:], body}, nil))
	return fsys
}

// content is a well-formed content with the given trees behind a signing key.
func content(signing string, count uint16, trees ...[]byte) []byte {
	b := make([]byte, 4+8+8+4+32)
	b = binary.BigEndian.AppendUint16(b, uint16(len(signing)))
	b = binary.BigEndian.AppendUint16(append(b, signing...), count)
	return append(b, bytes.Join(trees, nil)...)
}

// tree is an encoded tree with its name.
func tree(kind byte, number uint16) []byte {
	return keytree.New(keytree.Share{1}).Append([]byte{kind, byte(number >> 8), byte(number)})
}

func TestMalformedContentIsCorrupt(t *testing.T) {
	if _, err := keystate.Open(plant(t, content("key", 2, tree('R', 1), tree('S', 0))), dir); err != nil {
		t.Fatalf("a well-formed content does not open: %v", err)
	}
	whole := content("key", 1, tree('S', 0))
	tests := map[string][]byte{
		"empty":                nil,
		"a byte more":          append(bytes.Clone(whole), 0),
		"a byte less":          whole[:len(whole)-1],
		"no tree count":        whole[:4+8+8+4+32+2+3],
		"signing key too long": content(string(make([]byte, keystate.MaxSigningKeyBytes+1)), 0),
		"signing key beyond":   append(make([]byte, 56), 0xff, 0xff),
		"a tree missing":       content("key", 2, tree('S', 0)),
		"too many trees":       content("key", keystate.MaxTrees+1, tree('S', 0)),
		"unknown kind":         content("key", 1, tree('Q', 0)),
		"out of order":         content("key", 2, tree('S', 0), tree('R', 0)),
		"twice the same":       content("key", 2, tree('S', 0), tree('S', 0)),
		"malformed tree":       content("key", 1, []byte{'S', 0, 0, 0xff, 0xff, 0xff, 0xff}),
	}
	for name, b := range tests {
		_, err := keystate.Open(plant(t, b), dir)
		wantKind(t, name, err, escrow.Corrupt)
	}
}

func TestEpochZeroIsNoEpoch(t *testing.T) {
	fsys := vfs.NewMem()
	create(t, fsys)
	state := read(t, fsys, "state")
	clear(state[5:13])
	write(t, fsys, "state", state)
	_, err := keystate.Open(fsys, dir)
	wantKind(t, "epoch 0, whose slot is zeros", err, escrow.Corrupt)
}

func FuzzOpenContent(f *testing.F) {
	f.Add(content("key", 1, tree('S', 0)))
	f.Add(content("", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := plant(t, b)
		s, err := keystate.Open(fsys, dir)
		if err != nil {
			if escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("error %v, want kind corrupt", err)
			}
			return
		}
		update(t, s, func(tx *keystate.Tx) {})
		if got, want := len(read(t, fsys, "state")), 13+32+len(b)+28; got != want {
			t.Errorf("a content of %d bytes was written back as %d", len(b), got-13-32-28)
		}
	})
}

func FuzzOpenState(f *testing.F) {
	fsys := vfs.NewMem()
	create(f, fsys)
	state := read(f, fsys, "state")
	f.Add(state)
	f.Add(state[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		changed := fsys.Clone()
		write(t, changed, "state", b)
		if _, err := keystate.Open(changed, dir); err == nil && !bytes.Equal(b, state) {
			t.Error("another state opened")
		}
	})
}

// TestGoldenState opens a state written by the first version, at epoch 3, with subject 7 and message 9 erased.
func TestGoldenState(t *testing.T) {
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state", "root"} {
		b, err := os.ReadFile(filepath.Join("testdata", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, fsys, path.Base(name), b)
	}
	s := reopen(t, fsys)
	gone := []keytree.Ref{subject(7), {Kind: keytree.KindMessage, Leaf: 9}}
	for _, ref := range gone {
		_, err := s.Share(ref)
		wantKind(t, "golden", err, escrow.Erased)
	}
	if s.Epoch() != 3 || s.Applied() != 10 || s.Signed() != 12 || s.IndexLeaves() != 4 || !s.Alive(keytree.Ref{Kind: keytree.KindRetention, Tree: 2}) {
		t.Errorf("golden state: epoch %d, applied %d, signed %d, index leaves %d", s.Epoch(), s.Applied(), s.Signed(), s.IndexLeaves())
	}
}
