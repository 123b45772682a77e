package keytree

import (
	"encoding/binary"

	"escrow"
)

// Share is the key at a leaf. One share alone opens nothing where a slot asks for several.
type Share = [32]byte

// Kind says what the leaves of a tree stand for. The list is closed and append-only: kinds are bytes on disk.
type Kind byte

// The kinds of tree.
const (
	KindSubject   Kind = 'S' // leaf = number of a data subject
	KindRetention Kind = 'R' // leaf = day a retention period ends, days since 1970-01-01; one tree per retention class
	KindMessage   Kind = 'M' // leaf = low 32 bits of the record's sequence
	KindHold      Kind = 'H' // leaf = number of a legal hold
	KindIndexFile Kind = 'X' // leaf = number of an index file
	KindIngestDay Kind = 'I' // leaf = day of arrival, days since 1970-01-01
	KindRecord    Kind = 'E' // leaf = number of a record the tenant keeps of its own: snapshots of the directory
)

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool {
	switch k {
	case KindSubject, KindRetention, KindMessage, KindHold, KindIndexFile, KindIngestDay, KindRecord:
		return true
	}
	return false
}

// Lifetime reports whether a leaf of this kind ends by schedule or by release, so that every slot must contain one: retention days and holds.
func (k Kind) Lifetime() bool { return k == KindRetention || k == KindHold }

// Ref names one leaf of one tree. It is not secret.
type Ref struct {
	Kind Kind
	Tree uint16 // number of the retention class; for the other kinds the generation of the tree, 0 for the first
	Leaf uint32
}

// RefBytes is the length of an encoded Ref.
const RefBytes = 7

// Append appends the encoding of r: kind, tree and leaf, big-endian, 7 bytes.
func (r Ref) Append(b []byte) []byte {
	b = append(b, byte(r.Kind))
	b = binary.BigEndian.AppendUint16(b, r.Tree)
	return binary.BigEndian.AppendUint32(b, r.Leaf)
}

// ParseRef reads a Ref from the front of b and returns the rest. It fails with kind Corrupt if b is short or the kind unknown.
func ParseRef(b []byte) (Ref, []byte, error) {
	if len(b) < RefBytes {
		return Ref{}, nil, escrow.Errorf("keytree.ParseRef", escrow.Corrupt, "a reference to a key has %d bytes, here are %d", RefBytes, len(b))
	}
	r := Ref{Kind: Kind(b[0]), Tree: binary.BigEndian.Uint16(b[1:]), Leaf: binary.BigEndian.Uint32(b[3:])}
	if !r.Kind.Valid() {
		return Ref{}, nil, escrow.Errorf("keytree.ParseRef", escrow.Corrupt, "unknown kind of key %#02x", b[0])
	}
	return r, b[RefBytes:], nil
}

// Compare orders references by kind, tree and leaf, as their encodings are ordered: -1, 0 or 1.
func (r Ref) Compare(o Ref) int {
	a := uint64(r.Kind)<<48 | uint64(r.Tree)<<32 | uint64(r.Leaf)
	b := uint64(o.Kind)<<48 | uint64(o.Tree)<<32 | uint64(o.Leaf)
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
