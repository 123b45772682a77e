package natslog

import (
	"crypto/sha256"
	"encoding/binary"

	"escrow"
)

// An entry larger than one NATS message is stored as parts, consecutive messages of one atomic batch; docs/format/log-entry.md describes them.
const (
	partMagic = "ESLP"
	partV1    = 1
	// partHeader is magic, version, index, count, total length and the digest of the whole entry.
	partHeader   = 4 + 1 + 2 + 2 + 4 + sha256.Size
	partOverhead = partHeader + sha256.Size
)

// splitEntry returns the messages an entry is stored as: itself if it has at most size bytes, else its parts.
func splitEntry(entry []byte, size int) [][]byte {
	if len(entry) <= size {
		return [][]byte{entry}
	}
	chunk := size - partOverhead
	count := (len(entry) + chunk - 1) / chunk
	parts := make([][]byte, 0, count)
	digest := entry[len(entry)-sha256.Size:]
	for i := range count {
		data := entry[i*chunk : min((i+1)*chunk, len(entry))]
		b := make([]byte, 0, len(data)+partOverhead)
		b = append(b, partMagic...)
		b = append(b, partV1)
		b = binary.BigEndian.AppendUint16(b, uint16(i))
		b = binary.BigEndian.AppendUint16(b, uint16(count))
		b = binary.BigEndian.AppendUint32(b, uint32(len(entry)))
		b = append(b, digest...)
		b = append(b, data...)
		sum := sha256.Sum256(b)
		parts = append(parts, append(b, sum[:]...))
	}
	return parts
}

// part is one decoded part of an entry.
type part struct {
	index, count uint16
	total        uint32
	digest       [32]byte // of the whole entry
	data         []byte
}

func isPart(b []byte) bool { return len(b) >= 4 && string(b[:4]) == partMagic }

func parsePart(b []byte) (part, error) {
	const op = "natslog.parsePart"
	if len(b) <= partOverhead || !isPart(b) || b[4] != partV1 {
		return part{}, escrow.Errorf(op, escrow.Corrupt, "not a part of a log entry of version %d", partV1)
	}
	body, sum := b[:len(b)-sha256.Size], [32]byte(b[len(b)-sha256.Size:])
	if sha256.Sum256(body) != sum {
		return part{}, escrow.Errorf(op, escrow.Corrupt, "the digest of the part does not match its bytes")
	}
	p := part{
		index: binary.BigEndian.Uint16(b[5:]), count: binary.BigEndian.Uint16(b[7:]), total: binary.BigEndian.Uint32(b[9:]),
		digest: [32]byte(b[13:45]), data: body[partHeader:],
	}
	if p.count < 2 || p.index >= p.count || p.total > maxEntry {
		return part{}, escrow.Errorf(op, escrow.Corrupt, "part %d of %d of an entry of %d bytes cannot be", p.index, p.count, p.total)
	}
	return p, nil
}

// joiner puts entries together again from messages in stream order. What does not fit becomes a Delivery with an error, never silence.
type joiner struct {
	open     bool
	advanced bool     // a part was added
	first    Delivery // place and times of the first part
	head     part     // what all parts have in common, and the next index
	data     []byte
}

// add takes the next message and returns the deliveries it completes: none while parts are missing, two if it also ends a broken entry.
func (j *joiner) add(d Delivery) []Delivery {
	if !isPart(d.Data) {
		return append(j.abandon(), unpack(d)...)
	}
	p, err := parsePart(d.Data)
	if err != nil {
		d.Err = err
		return append(j.abandon(), d)
	}
	if j.open && p.index == j.head.index && p.count == j.head.count && p.digest == j.head.digest && p.total == j.head.total {
		return j.extend(d, p)
	}
	out := j.abandon()
	if p.index != 0 {
		d.Err = escrow.Errorf("natslog.Fetch", escrow.Corrupt, "part %d of a log entry without the parts before it", p.index)
		return append(out, d)
	}
	j.open, j.advanced, j.first, j.head, j.data = true, true, d, p, append(make([]byte, 0, p.total), p.data...)
	j.head.index = 1
	return out
}

func (j *joiner) extend(d Delivery, p part) []Delivery {
	j.advanced = true
	j.head.index++
	j.data = append(j.data, p.data...)
	if len(j.data) <= int(p.total) && j.head.index < p.count {
		j.first.Seq = d.Seq
		return nil
	}
	whole := Delivery{First: j.first.First, Seq: d.Seq, Created: d.Created, Time: d.Time, Data: j.data}
	*j = joiner{}
	return []Delivery{whole.parsed()}
}

// abandon returns what was gathered of an entry whose next part is not there, as damaged.
func (j *joiner) abandon() []Delivery {
	if !j.open {
		return nil
	}
	d := j.first
	d.Data = j.data
	d.Err = escrow.Errorf("natslog.Fetch", escrow.Corrupt, "a log entry of %d parts ends after part %d", j.head.count, j.head.index)
	*j = joiner{}
	return []Delivery{d}
}

// unpack returns a delivery for each of the entries that share a message. Where the row of entries breaks off, the rest is one damaged delivery.
func unpack(d Delivery) []Delivery {
	out := make([]Delivery, 0, 1)
	for rest := d.Data; ; {
		n := entryLength(rest)
		d.Data = rest[:n]
		out = append(out, d.parsed())
		if rest = rest[n:]; len(rest) == 0 {
			return out
		}
	}
}

// entryLength returns the length of the entry that b begins with, by the lengths in it, or all of b if there cannot be an entry.
func entryLength(b []byte) int {
	if len(b) < entryFixed+4 || string(b[:4]) != entryMagic {
		return len(b)
	}
	at := entryFixed + int(b[5])
	if len(b) < at+4 {
		return len(b)
	}
	n := uint64(at) + 4 + uint64(binary.BigEndian.Uint32(b[at:])) + sha256.Size
	return int(min(n, uint64(len(b))))
}
