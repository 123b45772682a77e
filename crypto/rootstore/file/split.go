package file

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"io"

	"escrow"
)

// rootBytes is the length of a root and of a stripe.
const rootBytes = 32

// The anti-forensic splitter of LUKS (Clemens Fruhwirth, "TKS1: An anti-forensic, two level, and iterated key setup scheme", 2004): a key becomes many
// stripes of its own length, all but the last of them random, such that the key comes back out of all of them and out of nothing less. The
// stripes are chained through a hash,
//
//	d_0 = 0, d_i = SHA-256(i ‖ (d_{i-1} ⊕ stripe_i)), last stripe = d_{n-1} ⊕ key,
//
// so one stripe lost makes the key as random as 32 bytes can be. A disk that keeps copies of some overwritten blocks must have kept copies of
// all of them for the key to survive.

// split writes key as n stripes, n ≥ 2, drawn from rand.
func split(w io.Writer, rand io.Reader, key *[rootBytes]byte, n int) error {
	in, out := bufio.NewReaderSize(rand, chunkBytes), bufio.NewWriterSize(w, chunkBytes)
	var d, stripe [rootBytes]byte
	defer clear(d[:])
	for i := range n - 1 {
		if _, err := io.ReadFull(in, stripe[:]); err != nil {
			return escrow.Errorf("rootstore.Create", escrow.Internal, "no randomness: %w", err)
		}
		if _, err := out.Write(stripe[:]); err != nil {
			return err
		}
		diffuse(&d, &stripe, i)
	}
	subtle.XORBytes(stripe[:], d[:], key[:])
	if _, err := out.Write(stripe[:]); err != nil {
		return err
	}
	return out.Flush()
}

// merge reads n stripes and returns the key.
func merge(r io.Reader, n int) (key [rootBytes]byte, err error) {
	in := bufio.NewReaderSize(r, chunkBytes)
	var d, stripe [rootBytes]byte
	defer clear(d[:])
	for i := range n {
		if _, err := io.ReadFull(in, stripe[:]); err != nil {
			return key, err
		}
		if i < n-1 {
			diffuse(&d, &stripe, i)
		}
	}
	subtle.XORBytes(key[:], d[:], stripe[:])
	return key, nil
}

// chunkBytes is how much is read or written at once.
const chunkBytes = 64 << 10

// diffuse takes the next stripe into the chain.
func diffuse(d, stripe *[rootBytes]byte, i int) {
	var b [8 + rootBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(i))
	subtle.XORBytes(b[8:], d[:], stripe[:])
	*d = sha256.Sum256(b[:])
}
