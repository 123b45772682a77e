package source

import (
	"context"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// tree is where files come from. Unlike fs.FS it takes names that are not UTF-8, as mail stores of old systems have them.
type tree interface {
	open(name string) (fs.File, error)
	list(name string) ([]fs.DirEntry, error) // sorted by name
}

// rootTree is a folder of the operating system, out of which nothing leads.
type rootTree struct{ root *os.Root }

// open does not wait for a writer, should a pipe have taken the place of a file since the folder was listed.
func (t rootTree) open(name string) (fs.File, error) {
	return t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func (t rootTree) list(name string) ([]fs.DirEntry, error) {
	f, err := t.root.Open(name)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return entries, err
}

// Close releases the folder.
func (t rootTree) Close() error { return t.root.Close() }

// hostTree opens files named explicitly, which may be pipes or links.
type hostTree struct{}

func (hostTree) open(name string) (fs.File, error)       { return os.Open(name) }
func (hostTree) list(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// fsTree is any other file system.
type fsTree struct{ fsys fs.FS }

func (t fsTree) open(name string) (fs.File, error)       { return t.fsys.Open(name) }
func (t fsTree) list(name string) ([]fs.DirEntry, error) { return fs.ReadDir(t.fsys, name) }

func sizeOf(ctx context.Context, t tree, name string, folder bool, depth int) int64 {
	if !folder {
		return statSize(t, name)
	}
	entries, err := t.list(name)
	if err != nil || depth > maxDepth {
		return 0
	}
	var sum int64
	for _, e := range entries {
		if ctx.Err() != nil {
			return sum
		}
		if e.IsDir() {
			sum += sizeOf(ctx, t, path.Join(name, e.Name()), true, depth+1)
		} else if info, err := e.Info(); err == nil && e.Type().IsRegular() {
			sum += info.Size()
		}
	}
	return sum
}

// statSize is used for files named explicitly only.
func statSize(t tree, name string) int64 {
	var info fs.FileInfo
	var err error
	if ft, ok := t.(fsTree); ok {
		info, err = fs.Stat(ft.fsys, name)
	} else {
		info, err = os.Stat(name)
	}
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}
