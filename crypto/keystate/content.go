package keystate

import (
	"cmp"
	"encoding/binary"
	"io"
	"maps"
	"slices"
	"time"

	"escrow"
	"escrow/crypto/keytree"
)

// treeID names a tree.
type treeID struct {
	kind   keytree.Kind
	number uint16
}

func (a treeID) compare(b treeID) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.number, b.number))
}

// generationKinds are the kinds whose trees are generations of one another, in the order of the file. The tree numbered g of such a kind has the leaves from
// its first one up to that of generation g+1. Of the other kinds there is one tree, numbered 0, but for retention classes, which number their own.
var generationKinds = []keytree.Kind{keytree.KindMessage, keytree.KindSubject, keytree.KindIndexFile}

// foundingKinds are the kinds of the trees every state has, in the order of the file. Retention classes get theirs when they are first used.
var foundingKinds = []keytree.Kind{keytree.KindRecord, keytree.KindHold, keytree.KindIngestDay, keytree.KindMessage, keytree.KindSubject, keytree.KindIndexFile}

// Retired is a root under which nothing is sealed any more, and which still exists.
type Retired struct {
	Epoch uint64
	At    time.Time // to the second
}

// content is what a state file says. A content in use is never changed; a change makes another that shares the trees it did not touch.
type content struct {
	version     uint64
	epoch       uint64
	applied     escrow.TreeSize
	signed      escrow.TreeSize
	indexLeaves uint32 // leaves of index files given out
	terminated  bool
	secret      [32]byte
	signing     []byte
	retired     []Retired // ascending by epoch
	generations map[keytree.Kind][]uint32
	trees       map[treeID]*keytree.Tree
}

// newContent returns what a tenant has before its first change: fresh secrets, and a tree of every kind but retention classes, which come with AddTree.
func newContent(rand io.Reader, signing []byte) (*content, error) {
	c := &content{signing: slices.Clone(signing), trees: map[treeID]*keytree.Tree{}, generations: map[keytree.Kind][]uint32{}}
	if _, err := io.ReadFull(rand, c.secret[:]); err != nil {
		return nil, escrow.Errorf("keystate.Create", escrow.Internal, "no randomness: %w", err)
	}
	for _, kind := range foundingKinds {
		if err := c.addTree(rand, treeID{kind: kind}); err != nil {
			return nil, err
		}
	}
	for _, kind := range generationKinds {
		c.generations[kind] = []uint32{0}
	}
	return c, nil
}

func (c *content) addTree(rand io.Reader, id treeID) error {
	var root keytree.Share
	if _, err := io.ReadFull(rand, root[:]); err != nil {
		return escrow.Errorf("keystate.AddTree", escrow.Internal, "no randomness: %w", err)
	}
	c.trees[id] = keytree.New(root)
	clear(root[:])
	return nil
}

// next returns a copy to change, which shares the trees of c.
func (c *content) next() *content {
	n := *c
	n.version++
	n.signing = slices.Clone(c.signing)
	n.retired = slices.Clone(c.retired)
	n.generations = map[keytree.Kind][]uint32{}
	for kind, firsts := range c.generations {
		n.generations[kind] = slices.Clone(firsts)
	}
	n.trees = maps.Clone(c.trees)
	return &n
}

// ref names the leaf of a kind in the generation that has it.
func (c *content) ref(kind keytree.Kind, leaf uint32) keytree.Ref {
	ref := keytree.Ref{Kind: kind, Leaf: leaf}
	for g, first := range c.generations[kind] {
		if first <= leaf {
			ref.Tree = uint16(g)
		}
	}
	return ref
}

// ids returns the names of the trees in order.
func (c *content) ids() []treeID { return slices.SortedFunc(maps.Keys(c.trees), treeID.compare) }

// size returns the number of bytes append adds.
func (c *content) size() int {
	n := 8 + 8 + 4 + 1 + len(c.secret) + 2 + len(c.signing) + 2 + len(c.retired)*16 + 2
	for _, firsts := range c.generations {
		n += 2 + len(firsts)*4
	}
	for _, t := range c.trees {
		n += 3 + t.AppendedBytes()
	}
	return n
}

// append appends the encoding, which is all the tenant's keys in clear. Version and epoch are not in it: they are in the header, which is bound to it.
func (c *content) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.applied))
	b = binary.BigEndian.AppendUint64(b, uint64(c.signed))
	b = binary.BigEndian.AppendUint32(b, c.indexLeaves)
	b = append(b, bit(c.terminated))
	b = append(b, c.secret[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.signing)))
	b = append(b, c.signing...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.retired)))
	for _, r := range c.retired {
		b = binary.BigEndian.AppendUint64(b, r.Epoch)
		b = binary.BigEndian.AppendUint64(b, uint64(r.At.Unix()))
	}
	for _, kind := range generationKinds {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.generations[kind])))
		for _, first := range c.generations[kind] {
			b = binary.BigEndian.AppendUint32(b, first)
		}
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.trees)))
	for _, id := range c.ids() {
		b = binary.BigEndian.AppendUint16(append(b, byte(id.kind)), id.number)
		b = c.trees[id].Append(b)
	}
	return b
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// wipe overwrites the keys of c, except the trees that next shares with it.
func (c *content) wipe(next *content) {
	for id, tree := range c.trees {
		if next == nil || next.trees[id] != tree {
			tree.Wipe()
		}
	}
	clear(c.signing)
	clear(c.secret[:])
}
