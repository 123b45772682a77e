package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"escrow"
)

// TestTenantKey founds a tenant whose keys are under a key in a file of the customer: without the file nothing opens, and the refusal names it.
func TestTenantKey(t *testing.T) {
	dir := t.TempDir()
	key, prepared := filepath.Join(dir, "customer.json"), filepath.Join(dir, "settings.json")
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := filepath.Join(dir, "roots")
	if err := os.Mkdir(roots, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"roots":[{"kind":"file","path":%q,"accept_weak":true},{"kind":"file","accept_weak":true}],"kek":{"kind":"file","path":%q}}`, roots, key)
	if err := os.WriteFile(prepared, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := found(t, settings{region: defaultRegion, port: -1, file: prepared})
	opens := func() error {
		n, err := a.openNode(context.Background(), nodeOptions{})
		if err != nil {
			return err
		}
		return n.close()
	}
	if err := opens(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	if err := opens(); escrow.KindOf(err) != escrow.Unavailable && escrow.KindOf(err) != escrow.Denied || !strings.Contains(err.Error(), "customer.json") {
		t.Errorf("without the customer's key: %v", err)
	}
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(roots, roots+".away"); err != nil {
		t.Fatal(err)
	}
	if err := opens(); err != nil { // one of two root stores is enough to read
		t.Errorf("with one of two root stores: %v", err)
	}
}
