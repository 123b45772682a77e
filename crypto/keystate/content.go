package keystate

import (
	"cmp"
	"encoding/binary"
	"io"
	"maps"
	"slices"

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

// content is what a state file says. A content in use is never changed; a change makes another that shares the trees it did not touch.
type content struct {
	epoch       uint64
	generation  uint32
	applied     escrow.TreeSize
	signed      escrow.TreeSize
	indexLeaves uint32 // leaves of the index file tree given out
	secret      [32]byte
	signing     []byte
	trees       map[treeID]*keytree.Tree
}

// newContent returns the first state of a tenant: fresh secrets, and a tree of every kind but retention classes, which come with AddTree.
func newContent(rand io.Reader, signing []byte) (*content, error) {
	c := &content{epoch: 1, signing: slices.Clone(signing), trees: map[treeID]*keytree.Tree{}}
	if _, err := io.ReadFull(rand, c.secret[:]); err != nil {
		return nil, escrow.Errorf("keystate.Create", escrow.Internal, "no randomness: %w", err)
	}
	for _, kind := range []keytree.Kind{keytree.KindRecord, keytree.KindHold, keytree.KindIngestDay, keytree.KindMessage, keytree.KindSubject, keytree.KindIndexFile} {
		if err := c.addTree(rand, treeID{kind: kind}); err != nil {
			return nil, err
		}
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

// ids returns the names of the trees in order.
func (c *content) ids() []treeID { return slices.SortedFunc(maps.Keys(c.trees), treeID.compare) }

// size returns the number of bytes append adds.
func (c *content) size() int {
	n := 4 + 8 + 8 + 4 + len(c.secret) + 2 + len(c.signing) + 2
	for _, t := range c.trees {
		n += 3 + t.AppendedBytes()
	}
	return n
}

// append appends the encoding, which is all the tenant's keys in clear. The epoch is not in it: it is in the header, which is bound to it.
func (c *content) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.generation)
	b = binary.BigEndian.AppendUint64(b, uint64(c.applied))
	b = binary.BigEndian.AppendUint64(b, uint64(c.signed))
	b = binary.BigEndian.AppendUint32(b, c.indexLeaves)
	b = append(b, c.secret[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.signing)))
	b = append(b, c.signing...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.trees)))
	for _, id := range c.ids() {
		b = binary.BigEndian.AppendUint16(append(b, byte(id.kind)), id.number)
		b = c.trees[id].Append(b)
	}
	return b
}

// parseContent is the inverse of append, except for the epoch. It accepts only what append writes.
func parseContent(b []byte) (*content, error) {
	const fixed = 4 + 8 + 8 + 4 + 32 + 2
	if len(b) < fixed {
		return nil, malformed("it is too short")
	}
	c := &content{
		generation:  binary.BigEndian.Uint32(b),
		applied:     escrow.TreeSize(binary.BigEndian.Uint64(b[4:])),
		signed:      escrow.TreeSize(binary.BigEndian.Uint64(b[12:])),
		indexLeaves: binary.BigEndian.Uint32(b[20:]),
		secret:      [32]byte(b[24:]),
		trees:       map[treeID]*keytree.Tree{},
	}
	n := int(binary.BigEndian.Uint16(b[56:]))
	b = b[fixed:]
	if n > MaxSigningKeyBytes || n+2 > len(b) {
		return nil, malformed("its signing key is too long")
	}
	c.signing = slices.Clone(b[:n])
	return c, c.parseTrees(b[n:])
}

func (c *content) parseTrees(b []byte) error {
	count := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if count > MaxTrees {
		return malformed("it has too many key trees")
	}
	var last treeID
	for range count {
		if len(b) < 3 {
			return malformed("a key tree is missing")
		}
		id := treeID{kind: keytree.Kind(b[0]), number: binary.BigEndian.Uint16(b[1:])}
		if !id.kind.Valid() || id.compare(last) <= 0 {
			return malformed("a key tree is of no known kind or out of order")
		}
		tree, rest, err := keytree.Parse(b[3:])
		if err != nil {
			return escrow.Errorf("keystate.Open", escrow.Corrupt, "the key state is malformed: %w", err)
		}
		c.trees[id], b, last = tree, rest, id
	}
	if len(b) > 0 {
		return malformed("something follows it")
	}
	return nil
}

func malformed(text string) error {
	return escrow.Errorf("keystate.Open", escrow.Corrupt, "the key state is malformed: %s", text)
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
