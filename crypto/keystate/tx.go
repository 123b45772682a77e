package keystate

import (
	"io"
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
	epoch  bool // the change begins an epoch
	err    error
}

// begin returns a transaction on a copy that shares the trees of before.
func begin(before *content, rand io.Reader) *Tx {
	return &Tx{c: before.next(), before: before, rand: rand}
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

// Puncture destroys the keys the references name and returns how many of them were alive; if there were any, the change begins an epoch. Puncturing
// twice is allowed. A tree that does not exist fails the Update with kind NotFound. After DropAll nothing is left to destroy.
func (tx *Tx) Puncture(refs ...keytree.Ref) int {
	leaves := map[treeID][]uint32{}
	for _, ref := range refs {
		id := treeID{kind: ref.Kind, number: ref.Tree}
		if tree := tx.tree("keystate.Puncture", id); tree != nil && tree.Alive(ref.Leaf) {
			leaves[id] = append(leaves[id], ref.Leaf)
		}
	}
	if tx.err != nil {
		return 0
	}
	n := 0
	for id, leaves := range leaves {
		n += tx.own(id).Puncture(leaves)
	}
	tx.epoch = tx.epoch || n > 0
	return n
}

// PunctureRange destroys the keys at the leaves from … to of one tree, both included, and returns how many of them were alive, as Puncture does. It
// costs the same for a day and for a million days.
func (tx *Tx) PunctureRange(kind keytree.Kind, number uint16, from, to uint32) int {
	id := treeID{kind: kind, number: number}
	tree := tx.tree("keystate.PunctureRange", id)
	if tree == nil || tree.Living(from, to) == 0 {
		return 0
	}
	tx.epoch = true
	return tx.own(id).PunctureRange(from, to)
}

// tree returns a tree to look at, nil if there is none or something went wrong.
func (tx *Tx) tree(op string, id treeID) *keytree.Tree {
	if tx.err != nil || tx.c.terminated {
		return nil
	}
	tree := tx.c.trees[id]
	if tree == nil {
		tx.fail(noTree(op, id.kind, id.number))
	}
	return tree
}

// own returns a tree that may be changed: a copy, the first time.
func (tx *Tx) own(id treeID) *keytree.Tree {
	if tx.c.trees[id] == tx.before.trees[id] {
		tx.c.trees[id] = tx.c.trees[id].Clone()
	}
	return tx.c.trees[id]
}

// AddTree adds a key tree with a fresh root, for a retention class; one that exists stays as it is. It begins an epoch. A kind of which there is one
// tree or generations of it, or more than MaxTrees trees, fail the Update with kind Invalid.
func (tx *Tx) AddTree(kind keytree.Kind, number uint16) {
	id := treeID{kind: kind, number: number}
	switch {
	case tx.err != nil || tx.c.trees[id] != nil:
	case kind != keytree.KindRetention:
		tx.fail(escrow.Errorf("keystate.AddTree", escrow.Invalid, "key trees of kind %q are not added one by one", rune(kind)))
	default:
		tx.add(id)
	}
}

func (tx *Tx) add(id treeID) {
	switch {
	case tx.c.terminated:
		tx.fail(escrow.Errorf("keystate.AddTree", escrow.Conflict, "all keys of this tenant have been destroyed; there will be no others"))
	case len(tx.c.trees) >= MaxTrees:
		tx.fail(escrow.Errorf("keystate.AddTree", escrow.Invalid, "there are %d key trees, and cannot be more", MaxTrees))
	default:
		tx.epoch = true
		if err := tx.c.addTree(tx.rand, id); err != nil {
			tx.fail(err)
		}
	}
}

// StartGeneration begins another tree for the leaves of subjects or messages from first on, so that who steals the keys of one generation does not have the
// next. Nothing may be sealed under a leaf from first on yet: choose it beyond any in use. It begins an epoch. A first not above that of the generation
// before fails the Update with kind Conflict, another kind of leaf with kind Invalid.
func (tx *Tx) StartGeneration(kind keytree.Kind, first uint32) {
	firsts := tx.c.generations[kind]
	switch {
	case tx.err != nil:
	case kind != keytree.KindSubject && kind != keytree.KindMessage:
		tx.fail(escrow.Errorf("keystate.StartGeneration", escrow.Invalid, "only subjects and messages have generations of key trees"))
	case first <= firsts[len(firsts)-1]:
		tx.fail(escrow.Errorf("keystate.StartGeneration", escrow.Conflict, "a generation from leaf %d on is there already", firsts[len(firsts)-1]))
	default:
		tx.generation(kind, first)
	}
}

func (tx *Tx) generation(kind keytree.Kind, first uint32) {
	tx.add(treeID{kind: kind, number: uint16(len(tx.c.generations[kind]))})
	tx.c.generations[kind] = append(tx.c.generations[kind], first)
}

// RenewIndexTree destroys the keys of all index files there ever were and begins another tree for those to come: the index must be built anew. It begins an
// epoch.
func (tx *Tx) RenewIndexTree() {
	const kind = keytree.KindIndexFile
	if tx.err != nil || tx.c.terminated {
		return
	}
	tx.PunctureRange(kind, uint16(len(tx.c.generations[kind])-1), 0, math.MaxUint32)
	tx.generation(kind, tx.c.indexLeaves)
}

// DropAll destroys every key of the tenant but the one that signs: nothing can be read or sealed any more. It begins an epoch.
func (tx *Tx) DropAll() {
	if tx.err != nil {
		return
	}
	for id, tree := range tx.c.trees {
		if tx.before.trees[id] != tree {
			tree.Wipe()
		}
	}
	clear(tx.c.trees)
	clear(tx.c.secret[:])
	tx.c.terminated, tx.epoch = true, true
}

// Rotate begins an epoch although nothing is destroyed.
func (tx *Tx) Rotate() { tx.epoch = true }

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

// ReserveIndexLeaves gives out n leaves of index files, which are first … first+n-1 and will never be given out again. When all 2³²-1 are gone, or after
// DropAll, it fails the Update with kind Conflict.
func (tx *Tx) ReserveIndexLeaves(n uint32) (first uint32, err error) {
	first = tx.c.indexLeaves
	if n > math.MaxUint32-first || tx.c.terminated {
		tx.fail(escrow.Errorf("keystate.ReserveIndexLeaves", escrow.Conflict, "%d more index files exceed the key tree, or its keys have all been destroyed", n))
		return 0, tx.err
	}
	tx.c.indexLeaves += n
	return first, nil
}

// forget takes roots that have been destroyed from the list of those retired.
func (tx *Tx) forget(epochs []uint64) {
	tx.c.retired = slices.DeleteFunc(tx.c.retired, func(r Retired) bool { return slices.Contains(epochs, r.Epoch) })
}
