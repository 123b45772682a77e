// Package vfs is the seam between the archive and the disk. Every file the archive itself writes goes through an FS, so that the same code runs
// on the real file system (OS), on one in memory that can be cut off from power at any moment (Mem), and on one that fails at a chosen operation
// (Faulty).
//
// The durability contract, which Mem takes literally: the content of a file survives a power cut only if it was written before a Sync of that
// file returned nil; a name (created, renamed or removed) survives only if a SyncDir of the directory it is in returned nil afterwards. After a
// Sync that failed, nothing may be assumed about what was written since the one before, and a later successful Sync does not change that.
package vfs

import (
	"io"
	"io/fs"
)

// FS is a file system. Names are paths as in package os. Implementations are safe for concurrent use. Errors are those of package os: errors.Is
// with fs.ErrNotExist, fs.ErrExist and syscall.ENOSPC works.
type FS interface {
	// OpenFile opens a file with the flags of package os (O_RDONLY, O_RDWR, O_CREATE, O_EXCL, O_TRUNC, O_APPEND).
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename replaces newname by oldname atomically.
	Rename(oldname, newname string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// MkdirAll creates a directory and its missing parents.
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file or directory.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on a file, which it creates if need be, without waiting; closing releases it. The error is of kind Conflict if
	// someone else, in this process or another, holds it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt may be called concurrently; Read and Write share one position.
type File interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the content durable.
	Sync() error
	// Truncate changes the size in bytes; a longer file is filled up with zeros.
	Truncate(size int64) error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
}
