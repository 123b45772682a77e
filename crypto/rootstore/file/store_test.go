package file_test

import (
	"testing"

	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/rootstore/storetest"
	"escrow/internal/vfs"
)

// open returns a store with small roots.
func open(t testing.TB, fsys vfs.FS) *file.Store {
	t.Helper()
	s, err := file.Open(fsys, "roots", file.Config{Stripes: 40})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rootstore.Store { return open(t, vfs.NewMem()) })
}
