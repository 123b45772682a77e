package keytree_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"escrow"
	"escrow/crypto/keytree"
)

// span is a range of leaves, both included.
type span struct{ from, to uint32 }

// intervals is a key tree by brute force: the punctured leaves as ranges, in order and not touching.
type intervals struct {
	root keytree.Share
	dead []span
}

// kill adds a range and returns how many of its leaves were alive.
func (m *intervals) kill(from, to uint32) int {
	if from > to {
		return 0
	}
	n := int(to-from) + 1
	merged := span{from, to}
	rest := m.dead[:0:0]
	for _, d := range m.dead {
		if first, last := max(d.from, from), min(d.to, to); first <= last {
			n -= int(last-first) + 1
		}
		touches := uint64(d.from) <= uint64(merged.to)+1 && uint64(merged.from) <= uint64(d.to)+1
		if touches {
			merged = span{min(d.from, merged.from), max(d.to, merged.to)}
		} else {
			rest = append(rest, d)
		}
	}
	m.dead = append(rest, merged)
	slices.SortFunc(m.dead, func(a, b span) int { return int(int64(a.from) - int64(b.from)) })
	return n
}

func (m *intervals) isDead(leaf uint32) bool {
	return slices.ContainsFunc(m.dead, func(d span) bool { return d.from <= leaf && leaf <= d.to })
}

// verify compares a tree with the model at the ends of every range and beside them, in counts, and in its encoding, which depends on nothing but the
// living leaves.
func (m *intervals) verify(t *testing.T, tree *keytree.Tree) {
	t.Helper()
	alive := 1 << 32
	fresh := keytree.New(m.root)
	for _, d := range m.dead {
		alive -= int(d.to-d.from) + 1
		fresh.PunctureRange(d.from, d.to)
		for _, leaf := range []uint32{d.from - 1, d.from, d.from + (d.to-d.from)/2, d.to, d.to + 1} {
			got, err := tree.Share(leaf)
			switch dead := m.isDead(leaf); {
			case tree.Alive(leaf) == dead:
				t.Fatalf("leaf %d: alive = %v, punctured = %v", leaf, tree.Alive(leaf), dead)
			case dead && (escrow.KindOf(err) != escrow.Erased || got != keytree.Share{}):
				t.Fatalf("punctured leaf %d: a share, or error %v", leaf, err)
			case !dead && (err != nil || got != reference(m.root, leaf)):
				t.Fatalf("living leaf %d: another share, or error %v", leaf, err)
			}
		}
	}
	if n := tree.Living(0, math.MaxUint32); n != alive {
		t.Fatalf("%d leaves live, want %d", n, alive)
	}
	if !bytes.Equal(tree.Append(nil), fresh.Append(nil)) {
		t.Fatal("two trees with the same living leaves have different encodings")
	}
}

// step takes one change from data and makes it in tree and model. It returns the tree to go on with.
func (m *intervals) step(t *testing.T, tree *keytree.Tree, op byte, a, b uint32) *keytree.Tree {
	t.Helper()
	want, got := 0, 0
	switch op % 6 {
	case 0: // a leaf
		want, got = m.kill(a, a), tree.Puncture([]uint32{a})
	case 1: // neighbours, unordered and twice
		leaves := []uint32{a + 1, a, a + 3, a}
		for _, leaf := range leaves {
			want += m.kill(leaf, leaf)
		}
		got = tree.Puncture(leaves)
	case 2: // a range
		want, got = m.kill(min(a, b), max(a, b)), tree.PunctureRange(min(a, b), max(a, b))
	case 3: // a short range
		to := a + min(b%1000, math.MaxUint32-a)
		want = m.kill(a, to)
		if alive := tree.Living(a, to); alive != want {
			t.Fatalf("%d leaves from %d to %d live, want %d", alive, a, to, want)
		}
		got = tree.PunctureRange(a, to)
	case 4: // an empty one
		got = tree.PunctureRange(max(a, b), min(a, b))
		if a == b {
			want = m.kill(a, a)
		}
	case 5: // to the disk and back
		back, rest, err := keytree.Parse(tree.Append(nil))
		if err != nil || len(rest) > 0 {
			t.Fatalf("a tree does not come back: %v, %d bytes left", err, len(rest))
		}
		tree.Wipe()
		tree = back
	}
	if got != want {
		t.Fatalf("change %d of %d and %d destroyed %d keys, want %d", op%6, a, b, got, want)
	}
	return tree
}

func TestRangesAndBatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, bits := range []uint32{1 << 4, 1 << 12, 1 << 31, math.MaxUint32} {
		m := &intervals{root: root(3)}
		tree := keytree.New(m.root)
		for range 60 {
			tree = m.step(t, tree, byte(rng.Uint32()), rng.Uint32N(bits), rng.Uint32N(bits))
			m.verify(t, tree)
		}
	}
}

func TestPunctureRange(t *testing.T) {
	tests := map[string]struct {
		from, to uint32
		nodes    int // left of a whole tree
	}{
		"everything":     {0, math.MaxUint32, 0},
		"lower half":     {0, 1<<31 - 1, 1},
		"upper half":     {1 << 31, math.MaxUint32, 1},
		"all but first":  {1, math.MaxUint32, 1},
		"all but last":   {0, math.MaxUint32 - 1, 1},
		"one leaf":       {7, 7, 32},
		"ten years":      {0, 3649, 27},
		"longest border": {1, math.MaxUint32 - 1, 2},
		"most nodes":     {1<<31 - 1, 1 << 31, 62},
		"backwards":      {9, 8, 1},
	}
	for name, test := range tests {
		m := &intervals{root: root(5)}
		tree := keytree.New(m.root)
		want := m.kill(test.from, test.to)
		if got := tree.PunctureRange(test.from, test.to); got != want || tree.Len() != test.nodes {
			t.Errorf("%s: %d keys destroyed, %d nodes left; want %d and %d", name, got, tree.Len(), want, test.nodes)
		}
		m.verify(t, tree)
	}
}

// TestPunctureRangeForgets: no stored node is an ancestor of a leaf of the range.
func TestPunctureRangeForgets(t *testing.T) {
	tree := keytree.New(root(3))
	if _, err := tree.Share(1000); err != nil { // so that the path to it is remembered
		t.Fatal(err)
	}
	tree.PunctureRange(900, 1100)
	if _, err := tree.Share(1000); escrow.KindOf(err) != escrow.Erased {
		t.Errorf("a leaf of the range: %v, want kind erased", err)
	}
	state := tree.Append(nil)
	for _, leaf := range []uint32{900, 1000, 1100} {
		for depth := range 33 {
			if k := ancestor(root(3), leaf, depth); bytes.Contains(state, k[:]) {
				t.Errorf("the ancestor of leaf %d at depth %d is in the state", leaf, depth)
			}
		}
	}
}

// ancestor derives a node by the definition in the package comment.
func ancestor(k keytree.Share, leaf uint32, depth int) keytree.Share {
	for d := range depth {
		k = step(k, byte(leaf>>(31-d)&1))
	}
	return k
}

// FuzzModel: what was derivable before is derivable after, except what was punctured, whatever the order of leaves, batches, ranges and round trips; and
// the encoding depends on nothing but the living leaves.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 2, 5, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe})
	f.Add([]byte{3, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 200, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &intervals{root: root(2)}
		tree := keytree.New(m.root)
		for range 24 {
			if len(data) < 9 {
				break
			}
			tree = m.step(t, tree, data[0], binary.BigEndian.Uint32(data[1:]), binary.BigEndian.Uint32(data[5:]))
			data = data[9:]
		}
		m.verify(t, tree)
	})
}
