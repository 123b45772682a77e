package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"escrow"
	"escrow/internal/vfs"
)

// copier makes files the same as their sources, and reads back what it wrote. It is for one goroutine.
type copier struct {
	fsys     vfs.FS
	base     string                  // everything it writes is below
	synced   map[string]bool         // directories whose names are durable
	progress func(done, total int64) // may be nil
	done     int64
	total    int64
	written  int64
	ours     []byte
	theirs   []byte
}

func newCopier(fsys vfs.FS, base string, progress func(done, total int64)) *copier {
	return &copier{fsys: fsys, base: filepath.Clean(base), synced: map[string]bool{}, progress: progress,
		ours: make([]byte, chunkBytes), theirs: make([]byte, chunkBytes)}
}

// makeDir creates a directory below the base. Its name is durable on return, also if an attempt that failed created it.
func (c *copier) makeDir(dir string) error {
	if dir == c.base || c.synced[dir] {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := c.makeDir(parent); err != nil {
		return err
	}
	if err := c.fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := c.fsys.SyncDir(parent); err != nil {
		return err
	}
	c.synced[dir] = true
	return nil
}

// errChanged says that a file begins otherwise than its source.
var errChanged = errors.New("the source changed otherwise than by growing")

// partSuffix marks a file that is being written. It gets its name when all of it is synced: what a failed sync left behind can be read, and need not be on
// the disk.
const partSuffix = ".part"

// advance reports progress over n bytes of sources.
func (c *copier) advance(n int64) {
	c.done += n
	if c.progress != nil {
		c.progress(min(c.done, c.total), c.total)
	}
}

// fresh makes a target that is no part of a backup yet, of the first n bytes of a source, and returns their digest. It is durable and read back on return.
// A target that an interrupted backup completed is not written again.
func (c *copier) fresh(ctx context.Context, source io.ReaderAt, target string, n int64) (string, error) {
	if err := c.makeDir(filepath.Dir(target)); err != nil {
		return "", c.trouble(target, err)
	}
	sum, err := c.reuse(ctx, source, target, n)
	if errors.Is(err, errChanged) || errors.Is(err, fs.ErrNotExist) {
		part := target + partSuffix
		sum, err = c.into(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, func(f vfs.File) (string, error) { return c.write(ctx, source, f, span{0, n}) })
		if err == nil {
			err = c.fsys.Rename(part, target)
		}
	}
	if err == nil {
		err = c.fsys.SyncDir(filepath.Dir(target))
	}
	if err != nil {
		return "", c.trouble(target, err)
	}
	return sum, nil
}

// reuse checks that a target is already what it should become.
func (c *copier) reuse(ctx context.Context, source io.ReaderAt, target string, n int64) (string, error) {
	return c.into(target, os.O_RDONLY, func(f vfs.File) (string, error) {
		info, err := f.Stat()
		if err == nil && info.Size() != n {
			err = errChanged
		}
		digest := sha256.New()
		if err == nil {
			err = c.compare(ctx, source, f, span{0, n}, digest)
		}
		return hex.EncodeToString(digest.Sum(nil)), err
	})
}

// extend makes a target whose first fixed bytes are part of a backup hold the first n bytes of a source, and returns their digest. It is durable and read
// back on return. The fixed bytes are not written to: if they differ from the source, the error is errChanged and nothing has happened.
func (c *copier) extend(ctx context.Context, source io.ReaderAt, target string, n, fixed int64) (string, error) {
	if n < fixed {
		return "", errChanged
	}
	sum, err := c.into(target, os.O_RDWR, func(f vfs.File) (string, error) { return c.write(ctx, source, f, span{fixed, n}) })
	if errors.Is(err, fs.ErrNotExist) {
		return "", errChanged
	}
	if err != nil {
		return "", c.trouble(target, err)
	}
	return sum, nil
}

func (c *copier) into(name string, flag int, do func(vfs.File) (string, error)) (string, error) {
	f, err := c.fsys.OpenFile(name, flag, 0o600)
	if err != nil {
		return "", err
	}
	sum, err := do(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return sum, err
}

// span is a part of a file.
type span struct{ from, to int64 }

// write compares what comes before a span and writes the span, whatever is there; the file ends with it.
func (c *copier) write(ctx context.Context, source io.ReaderAt, f vfs.File, s span) (string, error) {
	digest := sha256.New()
	if err := c.compare(ctx, source, f, span{0, s.from}, digest); err != nil {
		return "", err
	}
	if err := f.Truncate(s.from); err != nil {
		return "", err
	}
	for at := s.from; at < s.to; at += int64(len(c.ours)) {
		b := c.ours[:min(int64(len(c.ours)), s.to-at)]
		if err := c.read(ctx, source, b, at); err != nil {
			return "", err
		}
		if _, err := f.WriteAt(b, at); err != nil {
			return "", err
		}
		digest.Write(b)
		c.written += int64(len(b))
		c.advance(int64(len(b)))
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(digest.Sum(nil))
	return sum, c.readBack(ctx, f, s.to, sum)
}

// compare reads a span of a source and of a file. The error is errChanged if they differ or the file is shorter.
func (c *copier) compare(ctx context.Context, source io.ReaderAt, f vfs.File, s span, digest io.Writer) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < s.to {
		return errChanged
	}
	before := c.done
	for at := s.from; at < s.to; at += int64(len(c.ours)) {
		size := min(int64(len(c.ours)), s.to-at)
		ours, theirs := c.ours[:size], c.theirs[:size]
		if err := errors.Join(c.read(ctx, source, ours, at), c.read(ctx, f, theirs, at)); err != nil {
			return err
		}
		if !bytes.Equal(ours, theirs) {
			c.done = before
			return errChanged
		}
		if _, err := digest.Write(ours); err != nil {
			return err
		}
		c.advance(size)
	}
	return nil
}

// read fills b from an offset.
func (c *copier) read(ctx context.Context, r io.ReaderAt, b []byte, at int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return fmt.Errorf("%d bytes are missing at offset %d: %w", len(b)-n, at, err)
}

// readBack compares a file with the digest it must have.
func (c *copier) readBack(ctx context.Context, f vfs.File, n int64, want string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	digest := sha256.New()
	for at := int64(0); at < n; at += int64(len(c.theirs)) {
		b := c.theirs[:min(int64(len(c.theirs)), n-at)]
		if err := c.read(ctx, f, b, at); err != nil {
			return err
		}
		digest.Write(b)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != want || info.Size() != n {
		return escrow.Errorf("backup.Copy", escrow.Corrupt, "what was written is not what is read back; do not trust this disk")
	}
	return nil
}

// trouble names the file, and explains a full disk.
func (c *copier) trouble(name string, err error) error {
	switch {
	case errors.Is(err, errChanged), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return escrow.Errorf("backup.Copy", escrow.Unavailable, "%s: the disk is full; at most %d bytes more are needed, and what was copied is not copied again: %w",
			name, c.total-c.done, err)
	}
	kind := escrow.KindOf(err)
	if _, ok := errors.AsType[*escrow.Error](err); !ok {
		kind = escrow.Unavailable
	}
	return escrow.Errorf("backup.Copy", kind, "%s: %w", name, err)
}
