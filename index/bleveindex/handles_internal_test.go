package bleveindex

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

// A file that was removed counts as long as this process can read it, through a handle or through memory.
func TestHeldFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "0000000000aa.zap")
	if err := os.WriteFile(path, []byte("words"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := syscall.Mmap(int(f.Fd()), 0, 5, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	if held := heldFiles(dir); held != nil {
		t.Errorf("%v, but nothing was removed", held)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if held := heldFiles(dir); !slices.Equal(held, []string{"0000000000aa.zap", "0000000000aa.zap"}) {
		t.Errorf("open and mapped: %v", held)
	}
	if held := heldFiles(t.TempDir()); held != nil {
		t.Errorf("of another directory: %v", held)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if held := heldFiles(dir); len(held) != 1 {
		t.Errorf("mapped: %v", held)
	}
	if err := syscall.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	if held := heldFiles(dir); held != nil {
		t.Errorf("neither: %v", held)
	}
}
