package keytree

import (
	"encoding/binary"

	"escrow"
)

const nodeBytes = 4 + 1 + 32

// AppendedBytes returns the number of bytes Append adds.
func (t *Tree) AppendedBytes() int { return 4 + len(t.nodes)*nodeBytes }

// Append appends the canonical encoding of t, which holds every living key in clear: seal it, and wipe the buffer.
func (t *Tree) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.nodes)))
	for i := range t.nodes {
		n := &t.nodes[i]
		b = binary.BigEndian.AppendUint32(b, n.first)
		b = append(b, n.depth)
		b = append(b, n.key[:]...)
	}
	return b
}

// Parse reads a tree from the front of b and returns the rest. It accepts only what Append writes and at most MaxNodes nodes; anything else is an
// error of kind Corrupt. The tree does not share memory with b.
func Parse(b []byte) (*Tree, []byte, error) {
	if len(b) < 4 {
		return nil, nil, corrupt("a key tree starts with 4 bytes, here are %d", len(b))
	}
	count := int(binary.BigEndian.Uint32(b))
	b = b[4:]
	if count > MaxNodes || count > len(b)/nodeBytes {
		return nil, nil, corrupt("a key tree of %d nodes does not fit %d bytes, or exceeds %d nodes", count, len(b), MaxNodes)
	}
	t := &Tree{nodes: make([]node, count)}
	for i := range t.nodes {
		n := &t.nodes[i]
		n.first, n.depth, n.key = binary.BigEndian.Uint32(b), b[4], Share(b[5:nodeBytes])
		b = b[nodeBytes:]
		if n.depth > depth || n.first&n.span() != 0 {
			return nil, nil, corrupt("node %d of a key tree is not aligned to its depth", i)
		}
		if i > 0 && !n.follows(&t.nodes[i-1]) {
			return nil, nil, corrupt("node %d of a key tree is out of order, overlaps or is the sibling of the one before", i)
		}
	}
	return t, b, nil
}

// follows reports whether n may stand behind prev in a minimal covering set: beyond it, and not its sibling.
func (n *node) follows(prev *node) bool {
	if n.first <= prev.first+prev.span() {
		return false
	}
	siblings := n.depth == prev.depth && n.first^prev.first == 1<<(depth-n.depth)
	return !siblings
}

func corrupt(format string, args ...any) error {
	return escrow.Errorf("keytree.Parse", escrow.Corrupt, format, args...)
}
