package vfs

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that keeps, besides what programs see, what a disk would hold if the power were cut now. It has no clock:
// modification times are zero. The zero Mem is not usable, see NewMem.
type Mem struct {
	mu      sync.Mutex
	names   map[string]*node // what programs see
	durable map[string]*node // names on the disk
	pending []nameOp         // name changes not yet on the disk, in order
	locks   map[string]bool
}

// node is a file or a directory.
type node struct {
	dir     bool
	mode    fs.FileMode
	data    []byte    // what programs see
	disk    []byte    // what is on the disk
	pending []writeOp // changes of data not yet on the disk, in order
}

// nameOp is a change of a directory.
type nameOp struct {
	dir      string // the directory whose sync makes it durable
	from, to string // remove: to is ""; create: from is ""
	node     *node
}

// writeOp is a write, or with data nil a change of size to off.
type writeOp struct {
	off  int64
	data []byte
}

// NewMem returns an empty file system. The directories "/" and "." exist.
func NewMem() *Mem {
	return &Mem{names: map[string]*node{}, durable: map[string]*node{}, locks: map[string]bool{}}
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	n, err := m.lookup(name, flag, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		n.truncate(0)
	}
	return &memFile{m: m, n: n, name: name, flag: flag}, nil
}

func (m *Mem) lookup(name string, flag int, perm fs.FileMode) (*node, error) {
	n, ok := m.names[name]
	switch {
	case ok && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fs.ErrExist
	case ok && n.dir, isRoot(name):
		return nil, syscall.EISDIR
	case ok:
		return n, nil
	case flag&os.O_CREATE == 0 || !m.isDir(filepath.Dir(name)):
		return nil, fs.ErrNotExist
	}
	n = &node{mode: perm}
	m.change(nameOp{dir: filepath.Dir(name), to: name, node: n})
	return n, nil
}

func isRoot(name string) bool { return name == "." || name == "/" }

func (m *Mem) isDir(name string) bool {
	n, ok := m.names[name]
	return isRoot(name) || ok && n.dir
}

func (m *Mem) change(op nameOp) {
	op.apply(m.names)
	m.pending = append(m.pending, op)
}

func (op nameOp) apply(names map[string]*node) {
	if op.to == "" {
		delete(names, op.from)
		return
	}
	names[op.to] = op.node
	if op.from == "" {
		return
	}
	delete(names, op.from)
	if !op.node.dir {
		return
	}
	for name, n := range names {
		if rest, ok := strings.CutPrefix(name, op.from+"/"); ok {
			delete(names, name)
			names[op.to+"/"+rest] = n
		}
	}
}

// Rename implements FS. A rename between directories becomes durable with a SyncDir of the directory it goes to.
func (m *Mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldname, newname = filepath.Clean(oldname), filepath.Clean(newname)
	n, ok := m.names[oldname]
	if !ok || !m.isDir(filepath.Dir(newname)) {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: fs.ErrNotExist}
	}
	if old, ok := m.names[newname]; ok && old.dir != n.dir {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: fs.ErrExist}
	}
	if oldname != newname {
		m.change(nameOp{dir: filepath.Dir(newname), from: oldname, to: newname, node: n})
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	n, ok := m.names[name]
	if !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if n.dir && len(m.children(name)) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	m.change(nameOp{dir: filepath.Dir(name), from: name})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mkdirAll(filepath.Clean(name), perm)
}

func (m *Mem) mkdirAll(name string, perm fs.FileMode) error {
	if m.isDir(name) {
		return nil
	}
	if _, ok := m.names[name]; ok {
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
	}
	parent := filepath.Dir(name)
	if err := m.mkdirAll(parent, perm); err != nil {
		return err
	}
	m.change(nameOp{dir: parent, to: name, node: &node{dir: true, mode: fs.ModeDir | perm}})
	return nil
}

func (m *Mem) children(dir string) []string {
	var names []string
	for name := range m.names {
		if filepath.Dir(name) == dir && name != dir {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if !m.isDir(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var entries []fs.DirEntry
	for _, child := range m.children(name) {
		entries = append(entries, fs.FileInfoToDirEntry(m.names[child].info(child)))
	}
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if n, ok := m.names[name]; ok {
		return n.info(name), nil
	}
	if isRoot(name) {
		return memInfo{name: name, mode: fs.ModeDir | 0o700}, nil
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if !m.isDir(name) {
		return &fs.PathError{Op: "syncdir", Path: name, Err: fs.ErrNotExist}
	}
	rest := m.pending[:0]
	for _, op := range m.pending {
		if op.dir == name {
			op.apply(m.durable)
		} else {
			rest = append(rest, op)
		}
	}
	m.pending = rest
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.locks[name] {
		return nil, errLocked(name)
	}
	m.locks[name] = true
	return &memLock{File: f, m: m, name: name}, nil
}

type memLock struct {
	File
	m    *Mem
	name string
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	delete(l.m.locks, l.name)
	l.m.mu.Unlock()
	return l.File.Close()
}

func (n *node) info(name string) memInfo {
	return memInfo{name: filepath.Base(name), size: int64(len(n.data)), mode: n.mode}
}

type memInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }

func (n *node) write(off int64, b []byte) {
	op := writeOp{off: off, data: bytes.Clone(b)}
	n.data = op.apply(n.data)
	n.pending = append(n.pending, op)
}

func (n *node) truncate(size int64) {
	op := writeOp{off: size}
	n.data = op.apply(n.data)
	n.pending = append(n.pending, op)
}

// sync brings the pending changes to the disk.
func (n *node) sync() {
	for _, op := range n.pending {
		n.disk = op.apply(n.disk)
	}
	n.pending = nil
}

func (op writeOp) apply(b []byte) []byte {
	end := op.off + int64(len(op.data))
	if op.data == nil && op.off < int64(len(b)) {
		return b[:op.off:op.off]
	}
	if grow := end - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[op.off:], op.data)
	return b
}
