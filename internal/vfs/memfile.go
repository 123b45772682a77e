package vfs

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	n      *node
	name   string
	flag   int
	pos    int64
	closed bool
}

// use locks the file system and says whether the file may be used; the caller unlocks.
func (f *memFile) use(op string, write bool) error {
	f.m.mu.Lock()
	access := f.flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	switch {
	case f.closed:
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	case write && access == os.O_RDONLY, !write && access == os.O_WRONLY:
		return &fs.PathError{Op: op, Path: f.name, Err: syscall.EBADF}
	}
	return nil
}

func (f *memFile) readAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EINVAL}
	}
	if off >= int64(len(f.n.data)) && len(b) > 0 {
		return 0, io.EOF
	}
	return copy(b, f.n.data[min(off, int64(len(f.n.data))):]), nil
}

func (f *memFile) Read(b []byte) (int, error) {
	err := f.use("read", false)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.readAt(b, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	err := f.use("read", false)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.readAt(b, off)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

func (f *memFile) Write(b []byte) (int, error) {
	err := f.use("write", true)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if f.flag&os.O_APPEND != 0 {
		f.pos = int64(len(f.n.data))
	}
	if len(b) > 0 {
		f.n.write(f.pos, b)
	}
	f.pos += int64(len(b))
	return len(b), nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	err := f.use("write", true)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off < 0 || f.flag&os.O_APPEND != 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EINVAL}
	}
	if len(b) > 0 {
		f.n.write(off, b)
	}
	return len(b), nil
}

func (f *memFile) Truncate(size int64) error {
	err := f.use("truncate", true)
	defer f.m.mu.Unlock()
	if err != nil {
		return err
	}
	if size < 0 {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: syscall.EINVAL}
	}
	if size != int64(len(f.n.data)) {
		f.n.truncate(size)
	}
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "sync", Path: f.name, Err: fs.ErrClosed}
	}
	f.n.sync()
	return nil
}

// dropDirty does what Linux may do when a sync fails: programs still see what they wrote, but it is marked clean, and no later sync will ever
// bring it to the disk.
func (f *memFile) dropDirty() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.pending = nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return nil, &fs.PathError{Op: "stat", Path: f.name, Err: fs.ErrClosed}
	}
	return f.n.info(f.name), nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return nil
}
