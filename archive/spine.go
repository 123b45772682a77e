package archive

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
)

// spine is the right edge of the tree: the roots of the complete subtrees the leaves so far fall into, largest first. It is all that is needed to add
// a leaf and to know the root, so that neither reads anything.
type spine struct {
	size  uint64
	roots []tlog.Hash // one for each 1 in the binary form of size
}

// add adds a leaf and appends the hashes it completes to b in the order of the tlog package's hash storage: the leaf, then each subtree.
func (s *spine) add(b []byte, leaf tlog.Hash) []byte {
	b = append(b, leaf[:]...)
	for n := s.size; n&1 == 1; n >>= 1 {
		last := len(s.roots) - 1
		leaf = tlog.NodeHash(s.roots[last], leaf)
		s.roots = s.roots[:last]
		b = append(b, leaf[:]...)
	}
	s.roots = append(s.roots, leaf)
	s.size++
	return b
}

// addAll adds leaves and forgets the hashes.
func (s *spine) addAll(leaves []tlog.Hash) {
	var scratch []byte
	for _, leaf := range leaves {
		scratch = s.add(scratch[:0], leaf)
	}
}

// root returns the root of the tree.
func (s *spine) root() tlog.Hash {
	if s.size == 0 {
		return emptyRoot()
	}
	last := len(s.roots) - 1
	root := s.roots[last]
	for i := last - 1; i >= 0; i-- {
		root = tlog.NodeHash(s.roots[i], root)
	}
	return root
}

// emptyRoot returns the root of the tree without leaves: SHA-256 of nothing.
func emptyRoot() tlog.Hash {
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		panic(err) // reads nothing, so cannot fail
	}
	return root
}

func (s *spine) clone() spine {
	return spine{size: s.size, roots: append(make([]tlog.Hash, 0, len(s.roots)+2), s.roots...)}
}

// loadSpine reads the right edge of a tree from its stored hashes.
func loadSpine(size escrow.TreeSize, r tlog.HashReader) (spine, error) {
	s := spine{size: uint64(size)}
	var at []int64
	for lo, rest := int64(0), uint64(size); rest > 0; {
		level := bits.Len64(rest) - 1
		at = append(at, tlog.StoredHashIndex(level, lo>>level))
		lo += 1 << level
		rest -= 1 << level
	}
	roots, err := r.ReadHashes(at)
	s.roots = roots
	return s, err
}

// storedHashes returns the number of hashes in storage for the first n leaves; the next one is that of leaf n.
func storedHashes(n uint64) int64 { return tlog.StoredHashCount(int64(n)) }
