package providertest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/rootstore"
)

// Account is an account at a fake provider, empty at first.
type Account struct {
	Line *Line
	Open func(t *testing.T, name string) rootstore.Store // the store of an archive, as a process that has just started sees it

	// Restore undoes the destruction of a root as an administrator of the provider can.
	Restore func(t *testing.T, name string, epoch uint64)
}

var key = []byte("0123456789abcdef0123456789abcdef")

// Run tests stores on a fake provider. Each call of open returns a new account.
func Run(t *testing.T, open func(*testing.T) Account) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, func(*testing.T) Account)
	}{
		{"the provider is down", testDown},
		{"the provider is busy for a moment", testBusy},
		{"the provider does not answer", testHangs},
		{"interrupted while a root is made", testCreateInterrupted},
		{"interrupted while a root is destroyed", testDestroyInterrupted},
		{"two archives in one account", testTwoArchives},
		{"all local files are set back", testSetBack},
		{"a destroyed root is brought back", testRestored},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

func always(b Break) func(int) Break { return func(int) Break { return b } }

// Two makes the roots of the epochs 1 and 2 in a new store, and returns it with what is wrapped under the first.
func Two(t *testing.T, s rootstore.Store) (rootstore.Store, []byte) {
	t.Helper()
	create(t, s, 1, 10)
	create(t, s, 2, 10)
	return s, wrap(t, s, 1)
}

// Look returns what a store says, of all roots and of one.
func Look(t *testing.T, s rootstore.Store, epoch uint64) (rootstore.Evidence, rootstore.Root) {
	t.Helper()
	e := evidence(t, s)
	r, _ := e.Of(epoch)
	return e, r
}

func create(t *testing.T, s rootstore.Store, epoch uint64, size escrow.TreeSize) {
	t.Helper()
	if err := s.Create(t.Context(), epoch, size); err != nil {
		t.Fatal("Create", epoch, err)
	}
}

func wrap(t *testing.T, s rootstore.Store, epoch uint64) []byte {
	t.Helper()
	wrapped, err := s.Wrap(t.Context(), epoch, key, []byte("a"))
	if err != nil {
		t.Fatal("Wrap", epoch, err)
	}
	return wrapped
}

func opens(t *testing.T, s rootstore.Store, epoch uint64, wrapped []byte) {
	t.Helper()
	if got, err := s.Unwrap(t.Context(), epoch, wrapped, []byte("a")); err != nil || !bytes.Equal(got, key) {
		t.Error("Unwrap", epoch, err)
	}
}

func refuses(t *testing.T, s rootstore.Store, epoch uint64, wrapped []byte, kind escrow.Kind) {
	t.Helper()
	if _, err := s.Unwrap(t.Context(), epoch, wrapped, []byte("a")); err == nil || escrow.KindOf(err) != kind {
		t.Error("Unwrap", epoch, err, "want kind", kind)
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

// testDown: every method says Unavailable, and nothing is lost.
func testDown(t *testing.T, open func(*testing.T) Account) {
	a := open(t)
	for name, broken := range map[string]Break{"refuses": Refused, "breaks": Cut} {
		s := a.Open(t, "escrow-down-"+name)
		create(t, s, 1, 5)
		wrapped := wrap(t, s, 1)
		a.Line.Disturb(always(broken))
		refuses(t, s, 1, wrapped, escrow.Unavailable)
		_, wrapErr := s.Wrap(t.Context(), 1, key, nil)
		_, evidenceErr := s.Evidence(t.Context())
		for _, err := range []error{wrapErr, evidenceErr, s.Create(t.Context(), 2, 6), s.Destroy(t.Context(), 1)} {
			if err == nil || escrow.KindOf(err) != escrow.Unavailable {
				t.Error(name, err, "want kind unavailable")
			}
		}
		a.Line.Disturb(nil)
		opens(t, s, 1, wrapped)
		if e := evidence(t, s); e.Newest != 1 || e.Size != 5 {
			t.Errorf("%s: then newest %d, size %d; want 1 and 5", name, e.Newest, e.Size)
		}
	}
}

// testBusy: what may be repeated is, a bounded number of times.
func testBusy(t *testing.T, open func(*testing.T) Account) {
	a := open(t)
	s := a.Open(t, "escrow-busy")
	create(t, s, 1, 5)
	wrapped := wrap(t, s, 1)
	for name, broken := range map[string]Break{"throttled": Throttled, "refused": Refused, "cut": Cut, "lost": Lost} {
		a.Line.Disturb(func(request int) Break {
			if request < 2 {
				return broken
			}
			return Whole
		})
		t.Log(name)
		opens(t, s, 1, wrapped)
	}
	a.Line.Disturb(always(Throttled))
	refuses(t, s, 1, wrapped, escrow.Unavailable)
	if n := a.Line.Requests(); n < 2 || n > 6 {
		t.Errorf("%d attempts at a provider that is down", n)
	}
}

// testHangs: every call ends with its context, also where a library takes none.
func testHangs(t *testing.T, open func(*testing.T) Account) {
	a := open(t)
	s := a.Open(t, "escrow-hangs")
	create(t, s, 1, 5)
	wrapped := wrap(t, s, 1)
	create(t, s, 2, 5)
	for name, call := range map[string]func(context.Context) error{
		"Create":   func(ctx context.Context) error { return s.Create(ctx, 3, 6) },
		"Wrap":     func(ctx context.Context) error { _, err := s.Wrap(ctx, 1, key, nil); return err },
		"Unwrap":   func(ctx context.Context) error { _, err := s.Unwrap(ctx, 1, wrapped, []byte("a")); return err },
		"Destroy":  func(ctx context.Context) error { return s.Destroy(ctx, 2) },
		"Evidence": func(ctx context.Context) error { _, err := s.Evidence(ctx); return err },
	} {
		for hangsAt := range 2 { // at the first request, and at the second, where there is one
			a.Line.Disturb(func(request int) Break {
				if request < hangsAt {
					return Whole
				}
				return Hangs
			})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err := call(ctx)
			hung := a.Line.Requests() > hangsAt
			cancel()
			if hung && (err == nil || escrow.KindOf(err) != escrow.Unavailable) {
				t.Error(name, err, "want kind unavailable")
			}
		}
	}
	a.Line.Disturb(nil)
	opens(t, s, 1, wrapped)
}

// interrupted runs do in fresh accounts with everything after the n-th request failing, in each way, for each n until do succeeds, and then calls check
// with a store that has just been opened.
func interrupted(t *testing.T, open func(*testing.T) Account, do func(rootstore.Store) error, prepare, check func(*testing.T, rootstore.Store)) {
	const name = "escrow-interrupted"
	for way, broken := range map[string]Break{"not carried out": Refused, "carried out and not answered": Lost} {
		for n := 0; ; n++ {
			a := open(t)
			s := a.Open(t, name)
			prepare(t, s)
			a.Line.Disturb(func(request int) Break {
				switch {
				case request < n:
					return Whole
				case request == n:
					return broken
				}
				return Cut
			})
			err := do(s)
			a.Line.Disturb(nil)
			t.Log("request", n, way, err)
			check(t, a.Open(t, name))
			if err == nil {
				break
			}
			if n > 20 {
				t.Fatal("more than 20 requests")
			}
		}
	}
}

func testCreateInterrupted(t *testing.T, open func(*testing.T) Account) {
	var before []byte
	prepare := func(t *testing.T, s rootstore.Store) {
		create(t, s, 4, 40)
		before = wrap(t, s, 4)
	}
	check := func(t *testing.T, s rootstore.Store) {
		switch e := evidence(t, s); e.Newest {
		case 4:
			if _, err := s.Unwrap(t.Context(), 5, before, []byte("a")); err == nil {
				t.Error("a root that is half made opens what another one wrapped")
			}
		case 5:
			opens(t, s, 5, wrap(t, s, 5)) // what is remembered exists
		default:
			t.Errorf("newest %d", e.Newest)
		}
		create(t, s, 5, 50)
		opens(t, s, 5, wrap(t, s, 5))
		opens(t, s, 4, before)
		if e := evidence(t, s); e.Newest != 5 || e.Size != 50 || len(e.Roots) != 2 {
			t.Errorf("evidence: %+v", e)
		}
	}
	interrupted(t, open, func(s rootstore.Store) error { return s.Create(t.Context(), 5, 50) }, prepare, check)
}

func testDestroyInterrupted(t *testing.T, open func(*testing.T) Account) {
	var one, two []byte
	prepare := func(t *testing.T, s rootstore.Store) {
		create(t, s, 1, 10)
		create(t, s, 2, 20)
		one, two = wrap(t, s, 1), wrap(t, s, 2)
	}
	check := func(t *testing.T, s rootstore.Store) {
		if err := s.Destroy(t.Context(), 1); err != nil {
			t.Error("Destroy again", err)
		}
		refuses(t, s, 1, one, escrow.Erased)
		opens(t, s, 2, two)
		if r, ok := evidence(t, s).Of(1); !ok || r.State == rootstore.Live {
			t.Errorf("the evidence has %+v, %v", r, ok)
		}
	}
	interrupted(t, open, func(s rootstore.Store) error { return s.Destroy(t.Context(), 1) }, prepare, check)
}

// testTwoArchives: the name of one is the beginning of the name of the other.
func testTwoArchives(t *testing.T, open func(*testing.T) Account) {
	a := open(t)
	s, other := a.Open(t, "escrow-a"), a.Open(t, "escrow-a-1")
	create(t, s, 1, 10)
	create(t, other, 5, 500)
	create(t, s, 2, 20)
	wrapped := wrap(t, s, 1)
	create(t, other, 6, 600)
	refuses(t, other, 1, wrapped, escrow.Erased) // as far as the other store knows, epoch 1 is over
	refuses(t, other, 5, wrapped, escrow.Forged)
	if err := other.Destroy(t.Context(), 1); err != nil {
		t.Error("destroying what one does not have", err)
	}
	opens(t, s, 1, wrapped)
	mine, theirs := evidence(t, s), evidence(t, other)
	if mine.Newest != 2 || mine.Size != 20 || len(mine.Roots) != 2 || theirs.Newest != 6 || theirs.Size != 600 || len(theirs.Roots) != 2 {
		t.Errorf("one archive has %+v, the other %+v", mine, theirs)
	}
}

// testSetBack: what is remembered is at the provider, so a process without any memory knows it.
func testSetBack(t *testing.T, open func(*testing.T) Account) {
	a := open(t)
	s := a.Open(t, "escrow-back")
	create(t, s, 6, 60)
	old := wrap(t, s, 6)
	create(t, s, 7, 100)
	again := a.Open(t, "escrow-back")
	if e := evidence(t, again); e.Newest != 7 || e.Size != 100 {
		t.Errorf("newest %d, size %d; want 7 and 100", e.Newest, e.Size)
	}
	opens(t, again, 6, old)
	if err := again.Create(t.Context(), 6, 60); err == nil || escrow.KindOf(err) != escrow.Conflict {
		t.Error("an epoch that was already", err, "want kind conflict")
	}
	if err := again.Destroy(t.Context(), 6); err != nil {
		t.Error(err)
	}
	refuses(t, s, 6, old, escrow.Erased)
}

// testRestored: whoever can undo a destruction cannot hide it from an auditor.
func testRestored(t *testing.T, open func(*testing.T) Account) {
	a := open(t)
	s := a.Open(t, "escrow-restored")
	create(t, s, 1, 10)
	create(t, s, 2, 20)
	wrapped := wrap(t, s, 1)
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	refuses(t, s, 1, wrapped, escrow.Erased)
	a.Restore(t, "escrow-restored", 1)
	if r, ok := evidence(t, s).Of(1); !ok || r.State != rootstore.Live || r.Detail == "" {
		t.Errorf("the evidence has %+v, %v; want a live root", r, ok)
	}
	opens(t, s, 1, wrapped)
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	refuses(t, s, 1, wrapped, escrow.Erased)
}
