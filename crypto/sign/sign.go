// Package sign signs checkpoints: Ed25519 with a Tink keyset of variant NoPrefix, so that a signature is the plain 64 bytes every other
// implementation of RFC 8032 verifies, in the form of a C2SP signed note (https://c2sp.org/signed-note).
//
// Ed25519 is deterministic: signing the same text again, after a crash for instance, gives the same bytes.
package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/signature"
	tinked25519 "github.com/tink-crypto/tink-go/v2/signature/ed25519"
	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/mod/sumdb/note"

	"escrow"
)

// NewKeyset returns a new Ed25519 signing key, its seed taken from rand, as a serialised Tink keyset in clear. The caller must keep it secret; it
// is meant to live in the sealed key state. The error, of kind Unavailable, is rand's.
func NewKeyset(rand io.Reader) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, escrow.Errorf("sign.NewKeyset", escrow.Unavailable, "reading random bytes: %w", err)
	}
	handle, err := newHandle(seed)
	clear(seed)
	if err != nil {
		return nil, escrow.Errorf("sign.NewKeyset", escrow.Internal, "%w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&b)); err != nil {
		return nil, escrow.Errorf("sign.NewKeyset", escrow.Internal, "%w", err)
	}
	return b.Bytes(), nil
}

func newHandle(seed []byte) (*keyset.Handle, error) {
	params, err := tinked25519.NewParameters(tinked25519.VariantNoPrefix)
	if err != nil {
		return nil, err
	}
	key, err := tinked25519.NewPrivateKey(secretdata.NewBytesFromData(seed, insecuresecretdataaccess.Token{}), 0, params)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManager()
	id, err := manager.AddKey(key)
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	return manager.Handle()
}

// Signer signs notes under a name. It implements note.Signer and is safe for concurrent use.
type Signer struct {
	signer   tink.Signer
	verifier note.Verifier
	vkey     string
}

// NewSigner returns a signer for a keyset made by NewKeyset. The name is the one a reader of the note sees and checks, for a ledger its origin; it
// must not contain spaces or "+". The error is of kind Invalid for a bad name and Corrupt for a keyset that cannot be used.
func NewSigner(name string, serialised []byte) (*Signer, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(serialised)))
	if err != nil {
		return nil, escrow.Errorf("sign.NewSigner", escrow.Corrupt, "reading the keyset: %w", err)
	}
	public, err := publicKey(handle)
	if err != nil {
		return nil, escrow.Errorf("sign.NewSigner", escrow.Corrupt, "%w", err)
	}
	signer, err := signature.NewSigner(handle)
	if err != nil {
		return nil, escrow.Errorf("sign.NewSigner", escrow.Corrupt, "%w", err)
	}
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, escrow.Errorf("sign.NewSigner", escrow.Corrupt, "%w", err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, escrow.Errorf("sign.NewSigner", escrow.Invalid, "%q is not usable as the name of a signer: %w", name, err)
	}
	return &Signer{signer: signer, verifier: verifier, vkey: vkey}, nil
}

func publicKey(handle *keyset.Handle) (ed25519.PublicKey, error) {
	public, err := handle.Public()
	if err != nil {
		return nil, err
	}
	entry, err := public.Primary()
	if err != nil {
		return nil, err
	}
	key, ok := entry.Key().(*tinked25519.PublicKey)
	if !ok || len(key.OutputPrefix()) != 0 {
		return nil, fmt.Errorf("the keyset does not hold an Ed25519 key of variant NoPrefix")
	}
	return key.KeyBytes(), nil
}

// Name implements note.Signer.
func (s *Signer) Name() string { return s.verifier.Name() }

// KeyHash implements note.Signer.
func (s *Signer) KeyHash() uint32 { return s.verifier.KeyHash() }

// Sign implements note.Signer: the raw Ed25519 signature of msg, 64 bytes.
func (s *Signer) Sign(msg []byte) ([]byte, error) { return s.signer.Sign(msg) }

// Verifier returns the public counterpart.
func (s *Signer) Verifier() note.Verifier { return s.verifier }

// VKey returns the public key as a C2SP verifier key, "name+hash+base64": what an auditor is given once, on paper if need be. Its base64 part may
// contain "+".
func (s *Signer) VKey() string { return s.vkey }

// Open returns the text of a note signed by the verifier's key and by nothing else, in its one spelling: whoever alters a byte of it, of the signature
// too, is found out. The error is of kind Forged.
func Open(signed string, verifier note.Verifier) (string, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return "", escrow.Errorf("sign.Open", escrow.Forged, "not signed with the key of %q: %w", verifier.Name(), err)
	}
	if len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 || n.Text+"\n— "+n.Sigs[0].Name+" "+n.Sigs[0].Base64+"\n" != signed {
		return "", escrow.Errorf("sign.Open", escrow.Forged, "there must be one signature and nothing else, that of %q", verifier.Name())
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return "", escrow.Errorf("sign.Open", escrow.Forged, "the signature of %q is not in its one spelling: %w", verifier.Name(), err)
	}
	return n.Text, nil
}
