// Package storetest is what every root store must do, as tests.
package storetest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"escrow"
	"escrow/crypto/rootstore"
)

// key is what is wrapped: 32 bytes, as the key state does.
var key = []byte("0123456789abcdef0123456789abcdef")

// Run tests a store. Each call of open returns an empty one.
func Run(t *testing.T, open func(*testing.T) rootstore.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, rootstore.Store)
	}{
		{"wraps and unwraps", testWraps},
		{"refuses what was not wrapped", testForged},
		{"creates once", testCreate},
		{"destroys", testDestroy},
		{"never brings a root back", testNeverBack},
		{"tells what it did", testEvidence},
		{"is safe for concurrent use", testConcurrent},
		{"stops with its context", testContext},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func wantKind(t *testing.T, what string, err error, kinds ...escrow.Kind) {
	t.Helper()
	if err == nil || !slices.Contains(kinds, escrow.KindOf(err)) {
		t.Error(what, "gives", err, "and not an error of kind", kinds)
	}
}

func create(t *testing.T, s rootstore.Store, epoch uint64, size escrow.TreeSize) {
	t.Helper()
	if err := s.Create(t.Context(), epoch, size); err != nil {
		t.Fatalf("Create(%d): %v", epoch, err)
	}
}

func wrap(t *testing.T, s rootstore.Store, epoch uint64, aad string) []byte {
	t.Helper()
	wrapped, err := s.Wrap(t.Context(), epoch, key, []byte(aad))
	if err != nil {
		t.Fatalf("Wrap(%d): %v", epoch, err)
	}
	if bytes.Contains(wrapped, key[:8]) {
		t.Fatalf("Wrap(%d) returned the key in clear", epoch)
	}
	return wrapped
}

func destroy(t *testing.T, s rootstore.Store, epoch uint64) {
	t.Helper()
	if err := s.Destroy(t.Context(), epoch); err != nil {
		t.Fatalf("Destroy(%d): %v", epoch, err)
	}
}

func mustUnwrap(t *testing.T, s rootstore.Store, epoch uint64, wrapped []byte, aad string) {
	t.Helper()
	got, err := s.Unwrap(t.Context(), epoch, wrapped, []byte(aad))
	if err != nil || !bytes.Equal(got, key) {
		t.Error("unwrapping under epoch", epoch, "gives another key, or the error", err)
	}
}

func evidence(t *testing.T, s rootstore.Store) rootstore.Evidence {
	t.Helper()
	e, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func testWraps(t *testing.T, s rootstore.Store) {
	create(t, s, 1, 10)
	create(t, s, 5, 12) // epochs may be skipped
	one, five, again := wrap(t, s, 1, "a"), wrap(t, s, 5, "b"), wrap(t, s, 5, "b")
	mustUnwrap(t, s, 1, one, "a")
	mustUnwrap(t, s, 5, five, "b")
	mustUnwrap(t, s, 5, again, "b")
	if bytes.Equal(five, again) {
		t.Error("the same key wrapped twice gives the same bytes")
	}
}

func testForged(t *testing.T, s rootstore.Store) {
	create(t, s, 1, 0)
	create(t, s, 2, 0)
	wrapped := wrap(t, s, 1, "a")
	refused := func(what string, epoch uint64, wrapped []byte, aad string) {
		t.Helper()
		_, err := s.Unwrap(t.Context(), epoch, wrapped, []byte(aad))
		wantKind(t, what, err, escrow.Forged)
	}
	refused("another epoch", 2, wrapped, "a")
	refused("other associated data", 1, wrapped, "b")
	refused("no associated data", 1, wrapped, "")
	refused("nothing", 1, nil, "a")
	refused("cut", 1, wrapped[:len(wrapped)-1], "a")
	for _, at := range []int{0, len(wrapped) / 2, len(wrapped) - 1} {
		bad := bytes.Clone(wrapped)
		bad[at] ^= 1
		refused("changed", 1, bad, "a")
	}
	_, err := s.Unwrap(t.Context(), 3, wrapped, []byte("a"))
	wantKind(t, "unwrapping under a root that never was", err, escrow.NotFound)
	_, err = s.Wrap(t.Context(), 3, key, nil)
	wantKind(t, "wrapping under a root that never was", err, escrow.NotFound)
}

func testCreate(t *testing.T, s rootstore.Store) {
	if e := evidence(t, s); e.Newest != 0 || e.Size != 0 || len(e.Roots) != 0 {
		t.Errorf("an empty store says %+v", e)
	}
	create(t, s, 3, 10)
	wrapped := wrap(t, s, 3, "a")
	create(t, s, 3, 8)
	if e := evidence(t, s); e.Newest != 3 || e.Size != 10 {
		t.Errorf("after Create(3, 10) and Create(3, 8) the store says newest %d, size %d", e.Newest, e.Size)
	}
	create(t, s, 3, 12)
	if e := evidence(t, s); e.Newest != 3 || e.Size != 12 {
		t.Errorf("after Create(3, 12) the store says newest %d, size %d", e.Newest, e.Size)
	}
	mustUnwrap(t, s, 3, wrapped, "a")
	create(t, s, 4, 5)
	wantKind(t, "an epoch before the newest", s.Create(t.Context(), 2, 20), escrow.Conflict)
	wantKind(t, "the epoch before the newest again", s.Create(t.Context(), 3, 20), escrow.Conflict)
	if e := evidence(t, s); e.Newest != 4 || e.Size != 12 {
		t.Errorf("the store says newest %d, size %d; want 4 and 12", e.Newest, e.Size)
	}
	mustUnwrap(t, s, 3, wrapped, "a")
}

func testDestroy(t *testing.T, s rootstore.Store) {
	create(t, s, 1, 0)
	create(t, s, 2, 0)
	one, two := wrap(t, s, 1, "a"), wrap(t, s, 2, "a")
	for range 2 {
		destroy(t, s, 1)
		_, err := s.Unwrap(t.Context(), 1, one, []byte("a"))
		wantKind(t, "unwrapping under a destroyed root", err, escrow.Erased)
		_, err = s.Wrap(t.Context(), 1, key, []byte("a"))
		wantKind(t, "wrapping under a destroyed root", err, escrow.Erased)
		mustUnwrap(t, s, 2, two, "a")
	}
	destroy(t, s, 9)
	mustUnwrap(t, s, 2, two, "a")
}

func testNeverBack(t *testing.T, s rootstore.Store) {
	create(t, s, 1, 0)
	create(t, s, 2, 7)
	two := wrap(t, s, 2, "a")
	destroy(t, s, 2)
	destroy(t, s, 1)
	wantKind(t, "the newest epoch, destroyed", s.Create(t.Context(), 2, 9), escrow.Conflict)
	wantKind(t, "an older epoch, destroyed", s.Create(t.Context(), 1, 9), escrow.Conflict)
	if e := evidence(t, s); e.Newest != 2 || e.Size != 7 {
		t.Errorf("once all roots are destroyed the store says newest %d, size %d; want 2 and 7", e.Newest, e.Size)
	}
	create(t, s, 3, 9)
	_, err := s.Unwrap(t.Context(), 2, two, []byte("a"))
	wantKind(t, "a destroyed root after a new one", err, escrow.Erased)
	_, err = s.Unwrap(t.Context(), 3, two, []byte("a"))
	wantKind(t, "what a destroyed root wrapped, under a new one", err, escrow.Forged)
}

func testEvidence(t *testing.T, s rootstore.Store) {
	for epoch := range uint64(4) {
		create(t, s, epoch+1, escrow.TreeSize(epoch)*10)
	}
	destroy(t, s, 2)
	e := evidence(t, s)
	if e.Store == "" || e.Method == "" || e.Newest != 4 || e.Size != 30 || e.Wait < 0 {
		t.Errorf("evidence: %+v", e)
	}
	if !slices.IsSortedFunc(e.Roots, func(a, b rootstore.Root) int { return int(a.Epoch) - int(b.Epoch) }) {
		t.Errorf("the roots are out of order: %+v", e.Roots)
	}
	for _, epoch := range []uint64{1, 3, 4} {
		if r, ok := e.Of(epoch); !ok || r.State != rootstore.Live || !r.Due.IsZero() {
			t.Errorf("the living root of epoch %d: %+v, %v", epoch, r, ok)
		}
	}
	switch r, ok := e.Of(2); {
	case !ok || r.State == rootstore.Live:
		t.Errorf("the root just destroyed: %+v, %v", r, ok)
	case (r.State == rootstore.Pending) != (e.Wait > 0) || r.State == rootstore.Pending && r.Due.IsZero():
		t.Errorf("the root just destroyed is %v, due %v, with a wait of %v", r.State, r.Due, e.Wait)
	}
}

func testConcurrent(t *testing.T, s rootstore.Store) {
	create(t, s, 1, 0)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 4 {
				wrapped, err := s.Wrap(t.Context(), 1, key, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Unwrap(t.Context(), 1, wrapped, nil); err != nil || !bytes.Equal(got, key) {
					t.Error("Unwrap gives another key, or the error", err)
				}
				if _, err := s.Evidence(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for epoch := range uint64(4) {
			if err := s.Create(t.Context(), epoch+2, 1); err != nil {
				t.Error(err)
			}
			if err := s.Destroy(t.Context(), epoch+2); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func testContext(t *testing.T, s rootstore.Store) {
	create(t, s, 1, 0)
	wrapped := wrap(t, s, 1, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Unwrap(ctx, 1, wrapped, []byte("a"))
	wantKind(t, "Unwrap", err, escrow.Unavailable)
	_, err = s.Wrap(ctx, 1, key, nil)
	wantKind(t, "Wrap", err, escrow.Unavailable)
	_, err = s.Evidence(ctx)
	wantKind(t, "Evidence", err, escrow.Unavailable)
	wantKind(t, "Create", s.Create(ctx, 2, 0), escrow.Unavailable)
	wantKind(t, "Destroy", s.Destroy(ctx, 1), escrow.Unavailable)
	mustUnwrap(t, s, 1, wrapped, "a")
}
