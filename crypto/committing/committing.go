// Package committing is authenticated encryption that commits to its key, and the two primitives it stands on, all from Tink.
//
// AES-GCM alone does not bind a ciphertext to one key: whoever chooses the keys can prepare one ciphertext, with one tag, that opens to two
// different texts under two keys. In an archive whose evidence is a hash of the ciphertext that would be one record with two readings. So a secret is
// never used as a key itself. With h a SHA-256 over everything the ciphertext must stay attached to,
//
//	K_enc ‖ K_com = HKDF-SHA-256(secret, salt, info = label ‖ 0x00 ‖ h, 64 bytes)
//	body          = AES-256-GCM(K_enc, random iv, plain, aad = h ‖ K_com)         iv (12) ‖ ciphertext ‖ tag (16)
//
// and K_com is stored beside the body. To open, K_com is derived again and compared in constant time before anything is decrypted. Two secrets with
// the same K_com would be a collision of HMAC-SHA-256.
package committing

import (
	"crypto/subtle"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	prf "github.com/tink-crypto/tink-go/v2/prf/subtle"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
)

// BodyOverhead is how much longer a body is than its plaintext: iv and tag.
const BodyOverhead = 12 + 16

// Commitment is K_com: a string that only one secret can have, public.
type Commitment = [32]byte

// Binding says what a ciphertext belongs to. Opening needs the same three values as sealing.
type Binding struct {
	Label string   // the use and its version, "escrow/body/v1": a constant without zero bytes, so no two uses share keys
	Salt  []byte   // random and stored beside the body where one secret seals more than once; else empty
	Hash  [32]byte // SHA-256 of everything else the body must stay attached to
}

// Seal encrypts plain under a key derived from secret and returns the commitment and the body. Secret and salt together must be used once only.
func Seal(secret []byte, bind Binding, plain []byte) (Commitment, []byte, error) {
	keys, err := bind.keys(secret)
	if err != nil {
		return Commitment{}, nil, err
	}
	defer clear(keys)
	com := Commitment(keys[32:])
	body, err := Encrypt(keys[:32], plain, bind.aad(com))
	return com, body, err
}

// Open is the inverse of Seal. It fails with kind Forged, and returns nothing, if the secret is not the one committed to, or if a bit of commitment,
// body or binding differs.
func Open(secret []byte, bind Binding, com Commitment, body []byte) ([]byte, error) {
	key, err := Unlock(secret, bind, com)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return key.Open(body)
}

// Key opens the one body that Seal made with the same secret, binding and commitment.
type Key struct{ enc, aad []byte }

// Unlock derives the key from a secret. It fails with kind Forged if the secret is not the one committed to.
func Unlock(secret []byte, bind Binding, com Commitment) (*Key, error) {
	keys, err := bind.keys(secret)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(keys[32:], com[:]) != 1 {
		clear(keys)
		return nil, escrow.Errorf("committing.Unlock", escrow.Forged, "the ciphertext is committed to another key or header")
	}
	return &Key{enc: keys[:32], aad: bind.aad(com)}, nil
}

// Open decrypts the body; kind Forged if a bit of it differs.
func (k *Key) Open(body []byte) ([]byte, error) { return Decrypt(k.enc, body, k.aad) }

// Wipe overwrites the key, which opens nothing afterwards.
func (k *Key) Wipe() { clear(k.enc) }

func (b Binding) keys(secret []byte) ([]byte, error) {
	info := make([]byte, 0, 64)
	info = append(append(info, b.Label...), 0)
	info = append(info, b.Hash[:]...)
	return Derive(secret, b.Salt, info, 64)
}

func (b Binding) aad(com Commitment) []byte {
	aad := make([]byte, 0, 64)
	return append(append(aad, b.Hash[:]...), com[:]...)
}

// Derive is HKDF-SHA-256 (RFC 5869): n bytes, at most 8160, from secret, salt and info. An empty salt is 32 zero bytes.
func Derive(secret, salt, info []byte, n uint32) ([]byte, error) {
	hkdf, err := prf.NewHKDFPRF("SHA256", secret, salt)
	if err != nil {
		return nil, escrow.Errorf("committing.Derive", escrow.Internal, "%w", err)
	}
	out, err := hkdf.ComputePRF(info, n)
	if err != nil {
		return nil, escrow.Errorf("committing.Derive", escrow.Internal, "%w", err)
	}
	return out, nil
}

// Token returns the first 16 bytes of HMAC-SHA-256(key, data): a name for data that only the holder of the key can compute.
func Token(key [32]byte, data []byte) ([16]byte, error) {
	mac, err := prf.NewHMACPRF("SHA256", key[:])
	if err != nil {
		return [16]byte{}, escrow.Errorf("committing.Token", escrow.Internal, "%w", err)
	}
	out, err := mac.ComputePRF(data, 16)
	if err != nil {
		return [16]byte{}, escrow.Errorf("committing.Token", escrow.Internal, "%w", err)
	}
	return [16]byte(out), nil
}

// Encrypt is AES-256-GCM with a random iv, which stands before the result. It does not commit to the key: use Seal, unless a commitment over what is
// inside guards it.
func Encrypt(key, plain, aad []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	out, err := aead.Encrypt(plain, aad)
	if err != nil {
		return nil, escrow.Errorf("committing.Encrypt", escrow.Internal, "%w", err)
	}
	return out, nil
}

// Decrypt is the inverse of Encrypt. It fails with kind Forged if a bit of key, sealed or aad differs.
func Decrypt(key, sealed, aad []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Decrypt(sealed, aad)
	if err != nil {
		return nil, escrow.Errorf("committing.Decrypt", escrow.Forged, "the ciphertext is not authentic under this key and header")
	}
	return plain, nil
}

func newAEAD(key []byte) (tink.AEAD, error) {
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantNoPrefix})
	if err != nil {
		return nil, escrow.Errorf("committing.newAEAD", escrow.Internal, "%w", err)
	}
	k, err := aesgcm.NewKey(secretdata.NewBytesFromData(key, insecuresecretdataaccess.Token{}), 0, params)
	if err != nil {
		return nil, escrow.Errorf("committing.newAEAD", escrow.Internal, "%w", err)
	}
	aead, err := aesgcm.NewAEAD(k)
	if err != nil {
		return nil, escrow.Errorf("committing.newAEAD", escrow.Internal, "%w", err)
	}
	return aead, nil
}
