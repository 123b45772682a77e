package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// OpKind is a sort of file system operation.
type OpKind string

// The operations a Faulty counts.
const (
	OpOpen     OpKind = "open"
	OpCreate   OpKind = "create" // an open with O_CREATE
	OpRead     OpKind = "read"
	OpWrite    OpKind = "write"
	OpSync     OpKind = "sync"
	OpTruncate OpKind = "truncate"
	OpClose    OpKind = "close"
	OpStat     OpKind = "stat"
	OpRename   OpKind = "rename"
	OpRemove   OpKind = "remove"
	OpMkdir    OpKind = "mkdir"
	OpReadDir  OpKind = "readdir"
	OpSyncDir  OpKind = "syncdir"
	OpLock     OpKind = "lock"
)

// Op is one operation: for reads, writes and changes of size Off and Len in bytes (Off is -1 for a write at the file's own position).
type Op struct {
	Kind     OpKind
	Name     string
	To       string // of a rename
	Off, Len int64
}

// String returns the operation as one line of a trace.
func (o Op) String() string {
	switch o.Kind {
	case OpRead, OpWrite:
		return fmt.Sprintf("%s %s at %d, %d bytes", o.Kind, o.Name, o.Off, o.Len)
	case OpTruncate:
		return fmt.Sprintf("%s %s to %d", o.Kind, o.Name, o.Off)
	case OpRename:
		return fmt.Sprintf("%s %s to %s", o.Kind, o.Name, o.To)
	}
	return fmt.Sprintf("%s %s", o.Kind, o.Name)
}

// Changes says whether the operation can change what is on the disk.
func (o Op) Changes() bool {
	switch o.Kind {
	case OpOpen, OpRead, OpClose, OpStat, OpReadDir, OpLock:
		return false
	}
	return true
}

// Fault says what a failing operation leaves behind.
type Fault uint8

// The faults.
const (
	Lost  Fault = iota // nothing happened; a failed Sync on a Mem also loses for ever what was written since the last one
	Short              // a write wrote its first half, anything else as Lost
	Done               // everything happened, and still an error was returned
)

// Plan says which operation fails and how.
type Plan struct {
	At     int   // which operation, counted from 1 since NewFaulty; 0: none
	Fault  Fault // what it leaves behind
	Err    error // what it returns; must not be nil if At > 0
	Sticky bool  // all later operations fail too
}

// Faulty counts, records and fails the operations of another file system. Safe for concurrent use.
type Faulty struct {
	inner FS
	mu    sync.Mutex
	plan  Plan
	trace []Op
	after func(Op)
}

// NewFaulty returns a file system that passes everything on to inner.
func NewFaulty(inner FS) *Faulty { return &Faulty{inner: inner} }

// Fail sets the plan, replacing an earlier one.
func (f *Faulty) Fail(p Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = p
}

// After sets a function called after every operation, while no lock is held.
func (f *Faulty) After(fn func(Op)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = fn
}

// Ops returns the number of operations so far.
func (f *Faulty) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.trace)
}

// Trace returns a copy of the operations so far.
func (f *Faulty) Trace() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Op(nil), f.trace...)
}

