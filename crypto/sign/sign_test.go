package sign_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"escrow"
	"escrow/crypto/sign"
)

const name = "example.org/escrow/acme"

func newSigner(t *testing.T) *sign.Signer {
	t.Helper()
	keyset, err := sign.NewKeyset(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewSigner(name, keyset)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignedNoteVerifiesWithThePublicKeyAlone(t *testing.T) {
	s := newSigner(t)
	msg, err := note.Sign(&note.Note{Text: "text\n"}, s)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(s.VKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(msg, note.VerifierList(verifier)); err != nil {
		t.Error(err)
	}
	if _, err := note.Open(bytes.Replace(msg, []byte("text"), []byte("Text"), 1), note.VerifierList(s.Verifier())); err == nil {
		t.Error("a changed text verifies")
	}
	if other := newSigner(t); other.KeyHash() == s.KeyHash() {
		t.Error("two keys have one hash")
	}
}

func TestSignatureIsPlainEd25519(t *testing.T) {
	s := newSigner(t)
	sig, err := s.Sign([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Sign([]byte("message"))
	if err != nil || !bytes.Equal(sig, again) {
		t.Errorf("signing again gives other bytes (%v)", err)
	}
	parts := strings.SplitN(s.VKey(), "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(key[1:], []byte("message"), sig) {
		t.Error("the standard library does not verify the signature")
	}
}

func TestKeysetReproducesTheKey(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	keyset, err := sign.NewKeyset(bytes.NewReader(seed))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewSigner(name, keyset)
	if err != nil {
		t.Fatal(err)
	}
	want, err := note.NewEd25519VerifierKey(name, ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if s.VKey() != want {
		t.Errorf("got %s, want %s", s.VKey(), want)
	}
}

func TestRefusals(t *testing.T) {
	keyset, err := sign.NewKeyset(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		signer string
		keyset []byte
		want   escrow.Kind
	}{
		{"space in name", "a b", keyset, escrow.Invalid},
		{"plus in name", "a+b", keyset, escrow.Invalid},
		{"no name", "", keyset, escrow.Invalid},
		{"no keyset", name, nil, escrow.Corrupt},
		{"cut keyset", name, keyset[:len(keyset)/2], escrow.Corrupt},
		{"garbage", name, []byte("garbage"), escrow.Corrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := sign.NewSigner(test.signer, test.keyset); err == nil || escrow.KindOf(err) != test.want {
				t.Errorf("got %v, want kind %s", err, test.want)
			}
		})
	}
	if _, err := sign.NewKeyset(bytes.NewReader(nil)); err == nil || escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("without randomness: %v", err)
	}
}

func TestOpenTakesOneSpelling(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	b, err := note.Sign(&note.Note{Text: "text\n"}, s)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := sign.Open(string(b), s.Verifier()); err != nil || text != "text\n" {
		t.Fatalf("got %q, %v", text, err)
	}
	for i := range b {
		for bit := range 8 {
			changed := bytes.Clone(b)
			changed[i] ^= 1 << bit
			if _, err := sign.Open(string(changed), s.Verifier()); err == nil || escrow.KindOf(err) != escrow.Forged {
				t.Errorf("bit %d of byte %d flipped: %v", bit, i, err)
			}
		}
	}
	two, err := note.Sign(&note.Note{Text: "text\n"}, s, other)
	if err != nil {
		t.Fatal(err)
	}
	for name, signed := range map[string]string{"a second signature": string(two), "nothing": "", "twice": string(b) + string(b[bytes.Index(b, []byte("—")):])} {
		if _, err := sign.Open(signed, s.Verifier()); err == nil || escrow.KindOf(err) != escrow.Forged {
			t.Errorf("%s: %v", name, err)
		}
	}
}
