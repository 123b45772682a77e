package segment

import (
	"encoding/binary"
	"time"

	"escrow"
)

// FrameType says what a frame holds.
type FrameType byte

// The types of frame.
const (
	TypeRecord FrameType = 'R'
	TypeCommit FrameType = 'C'
)

// Frame is one frame. Its payload shares memory with what it was parsed from.
type Frame struct {
	Type    FrameType
	Payload []byte
}

// Commit ends a batch: the records First … Size-1 belong together, and Root is the RFC 6962 root over the leaves 0 … Size-1.
type Commit struct {
	First escrow.Seq
	Size  escrow.TreeSize
	Root  [32]byte
	Time  time.Time // when it was written, in whole seconds
}

// AppendRecord appends a record frame to b. meta and blob must be within MaxMetaBytes and MaxBlobBytes.
func AppendRecord(b, meta, blob []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(2+len(meta)+len(blob)))
	b = append(b, byte(TypeRecord))
	b = binary.BigEndian.AppendUint16(b, uint16(len(meta)))
	b = append(b, meta...)
	b = append(b, blob...)
	return binary.BigEndian.AppendUint32(b, checksum(b[start:]))
}

// RecordBytes returns the length of the frame AppendRecord makes.
func RecordBytes(meta, blob int) int { return Overhead + 2 + meta + blob }

// AppendCommit appends a commit frame, CommitBytes long, to b.
func AppendCommit(b []byte, c Commit) []byte {
	start := len(b)
	b = append(b, commitPrefix...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.First))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Size))
	b = append(b, c.Root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.Unix()))
	return binary.BigEndian.AppendUint32(b, checksum(b[start:]))
}

// commitPrefix is the beginning of every commit frame, by which one is found behind damage.
const commitPrefix = "\x00\x00\x00\x38C"

// ParseFrame reads one frame from the start of b, and returns it with its length. Every error is of kind Corrupt: b starts with no frame, or with
// a damaged one, or ends inside one.
func ParseFrame(b []byte) (Frame, int, error) {
	total, err := frameBytes(b)
	if err != nil {
		return Frame{}, 0, err
	}
	if len(b) < total {
		return Frame{}, 0, corrupt("a frame of %d bytes ends after %d", total, len(b))
	}
	if checksum(b[:total-4]) != binary.BigEndian.Uint32(b[total-4:]) {
		return Frame{}, 0, corrupt("the checksum of a frame of %d bytes is wrong", total)
	}
	f := Frame{Type: FrameType(b[4]), Payload: b[5 : total-4 : total-4]}
	return f, total, nil
}

// frameBytes returns the length of the frame b starts with, or an error if there cannot be one.
func frameBytes(b []byte) (int, error) {
	if len(b) < Overhead {
		return 0, corrupt("a frame has at least %d bytes, there are %d", Overhead, len(b))
	}
	n := binary.BigEndian.Uint32(b)
	switch FrameType(b[4]) {
	case TypeRecord:
		if n < 2 || n > maxPayload {
			return 0, corrupt("a record frame cannot have %d bytes", n)
		}
	case TypeCommit:
		if n != commitPayload {
			return 0, corrupt("a commit frame cannot have %d bytes", n)
		}
	default:
		return 0, corrupt("frame type 0x%02x is not known", b[4])
	}
	return Overhead + int(n), nil
}

// Record splits the payload of a record frame. The slices share memory with it.
func (f Frame) Record() (meta, blob []byte, err error) {
	if f.Type != TypeRecord || len(f.Payload) < 2 {
		return nil, nil, corrupt("this is not a record frame")
	}
	n := int(binary.BigEndian.Uint16(f.Payload))
	if n > MaxMetaBytes || 2+n > len(f.Payload) {
		return nil, nil, corrupt("a record frame of %d bytes cannot have a header of %d", len(f.Payload), n)
	}
	if len(f.Payload)-2-n > MaxBlobBytes {
		return nil, nil, corrupt("a record has at most %d bytes", MaxBlobBytes)
	}
	return f.Payload[2 : 2+n : 2+n], f.Payload[2+n:], nil
}

// Commit reads the payload of a commit frame.
func (f Frame) Commit() (Commit, error) {
	if f.Type != TypeCommit || len(f.Payload) != commitPayload {
		return Commit{}, corrupt("this is not a commit frame")
	}
	p := f.Payload
	c := Commit{
		First: escrow.Seq(binary.BigEndian.Uint64(p)),
		Size:  escrow.TreeSize(binary.BigEndian.Uint64(p[8:])),
		Root:  [32]byte(p[16:48]),
		Time:  time.Unix(int64(binary.BigEndian.Uint64(p[48:])), 0).UTC(),
	}
	if uint64(c.First) >= uint64(c.Size) {
		return Commit{}, corrupt("a commit frame from record %d to size %d holds nothing", c.First, c.Size)
	}
	return c, nil
}
