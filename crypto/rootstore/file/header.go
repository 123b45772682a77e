package file

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"escrow"
	"escrow/internal/vfs"
)

const (
	magic      = "ESRT\x01" // the last byte is the version of the format
	fixedBytes = len(magic) + 8 + 4 + 8 + 8 + 2
	entryBytes = 8 + 1 + checkBytes
	checkBytes = 32
)

// header is what the file says of itself. The file has two; the one with the higher counter counts, and a change overwrites the other.
type header struct {
	counter uint64 // of changes of the header
	stripes uint32 // of every root in the file
	newest  uint64 // epoch
	size    escrow.TreeSize
	slots   []slot
}

// slot says what is in one of the places for roots.
type slot struct {
	epoch uint64
	state slotState
	check [checkBytes]byte // says that stripes read give the root written, and nothing of the root
}

type slotState byte

// The states of a slot are bytes on disk.
const (
	slotLive  slotState = 1 // holds a root
	slotDying slotState = 2 // is to be overwritten, before anything else is done with the file
	slotDead  slotState = 3 // was overwritten; the next root may have it
)

func (h *header) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, h.counter)
	b = binary.BigEndian.AppendUint32(b, h.stripes)
	b = binary.BigEndian.AppendUint64(b, h.newest)
	b = binary.BigEndian.AppendUint64(b, uint64(h.size))
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.slots)))
	for i := range h.slots {
		s := &h.slots[i]
		b = append(binary.BigEndian.AppendUint64(b, s.epoch), byte(s.state))
		b = append(b, s.check[:]...)
	}
	sum := sha256.Sum256(b[start:])
	return append(b, sum[:]...)
}

// parseHeader returns nil if b does not start with a whole header.
func parseHeader(b []byte) *header {
	if len(b) < fixedBytes || string(b[:len(magic)]) != magic {
		return nil
	}
	f := b[len(magic):]
	h := &header{counter: binary.BigEndian.Uint64(f), stripes: binary.BigEndian.Uint32(f[8:]), newest: binary.BigEndian.Uint64(f[12:]),
		size: escrow.TreeSize(binary.BigEndian.Uint64(f[20:]))}
	n := int(binary.BigEndian.Uint16(f[28:]))
	end := fixedBytes + n*entryBytes
	if n > MaxSlots || h.stripes < 2 || h.stripes > maxStripes || len(b) < end+sha256.Size {
		return nil
	}
	if sum := sha256.Sum256(b[:end]); !bytes.Equal(sum[:], b[end:end+sha256.Size]) {
		return nil
	}
	for e := b[fixedBytes:end]; len(e) > 0; e = e[entryBytes:] {
		s := slot{epoch: binary.BigEndian.Uint64(e), state: slotState(e[8]), check: [checkBytes]byte(e[9:entryBytes])}
		if s.state < slotLive || s.state > slotDead {
			return nil
		}
		h.slots = append(h.slots, s)
	}
	return h
}

// readHeader returns the newer of the two headers that is whole; kind Corrupt if neither is.
func readHeader(f io.ReaderAt) (*header, error) {
	var newest *header
	for i := range int64(2) {
		b := make([]byte, headerBytes)
		n, err := f.ReadAt(b, i*headerBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, unavailable(err)
		}
		if h := parseHeader(b[:n]); h != nil && (newest == nil || h.counter > newest.counter) {
			newest = h
		}
	}
	if newest == nil {
		return nil, escrow.Errorf("rootstore.file", escrow.Corrupt, "neither header of the root file is whole: this is no root file, or it was damaged twice")
	}
	return newest, nil
}

// write makes h durable in place of the older header.
func (h *header) write(f vfs.File) error {
	h.counter++
	if _, err := f.WriteAt(h.append(nil), int64(h.counter&1)*headerBytes); err != nil {
		return unavailable(err)
	}
	if err := f.Sync(); err != nil {
		return unavailable(err)
	}
	return nil
}

// find returns the slot of an epoch that is not yet dead, or the last that was its own, or nil.
func (h *header) find(epoch uint64) *slot {
	i := slices.IndexFunc(h.slots, func(s slot) bool { return s.epoch == epoch })
	if i < 0 {
		return nil
	}
	return &h.slots[i]
}

// free returns the number of a slot for another root: the one dead for longest, or a new one. It returns -1 if all are in use.
func (h *header) free() int {
	best := -1
	for i, s := range h.slots {
		if s.state == slotDead && (best < 0 || cmp.Less(s.epoch, h.slots[best].epoch)) {
			best = i
		}
	}
	if best < 0 && len(h.slots) < MaxSlots {
		h.slots = append(h.slots, slot{state: slotDead})
		best = len(h.slots) - 1
	}
	return best
}

// offset returns where the stripes of a slot begin.
func (h *header) offset(slot int) int64 { return 2*headerBytes + int64(slot)*h.rootSpan() }

// rootSpan is the space of one root, whole blocks.
func (h *header) rootSpan() int64 {
	return (int64(h.stripes)*rootBytes + blockBytes - 1) / blockBytes * blockBytes
}
