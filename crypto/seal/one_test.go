package seal_test

import (
	"bytes"
	"testing"

	"escrow"
	"escrow/crypto/seal"
)

func TestSealOne(t *testing.T) {
	z := newSealer(t)
	key := share('I', 1)
	for name, plain := range map[string][]byte{"empty": {}, "short": prose(30), "chat": prose(300), "long": prose(300_000)} {
		sealed, err := z.SealOne(key, "escrow/log/v1", []byte("aad"), plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := z.OpenOne(key, "escrow/log/v1", []byte("aad"), sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: OpenOne returned %d of %d bytes, %v", name, len(got), len(plain), err)
		}
		if len(plain) >= 3000 && len(sealed) >= len(plain) {
			t.Errorf("%s: %d bytes became %d", name, len(plain), len(sealed))
		}
	}
	_, err := z.SealOne(key, "p", nil, make([]byte, seal.MaxPlain+1))
	wantKind(t, "too long", err, escrow.Invalid)
}

func TestOpenOneRefusesEveryDifference(t *testing.T) {
	z := newSealer(t)
	key := share('I', 1)
	sealed, err := z.SealOne(key, "purpose", []byte("aad"), prose(100))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		got, err := z.OpenOne(key, "purpose", []byte("aad"), bad)
		if got != nil || err == nil {
			t.Fatalf("byte %d was changed and %d bytes returned", i, len(got))
		}
		if _, err := z.OpenOne(key, "purpose", []byte("aad"), sealed[:i]); err == nil {
			t.Fatalf("the first %d bytes were accepted", i)
		}
	}
	_, err = z.OpenOne(share('I', 2), "purpose", []byte("aad"), sealed)
	wantKind(t, "key", err, escrow.Forged)
	_, err = z.OpenOne(key, "purposea", []byte("ad"), sealed)
	wantKind(t, "purpose", err, escrow.Forged)
	_, err = z.OpenOne(key, "purpose", nil, sealed)
	wantKind(t, "aad", err, escrow.Forged)
	_, err = z.OpenOne(key, "purpose", []byte("aad"), nil)
	wantKind(t, "nothing", err, escrow.Corrupt)
}
