package keytree_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/crypto/keytree"
)

func root(n byte) (s keytree.Share) {
	for i := range s {
		s[i] = n + byte(i)
	}
	return s
}

// reference derives a share by the definition in the package comment, without the package.
func reference(k keytree.Share, leaf uint32) keytree.Share {
	for bit := 31; bit >= 0; bit-- {
		k = step(k, byte(leaf>>bit&1))
	}
	return k
}

// step derives the child of a node.
func step(k keytree.Share, bit byte) keytree.Share {
	return sha256.Sum256(append(append(k[:], bit), "escrow/ggm/v1"...))
}

func TestShareFollowsTheDefinition(t *testing.T) {
	tree := keytree.New(root(1))
	for _, leaf := range []uint32{0, 1, 2, 3, 1 << 31, 1<<31 + 1, 1<<32 - 1, 77, 0} {
		got, err := tree.Share(leaf)
		if err != nil {
			t.Fatal(err)
		}
		if got != reference(root(1), leaf) {
			t.Errorf("leaf %d: share differs from the definition", leaf)
		}
	}
	first, _ := tree.Share(0)
	const golden = "f5317c69b93525eb260ff55095bf268c7d8b13665d3c3e6584a487ff9c105ad1"
	if got := hex.EncodeToString(first[:]); got != golden {
		t.Errorf("share of leaf 0 is %s, the golden value is %s", got, golden)
	}
}

// model is a key tree by brute force: what was punctured, and the root.
type model struct {
	root keytree.Share
	dead map[uint32]bool
}

func (m *model) check(t *testing.T, tree *keytree.Tree, leaf uint32) {
	t.Helper()
	got, err := tree.Share(leaf)
	if tree.Alive(leaf) == m.dead[leaf] {
		t.Fatalf("leaf %d: alive = %v after puncture = %v", leaf, tree.Alive(leaf), m.dead[leaf])
	}
	if m.dead[leaf] {
		if escrow.KindOf(err) != escrow.Erased || got != (keytree.Share{}) {
			t.Fatalf("punctured leaf %d: share %x, error %v; want no share and kind erased", leaf, got, err)
		}
		return
	}
	if err != nil || got != reference(m.root, leaf) {
		t.Fatalf("living leaf %d: the share changed (error %v)", leaf, err)
	}
}

// puncture punctures in model and tree and compares the counts.
func (m *model) puncture(t *testing.T, tree *keytree.Tree, leaves []uint32) {
	t.Helper()
	want := 0
	for _, l := range leaves {
		if !m.dead[l] {
			want++
		}
		m.dead[l] = true
	}
	given := slices.Clone(leaves)
	if got := tree.Puncture(leaves); got != want {
		t.Fatalf("Puncture(%d leaves) = %d, want %d", len(leaves), got, want)
	}
	if !slices.Equal(given, leaves) {
		t.Fatal("Puncture changed its argument")
	}
}

func TestPunctureKeepsAllOtherShares(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, span := range []uint32{8, 64, 1 << 20, 1<<32 - 1} {
		m := &model{root: root(9), dead: map[uint32]bool{}}
		tree := keytree.New(m.root)
		for range 40 {
			batch := make([]uint32, rng.IntN(6))
			for i := range batch {
				batch[i] = rng.Uint32N(span)
			}
			m.puncture(t, tree, batch)
			for _, l := range batch {
				m.check(t, tree, l)
				m.check(t, tree, l^1)
			}
			for range 5 {
				m.check(t, tree, rng.Uint32N(span))
			}
			m.check(t, tree, rng.Uint32())
		}
		parsed, rest, err := keytree.Parse(tree.Append(nil))
		if err != nil || len(rest) != 0 {
			t.Fatalf("Parse(Append) failed: %v, %d bytes left", err, len(rest))
		}
		for leaf := range m.dead {
			m.check(t, parsed, leaf)
			m.check(t, parsed, leaf+1)
		}
	}
}

func TestPunctureEveryLeafOfARange(t *testing.T) {
	tree := keytree.New(root(0))
	all := make([]uint32, 3650)
	for i := range all {
		all[i] = uint32(i)
	}
	tree.Puncture(all)
	if tree.Len() != 27 {
		t.Errorf("%d nodes after 3650 expired days, the minimum is 27", tree.Len())
	}
	all = all[:0]
	for i := uint32(3650); i < 4096; i++ {
		all = append(all, i)
	}
	tree.Puncture(all)
	if tree.Len() != 20 {
		t.Errorf("%d nodes without the first 4096 leaves, the minimum is 20", tree.Len())
	}
}

func TestPuncturedShareIsNotDerivableFromState(t *testing.T) {
	tree := keytree.New(root(3))
	leaf := uint32(0xdeadbeef)
	want, _ := tree.Share(leaf)
	tree.Puncture([]uint32{leaf})
	state := tree.Append(nil)
	k := root(3)
	for bit := 31; bit >= -1; bit-- {
		if bytes.Contains(state, k[:]) {
			t.Fatalf("an ancestor at depth %d of the punctured leaf is still in the state", 31-bit)
		}
		if bit >= 0 {
			k = sha256.Sum256(append(append(k[:], byte(leaf>>bit&1)), "escrow/ggm/v1"...))
		}
	}
	if k != want {
		t.Fatal("the walk did not end at the share")
	}
}

