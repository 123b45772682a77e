package natslog

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"escrow"
)

// Entry is one message on its way from the intake to the sealer, sealed under the key of the day it arrived. Its binary form is described byte by
// byte in docs/format/log-entry.md; it is canonical, so equal entries have equal bytes and equal digests.
type Entry struct {
	Tenant   escrow.Tenant
	Channel  [16]byte  // tag of the channel
	Counter  uint64    // dense within Channel, from 1
	Day      uint32    // days since 1970-01-01 UTC; names the ingest-day key
	Received time.Time // by the archive's clock, to the nanosecond, UTC
	Once     [16]byte  // deduplication tag; zero: none
	Sealed   []byte
}

const (
	entryMagic = "ESLE"
	entryV1    = 1
	// entryFixed is the length of the header apart from the tenant's name.
	entryFixed = 4 + 1 + 1 + 16 + 8 + 4 + 8 + 16
	// entryOverhead is the most an entry adds to what is sealed.
	entryOverhead = entryFixed + escrow.MaxTokenBytes + 4 + sha256.Size
)

// AppendHeader appends everything before the sealed part. It is the additional data the sealed part is bound to: entries whose headers were
// exchanged do not open.
func (e Entry) AppendHeader(b []byte) []byte {
	b = append(b, entryMagic...)
	b = append(b, entryV1, byte(len(e.Tenant)))
	b = append(b, e.Tenant...)
	b = append(b, e.Channel[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Counter)
	b = binary.BigEndian.AppendUint32(b, e.Day)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Received.UnixNano()))
	return append(b, e.Once[:]...)
}

// Append appends the whole entry: header, length and sealed part, and the SHA-256 over all of them. The tenant must be well-formed, the counter
// at least 1 and the sealed part within the limit, or ParseEntry will refuse what was written.
func (e Entry) Append(b []byte) []byte {
	return appendEntry(b, e.AppendHeader(nil), e.Sealed)
}

// appendEntry appends an entry whose header is encoded already.
func appendEntry(b, header, sealed []byte) []byte {
	start := len(b)
	b = append(b, header...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(sealed)))
	b = append(b, sealed...)
	sum := sha256.Sum256(b[start:])
	return append(b, sum[:]...)
}

// ParseEntry is the inverse of Append and returns the entry's digest as well, which identifies it in the ledger. Sealed shares memory with b.
// Whatever is not exactly an entry, longer or shorter by a byte, is an error of kind Corrupt.
func ParseEntry(b []byte) (Entry, [32]byte, error) {
	const op = "natslog.ParseEntry"
	none := [32]byte{}
	if len(b) < entryFixed+1+4+sha256.Size || len(b) > maxEntry {
		return Entry{}, none, escrow.Errorf(op, escrow.Corrupt, "a log entry has %d to %d bytes, this has %d", entryFixed+1+4+sha256.Size, maxEntry, len(b))
	}
	body, sum := b[:len(b)-sha256.Size], [32]byte(b[len(b)-sha256.Size:])
	if string(body[:4]) != entryMagic || body[4] != entryV1 {
		return Entry{}, none, escrow.Errorf(op, escrow.Corrupt, "not a log entry of version %d", entryV1)
	}
	if sha256.Sum256(body) != sum {
		return Entry{}, none, escrow.Errorf(op, escrow.Corrupt, "the digest of the log entry does not match its bytes")
	}
	e, err := parseEntryBody(body)
	if err != nil {
		return Entry{}, none, err
	}
	return e, sum, nil
}

func parseEntryBody(body []byte) (Entry, error) {
	const op = "natslog.ParseEntry"
	n := int(body[5])
	if len(body) < entryFixed+n+4 {
		return Entry{}, escrow.Errorf(op, escrow.Corrupt, "the log entry ends within its header")
	}
	e := Entry{Tenant: escrow.Tenant(body[6 : 6+n])}
	rest := body[6+n:]
	rest = rest[copy(e.Channel[:], rest):]
	e.Counter, rest = binary.BigEndian.Uint64(rest), rest[8:]
	e.Day, rest = binary.BigEndian.Uint32(rest), rest[4:]
	e.Received, rest = time.Unix(0, int64(binary.BigEndian.Uint64(rest))).UTC(), rest[8:]
	rest = rest[copy(e.Once[:], rest):]
	size, rest := binary.BigEndian.Uint32(rest), rest[4:]
	e.Sealed = rest
	switch {
	case uint64(size) != uint64(len(rest)):
		return Entry{}, escrow.Errorf(op, escrow.Corrupt, "the log entry promises %d sealed bytes and has %d", size, len(rest))
	case e.Tenant.Check() != nil:
		return Entry{}, escrow.Errorf(op, escrow.Corrupt, "the tenant of the log entry is malformed")
	case e.Counter == 0:
		return Entry{}, escrow.Errorf(op, escrow.Corrupt, "the counter of the log entry is zero")
	}
	return e, nil
}
