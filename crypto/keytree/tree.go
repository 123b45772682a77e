package keytree

import (
	"crypto/sha256"
	"math/bits"
	"slices"
	"sort"
	"sync"

	"escrow"
)

// Tree is a puncturable key tree. Share and Alive are safe for concurrent use with each other; every other method needs the tree to itself.
type Tree struct {
	nodes []node // covering the living leaves, in order

	mu   sync.Mutex
	last path // the derivation before, so that neighbouring leaves cost a step or two instead of 32
}

// node covers the leaves [first, first + 2^(32-depth)).
type node struct {
	key   Share
	first uint32
	depth uint8
}

// path is one derivation from a stored node down to a leaf: keys[d] is the key at depth d, for top ≤ d ≤ 32.
type path struct {
	valid bool
	leaf  uint32
	top   int
	keys  [depth + 1]Share
}

// New returns a tree in which every leaf is alive.
func New(root Share) *Tree { return &Tree{nodes: []node{{key: root}}} }

// Share derives the key at a leaf, in at most 32 SHA-256 compressions. It fails with kind Erased if the leaf is punctured.
func (t *Tree) Share(leaf uint32) (Share, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.last
	from := bits.LeadingZeros32(leaf ^ p.leaf) // depth down to which both leaves have the same ancestors
	if !p.valid || from < p.top {
		i := t.find(leaf)
		if i < 0 {
			return Share{}, escrow.Errorf("keytree.Share", escrow.Erased, "the key at this leaf has been destroyed")
		}
		from = int(t.nodes[i].depth)
		p.valid, p.top, p.keys[from] = true, from, t.nodes[i].key
	}
	for d := from; d < depth; d++ {
		child(&p.keys[d+1], &p.keys[d], byte(leaf>>(depth-1-d)&1))
	}
	p.leaf = leaf
	return p.keys[depth], nil
}

// Alive reports whether the key at a leaf can still be derived.
func (t *Tree) Alive(leaf uint32) bool { return t.find(leaf) >= 0 }

// Len returns the number of stored nodes, a measure of the tree's size: 37 bytes each when encoded, 40 in memory.
func (t *Tree) Len() int { return len(t.nodes) }

// Puncture destroys the keys at the given leaves, in any order and with repetitions, and returns how many of them were alive. One call costs a pass
// over the tree, however many leaves it names. The old nodes are overwritten in memory.
func (t *Tree) Puncture(leaves []uint32) int {
	leaves = slices.Clone(leaves)
	slices.Sort(leaves)
	leaves = slices.Compact(leaves)
	old := t.nodes
	t.nodes = make([]node, 0, len(old)+len(leaves)*4)
	destroyed := 0
	for i := range old {
		if len(leaves) == 0 {
			t.nodes = append(t.nodes, old[i:]...)
			break
		}
		below, _ := slices.BinarySearch(leaves, old[i].first)
		end := sort.Search(len(leaves[below:]), func(k int) bool { return !old[i].covers(leaves[below+k]) })
		mine := leaves[below : below+end]
		leaves = leaves[below+end:]
		t.nodes = old[i].without(mine, t.nodes)
		destroyed += len(mine)
	}
	clear(old)
	t.last = path{}
	return destroyed
}

// PunctureRange destroys the keys at the leaves from … to, both included, and returns how many of them were alive. What covers them is dropped as a whole:
// however many there are, at most 62 nodes are added. The old nodes are overwritten in memory.
func (t *Tree) PunctureRange(from, to uint32) int {
	destroyed := t.Living(from, to)
	if destroyed == 0 {
		return 0
	}
	old := t.nodes
	t.nodes = make([]node, 0, len(old)+2*depth)
	for i := range old {
		t.nodes = old[i].outside(from, to, t.nodes)
	}
	clear(old)
	t.last = path{}
	return destroyed
}

// Living returns how many of the leaves from … to, both included, are alive.
func (t *Tree) Living(from, to uint32) (n int) {
	for i := max(0, t.after(from)-1); i < len(t.nodes) && t.nodes[i].first <= to; i++ {
		first, last := max(from, t.nodes[i].first), min(to, t.nodes[i].first+t.nodes[i].span())
		if first <= last {
			n += int(last-first) + 1
		}
	}
	return n
}

// Clone returns an independent copy.
func (t *Tree) Clone() *Tree { return &Tree{nodes: slices.Clone(t.nodes)} }

// Wipe overwrites every key held in memory; the tree then has no living leaf. Copies the runtime made are out of reach.
func (t *Tree) Wipe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.nodes)
	t.nodes = nil
	t.last = path{}
}

// find returns the position of the node that covers leaf, or -1.
func (t *Tree) find(leaf uint32) int {
	i := t.after(leaf) - 1
	if i < 0 || !t.nodes[i].covers(leaf) {
		return -1
	}
	return i
}

// after returns the position of the first node beyond leaf.
func (t *Tree) after(leaf uint32) int {
	return sort.Search(len(t.nodes), func(i int) bool { return t.nodes[i].first > leaf })
}

func (n *node) covers(leaf uint32) bool { return (leaf^n.first)&^n.span() == 0 }

// span returns the number of leaves n covers, less one: the bits of a leaf number that n leaves open.
func (n *node) span() uint32 { return uint32(uint64(1)<<(depth-n.depth) - 1) }

// without appends to out the nodes that cover what n covers, except the given leaves of it, sorted and distinct.
func (n *node) without(leaves []uint32, out []node) []node {
	if len(leaves) == 0 {
		return append(out, *n)
	}
	if n.depth == depth {
		return out
	}
	low, high := n.children()
	split, _ := slices.BinarySearch(leaves, high.first)
	out = low.without(leaves[:split], out)
	return high.without(leaves[split:], out)
}

// outside appends to out the nodes that cover what n covers outside the leaves from … to.
func (n *node) outside(from, to uint32, out []node) []node {
	last := n.first + n.span()
	switch {
	case last < from || n.first > to:
		return append(out, *n)
	case from <= n.first && last <= to:
		return out
	}
	low, high := n.children()
	return high.outside(from, to, low.outside(from, to, out))
}

func (n *node) children() (low, high node) {
	low, high = node{depth: n.depth + 1, first: n.first}, node{depth: n.depth + 1, first: n.first | 1<<(depth-1-n.depth)}
	child(&low.key, &n.key, 0)
	child(&high.key, &n.key, 1)
	return low, high
}

// label separates this derivation from every other use of SHA-256.
const label = "escrow/ggm/v1"

func child(out, parent *Share, bit byte) {
	var b [len(Share{}) + 1 + len(label)]byte
	copy(b[:], parent[:])
	b[len(parent)] = bit
	copy(b[len(parent)+1:], label)
	*out = sha256.Sum256(b[:])
}
