package bleveindex_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

// TestReopenAgainAndAgain opens an index many times. Once the engine has merged, it writes the snapshot it found again when it is opened, over values of
// the first time, which must still open.
func TestReopenAgainAndAgain(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	for round := range 12 {
		x, err := bleveindex.Open(context.Background(), dir, keys, config())
		if err != nil {
			t.Fatalf("opening for the %d. time: %v", round+1, err)
		}
		if round < 4 { // later rounds change nothing
			for batch := range 8 {
				apply(t, x, index.Document{Month: "203603", Time: received, Channel: "mail", Body: fmt.Sprintf("round%d batch%d of many words", round, batch)})
			}
		}
		n, err := x.Count(context.Background())
		if err != nil || n != uint64(8*min(round+1, 4)) {
			t.Fatalf("round %d: %d documents, %v", round, n, err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedTableOfContents changes bytes in the engine's own database. Whatever it makes of them, opening must end, and with an error or the right count.
func TestDamagedTableOfContents(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x, err := bleveindex.Open(context.Background(), dir, keys, config())
	if err != nil {
		t.Fatal(err)
	}
	apply(t, x, index.Document{Month: "203603", Time: received, Channel: "mail", Body: "one of many words"})
	closeIndex(t, x)
	files, err := filepath.Glob(filepath.Join(dir, "*", "root.bolt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("tables of contents: %v, %v", files, err)
	}
	sound, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(sound)
	bad[len(bad)/2] ^= 0xff // the number of a page, which the database asserts
	if err := os.WriteFile(files[0], bad, 0o600); err != nil {
		t.Fatal(err)
	}
	x, err = bleveindex.Open(context.Background(), dir, keys, config())
	if err != nil {
		if k := escrow.KindOf(err); k != escrow.Corrupt && k != escrow.Forged {
			t.Errorf("opening: %v, want corrupt or forged", err)
		}
		return
	}
	if n, err := x.Count(context.Background()); err != nil || n != 1 {
		t.Errorf("%d documents, %v", n, err)
	}
	closeIndex(t, x)
}
