package bleveindex

import (
	"crypto/cipher"
	"io"
	"maps"
	"slices"
	"sync"

	"escrow"
	"escrow/crypto/keytree"
)

// FileKeys gives out the keys of index files; the tenant's key state stands behind it. It must be safe for concurrent use.
type FileKeys interface {
	// IndexShare returns the share of a leaf, or an error of kind Erased once the leaf was punctured.
	IndexShare(leaf uint32) (keytree.Share, error)
	// NextIndexLeaf returns a leaf that no file had before and none will have again, even after a crash.
	NextIndexLeaf() (uint32, error)
}

// fileKeys makes the sealers and openers of one index and remembers which leaves it has met, so that it can say which ones are dead.
type fileKeys struct {
	index  string // id of the index, the first part of every file id
	source FileKeys
	rand   io.Reader

	mu    sync.Mutex
	known map[uint32]bool
}

func (k *fileKeys) next() (uint32, error) {
	leaf, err := k.source.NextIndexLeaf()
	if err != nil {
		return 0, escrow.Errorf("bleveindex.File", escrow.KindOf(err), "reserving a key for an index file: %w", err)
	}
	k.meet(leaf)
	return leaf, nil
}

func (k *fileKeys) sealer() (*sealer, error) {
	leaf, err := k.next()
	if err != nil {
		return nil, err
	}
	return k.sealerFor(leaf)
}

// sealerFor returns a sealer with a fresh salt, so that one leaf can serve several files.
func (k *fileKeys) sealerFor(leaf uint32) (*sealer, error) {
	s := &sealer{id: fileID{index: k.index, leaf: leaf}}
	if _, err := io.ReadFull(k.rand, s.id.salt[:]); err != nil {
		return nil, escrow.Errorf("bleveindex.File", escrow.Unavailable, "no randomness: %w", err)
	}
	aead, err := k.aead(s.id)
	s.aead = aead
	return s, err
}

func (k *fileKeys) opener(id string) (cipher.AEAD, error) {
	f, err := parseFileID(id)
	if err != nil {
		return nil, err
	}
	if f.index != k.index {
		return nil, escrow.Errorf("bleveindex.File", escrow.Forged, "a file of another index: rebuild the index from the ledger")
	}
	k.meet(f.leaf)
	return k.aead(f)
}

func (k *fileKeys) aead(id fileID) (cipher.AEAD, error) {
	share, err := k.source.IndexShare(id.leaf)
	if err != nil {
		return nil, escrow.Errorf("bleveindex.File", escrow.KindOf(err), "the key of an index file: %w", err)
	}
	defer clear(share[:])
	aead, err := newAEAD(share, id.salt[:])
	if err != nil {
		return nil, escrow.Errorf("bleveindex.File", escrow.Internal, "the cipher of an index file: %w", err)
	}
	return aead, nil
}

func (k *fileKeys) meet(leaf uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[leaf] = true
}

// met returns the leaves known now.
func (k *fileKeys) met() []uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.known))
}

// forget removes leaves that are dead.
func (k *fileKeys) forget(dead []uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, leaf := range dead {
		delete(k.known, leaf)
	}
}
