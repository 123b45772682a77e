package file_test

import (
	"path/filepath"
	"testing"

	"escrow/crypto/rootstore/file"
	"escrow/internal/vfs"
)

// BenchmarkStore uses roots of the default size on the file system of the temporary directory.
func BenchmarkStore(b *testing.B) {
	s, err := file.Open(vfs.OS(), filepath.Join(b.TempDir(), "roots"), file.Config{})
	if err != nil {
		b.Fatal(err)
	}
	epoch := uint64(0)
	run := func(name string, fn func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := fn(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("CreateAndDestroy", func() error {
		epoch++
		if err := s.Create(b.Context(), epoch, 0); err != nil {
			return err
		}
		return s.Destroy(b.Context(), epoch)
	})
	if err := s.Create(b.Context(), epoch+1, 0); err != nil {
		b.Fatal(err)
	}
	run("Wrap", func() error {
		_, err := s.Wrap(b.Context(), epoch+1, make([]byte, 32), nil)
		return err
	})
	run("Evidence", func() error {
		_, err := s.Evidence(b.Context())
		return err
	})
}
