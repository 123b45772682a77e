package archive

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
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

// emptyRoot returns the root of the tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
func emptyRoot() tlog.Hash { return sha256.Sum256(nil) }

func (s *spine) clone() spine {
	return spine{size: s.size, roots: append(make([]tlog.Hash, 0, len(s.roots)+2), s.roots...)}
}

// storedHashes returns the number of hashes in storage for the first n leaves; the next one is that of leaf n.
func storedHashes(n uint64) int64 { return tlog.StoredHashCount(int64(n)) }
