package seal_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// Short names for references.
func subject(leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: keytree.KindSubject, Leaf: leaf}
}
func message(leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: keytree.KindMessage, Leaf: leaf}
}
func hold(leaf uint32) keytree.Ref { return keytree.Ref{Kind: keytree.KindHold, Leaf: leaf} }
func day(leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: keytree.KindRetention, Tree: 1, Leaf: leaf}
}

// share is the key of a leaf in tests: anything that differs from leaf to leaf.
func share(kind keytree.Kind, leaf uint32) keytree.Share {
	return sha256.Sum256([]byte(fmt.Sprint("test share ", kind, leaf)))
}

// plainKeys has a share for every reference but those in it, which it reports with the error they map to.
type plainKeys map[keytree.Ref]error

func (k plainKeys) Share(r keytree.Ref) (keytree.Share, error) {
	if err := k[r]; err != nil {
		return keytree.Share{}, err
	}
	return share(r.Kind, r.Leaf), nil
}

func erased() error { return escrow.Errorf("test", escrow.Erased, "gone") }

func testContext() seal.Context {
	return seal.Context{
		Tenant: "acme", Region: "eu", Seq: 42, Message: [16]byte{1, 2, 3}, Stream: [16]byte{4, 5, 6},
		Policy: seal.PolicyID{Name: "principal", Version: 1}, Class: "R7",
	}
}

func newSealer(t testing.TB) *seal.Sealer {
	t.Helper()
	z, err := seal.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// body is a record's only facet, under the given slots.
func body(plain string, slots ...[]keytree.Ref) []seal.Facet {
	return []seal.Facet{{Kind: seal.FacetBody, ContentType: "text/plain", Plain: []byte(plain), Slots: slots}}
}

func mustSeal(t testing.TB, z *seal.Sealer, ctx seal.Context, facets []seal.Facet) []byte {
	t.Helper()
	blob, err := z.Seal(plainKeys{}, ctx, facets)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func mustParse(t testing.TB, z *seal.Sealer, blob []byte) *seal.Sealed {
	t.Helper()
	s, err := z.Parse(blob)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantKind fails the test unless err is of the kind.
func wantKind(t testing.TB, what string, err error, kind escrow.Kind) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("%s: error %v, want kind %v", what, err, kind)
	}
}

// handmade writes a record of one facet by docs/format/record.md and the standard library alone: what an insider who knows every key can write, also
// where the package would not.
type handmade struct {
	codec  byte
	padded []byte        // what is encrypted
	deks   [][32]byte    // one for each slot; the first encrypts
	refs   []keytree.Ref // of every slot; slot i gets hold i in addition
}

func (m handmade) blob(t *testing.T) []byte {
	t.Helper()
	b := []byte("ESCR\x01\x04acme\x02eu")
	b = binary.BigEndian.AppendUint64(b, 42)
	b = append(b, make([]byte, 32)...)
	b = append(b, "\x09principal\x00\x01\x02R7\x00\x00\x00\x00"...)
	head := append([]byte{1, 0, 0, 0, m.codec}, binary.BigEndian.AppendUint32(nil, uint32(len(m.padded)))...)
	h := sha256.Sum256(append(append([]byte("escrow/facet/v1\x00"), b...), head...))
	keys := m.keys(t, h, m.deks[0])
	b = append(append(append(b, 0, 1), head...), keys[32:]...)
	b = append(b, gcm(t, keys[:32], m.padded, append(h[:], keys[32:]...))...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.deks)))
	for i, dek := range m.deks {
		b = append(b, m.slot(t, h, uint32(i), dek)...)
	}
	return b
}

// keys returns K_enc ‖ K_com.
func (m handmade) keys(t *testing.T, h, dek [32]byte) []byte {
	t.Helper()
	keys, err := hkdf.Key(sha256.New, dek[:], nil, "escrow/body/v1\x00"+string(h[:]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (m handmade) slot(t *testing.T, h [32]byte, i uint32, dek [32]byte) []byte {
	t.Helper()
	refs := append([]keytree.Ref{hold(i)}, m.refs...)
	b := binary.BigEndian.AppendUint16(nil, uint16(len(refs)))
	var secret []byte
	for _, r := range refs {
		b = r.Append(b)
		s := share(r.Kind, r.Leaf)
		secret = append(secret, s[:]...)
	}
	d := append(append([]byte("escrow/slot/v1\x00"), h[:]...), b...)
	salt := make([]byte, 16)
	key, err := hkdf.Key(sha256.New, secret, salt, string(d), 32)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(b, salt...), gcm(t, key, dek[:], d)...)
}

func gcm(t *testing.T, key, plain, aad []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead.Seal(nil, nil, plain, aad)
}

// padded is a plaintext with the given lengths, padded with zeros to size.
func padded(stored, plain uint32, text string, size int) []byte {
	b := binary.BigEndian.AppendUint32(nil, stored)
	b = append(binary.BigEndian.AppendUint32(b, plain), text...)
	return append(b, make([]byte, size-len(b))...)
}
