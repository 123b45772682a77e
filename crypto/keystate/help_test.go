package keystate_test

import (
	"context"
	"fmt"
	"path"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/internal/vfs"
)

const (
	dir      = "tenants/acme/keys"
	rootsDir = "roots"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)

// rig is what a key state needs around it. A rig on the files of another is the same machine after a restart.
type rig struct {
	fsys   vfs.FS
	stores []*flaky
	kek    keystate.KEK
	now    time.Time
}

// newRig returns a rig with n root stores in files of fsys.
func newRig(t testing.TB, fsys vfs.FS, n int) *rig {
	t.Helper()
	r := &rig{fsys: fsys, now: start}
	if err := fsys.MkdirAll(rootsDir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		s, err := file.Open(fsys, fmt.Sprintf("%s/%d", rootsDir, i), file.Config{Stripes: 4})
		if err != nil {
			t.Fatal(err)
		}
		r.stores = append(r.stores, &flaky{Store: s})
	}
	return r
}

func (r *rig) config() keystate.Config {
	cfg := keystate.Config{KEK: r.kek, Now: func() time.Time { return r.now }}
	for _, s := range r.stores {
		cfg.Roots = append(cfg.Roots, s)
	}
	return cfg
}

func (r *rig) create(t testing.TB) *keystate.State {
	t.Helper()
	s, err := keystate.Create(t.Context(), r.fsys, dir, r.config(), []byte("signing keyset"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) open() (*keystate.State, error) {
	return keystate.Open(context.Background(), r.fsys, dir, r.config())
}

func (r *rig) reopen(t testing.TB) *keystate.State {
	t.Helper()
	s, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// flaky is a root store that fails on demand.
type flaky struct {
	rootstore.Store
	mu    sync.Mutex
	calls int
	fail  int  // the call that fails, counted from 1; 0 none, -1 all
	done  bool // it fails after it was done
	trace []string
}

func (f *flaky) do(what string, run func() error) error {
	f.mu.Lock()
	f.calls++
	fails := f.fail == f.calls || f.fail < 0
	f.trace = append(f.trace, what)
	f.mu.Unlock()
	if fails && !f.done {
		return escrow.Errorf("test", escrow.Unavailable, "the root store is down")
	}
	err := run()
	if fails && err == nil {
		return escrow.Errorf("test", escrow.Unavailable, "the root store is down after it did what was asked")
	}
	return err
}

func (f *flaky) Create(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	return f.do(fmt.Sprint("create ", epoch), func() error { return f.Store.Create(ctx, epoch, size) })
}

func (f *flaky) Wrap(ctx context.Context, epoch uint64, key, aad []byte) (out []byte, err error) {
	err = f.do(fmt.Sprint("wrap ", epoch), func() error { out, err = f.Store.Wrap(ctx, epoch, key, aad); return err })
	return out, err
}

func (f *flaky) Unwrap(ctx context.Context, epoch uint64, wrapped, aad []byte) (out []byte, err error) {
	err = f.do(fmt.Sprint("unwrap ", epoch), func() error { out, err = f.Store.Unwrap(ctx, epoch, wrapped, aad); return err })
	return out, err
}

func (f *flaky) Destroy(ctx context.Context, epoch uint64) error {
	return f.do(fmt.Sprint("destroy ", epoch), func() error { return f.Store.Destroy(ctx, epoch) })
}

func (f *flaky) Evidence(ctx context.Context) (e rootstore.Evidence, err error) {
	err = f.do("evidence", func() error { e, err = f.Store.Evidence(ctx); return err })
	return e, err
}

func subject(leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: keytree.KindSubject, Leaf: leaf}
}

func create(t testing.TB, fsys vfs.FS) *keystate.State {
	t.Helper()
	return newRig(t, fsys, 1).create(t)
}

func reopen(t testing.TB, fsys vfs.FS) *keystate.State {
	t.Helper()
	return newRig(t, fsys, 1).reopen(t)
}

func update(t testing.TB, s *keystate.State, fn func(*keystate.Tx)) {
	t.Helper()
	if err := s.Update(func(tx *keystate.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func puncture(leaf uint32) func(*keystate.Tx) {
	return func(tx *keystate.Tx) { tx.Puncture(subject(leaf)) }
}

func wantKind(t testing.TB, what string, err error, kind escrow.Kind) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("%s: error %v, want kind %v", what, err, kind)
	}
}

func mustShare(t testing.TB, s *keystate.State, ref keytree.Ref) keytree.Share {
	t.Helper()
	share, err := s.Share(ref)
	if err != nil {
		t.Fatal(err)
	}
	return share
}

func read(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, path.Join(dir, name), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	if err := vfs.WriteFileAtomic(fsys, path.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
