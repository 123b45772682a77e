package keystate

import (
	"encoding/binary"
	"slices"
	"time"

	"escrow"
	"escrow/crypto/keytree"
)

// reader takes a content apart. After the first failure it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(text string) {
	if r.err == nil {
		r.err = malformed(text)
	}
	r.b = nil
}

// take returns the next n bytes, at most 64 KiB.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("it ends too early")
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u16() int    { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// parseContent is the inverse of append, except for version and epoch. It accepts only what append writes, in a state of this epoch.
func parseContent(b []byte, epoch uint64) (*content, error) {
	r := &reader{b: b}
	c := &content{epoch: epoch, generations: map[keytree.Kind][]uint32{}, trees: map[treeID]*keytree.Tree{}}
	c.applied, c.signed, c.indexLeaves = escrow.TreeSize(r.u64()), escrow.TreeSize(r.u64()), r.u32()
	terminated := r.take(1)[0]
	c.terminated = terminated == 1
	copy(c.secret[:], r.take(32))
	n := r.u16()
	if terminated > 1 || n > MaxSigningKeyBytes {
		r.fail("its signing key is too long, or what says whether it was terminated does not")
	}
	c.signing = slices.Clone(r.take(n))
	c.parseRetired(r)
	c.parseGenerations(r)
	c.parseTrees(r)
	if len(r.b) > 0 {
		r.fail("something follows it")
	}
	if r.err == nil {
		r.err = c.check()
	}
	return c, r.err
}

func (c *content) parseRetired(r *reader) {
	n := r.u16()
	if n > MaxRetired {
		r.fail("it has too many retired roots")
		return
	}
	last := uint64(0)
	for range n {
		epoch, at := r.u64(), r.u64()
		if epoch <= last || epoch >= c.epoch || at>>62 > 0 {
			r.fail("a retired root is out of order or not before the present one")
			return
		}
		last = epoch
		c.retired = append(c.retired, Retired{Epoch: epoch, At: time.Unix(int64(at), 0).UTC()})
	}
}

func (c *content) parseGenerations(r *reader) {
	for _, kind := range generationKinds {
		n := r.u16()
		if n < 1 || n > MaxTrees {
			r.fail("a kind of key tree has no generation or too many")
			return
		}
		firsts := make([]uint32, n)
		for g := range firsts {
			firsts[g] = r.u32()
			if g == 0 && firsts[g] != 0 || g > 0 && firsts[g] < firsts[g-1] {
				r.fail("the generations of a kind of key tree are out of order")
				return
			}
		}
		c.generations[kind] = firsts
	}
}

func (c *content) parseTrees(r *reader) {
	count := r.u16()
	if count > MaxTrees {
		r.fail("it has too many key trees")
		return
	}
	var last treeID
	for range count {
		id := treeID{kind: keytree.Kind(r.take(1)[0]), number: uint16(r.u16())}
		if !id.kind.Valid() || id.compare(last) <= 0 {
			r.fail("a key tree is of no known kind or out of order")
			return
		}
		tree, rest, err := keytree.Parse(r.b)
		if err != nil {
			r.err, r.b = escrow.Errorf("keystate.Open", escrow.Corrupt, "the key state is malformed: %w", err), nil
			return
		}
		c.trees[id], r.b, last = tree, rest, id
	}
}

// check says whether the trees are those the rest of the content names.
func (c *content) check() error {
	if c.terminated {
		if len(c.trees) > 0 || c.secret != [32]byte{} {
			return malformed("it was terminated and still has keys")
		}
		return nil
	}
	numbers := map[keytree.Kind]int{}
	for id := range c.trees {
		numbers[id.kind] = max(numbers[id.kind], int(id.number)+1)
	}
	for _, kind := range foundingKinds {
		want := max(1, len(c.generations[kind]))
		if numbers[kind] != want || c.count(kind) != want {
			return malformed("it has other key trees than generations")
		}
	}
	return nil
}

// count returns how many trees of a kind there are.
func (c *content) count(kind keytree.Kind) (n int) {
	for id := range c.trees {
		if id.kind == kind {
			n++
		}
	}
	return n
}

func malformed(text string) error {
	return escrow.Errorf("keystate.Open", escrow.Corrupt, "the key state is malformed: %s", text)
}
