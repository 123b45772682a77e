package bleveindex

import (
	"encoding/binary"
	"math/bits"
)

// Two fifths of what the engine writes are zero bytes, mostly fields of positions that are not used. Chunks are packed before they are sealed: every
// eight bytes become a byte that says which of them are not zero, and those. It costs next to nothing and makes up for the counters and tags.
const (
	rawChunk    = 0
	packedChunk = 1 // followed by the number of bytes, base 128
	packUnit    = 8
	packMinimum = 24 // below it nothing is gained
)

// pack appends the content of a chunk to b, packed if that is shorter. At most one byte is added.
func pack(b, plain []byte) []byte {
	if len(plain) < packMinimum {
		return append(append(b, rawChunk), plain...)
	}
	start, limit := len(b), len(b)+1+len(plain)
	b = binary.AppendUvarint(append(b, packedChunk), uint64(len(plain)))
	for rest := plain; len(rest) > 0; rest = rest[min(packUnit, len(rest)):] {
		if len(b)+1+packUnit > limit {
			return append(append(b[:start], rawChunk), plain...)
		}
		b = packBytes(b, rest[:min(packUnit, len(rest))])
	}
	return b
}

func packBytes(b, unit []byte) []byte {
	at := len(b)
	b = append(b, 0)
	for i, c := range unit {
		if c != 0 {
			b[at] |= 1 << i
			b = append(b, c)
		}
	}
	return b
}

// unpack returns the content of a packed chunk. It may share memory with it.
func unpack(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errForged
	}
	if b[0] == rawChunk {
		return b[1:], nil
	}
	n, used := binary.Uvarint(b[1:])
	// Every unit takes at least a byte, so that what is allocated is at most eight times what was read.
	if b[0] != packedChunk || used <= 0 || n > packUnit*uint64(len(b)) {
		return nil, errForged
	}
	plain := make([]byte, n)
	b = b[1+used:]
	for rest := plain; len(rest) > 0; rest = rest[min(packUnit, len(rest)):] {
		if len(b) == 0 || len(b) < 1+bits.OnesCount8(b[0]) {
			return nil, errForged
		}
		b = unpackBytes(rest[:min(packUnit, len(rest))], b)
	}
	return plain, nil
}

// unpackBytes fills the unit from b and returns what is left of b.
func unpackBytes(unit, b []byte) []byte {
	mask := b[0]
	b = b[1:]
	for i := range unit {
		if mask&(1<<i) != 0 {
			unit[i], b = b[0], b[1:]
		}
	}
	return b
}
