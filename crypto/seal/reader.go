package seal

import (
	"encoding/binary"

	"escrow"
)

// reader takes fields off the front of an encoding. After the first failure every field reads as zeros, so callers check err once.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(text string) {
	if r.err == nil {
		r.err = escrow.Errorf("seal.Parse", escrow.Corrupt, "not a sealed record: %s", text)
	}
}

// take returns the next n bytes, which share memory with the input. After a failure it returns zeros, at most 64 of them, enough for any fixed field.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("it ends too early")
	}
	if r.err != nil {
		return make([]byte, min(n, 64))
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() byte    { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// short reads a string behind its length in one byte.
func (r *reader) short() string { return string(r.take(int(r.u8()))) }

// count reads a 16-bit number of items, at least one and at most limit, each taking at least size bytes of what is left.
func (r *reader) count(limit, size int) int {
	n := int(r.u16())
	if n == 0 || n > limit || n > len(r.b)/size {
		r.fail("a count is zero, beyond its limit or beyond the end")
		return 0
	}
	return n
}
