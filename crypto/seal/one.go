package seal

import (
	"crypto/sha256"
	"encoding/binary"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
)

// oneVersion opens what SealOne returns.
const oneVersion = 1

// oneOverhead is the length of what SealOne returns for an empty plaintext: version, salt, commitment, body with codec and length.
const oneOverhead = 1 + saltBytes + 32 + committing.BodyOverhead + 5

// SealOne encrypts plain, at most MaxPlain bytes, under a single share: log entries, index files, snapshots. It compresses, does not pad, and commits
// to the key. Purpose separates uses of one key ("escrow/log/v1"); it and aad must be given again to OpenOne. Any number of calls may share a key.
func (z *Sealer) SealOne(key keytree.Share, purpose string, aad, plain []byte) ([]byte, error) {
	if len(plain) > MaxPlain {
		return nil, escrow.Errorf("seal.SealOne", escrow.Invalid, "%d bytes exceed %d", len(plain), MaxPlain)
	}
	salt, err := z.random(saltBytes)
	if err != nil {
		return nil, err
	}
	scratch := z.borrow()
	defer z.giveBack(scratch)
	*scratch = z.packOne((*scratch)[:0], plain)
	com, body, err := committing.Seal(key[:], oneBinding(salt, purpose, aad), *scratch)
	clear(key[:])
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, oneOverhead+len(plain))
	out = append(append(append(out, oneVersion), salt...), com[:]...)
	return append(out, body...), nil
}

// OpenOne is the inverse of SealOne. Kinds: Corrupt if sealed is not its result at all; Forged if key, purpose, aad or a bit of it differs.
func (z *Sealer) OpenOne(key keytree.Share, purpose string, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < oneOverhead || sealed[0] != oneVersion {
		return nil, escrow.Errorf("seal.OpenOne", escrow.Corrupt, "these %d bytes are not sealed, or by a later version", len(sealed))
	}
	salt, sealed := sealed[1:1+saltBytes], sealed[1+saltBytes:]
	packed, err := committing.Open(key[:], oneBinding(salt, purpose, aad), committing.Commitment(sealed[:32]), sealed[32:])
	clear(key[:])
	if err != nil {
		return nil, escrow.Errorf("seal.OpenOne", escrow.KindOf(err), "%w", err)
	}
	how, n := codec(packed[0]), binary.BigEndian.Uint32(packed[1:])
	if how > lastCodec || n > MaxPlain {
		return nil, corrupt("its codec or length is unknown")
	}
	return decode(z.dec, packed[5:], int(n), how)
}

// minPackOne is the length from which compressing what is sealed for a short time is worth its processor time: below it zstd saves some hundred bytes and
// takes longer than everything else together.
const minPackOne = 2 << 10

// packOne appends codec, length and plain, or from minPackOne bytes on the shorter of plain and its compressed form.
func (z *Sealer) packOne(buf, plain []byte) []byte {
	buf = append(buf, byte(codecZstd))
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(plain)))
	if len(plain) >= minPackOne {
		buf = z.enc.EncodeAll(plain, buf)
	}
	if compressed := len(buf); len(plain) < minPackOne || compressed-5 >= len(plain) {
		buf = append(buf[:5], plain...)
		clear(buf[len(buf):max(len(buf), compressed)])
		buf[0] = byte(codecRaw)
	}
	return buf
}

func oneBinding(salt []byte, purpose string, aad []byte) committing.Binding {
	const label = "escrow/one/v1"
	h := sha256.New()
	h.Write(append([]byte(label), 0))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(purpose))))
	h.Write([]byte(purpose))
	h.Write(aad)
	return committing.Binding{Label: label, Salt: salt, Hash: [32]byte(h.Sum(nil))}
}
