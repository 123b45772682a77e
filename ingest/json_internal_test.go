package ingest

import (
	"math/rand/v2"
	"testing"
)

// TestOrdinary compares the fast scan with the plain one on random bytes: it never passes a byte it must not, and stops at most one word early.
func TestOrdinary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			if b[i] = byte(rng.IntN(256)); rng.IntN(4) > 0 {
				b[i] = byte('a' + rng.IntN(26))
			}
		}
		first := len(b)
		for i, c := range b {
			if c == '"' || c == '\\' || c < 0x20 {
				first = i
				break
			}
		}
		if n := ordinary(b); n > first || first-n >= 8 {
			t.Fatalf("ordinary(%x) = %d, the first special byte is at %d", b, n, first)
		}
	}
}
