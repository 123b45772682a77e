package sign_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// TestWycheproof runs the published edge cases of Ed25519 against the verifier auditors use.
func TestWycheproof(t *testing.T) {
	dir := os.Getenv("ESCROW_VECTORS")
	if dir == "" {
		t.Skip("ESCROW_VECTORS is not set: the published vectors are not run")
	}
	b, err := os.ReadFile(filepath.Join(dir, "wycheproof", "ed25519_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ PK string }
			Tests     []struct {
				TCID             int
				Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(b, &suite); err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, group := range suite.TestGroups {
		vkey, err := note.NewEd25519VerifierKey(name, ed25519.PublicKey(unhex(t, group.PublicKey.PK)))
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range group.Tests {
			run++
			if got := verifier.Verify(unhex(t, test.Msg), unhex(t, test.Sig)); got != (test.Result == "valid") {
				t.Errorf("case %d: verified %v, the vector says %s", test.TCID, got, test.Result)
			}
		}
	}
	if run != suite.NumberOfTests || run == 0 {
		t.Errorf("%d of %d cases run", run, suite.NumberOfTests)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
