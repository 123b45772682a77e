package kekfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore/kekfile"
)

// newFile writes a new keyset.
func newFile(t *testing.T, template *tink_go_proto.KeyTemplate) string {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		t.Fatal(err)
	}
	return write(t, b.String())
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kek.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) tink.AEAD {
	t.Helper()
	k, err := kekfile.Open(kekfile.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKEK(t *testing.T) {
	path := newFile(t, aead.AES256GCMKeyTemplate())
	sealed, err := open(t, path).Encrypt([]byte("rho"), []byte("state"))
	if err != nil || bytes.Contains(sealed, []byte("rho")) {
		t.Fatalf("Encrypt: %v", err)
	}
	if plain, err := open(t, path).Decrypt(sealed, []byte("state")); err != nil || string(plain) != "rho" {
		t.Errorf("Decrypt: %v", err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)/2] ^= 1
	unsafe := newFile(t, aead.AES256GCMKeyTemplate())
	if err := os.Chmod(unsafe, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		path   string
		sealed []byte
		aad    string
		kind   escrow.Kind
		want   string
	}{
		{"other associated data", path, sealed, "other", escrow.Forged, ""},
		{"changed", path, changed, "state", escrow.Forged, ""},
		{"nothing", path, nil, "state", escrow.Forged, ""},
		{"another keyset", newFile(t, aead.AES256GCMKeyTemplate()), sealed, "state", escrow.Forged, ""},
		{"file taken away", path + ".gone", sealed, "state", escrow.Unavailable, "the file of the key"},
		{"file others can read", unsafe, sealed, "state", escrow.Unavailable, "make it 0600"},
		{"keyset for something else", newFile(t, mac.HMACSHA256Tag256KeyTemplate()), sealed, "state", escrow.Unavailable, "not for authenticated encryption"},
		{"no keyset", write(t, `{"password":"hunter2"}`), sealed, "state", escrow.Unavailable, "no keyset"},
		{"empty", write(t, ""), sealed, "state", escrow.Unavailable, "is empty"},
		{"large", write(t, strings.Repeat("x", 1<<20)), sealed, "state", escrow.Unavailable, "is larger than"},
	} {
		_, err := open(t, test.path).Decrypt(test.sealed, []byte(test.aad))
		if err == nil || escrow.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want kind %v with %q", test.name, err, test.kind, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes the file: %v", test.name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := kekfile.Open(kekfile.Config{}); err == nil || escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("no path: %v, want kind invalid", err)
	}
}
