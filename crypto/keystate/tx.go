package keystate

import (
	"io"
	"maps"
	"math"
	"slices"

	"escrow"
	"escrow/crypto/keytree"
)

// Tx collects the changes of one Update. The first thing that goes wrong fails the whole Update; methods after it do nothing. A Tx must not be used
// after the function it was given to has returned, nor concurrently.
type Tx struct {
	c      *content
	before *content
	rand   io.Reader
	err    error
}

// begin returns a transaction on a copy that shares the trees of before.
func begin(before *content, rand io.Reader) *Tx {
	c := *before
	c.epoch++
	c.signing = slices.Clone(before.signing)
	c.trees = maps.Clone(before.trees)
	return &Tx{c: &c, before: before, rand: rand}
}

func (tx *Tx) run(fn func(*Tx) error) error {
	if err := fn(tx); err != nil {
		return err
	}
	return tx.err
}

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// Puncture destroys the keys the references name and returns how many of them were alive. Puncturing twice is allowed. A tree that does not exist fails
// the Update with kind NotFound.
func (tx *Tx) Puncture(refs ...keytree.Ref) int {
	leaves := map[treeID][]uint32{}
	for _, ref := range refs {
		id := treeID{kind: ref.Kind, number: ref.Tree}
		if tx.c.trees[id] == nil {
			tx.fail(noTree("keystate.Puncture", ref.Kind, ref.Tree))
		}
		leaves[id] = append(leaves[id], ref.Leaf)
	}
	if tx.err != nil {
		return 0
	}
	n := 0
	for id, leaves := range leaves {
		n += tx.own(id).Puncture(leaves)
	}
	return n
}

// own returns a tree that may be changed: a copy, the first time.
func (tx *Tx) own(id treeID) *keytree.Tree {
	if tx.c.trees[id] == tx.before.trees[id] {
		tx.c.trees[id] = tx.c.trees[id].Clone()
	}
	return tx.c.trees[id]
}

// AddTree adds a key tree with a fresh root, for a retention class or a new generation; one that exists stays as it is. An unknown kind, or more than
// MaxTrees trees, fail the Update with kind Invalid.
func (tx *Tx) AddTree(kind keytree.Kind, number uint16) {
	id := treeID{kind: kind, number: number}
	switch {
	case tx.err != nil || tx.c.trees[id] != nil:
	case !kind.Valid() || len(tx.c.trees) >= MaxTrees:
		tx.fail(escrow.Errorf("keystate.AddTree", escrow.Invalid, "there is no such kind of key tree, or %d trees exist already", MaxTrees))
	default:
		if err := tx.c.addTree(tx.rand, id); err != nil {
			tx.fail(err)
		}
	}
}

// SetApplied records that all erasure events before this ledger position are applied. A position before the current one fails the Update with kind
// Conflict.
func (tx *Tx) SetApplied(size escrow.TreeSize) { tx.raise(&tx.c.applied, size, "applied position") }

// SetSigned records the size of a ledger that has been signed, or is about to be. A smaller size than the current one fails the Update with kind
// Conflict.
func (tx *Tx) SetSigned(size escrow.TreeSize) { tx.raise(&tx.c.signed, size, "signed size") }

func (tx *Tx) raise(to *escrow.TreeSize, size escrow.TreeSize, what string) {
	if size < *to {
		tx.fail(escrow.Errorf("keystate.Update", escrow.Conflict, "the %s cannot go back from %d to %d", what, *to, size))
		return
	}
	*to = size
}

// ReserveIndexLeaves gives out n leaves of the index file tree, which are first … first+n-1 and will never be given out again. When all 2³²-1 are gone
// it fails the Update with kind Conflict.
func (tx *Tx) ReserveIndexLeaves(n uint32) (first uint32, err error) {
	first = tx.c.indexLeaves
	if n > math.MaxUint32-first {
		tx.fail(escrow.Errorf("keystate.ReserveIndexLeaves", escrow.Conflict, "%d more index files exceed the key tree: a new generation is needed", n))
		return 0, tx.err
	}
	tx.c.indexLeaves += n
	return first, nil
}
