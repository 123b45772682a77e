package segment

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"

	"escrow"
)

// Sizes of the fixed parts of the format, in bytes.
const (
	HeaderBytes   = 56 // the header of a segment
	Overhead      = 9  // what a frame adds to its payload
	commitPayload = 8 + 8 + 32 + 8
	CommitBytes   = Overhead + commitPayload // a whole commit frame
)

const (
	magic   = "ESCROSEG"
	version = 1
	suffix  = ".seg"
)

// checksum is CRC-32C, which processors compute in hardware. MakeTable returns the one shared table.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Header is the beginning of a segment.
type Header struct {
	Origin [32]byte   // SHA-256 of the ledger's origin, so that segments of two ledgers cannot be mixed up
	First  escrow.Seq // the first record in the segment
}

// Append appends the encoded header, HeaderBytes long, to b.
func (h Header) Append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, h.Origin[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.First))
	return binary.BigEndian.AppendUint32(b, checksum(b[start:]))
}

// ParseHeader reads a header from the start of b. The error is of kind Corrupt, or Invalid for a format version this program does not know.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, corrupt("a segment header has %d bytes, there are %d", HeaderBytes, len(b))
	}
	b = b[:HeaderBytes]
	if string(b[:8]) != magic {
		return Header{}, corrupt("this is not a segment: it does not start with %s", magic)
	}
	if checksum(b[:HeaderBytes-4]) != binary.BigEndian.Uint32(b[HeaderBytes-4:]) {
		return Header{}, corrupt("the checksum of the segment header is wrong")
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != version {
		return Header{}, escrow.Errorf("segment.Parse", escrow.Invalid, "segment format version %d is not known; a newer program wrote it", v)
	}
	return Header{Origin: [32]byte(b[12:44]), First: escrow.Seq(binary.BigEndian.Uint64(b[44:]))}, nil
}

func corrupt(format string, args ...any) *escrow.Error {
	return escrow.Errorf("segment.Parse", escrow.Corrupt, format, args...)
}

// Name returns the file name of the segment that starts with a record: 20 digits, so that names sort like numbers.
func Name(first escrow.Seq) string {
	digits := strconv.FormatUint(uint64(first), 10)
	return strings.Repeat("0", 20-len(digits)) + digits + suffix
}

// ParseName is the inverse of Name.
func ParseName(name string) (escrow.Seq, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, suffix), 10, 64)
	return escrow.Seq(n), err == nil && Name(escrow.Seq(n)) == name
}