// do counts op and runs it, or fails as planned: a lost operation is not run, run gets the fault otherwise.
func (f *Faulty) do(op Op, run func(Fault) error) error {
	f.mu.Lock()
	f.trace = append(f.trace, op)
	n, plan, after := len(f.trace), f.plan, f.after
	f.mu.Unlock()
	if after != nil {
		defer after(op)
	}
	if plan.At == 0 || n < plan.At || n > plan.At && !plan.Sticky {
		return run(Done)
	}
	if plan.Fault == Done || plan.Fault == Short && op.Kind == OpWrite {
		if err := run(plan.Fault); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", op, plan.Err)
}

// OpenFile implements FS.
func (f *Faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := Op{Kind: OpOpen, Name: name}
	if flag&os.O_CREATE != 0 {
		op.Kind = OpCreate
	}
	var file File
	err := f.do(op, func(Fault) (err error) {
		file, err = f.inner.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		if file != nil {
			file.Close() // it was opened, but the caller must not know
		}
		return nil, err
	}
	return &faultyFile{f: f, inner: file, name: name}, nil
}

// Rename implements FS.
func (f *Faulty) Rename(oldname, newname string) error {
	return f.do(Op{Kind: OpRename, Name: oldname, To: newname}, func(Fault) error { return f.inner.Rename(oldname, newname) })
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	return f.do(Op{Kind: OpRemove, Name: name}, func(Fault) error { return f.inner.Remove(name) })
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string, perm fs.FileMode) error {
	return f.do(Op{Kind: OpMkdir, Name: name}, func(Fault) error { return f.inner.MkdirAll(name, perm) })
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = f.do(Op{Kind: OpReadDir, Name: name}, func(Fault) (err error) {
		entries, err = f.inner.ReadDir(name)
		return err
	})
	return entries, err
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (info fs.FileInfo, err error) {
	err = f.do(Op{Kind: OpStat, Name: name}, func(Fault) (err error) {
		info, err = f.inner.Stat(name)
		return err
	})
	return info, err
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error {
	return f.do(Op{Kind: OpSyncDir, Name: name}, func(Fault) error { return f.inner.SyncDir(name) })
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (c io.Closer, err error) {
	err = f.do(Op{Kind: OpLock, Name: name}, func(Fault) (err error) {
		c, err = f.inner.Lock(name)
		return err
	})
	if err != nil && c != nil {
		c.Close()
		c = nil
	}
	return c, err
}

// faultyFile is a file of a Faulty.
type faultyFile struct {
	f     *Faulty
	inner File
	name  string
}

func (h *faultyFile) Read(b []byte) (n int, err error) {
	err = h.f.do(Op{Kind: OpRead, Name: h.name, Off: -1, Len: int64(len(b))}, func(Fault) (err error) {
		n, err = h.inner.Read(b)
		return err
	})
	return n, err
}

func (h *faultyFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = h.f.do(Op{Kind: OpRead, Name: h.name, Off: off, Len: int64(len(b))}, func(Fault) (err error) {
		n, err = h.inner.ReadAt(b, off)
		return err
	})
	return n, err
}

func (h *faultyFile) Write(b []byte) (n int, err error) {
	err = h.f.do(Op{Kind: OpWrite, Name: h.name, Off: -1, Len: int64(len(b))}, func(fault Fault) (err error) {
		n, err = h.inner.Write(portion(b, fault))
		return err
	})
	return n, err
}

func (h *faultyFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = h.f.do(Op{Kind: OpWrite, Name: h.name, Off: off, Len: int64(len(b))}, func(fault Fault) (err error) {
		n, err = h.inner.WriteAt(portion(b, fault), off)
		return err
	})
	return n, err
}

func portion(b []byte, fault Fault) []byte {
	if fault == Short {
		return b[:len(b)/2]
	}
	return b
}

func (h *faultyFile) Sync() error {
	ran := false
	err := h.f.do(Op{Kind: OpSync, Name: h.name}, func(Fault) error {
		ran = true
		return h.inner.Sync()
	})
	if m, ok := h.inner.(*memFile); ok && !ran {
		m.dropDirty()
	}
	return err
}

func (h *faultyFile) Truncate(size int64) error {
	return h.f.do(Op{Kind: OpTruncate, Name: h.name, Off: size}, func(Fault) error { return h.inner.Truncate(size) })
}

func (h *faultyFile) Stat() (info fs.FileInfo, err error) {
	err = h.f.do(Op{Kind: OpStat, Name: h.name}, func(Fault) (err error) {
		info, err = h.inner.Stat()
		return err
	})
	return info, err
}

// Close always closes, as a real close does even when it returns an error.
func (h *faultyFile) Close() error {
	ran := false
	err := h.f.do(Op{Kind: OpClose, Name: h.name}, func(Fault) error {
		ran = true
		return h.inner.Close()
	})
	if !ran {
		h.inner.Close()
	}
	return err
}
