package committing_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// block is the block size of AES.
const block = aes.BlockSize

// twoReadings returns iv ‖ ciphertext ‖ tag that AES-256-GCM accepts under both keys with the same associated data: under the first key it opens to
// first and then noise, under the second to noise, then second, then noise. Both texts must be as long as whole blocks of 16 bytes. After Dodis, Grubbs,
// Ristenpart and Woodage, "Fast Message Franking" (CRYPTO 2018): a last block is chosen so that both keys give the same tag, one linear equation.
func twoReadings(key1, key2 [32]byte, aad, first, second []byte) ([]byte, error) {
	if len(first)%block != 0 || len(second)%block != 0 {
		return nil, errors.New("texts must fill whole blocks")
	}
	a, err := newSide(key1)
	if err != nil {
		return nil, err
	}
	b, err := newSide(key2)
	if err != nil {
		return nil, err
	}
	ct := make([]byte, len(first)+len(second)+block)
	a.crypt(ct, 0, first)
	b.crypt(ct, len(first)/block, second)
	difference := a.tag(aad, ct).add(b.tag(aad, ct))
	weight := a.h.times(a.h).add(b.h.times(b.h)) // the last block enters each tag times h²
	difference.times(weight.inverse()).put(ct[len(ct)-block:])
	out := append(make([]byte, 12), ct...)
	return append(out, a.tag(aad, ct).bytes()...), nil
}

// side is what one key contributes, for the iv of 12 zero bytes.
type side struct {
	cipher cipher.Block
	h      element // the key of GHASH
}

func newSide(key [32]byte) (*side, error) {
	c, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	var h [block]byte
	c.Encrypt(h[:], h[:])
	return &side{cipher: c, h: elementOf(h[:])}, nil
}

// stream returns one block of key stream; number 0 masks the tag, number 1 encrypts the first block.
func (s *side) stream(number int) []byte {
	var counter [block]byte
	binary.BigEndian.PutUint32(counter[12:], uint32(number+1))
	s.cipher.Encrypt(counter[:], counter[:])
	return counter[:]
}

// crypt encrypts text into ct from the given block on.
func (s *side) crypt(ct []byte, at int, text []byte) {
	for i := 0; i < len(text); i += block {
		subtle.XORBytes(ct[at*block+i:], text[i:i+block], s.stream(at+i/block+1))
	}
}

// tag computes the tag of a ciphertext of whole blocks.
func (s *side) tag(aad, ct []byte) element {
	input := append([]byte(nil), aad...)
	input = append(input, make([]byte, (block-len(aad)%block)%block)...)
	input = append(input, ct...)
	input = binary.BigEndian.AppendUint64(input, uint64(len(aad))*8)
	input = binary.BigEndian.AppendUint64(input, uint64(len(ct))*8)
	var y element
	for ; len(input) > 0; input = input[block:] {
		y = y.add(elementOf(input)).times(s.h)
	}
	return y.add(elementOf(s.stream(0)))
}

// element is an element of GF(2^128) in the bit order of GCM: the first bit is the coefficient of x⁰.
type element struct{ high, low uint64 }

func elementOf(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a element) put(b []byte) {
	binary.BigEndian.PutUint64(b, a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
}

func (a element) bytes() []byte {
	b := make([]byte, block)
	a.put(b)
	return b
}

func (a element) add(b element) element { return element{a.high ^ b.high, a.low ^ b.low} }

func (a element) times(b element) (product element) {
	for i := range 128 {
		word := a.high
		if i >= 64 {
			word = a.low
		}
		if word>>(63-i%64)&1 == 1 {
			product = product.add(b)
		}
		carry := b.low & 1
		b = element{b.high >> 1, b.low>>1 | b.high<<63}
		b.high ^= carry * 0xe1 << 56
	}
	return product
}

// inverse returns a^(2^128-2), which is 1/a.
func (a element) inverse() element {
	result := element{high: 1 << 63}
	for range 127 {
		a = a.times(a)
		result = result.times(a)
	}
	return result
}
