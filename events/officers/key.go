package officers

import (
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"escrow"
)

// NewKey returns a new Ed25519 key for an officer, as C2SP signed-note text: the secret "PRIVATE+KEY+name+hash+base64", for the officer alone, and the
// verifier key "name+hash+base64" that OfficerAdded names. The error is of kind Invalid for a bad name and Unavailable where rand fails.
func NewKey(rand io.Reader, name string) (secret, verifier string, err error) {
	if err := escrow.CheckToken("officer", name); err != nil {
		return "", "", err
	}
	secret, verifier, err = note.GenerateKey(rand, name)
	if err != nil {
		return "", "", escrow.Errorf("officers.NewKey", escrow.Unavailable, "reading random bytes: %w", err)
	}
	return secret, verifier, nil
}

// ParseKey returns the signer of a secret made by NewKey; space around it is ignored. The error, of kind Invalid, does not quote the secret.
func ParseKey(secret string) (note.Signer, error) {
	secret = strings.TrimSpace(secret)
	if len(secret) > maxKeyBytes {
		return nil, badKey("a key has at most %d bytes", maxKeyBytes)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, badKey(`this is no key of an officer: it must be one line "PRIVATE+KEY+name+hash+base64"`)
	}
	if err := escrow.CheckToken("officer", signer.Name()); err != nil {
		return nil, err
	}
	return signer, nil
}

// key is the public key of an officer.
type key struct {
	note.Verifier
	public ed25519.PublicKey
}

// publicKey reads a verifier key that must be an officer's, in its one spelling.
func publicKey(officer, verifier string) (*key, error) {
	if len(verifier) > maxKeyBytes {
		return nil, badKey("a verifier key has at most %d bytes", maxKeyBytes)
	}
	parts := strings.SplitN(verifier, "+", 3)
	if len(parts) != 3 || parts[0] != officer {
		return nil, badKey("the verifier key must be under the name of the officer, %q: name+hash+base64", officer)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, badKey("the verifier key of %q is not an Ed25519 key", officer)
	}
	public := ed25519.PublicKey(raw[1:])
	if canonical, err := note.NewEd25519VerifierKey(officer, public); err != nil || canonical != verifier {
		return nil, badKey("the verifier key of %q is not in its one canonical form", officer)
	}
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return nil, badKey("the verifier key of %q cannot be used: %w", officer, err)
	}
	if anybodySigns(public) {
		return nil, badKey("the verifier key of %q is one under which anybody can sign", officer)
	}
	return &key{v, public}, nil
}

// anybodySigns finds the points of small order, of which there are a dozen spellings: under each, a signature made of the neutral point and zero holds
// for one message in eight at least, and so for one of these.
func anybodySigns(public ed25519.PublicKey) bool {
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1 // the neutral point; the scalar is zero
	for i := range byte(48) {
		if ed25519.Verify(public, []byte{i}, forged) {
			return true
		}
	}
	return false
}

func badKey(format string, args ...any) *escrow.Error {
	return escrow.Errorf("officers.ParseKey", escrow.Invalid, format, args...)
}
