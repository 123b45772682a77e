package officers

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"io"
	"slices"
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

// smallOrder is the seven spellings, but for the sign in the last bit, of points of order 1, 2, 4 and 8: under such a key anybody can sign.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func anybodySigns(public ed25519.PublicKey) bool {
	point := slices.Clone(public)
	point[len(point)-1] &= 0x7f
	return slices.Contains(smallOrder, hex.EncodeToString(point))
}

func badKey(format string, args ...any) *escrow.Error {
	return escrow.Errorf("officers.ParseKey", escrow.Invalid, format, args...)
}
