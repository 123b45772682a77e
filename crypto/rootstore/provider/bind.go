package provider

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
)

// bind returns digest ‖ key, the digest over a name, an epoch and the associated data, each with its length.
func bind(name string, epoch uint64, key, aad []byte) []byte {
	digest := bindingDigest(name, epoch, aad)
	return append(digest[:], key...)
}

// release is the inverse of bind; false if the digest is another one. The key is a copy.
func release(name string, epoch uint64, bound, aad []byte) ([]byte, bool) {
	digest := bindingDigest(name, epoch, aad)
	if len(bound) < len(digest) || subtle.ConstantTimeCompare(bound[:len(digest)], digest[:]) != 1 {
		return nil, false
	}
	return bytes.Clone(bound[len(digest):]), true
}

func bindingDigest(name string, epoch uint64, aad []byte) [sha256.Size]byte {
	text := []byte("escrow/rootstore/v1\x00")
	text = binary.BigEndian.AppendUint64(text, epoch)
	text = binary.BigEndian.AppendUint64(text, uint64(len(name)))
	text = append(text, name...)
	text = binary.BigEndian.AppendUint64(text, uint64(len(aad)))
	return sha256.Sum256(append(text, aad...))
}
