package archive

import (
	"encoding/binary"
	"time"

	"escrow"
)

// The stored form of a header: the leaf, compactly. Big-endian:
//
//	kind(1) parts(1) time(8) [source: tag(16) seq(8)] [entry(32)] [stream: tag(16) counter(8)] [once(16)]
//	sealed(32) length(8) content(32) fields(4) kref(32) class(rest)
//
// parts says which of the bracketed parts are there.
const (
	hasSource = 1 << iota
	hasEntry
	hasStream
	hasOnce
)

func (h *Header) parts() (p byte) {
	if h.Source != (Source{}) {
		p |= hasSource
	}
	if h.Entry != [32]byte{} {
		p |= hasEntry
	}
	if h.Stream != (Stream{}) {
		p |= hasStream
	}
	if h.Once != [16]byte{} {
		p |= hasOnce
	}
	return p
}

func (h *Header) appendBinary(b []byte) []byte {
	parts := h.parts()
	b = append(b, h.Kind.code(), parts)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time.Unix()))
	if parts&hasSource != 0 {
		b = append(b, h.Source.Tag[:]...)
		b = binary.BigEndian.AppendUint64(b, h.Source.Seq)
	}
	if parts&hasEntry != 0 {
		b = append(b, h.Entry[:]...)
	}
	if parts&hasStream != 0 {
		b = append(b, h.Stream.Tag[:]...)
		b = binary.BigEndian.AppendUint64(b, h.Stream.Counter)
	}
	if parts&hasOnce != 0 {
		b = append(b, h.Once[:]...)
	}
	b = append(b, h.Sealed.SHA256[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Sealed.Len)
	b = append(b, h.Content.Root[:]...)
	b = binary.BigEndian.AppendUint32(b, h.Content.Fields)
	b = append(b, h.KRef[:]...)
	return append(b, h.Class...)
}

// parseBinary is the inverse of appendBinary, and as strict as ParseLeaf.
func parseBinary(b []byte) (Header, error) {
	d := decoder{b: b}
	var h Header
	kind, known := kindOf(d.byte())
	parts := d.byte()
	h.Kind, h.Time = kind, time.Unix(int64(d.uint64()), 0).UTC()
	if parts&hasSource != 0 {
		d.read(h.Source.Tag[:])
		h.Source.Seq = d.uint64()
	}
	if parts&hasEntry != 0 {
		d.read(h.Entry[:])
	}
	if parts&hasStream != 0 {
		d.read(h.Stream.Tag[:])
		h.Stream.Counter = d.uint64()
	}
	if parts&hasOnce != 0 {
		d.read(h.Once[:])
	}
	d.read(h.Sealed.SHA256[:])
	h.Sealed.Len = d.uint64()
	d.read(h.Content.Root[:])
	h.Content.Fields = d.uint32()
	d.read(h.KRef[:])
	h.Class = string(d.b)
	if d.short || !known || parts != h.parts() || h.Time.IsZero() || h.check() != nil {
		return Header{}, escrow.Errorf("archive.Parse", escrow.Corrupt, "the stored header of a record is malformed")
	}
	return h, nil
}

// decoder reads from the front of b; short remembers that there was too little, so that one check at the end is enough.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) read(dst []byte) {
	if len(d.b) < len(dst) {
		d.short, d.b = true, nil
		return
	}
	copy(dst, d.b)
	d.b = d.b[len(dst):]
}

func (d *decoder) byte() byte {
	var b [1]byte
	d.read(b[:])
	return b[0]
}

func (d *decoder) uint32() uint32 {
	var b [4]byte
	d.read(b[:])
	return binary.BigEndian.Uint32(b[:])
}

func (d *decoder) uint64() uint64 {
	var b [8]byte
	d.read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
