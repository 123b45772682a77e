package bleveindex_test

import (
	"context"
	"fmt"
	"testing"

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
