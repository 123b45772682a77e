// Package crypto_test holds the documents under docs/format against the code: the bytes shown there are what is written, and can be read.
package crypto_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/seal"
	"escrow/internal/vfs"
)

// documented returns the bytes of the first code block marked hex in a document. Each line of it is an offset, bytes, and what they mean, with two or
// more spaces between them; a line without an offset goes on with the bytes of the line before.
func documented(t *testing.T, name string) []byte {
	t.Helper()
	markdown, err := os.ReadFile(filepath.Join("..", "docs", "format", name))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(markdown), "\n```hex\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("%s has no block marked hex", name)
	}
	var out []byte
	for line := range strings.Lines(block) {
		offset, rest, _ := strings.Cut(line, "  ")
		if at, err := hex.DecodeString(offset); offset != "" && (err != nil || len(at) != 2 || int(binary.BigEndian.Uint16(at)) != len(out)) {
			t.Fatalf("%s: offset %q stands where offset %04x is", name, offset, len(out))
		}
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), "  ")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("%s: the bytes at %04x: %v", name, len(out), err)
		}
		out = append(out, b...)
	}
	return out
}

// repeating gives the bytes SHA-256(seed ‖ 0), SHA-256(seed ‖ 1), … with the counter in 8 bytes: as good as random, and always the same.
type repeating struct {
	seed    string
	counter uint64
	left    []byte
}

func (r *repeating) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(r.left) == 0 {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(r.seed), r.counter))
			r.left = sum[:]
			r.counter++
		}
		k := copy(b[n:], r.left)
		n, r.left = n+k, r.left[k:]
	}
	return len(b), nil
}

func read(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// letterKeys are the shares of docs/format/record.md: 32 times the kind of the key.
type letterKeys struct{}

func (letterKeys) Share(r keytree.Ref) (share keytree.Share, err error) {
	for i := range share {
		share[i] = byte(r.Kind)
	}
	return share, nil
}

func TestDocumentedRecord(t *testing.T) {
	want := documented(t, "record.md")
	ctx := seal.Context{
		Tenant: "acme", Region: "eu", Seq: 42, Message: [16]byte(bytes.Repeat([]byte{0xaa}, 16)), Stream: [16]byte(bytes.Repeat([]byte{0xbb}, 16)),
		Policy: seal.PolicyID{Name: "principal", Version: 1}, Class: "R7",
	}
	facets := []seal.Facet{{
		Kind: seal.FacetBody, ContentType: "text/plain", Plain: []byte("Hello, Ana."),
		Slots: [][]keytree.Ref{{{Kind: keytree.KindMessage, Leaf: 42}, {Kind: keytree.KindRetention, Tree: 7, Leaf: 20000}, {Kind: keytree.KindSubject, Leaf: 3}}},
	}}
	cryptotest.SetGlobalRandom(t, 1)
	z, err := seal.New(&repeating{seed: "record"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := z.Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ctx, s.Context()); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
	plain, err := s.Open(letterKeys{}, 0)
	if err != nil || !bytes.Equal(plain, facets[0].Plain) {
		t.Errorf("the documented record opens to %q, %v", plain, err)
	}
	got, err := z.Seal(letterKeys{}, ctx, facets)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Seal writes\n%s instead of the documented record", hex.Dump(got))
	}
}

// TestDocumentedKeyState also holds docs/format/roots.md: its file is the root store of the state.
func TestDocumentedKeyState(t *testing.T) {
	want, wantRoots := documented(t, "keystate.md"), documented(t, "roots.md")
	// In the example are drawn: the tenant's secret, the roots of the trees E H I M S X, what seals the state.
	drawn := make([]byte, 8*32)
	if _, err := (&repeating{seed: "keystate"}).Read(drawn); err != nil {
		t.Fatal(err)
	}
	cryptotest.SetGlobalRandom(t, 2)
	fsys := vfs.NewMem()
	roots, err := file.Open(fsys, "roots", file.Config{Stripes: 3, Rand: &repeating{seed: "roots"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := keystate.Config{Roots: []rootstore.Store{roots}, Rand: &repeating{seed: "keystate"}, Now: func() time.Time { return time.Unix(0, 0) }}
	if _, err := keystate.Create(t.Context(), fsys, "keys", cfg, []byte("keyset")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, fsys, "keys/state"); !bytes.Equal(got, want) {
		t.Errorf("Create writes\n%s instead of the documented state", hex.Dump(got))
	}
	got := read(t, fsys, "roots")
	if span := got[2*28672:]; len(got) != 2*28672+3*32 || !bytes.Equal(got[28672:28672+len(wantRoots)], wantRoots) {
		t.Errorf("the root file has %d bytes and begins its second header with\n%s instead of the documented one; stripes\n%s", len(got),
			hex.Dump(got[28672:28672+len(wantRoots)]), hex.Dump(span))
	}
	s, err := keystate.Open(t.Context(), fsys, "keys", cfg)
	if err != nil {
		t.Fatal(err)
	}
	fromTree, err := keytree.New(keytree.Share(drawn[5*32:])).Share(7)
	if err != nil {
		t.Fatal(err)
	}
	if share, err := s.Share(keytree.Ref{Kind: keytree.KindSubject, Leaf: 7}); err != nil || share != fromTree {
		t.Errorf("the root of the subject tree is not as documented: %v", err)
	}
	if string(s.SigningKey()) != "keyset" || s.Epoch() != 1 || s.Version() != 1 || s.Secret("") == [32]byte(drawn) {
		t.Error("the documented state opens to something else")
	}
}

// sevens are shares of 32 times 7.
type sevens struct{}

func (sevens) Share(keytree.Ref) (share keytree.Share, err error) {
	return keytree.Share(bytes.Repeat([]byte{7}, 32)), nil
}

func (sevens) Ref(kind keytree.Kind, leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: kind, Leaf: leaf}
}

func TestDocumentedDirectory(t *testing.T) {
	want := documented(t, "directory.md")
	key := [32]byte{5}
	fsys := vfs.NewMem()
	if err := vfs.WriteFileAtomic(fsys, "directory", want, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := directory.Open(fsys, ".", key, sevens{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, ok := d.Lookup("email:ana@example.org")
	next, _, err := d.Assign("email:ben@example.org")
	if err != nil || leaf != 3 || !ok || next != 4 || d.Position() != 43 {
		t.Errorf("the documented snapshot says: subject %d (%v), next %d, position %d, %v", leaf, ok, next, d.Position(), err)
	}
	cryptotest.SetGlobalRandom(t, 3)
	fsys = vfs.NewMem()
	if d, err = directory.Open(fsys, ".", key, sevens{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Learn("email:ana@example.org", 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Renew(43); err != nil {
		t.Fatal(err)
	}
	if got := read(t, fsys, "directory"); !bytes.Equal(got, want) {
		t.Errorf("Renew writes\n%s instead of the documented snapshot", hex.Dump(got))
	}
}
