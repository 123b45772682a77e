package keytree_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"escrow/crypto/keytree"
)

const subjects = 10_000_000

// erasedTree is a tree of 10 M subjects of which the given number has been erased, at random.
func erasedTree(erased int) *keytree.Tree {
	rng := rand.New(rand.NewPCG(9, 9))
	leaves := make([]uint32, erased)
	for i := range leaves {
		leaves[i] = rng.Uint32N(subjects)
	}
	tree := keytree.New(root(1))
	tree.Puncture(leaves)
	return tree
}

func BenchmarkShare(b *testing.B) {
	for _, erased := range []int{1, 100_000} {
		tree := erasedTree(erased)
		rng := rand.New(rand.NewPCG(1, 1))
		b.Run(fmt.Sprintf("random/erased=%d", erased), func(b *testing.B) {
			for b.Loop() {
				_, _ = tree.Share(rng.Uint32N(subjects))
			}
		})
	}
	tree := keytree.New(root(1))
	b.Run("next", func(b *testing.B) {
		var leaf uint32
		for b.Loop() {
			leaf++
			_, _ = tree.Share(leaf)
		}
	})
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			_, _ = tree.Share(20_000)
		}
	})
}

func BenchmarkPuncture(b *testing.B) {
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			keytree.New(root(1)).Puncture([]uint32{77})
		}
	})
	b.Run("one-more/erased=100000", func(b *testing.B) {
		tree := erasedTree(100_000)
		rng := rand.New(rand.NewPCG(5, 5))
		b.ReportMetric(float64(tree.AppendedBytes())/1e6, "MB")
		for b.Loop() {
			tree.Puncture([]uint32{rng.Uint32N(subjects)})
		}
	})
	b.Run("batch/erased=100000", func(b *testing.B) {
		for b.Loop() {
			erasedTree(100_000)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	encoded := erasedTree(100_000).Append(nil)
	b.SetBytes(int64(len(encoded)))
	for b.Loop() {
		if _, _, err := keytree.Parse(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
