package keystate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/internal/vfs"
)

// tenMillion is how many subjects the table has.
const tenMillion = 10_000_000

// TestTenMillionSubjects measures what docs/measurements/keys.md says: make bench-keys. It fails where a state of that size does not fit its limits.
func TestTenMillionSubjects(t *testing.T) {
	if os.Getenv("ESCROW_LARGE") == "" {
		t.Skip("ESCROW_LARGE is not set; this takes minutes and a gigabyte")
	}
	order := rand.New(rand.NewPCG(9, 9)).Perm(tenMillion)
	t.Log("| erased at random | nodes | file | batch puncture | seal | load | derive | one more puncture | the same, durable |")
	for _, erased := range []int{0, 1, 100, 10_000, 100_000, 1_000_000, 3_500_000, 5_000_000} {
		leaves := make([]uint32, erased)
		for i := range leaves {
			leaves[i] = uint32(order[i])
		}
		row := measure(t, leaves, uint32(order[erased+1]))
		t.Log("|", grouped(erased), row)
	}
}

// measure returns a row of the table. The times are the processor's, least of three, but for the last, which is what a caller waits.
func measure(t *testing.T, leaves []uint32, another uint32) string {
	tree := keytree.New(keytree.Share{1})
	batch := least(3, func() { tree = keytree.New(keytree.Share{1}); tree.Puncture(leaves) })
	plain := tree.Append(make([]byte, 0, tree.AppendedBytes()))
	seal := least(3, func() { plain = tree.Append(plain[:0]) })
	load := least(3, func() {
		if _, _, err := keytree.Parse(plain); err != nil {
			t.Fatal(err)
		}
	})
	rng := rand.New(rand.NewPCG(1, 1))
	derive := least(3, func() {
		for range 10_000 {
			_, _ = tree.Share(rng.Uint32N(tenMillion))
		}
	}) / 10_000
	one := least(3, func() { tree.Clone().Puncture([]uint32{another}) })
	size, sealing, loading, durable := measureState(t, leaves, another)
	return fmt.Sprintf("%s | %.2f MB | %v | %v | %v | %v | %v | %v |", grouped(tree.Len()), float64(size)/1e6, short(batch), short(seal+sealing), short(load+loading),
		derive, short(one), short(durable))
}

// measureState returns the size of the state file, the processor time to seal and to open it beyond that of the tree, and how long a caller waits for one more puncture.
func measureState(t *testing.T, leaves []uint32, another uint32) (size int64, seal, load, durable time.Duration) {
	base := t.TempDir()
	roots, err := file.Open(vfs.OS(), filepath.Join(base, "roots"), file.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := keystate.Config{Roots: []rootstore.Store{roots}, Now: time.Now}
	s, err := keystate.Create(t.Context(), vfs.OS(), filepath.Join(base, "keys"), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]keytree.Ref, len(leaves))
	for i, leaf := range leaves {
		refs[i] = subject(leaf)
	}
	update(t, s, func(tx *keystate.Tx) { tx.Puncture(refs...) })
	seal = least(3, func() { update(t, s, func(*keystate.Tx) {}) })
	began := time.Now()
	update(t, s, func(tx *keystate.Tx) { tx.Puncture(subject(another)) })
	durable = time.Since(began)
	info, err := os.Stat(filepath.Join(base, "keys", "state"))
	if err != nil {
		t.Fatal(err)
	}
	load = least(3, func() {
		back, err := keystate.Open(context.Background(), vfs.OS(), filepath.Join(base, "keys"), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if back.Alive(subject(another)) {
			t.Fatal("the puncture is not in the file")
		}
		_ = back.Close()
	})
	_ = s.Close()
	return info.Size(), seal, load, durable
}

// least returns the least processor time of n runs.
func least(n int, fn func()) time.Duration {
	best := time.Duration(1<<63 - 1)
	for range n {
		began := processorTime()
		fn()
		best = min(best, processorTime()-began)
	}
	return best
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// short rounds to three digits.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// grouped writes a number with spaces between thousands.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s %03d", grouped(n/1000), n%1000)
}