func TestWipeAndClone(t *testing.T) {
	tree := keytree.New(root(3))
	clone := tree.Clone()
	clone.Puncture([]uint32{5})
	if !tree.Alive(5) || clone.Alive(5) {
		t.Error("a clone shares nodes with its original")
	}
	tree.Wipe()
	if tree.Alive(6) || !clone.Alive(6) {
		t.Error("Wipe must empty the tree and leave its clone alone")
	}
	if _, err := tree.Share(6); escrow.KindOf(err) != escrow.Erased {
		t.Errorf("Share after Wipe: %v, want kind erased", err)
	}
}

func TestShareIsSafeForConcurrentUse(t *testing.T) {
	tree := keytree.New(root(7))
	tree.Puncture([]uint32{3})
	var wg sync.WaitGroup
	for g := range uint32(4) {
		wg.Go(func() {
			for i := range uint32(200) {
				leaf := 4 + i*(g+1)
				if s, err := tree.Share(leaf); err != nil || s != reference(root(7), leaf) {
					t.Errorf("leaf %d: wrong share, error %v", leaf, err)
				}
			}
		})
	}
	wg.Wait()
}

// rawNode builds an encoded node.
func rawNode(first uint32, depth byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, first)
	return append(append(b, depth), make([]byte, 32)...)
}

func TestParseRejectsWhatAppendDoesNotWrite(t *testing.T) {
	tests := map[string]struct {
		count uint32
		nodes [][]byte
	}{
		"count beyond the input":  {count: 2, nodes: [][]byte{rawNode(0, 2)}},
		"count beyond all bounds": {count: 1<<32 - 1, nodes: [][]byte{rawNode(0, 2)}},
		"depth 33":                {count: 1, nodes: [][]byte{rawNode(0, 33)}},
		"unaligned":               {count: 1, nodes: [][]byte{rawNode(1, 31)}},
		"unaligned root":          {count: 1, nodes: [][]byte{rawNode(1<<31, 0)}},
		"out of order":            {count: 2, nodes: [][]byte{rawNode(8, 32), rawNode(0, 32)}},
		"twice the same":          {count: 2, nodes: [][]byte{rawNode(8, 32), rawNode(8, 32)}},
		"overlap":                 {count: 2, nodes: [][]byte{rawNode(8, 30), rawNode(9, 32)}},
		"overlap with the root":   {count: 2, nodes: [][]byte{rawNode(0, 0), rawNode(9, 32)}},
		"siblings":                {count: 2, nodes: [][]byte{rawNode(8, 32), rawNode(9, 32)}},
		"siblings at the top":     {count: 2, nodes: [][]byte{rawNode(0, 1), rawNode(1<<31, 1)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := binary.BigEndian.AppendUint32(nil, test.count)
			b = append(b, bytes.Join(test.nodes, nil)...)
			if _, _, err := keytree.Parse(b); err == nil || escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("Parse returned %v, want kind corrupt", err)
			}
		})
	}
	if _, _, err := keytree.Parse([]byte{0, 0, 0}); escrow.KindOf(err) != escrow.Corrupt {
		t.Errorf("Parse of 3 bytes returned %v, want kind corrupt", err)
	}
	neighbours := append(binary.BigEndian.AppendUint32(nil, 2), append(rawNode(9, 32), rawNode(10, 32)...)...)
	if _, _, err := keytree.Parse(neighbours); err != nil {
		t.Errorf("neighbours that are not siblings must be accepted: %v", err)
	}
}

func TestRef(t *testing.T) {
	r := keytree.Ref{Kind: keytree.KindSubject, Tree: 0x0102, Leaf: 0x03040506}
	b := r.Append([]byte("x"))
	if diff := cmp.Diff([]byte("xS\x01\x02\x03\x04\x05\x06"), b); diff != "" {
		t.Error(diff)
	}
	got, rest, err := keytree.ParseRef(append(b[1:], 0xff))
	if err != nil || got != r || len(rest) != 1 {
		t.Errorf("ParseRef = %v, %d bytes left, %v", got, len(rest), err)
	}
	for name, bad := range map[string]string{"short": "S\x00\x00\x00\x00\x00", "kind": "Q\x00\x00\x00\x00\x00\x00", "empty": ""} {
		if _, _, err := keytree.ParseRef([]byte(bad)); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("%s: %v, want kind corrupt", name, err)
		}
	}
	bigger := keytree.Ref{Kind: keytree.KindSubject, Tree: 0x0103}
	if r.Compare(bigger) != -1 || bigger.Compare(r) != 1 || r.Compare(r) != 0 {
		t.Error("Compare does not order as the encodings are ordered")
	}
}

func FuzzParse(f *testing.F) {
	tree := keytree.New(root(4))
	f.Add(tree.Append(nil))
	tree.Puncture([]uint32{1, 2, 3, 1 << 31})
	f.Add(tree.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, rest, err := keytree.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tree.Append(nil), b[:len(b)-len(rest)]) {
			t.Error("an encoding was accepted that Append does not write")
		}
	})
}
