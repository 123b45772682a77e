package ingest

import (
	"encoding/binary"

	"escrow"
)

// Cut says that the bytes [Offset, Offset+Len) of an original belong to one person. Owner 0 is From, 1+i is To[i]; after all participants come the people
// mentioned, in the order in which they are mentioned first.
type Cut struct {
	Offset uint32
	Owner  uint16
	Len    uint32
}

// Cutout takes cuts, sorted and without overlap as Split returns them, out of raw. template is what is left, pieces the bytes of each owner in order of
// appearance. Both are copies.
func Cutout(raw []byte, cuts []Cut) (template []byte, pieces map[uint16][]byte) {
	pieces = make(map[uint16][]byte)
	template = make([]byte, 0, len(raw))
	pos := 0
	for _, c := range cuts {
		start, end := int(c.Offset), int(c.Offset)+int(c.Len)
		if start < pos || end > len(raw) { // not from Split; what cannot be cut stays
			continue
		}
		template = append(template, raw[pos:start]...)
		pieces[c.Owner] = append(pieces[c.Owner], raw[start:end]...)
		pos = end
	}
	return append(template, raw[pos:]...), pieces
}

// Restore is the inverse of Cutout. Where an owner's pieces are missing it writes placeholder, and erased is true; placeholder must need no escaping in
// JSON. Any arguments give some result: the cuts and pieces of another message give one that does not make sense.
func Restore(template []byte, cuts []Cut, pieces map[uint16][]byte, placeholder string) (raw []byte, erased bool) {
	left := whole(cuts, pieces)
	size := len(template)
	for _, c := range cuts {
		size += min(int(c.Len), len(pieces[c.Owner])) + len(placeholder)
	}
	raw = make([]byte, 0, min(size, escrow.MaxImport))
	pos := uint32(0) // in the original
	for _, c := range cuts {
		if c.Offset >= pos {
			n := min(int(c.Offset-pos), len(template))
			raw, template = append(raw, template[:n]...), template[n:]
		}
		if piece := left[c.Owner]; len(piece) >= int(c.Len) {
			raw, left[c.Owner] = append(raw, piece[:c.Len]...), piece[c.Len:]
		} else {
			raw, erased = append(raw, placeholder...), true
		}
		pos = c.Offset + c.Len
	}
	return append(raw, template...), erased
}

// whole returns the pieces of those owners who have exactly as many bytes as their cuts.
func whole(cuts []Cut, pieces map[uint16][]byte) map[uint16][]byte {
	need := make(map[uint16]int, len(pieces))
	for _, c := range cuts {
		need[c.Owner] += int(c.Len)
	}
	left := make(map[uint16][]byte, len(pieces))
	for p, b := range pieces {
		if need[p] == len(b) {
			left[p] = b
		}
	}
	return left
}

// AppendCuts appends the binary form of cuts: their number, then for each the distance from the end of the one before, the length and the owner, all
// as unsigned varints.
func AppendCuts(b []byte, cuts []Cut) []byte {
	b = binary.AppendUvarint(b, uint64(len(cuts)))
	pos := uint32(0)
	for _, c := range cuts {
		b = binary.AppendUvarint(b, uint64(c.Offset-pos))
		b = binary.AppendUvarint(b, uint64(c.Len))
		b = binary.AppendUvarint(b, uint64(c.Owner))
		pos = c.Offset + c.Len
	}
	return b
}

// ParseCuts is the inverse of AppendCuts. It accepts exactly what AppendCuts writes for cuts of Split: sorted, not empty, without overlap, at most MaxCuts, in
// the shortest encoding. Errors are of kind Corrupt.
func ParseCuts(b []byte) ([]Cut, error) {
	r := cutReader{b: b}
	n := r.uvarint(MaxCuts)
	const least = 3 // bytes of one cut
	if r.bad || n*least > uint64(len(r.b)) {
		return nil, escrow.Errorf("ingest.ParseCuts", escrow.Corrupt, "the number of cuts does not fit")
	}
	cuts := make([]Cut, 0, n)
	pos := uint64(0)
	for range n {
		offset := pos + r.uvarint(escrow.MaxImport)
		length := r.uvarint(escrow.MaxImport)
		who := r.uvarint(escrow.MaxParticipants + escrow.MaxMentions)
		if pos = offset + length; r.bad || length == 0 || pos > escrow.MaxImport {
			return nil, escrow.Errorf("ingest.ParseCuts", escrow.Corrupt, "cut %d is malformed", len(cuts))
		}
		cuts = append(cuts, Cut{uint32(offset), uint16(who), uint32(length)})
	}
	if len(r.b) > 0 {
		return nil, escrow.Errorf("ingest.ParseCuts", escrow.Corrupt, "bytes after the last cut")
	}
	return cuts, nil
}

type cutReader struct {
	b   []byte
	bad bool
}

// uvarint reads a number of at most limit in its shortest encoding.
func (r *cutReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit || n > 1 && r.b[n-1] == 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
