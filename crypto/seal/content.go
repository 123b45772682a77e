package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Field is one named value of a message, as the hiding content root in its leaf commits to it.
type Field struct {
	Secret [32]byte // kept sealed with the field; once it is destroyed the root says nothing about the value, not even to a guess
	Index  uint32   // position among the fields of the message
	Name   string   // at most 65 535 bytes
	Value  []byte
}

// Salt returns HMAC-SHA-256(Secret, "escrow/field-salt/v1\n<Index>\n"): what is disclosed together with one field, and opens no other.
func (f *Field) Salt() [32]byte { return f.salt(hmac.New(sha256.New, f.Secret[:])) }

// salt is Salt with a MAC under the field's secret.
func (f *Field) salt(mac hash.Hash) (salt [32]byte) {
	b := append(make([]byte, 0, 64), "escrow/field-salt/v1\n"...)
	b = append(strconv.AppendUint(b, uint64(f.Index), 10), '\n')
	mac.Reset()
	mac.Write(b)
	mac.Sum(salt[:0])
	return salt
}

// AppendRecord appends what is hashed and, with the salt inside, disclosed: salt ‖ length of the name as u16 ‖ name ‖ value.
func (f *Field) AppendRecord(b []byte) []byte { return f.appendRecord(b, f.Salt()) }

func (f *Field) appendRecord(b []byte, salt [32]byte) []byte {
	b = append(b, salt[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.Name)))
	return append(append(b, f.Name...), f.Value...)
}

// Hash returns the RFC 6962 leaf hash of the field's record.
func (f *Field) Hash() tlog.Hash { return tlog.RecordHash(f.AppendRecord(nil)) }

// ContentRoot returns the RFC 6962 tree hash over the fields in the order given; of none, the SHA-256 of nothing. It is fastest when fields of one secret
// stand together.
func ContentRoot(fields []Field) [32]byte {
	if len(fields) == 0 {
		return sha256.Sum256(nil)
	}
	hashes := make([]tlog.Hash, len(fields))
	var mac hash.Hash
	var record []byte
	for i := range fields {
		f := &fields[i]
		if i == 0 || f.Secret != fields[i-1].Secret {
			mac = hmac.New(sha256.New, f.Secret[:])
		}
		record = f.appendRecord(append(record[:0], 0), f.salt(mac)) // 0 marks a leaf
		hashes[i] = sha256.Sum256(record)
	}
	clear(record)
	return treeHash(hashes)
}

// treeHash hashes at least one leaf hash into a root: the left subtree has the largest power of two below their number.
func treeHash(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	left := 1 << (bits.Len(uint(len(hashes)-1)) - 1)
	return tlog.NodeHash(treeHash(hashes[:left]), treeHash(hashes[left:]))
}
