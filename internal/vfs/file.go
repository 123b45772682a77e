package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"escrow"
)

// ReadFile reads a whole file of at most max bytes. A missing file is of kind NotFound, a longer one of kind Corrupt.
func ReadFile(fsys FS, name string, max int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, readError(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, readError(err)
	}
	if int64(len(b)) > max {
		return nil, escrow.Errorf("vfs.ReadFile", escrow.Corrupt, "%s has more than %d bytes", name, max)
	}
	return b, nil
}

func readError(err error) error {
	kind := escrow.Unavailable
	if errors.Is(err, fs.ErrNotExist) {
		kind = escrow.NotFound
	}
	return escrow.Errorf("vfs.ReadFile", kind, "%w", err)
}

// WriteFileAtomic replaces a file so that after a power cut at any moment either the old content or the new is there, whole; the new content is
// durable on return. It writes name+".tmp", syncs it, renames it and syncs the directory. Two concurrent calls for one name are not allowed.
func WriteFileAtomic(fsys FS, name string, data []byte, perm fs.FileMode) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, data, perm); err != nil {
		return escrow.Errorf("vfs.WriteFileAtomic", escrow.Unavailable, "%w", err)
	}
	err := fsys.Rename(tmp, name)
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return escrow.Errorf("vfs.WriteFileAtomic", escrow.Unavailable, "%w", err)
	}
	return nil
}

func writeSynced(fsys FS, name string, data []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// MkdirAllSync creates a directory and its missing parents, all durable on return: each new name is synced in the directory it is in.
func MkdirAllSync(fsys FS, name string, perm fs.FileMode) error {
	name = filepath.Clean(name)
	if info, err := fsys.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := MkdirAllSync(fsys, parent, perm); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(name, perm); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}
