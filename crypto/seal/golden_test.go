package seal_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"escrow/crypto/keytree"
)

// letterKeys are the shares the records in testdata are sealed under: 32 times the kind of the key.
type letterKeys struct{}

func (letterKeys) Share(r keytree.Ref) (share keytree.Share, err error) {
	for i := range share {
		share[i] = byte(r.Kind)
	}
	return share, nil
}

// hexFile reads a file of testdata that holds bytes as lines of hex.
func hexFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(string(bytes.ReplaceAll(text, []byte("\n"), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenRecord opens a record written by the first version: compressed body, two slots, two identities.
func TestGoldenRecord(t *testing.T) {
	_, facets := conversation(prose(600), 3)
	s := mustParse(t, newSealer(t), hexFile(t, "record-v1.hex"))
	for i := range facets {
		plain, err := s.Open(letterKeys{}, i)
		if err != nil || !bytes.Equal(plain, facets[i].Plain) {
			t.Errorf("facet %d opens to %d bytes, %v", i, len(plain), err)
		}
	}
	if got := s.Facets(); len(got[0].Slots) != 2 {
		t.Errorf("the body has %d slots", len(got[0].Slots))
	}
}
