package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/internal/vfs"
)

// each runs a test on every real implementation, which must agree.
func each(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, vfs.OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) { test(t, vfs.NewMem(), ".") })
	t.Run("faulty", func(t *testing.T) { test(t, vfs.NewFaulty(vfs.NewMem()), ".") })
}

func create(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<20)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestFileOperationsAgree(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		steps := []func() error{
			func() error { _, err := f.Write([]byte("hello ")); return err },
			func() error { _, err := f.Write([]byte("world")); return err },
			func() error { _, err := f.WriteAt([]byte("W"), 6); return err },
			func() error { return f.Truncate(8) },
			func() error { _, err := f.WriteAt([]byte("!"), 10); return err },
			func() error { return f.Sync() },
			func() error { return fsys.SyncDir(dir) },
		}
		for i, step := range steps {
			if err := step(); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		b := make([]byte, 20)
		n, err := f.ReadAt(b, 2)
		if got, want := string(b[:n]), "llo Wo\x00\x00!"; got != want || err != io.EOF {
			t.Errorf("read %q and %v, want %q and EOF", got, err, want)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(nil); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		if _, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("an exclusive create of a file that exists: %v", err)
		}
		if info, err := fsys.Stat(name); err != nil || info.Size() != 11 || info.IsDir() {
			t.Errorf("stat: %v, %v", info, err)
		}
	})
}

func TestDirectoryOperationsAgree(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		sub := filepath.Join(dir, "a", "b")
		if err := vfs.MkdirAllSync(fsys, sub, 0o700); err != nil {
			t.Fatal(err)
		}
		create(t, fsys, filepath.Join(sub, "2"), "two")
		create(t, fsys, filepath.Join(sub, "1"), "one")
		create(t, fsys, filepath.Join(sub, "3"), "three")
		if err := fsys.Rename(filepath.Join(sub, "3"), filepath.Join(sub, "2")); err != nil {
			t.Fatal(err)
		}
		entries, err := fsys.ReadDir(sub)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if diff := cmp.Diff([]string{"1", "2"}, names); diff != "" {
			t.Error(diff)
		}
		if got := content(t, fsys, filepath.Join(sub, "2")); got != "three" {
			t.Errorf("after the rename: %q", got)
		}
		if err := fsys.Remove(sub); err == nil {
			t.Error("a directory with files was removed")
		}
		if err := fsys.Remove(filepath.Join(sub, "1")); err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Stat(filepath.Join(sub, "1")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat of a removed file: %v", err)
		}
		if _, err := fsys.OpenFile(filepath.Join(dir, "no", "such"), os.O_RDWR|os.O_CREATE, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file in a missing directory: %v", err)
		}
	})
}

func TestLockIsExclusive(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		held, err := fsys.Lock(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Lock(name); err == nil || escrow.KindOf(err) != escrow.Conflict {
			t.Errorf("the second lock: %v, want kind conflict", err)
		}
		if err := held.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := fsys.Lock(name)
		if err != nil {
			t.Fatalf("after release: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReadFileKinds(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		if _, err := vfs.ReadFile(fsys, name, 3); escrow.KindOf(err) != escrow.NotFound || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing: %v", err)
		}
		create(t, fsys, name, "abc")
		if b, err := vfs.ReadFile(fsys, name, 3); err != nil || string(b) != "abc" {
			t.Errorf("at the limit: %q, %v", b, err)
		}
		if _, err := vfs.ReadFile(fsys, name, 2); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("beyond the limit: %v", err)
		}
	})
}
