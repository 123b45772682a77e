package archive

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
)

// row says where a record is and how it can be found. The segment follows from the number of the record.
type row struct {
	offset escrow.Offset // of its frame in the segment
	length uint32        // of its frame
	time   int64         // seconds since 1970
	once   [16]byte
	stream Stream
	source Source
}

// rowBytes is the size of a row in the rows file: offset(8) length(4) time(8) once(16) stream(16+8) source(16+8) check(4).
const rowBytes = 88

func newRow(h *Header, offset escrow.Offset, length int) row {
	return row{offset: offset, length: uint32(length), time: h.Time.Unix(), once: h.Once, stream: h.Stream, source: h.Source}
}

func (r *row) at() time.Time { return time.Unix(r.time, 0).UTC() }

// rowCoder encodes rows. The check of a row covers the ledger's origin, the number of the record and its leaf hash, so that a row of another
// ledger, from another place, or of a batch that was never completed is not mistaken for the right one.
type rowCoder struct{ seed uint32 }

func newRowCoder(origin string) rowCoder { return rowCoder{crc([]byte(origin), 0)} }

func crc(b []byte, seed uint32) uint32 {
	return crc32.Update(seed, crc32.MakeTable(crc32.Castagnoli), b)
}

func (c rowCoder) append(b []byte, seq escrow.Seq, leaf *tlog.Hash, r *row) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(r.offset))
	b = binary.BigEndian.AppendUint32(b, r.length)
	b = binary.BigEndian.AppendUint64(b, uint64(r.time))
	b = append(b, r.once[:]...)
	b = append(b, r.stream.Tag[:]...)
	b = binary.BigEndian.AppendUint64(b, r.stream.Counter)
	b = append(b, r.source.Tag[:]...)
	b = binary.BigEndian.AppendUint64(b, r.source.Seq)
	return binary.BigEndian.AppendUint32(b, c.check(b[start:], seq, leaf))
}

func (c rowCoder) check(encoded []byte, seq escrow.Seq, leaf *tlog.Hash) uint32 {
	return crc(encoded, crc(leaf[:], c.seed^uint32(seq)^uint32(seq>>32)))
}

// parse reads the row of a record from b, rowBytes long; false means that it is damaged or does not belong there.
func (c rowCoder) parse(b []byte, seq escrow.Seq, leaf *tlog.Hash) (r row, ok bool) {
	if c.check(b[:rowBytes-4], seq, leaf) != binary.BigEndian.Uint32(b[rowBytes-4:]) {
		return row{}, false
	}
	r.offset = escrow.Offset(binary.BigEndian.Uint64(b))
	r.length = binary.BigEndian.Uint32(b[8:])
	r.time = int64(binary.BigEndian.Uint64(b[12:]))
	copy(r.once[:], b[20:])
	copy(r.stream.Tag[:], b[36:])
	r.stream.Counter = binary.BigEndian.Uint64(b[52:])
	copy(r.source.Tag[:], b[60:])
	r.source.Seq = binary.BigEndian.Uint64(b[76:])
	return r, true
}
