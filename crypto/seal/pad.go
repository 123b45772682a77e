package seal

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"

	"escrow"
)

// codec says how the plaintext is stored inside the encryption.
type codec byte

const (
	codecRaw  codec = 0 // as it is: short, or not compressible
	codecZstd codec = 1 // one zstd frame, no dictionary (RFC 8878)

	lastCodec = codecZstd
)

// lengths is the number of bytes before the stored plaintext: its length as stored and its length in clear, big-endian, 4 bytes each.
const lengths = 8

// maxClass is at least the length class of the largest plaintext: of a 27-bit length the lowest 21 bits are rounded up.
const maxClass = MaxPlain + lengths + 1<<21

// class returns the smallest length class that holds n bytes: n rounded up as PADMÉ does (Nikitin et al., PETS 2019), keeping as many leading bits as
// the length of the length, which costs at most 12 % and leaks O(log log n) bits.
func class(n int) int {
	if n <= minClass {
		return minClass
	}
	exponent := bits.Len(uint(n)) - 1
	low := exponent - bits.Len(uint(exponent))
	mask := 1<<low - 1
	return (n + mask) &^ mask
}

// pack appends to buf, which is empty, the padded form of plain: lengths, plaintext compressed if that saves a length class, zeros up to the class.
func pack(enc *zstd.Encoder, buf, plain []byte) ([]byte, codec) {
	buf = slices.Grow(buf, class(lengths+len(plain)))[:lengths]
	how := codecRaw
	if class(lengths+len(plain)) > minClass {
		how = codecZstd
		buf = enc.EncodeAll(plain, buf)
	}
	if compressed := len(buf); how == codecRaw || class(compressed) >= class(lengths+len(plain)) {
		how = codecRaw
		buf = append(buf[:lengths], plain...)
		clear(buf[len(buf):max(len(buf), compressed)])
	}
	binary.BigEndian.PutUint32(buf, uint32(len(buf)-lengths))
	binary.BigEndian.PutUint32(buf[4:], uint32(len(plain)))
	return append(buf, make([]byte, class(len(buf))-len(buf))...), how
}

// unpack is the inverse of pack. It fails with kind Corrupt on what pack does not write, before it allocates more than the stated length, which the
// caller has authenticated and which is at most MaxPlain.
func unpack(dec *zstd.Decoder, padded []byte, how codec) ([]byte, error) {
	if len(padded) < lengths {
		return nil, corrupt("it is shorter than its lengths")
	}
	stored, plain := int(binary.BigEndian.Uint32(padded)), int(binary.BigEndian.Uint32(padded[4:]))
	if stored > len(padded)-lengths || class(lengths+stored) != len(padded) || plain > MaxPlain {
		return nil, corrupt("its lengths contradict its length class")
	}
	for _, b := range padded[lengths+stored:] {
		if b != 0 {
			return nil, corrupt("its padding is not zero")
		}
	}
	return decode(dec, padded[lengths:lengths+stored], plain, how)
}

// decode returns the plaintext of n bytes stored in the given way.
func decode(dec *zstd.Decoder, stored []byte, n int, how codec) ([]byte, error) {
	if how == codecRaw {
		if n != len(stored) {
			return nil, corrupt("its lengths contradict each other")
		}
		return stored, nil
	}
	out, err := dec.DecodeAll(stored, make([]byte, 0, n)) // the decoder stops at the capacity given
	if err != nil || len(out) != n {
		return nil, corrupt("it does not decompress to its stated length")
	}
	return out, nil
}

func corrupt(text string) error {
	return escrow.Errorf("seal.Open", escrow.Corrupt, "the decrypted facet is malformed: %s", text)
}
