package keystate_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

// copyOf returns another machine with the same files.
func (r *rig) copyOf(t testing.TB) *rig {
	t.Helper()
	c := newRig(t, r.fsys.(*vfs.Mem).Clone(), len(r.stores))
	c.kek, c.now = r.kek, r.now
	return c
}

func TestEachStoreAloneOpens(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 3)
	s := r.create(t)
	update(t, s, puncture(1))
	for up := range r.stores {
		c := r.copyOf(t)
		for i := range c.stores {
			if i != up {
				c.stores[i].fail = -1
			}
		}
		back := c.reopen(t)
		if back.Alive(subject(1)) || mustShare(t, back, subject(2)) != mustShare(t, s, subject(2)) || back.Stale() {
			t.Errorf("store %d alone opens to something else", up)
		}
		for name, fn := range map[string]func(*keystate.Tx) error{
			"a puncture": func(tx *keystate.Tx) error { tx.Puncture(subject(5)); return nil },
			"a number":   func(tx *keystate.Tx) error { tx.SetApplied(7); return nil },
		} {
			err := back.Update(fn)
			wantKind(t, name, err, escrow.Unavailable)
			if err != nil && !strings.Contains(err.Error(), "needs every root store") {
				t.Errorf("%s: the error does not say why: %v", name, err)
			}
		}
		if !back.Alive(subject(5)) || back.Applied() != 0 {
			t.Error("a change was made without all stores")
		}
		for _, store := range c.stores {
			store.fail = 0
		}
		update(t, back, puncture(5))
		if again := c.reopen(t); again.Alive(subject(5)) || again.Stale() {
			t.Error("the change is not there once all stores answer")
		}
	}
	c := r.copyOf(t)
	for _, store := range c.stores {
		store.fail = -1
	}
	_, err := c.open()
	wantKind(t, "all stores down", err, escrow.Unavailable)
	for _, store := range c.stores {
		store.fail = store.calls + 2 // they unwrap, and do not say which epoch is the newest
	}
	c.stores[1].fail, c.stores[2].fail = -1, -1
	_, err = c.open()
	wantKind(t, "no store says what is newest", err, escrow.Unavailable)
}

// TestStoresFailAtAnyCall fails each call of each store in a change that begins an epoch and in one that does not, before and after it was done.
func TestStoresFailAtAnyCall(t *testing.T) {
	base := newRig(t, vfs.NewMem(), 2)
	update(t, base.create(t), puncture(77))
	changes := map[string]func(*keystate.Tx) error{
		"puncture": func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil },
		"number":   func(tx *keystate.Tx) error { tx.SetApplied(1); return nil },
	}
	for name, change := range changes {
		made := func(s *keystate.State) bool { return !s.Alive(subject(1)) || s.Applied() == 1 }
		for store := range 2 {
			for _, done := range []bool{false, true} {
				for at := 1; ; at++ {
					what := fmt.Sprintf("%s, call %d of store %d fails (done: %v)", name, at, store, done)
					r := base.copyOf(t)
					s := r.reopen(t)
					f := r.stores[store]
					f.fail, f.done = f.calls+at, done
					err := s.Update(change)
					if f.calls < f.fail {
						break
					}
					wantKind(t, what, err, escrow.Unavailable)
					if made(s) || made(r.copyOf(t).reopen(t)) {
						t.Errorf("%s: the change was made", what)
					}
					before := s.Epoch()
					if err := s.Update(change); err != nil || !made(s) {
						t.Errorf("%s: trying again: %v", what, err)
					}
					if name == "puncture" && s.Epoch() != before+1 {
						t.Errorf("%s: trying again goes from epoch %d to %d", what, before, s.Epoch())
					}
					if back := r.reopen(t); !made(back) || back.Stale() {
						t.Errorf("%s: after trying again a restart shows the change = %v, stale = %v", what, made(back), back.Stale())
					}
					mustForget(t, what, r, s)
				}
			}
		}
	}
}

// TestOldCopyIsStale brings back each earlier state under the stores of now.
func TestOldCopyIsStale(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	s := r.create(t)
	update(t, s, func(tx *keystate.Tx) { tx.SetSigned(10); tx.Rotate() })
	var olds [][]byte
	for leaf := range uint32(4) {
		olds = append(olds, read(t, r.fsys, "state"))
		r.now = r.now.Add(time.Hour)
		update(t, s, func(tx *keystate.Tx) {
			tx.Puncture(subject(leaf))
			tx.SetApplied(escrow.TreeSize(20 + leaf))
			_, _ = tx.ReserveIndexLeaves(10)
		})
	}
	for leaf, old := range olds {
		c := r.copyOf(t)
		write(t, c.fsys, "state", old)
		back := c.reopen(t)
		if !back.Stale() || back.Required() != 23 || !back.Alive(subject(uint32(leaf))) {
			t.Errorf("copy %d: stale = %v, requires %d records", leaf, back.Stale(), back.Required())
		}
		wantKind(t, "a change of an old copy", back.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(3)); return nil }), escrow.Conflict)
		live := liveRoots(t, back)
		_, err := back.DestroyRoots(t.Context(), r.now)
		wantKind(t, "destroying roots by an old copy", err, escrow.Conflict)
		if !slices.Equal(live, liveRoots(t, back)) {
			t.Error("an old copy destroyed roots")
		}
		update(t, back, func(tx *keystate.Tx) {
			tx.Puncture(subject(0), subject(1), subject(2), subject(3))
			tx.SetApplied(23)
			tx.RenewIndexTree()
		})
		if back.Stale() || back.Epoch() != s.Epoch()+1 {
			t.Errorf("copy %d: brought up to date it is stale = %v in epoch %d", leaf, back.Stale(), back.Epoch())
		}
		if ref := back.Ref(keytree.KindIndexFile, back.IndexLeaves()); ref.Tree != 1 || !back.Alive(ref) {
			t.Errorf("copy %d: the next index file would be %v", leaf, ref)
		}
		c.now = c.now.Add(time.Hour)
		mustForget(t, "the copy", c, back)
		if again := c.reopen(t); again.Stale() {
			t.Error("still stale after a restart")
		}
	}
	if _, err := s.DestroyRoots(t.Context(), r.now); err != nil {
		t.Fatal(err)
	}
	for leaf, old := range olds {
		c := r.copyOf(t)
		write(t, c.fsys, "state", old)
		_, err := c.open()
		wantKind(t, fmt.Sprint("copy ", leaf, ", its root destroyed"), err, escrow.Erased)
		if err != nil && !strings.Contains(err.Error(), "old copy") {
			t.Errorf("the error does not say what happened: %v", err)
		}
	}
}

func TestDestroyRootsByTime(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	s := r.create(t)
	for leaf := range uint32(5) {
		r.now = r.now.Add(24 * time.Hour)
		update(t, s, puncture(leaf)) // retires root leaf+1 on day leaf+1
	}
	day := func(n int) time.Time { return start.Add(time.Duration(n) * 24 * time.Hour) }
	for _, step := range []struct {
		before time.Time
		want   []uint64
	}{{day(0), nil}, {day(2), []uint64{1, 2}}, {day(2), nil}, {day(9), []uint64{3, 4, 5}}, {day(9), nil}} {
		epoch := s.Epoch()
		got, err := s.DestroyRoots(t.Context(), step.before)
		if err != nil || !slices.Equal(got, step.want) || s.Epoch() != epoch {
			t.Errorf("up to %v: epochs %v, error %v; want %v", step.before, got, err, step.want)
		}
		if back := r.reopen(t); fmt.Sprint(back.Retired()) != fmt.Sprint(s.Retired()) {
			t.Errorf("after a restart %v are retired, not %v", back.Retired(), s.Retired())
		}
	}
	if live := liveRoots(t, s); !slices.Equal(live, []uint64{6, 6}) {
		t.Errorf("the roots of epochs %v live", live)
	}
}

// TestRetiredInTheFuture: a root that was retired while the clock was years ahead counts as retired when the clock is right again.
func TestRetiredInTheFuture(t *testing.T) {
	const day = 24 * time.Hour
	r := newRig(t, vfs.NewMem(), 2)
	s := r.create(t)
	r.now = start.Add(3650 * day)
	update(t, s, puncture(1))
	for d, want := range [][]uint64{nil, nil, {1}} {
		r.now = start.Add(time.Duration(d) * day)
		s = r.reopen(t)
		if got, err := s.DestroyRoots(t.Context(), r.now.Add(-2*day)); err != nil || !slices.Equal(got, want) {
			t.Errorf("day %d: epochs %v destroyed, error %v; want %v", d, got, err, want)
		}
	}
}

// TestDestroyRootsResumes fails each call of each store while three roots are destroyed.
func TestDestroyRootsResumes(t *testing.T) {
	base := newRig(t, vfs.NewMem(), 2)
	s := base.create(t)
	for leaf := range uint32(3) {
		update(t, s, puncture(leaf))
	}
	for store := range 2 {
		for _, done := range []bool{false, true} {
			for at := 1; ; at++ {
				r := base.copyOf(t)
				s := r.reopen(t)
				f := r.stores[store]
				f.fail, f.done = f.calls+at, done
				first, err := s.DestroyRoots(t.Context(), r.now)
				if f.calls < f.fail {
					break
				}
				what := fmt.Sprintf("call %d of store %d (done: %v)", at, store, done)
				wantKind(t, what, err, escrow.Unavailable)
				rest, err := s.DestroyRoots(t.Context(), r.now)
				if all := slices.Sorted(slices.Values(append(first, rest...))); err != nil || !slices.Equal(all, []uint64{1, 2, 3}) {
					t.Errorf("%s: first %v, then %v, error %v", what, first, rest, err)
				}
				mustForget(t, what, r, s)
			}
		}
	}
}

// xorKEK is a tenant's key for tests: it finds changes and hides nothing.
type xorKEK struct {
	key  byte
	fail error
}

func (k *xorKEK) Encrypt(plain, aad []byte) ([]byte, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	out := append([]byte{byte(len(aad))}, plain...)
	for i := range out {
		out[i] ^= k.key
	}
	return out, nil
}

func (k *xorKEK) Decrypt(sealed, aad []byte) ([]byte, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	out := bytes.Clone(sealed)
	for i := range out {
		out[i] ^= k.key
	}
	if out[0] != byte(len(aad)) {
		return nil, escrow.Errorf("test", escrow.Forged, "another key")
	}
	return out[1:], nil
}

func TestTenantKey(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	r.create(t)
	down := &xorKEK{key: 3, fail: errors.New("network is unreachable")}
	r.kek = &xorKEK{key: 3}
	s := r.reopen(t) // a key added later takes part from the next change on
	update(t, s, puncture(1))
	tests := map[string]struct {
		kek  keystate.KEK
		kind escrow.Kind
	}{"missing": {nil, escrow.Denied}, "another": {&xorKEK{key: 4}, escrow.Forged}, "down": {down, escrow.Unavailable}}
	for name, test := range tests {
		c := r.copyOf(t)
		c.kek = test.kek
		_, err := c.open()
		wantKind(t, name, err, test.kind)
	}
	s = r.reopen(t)
	r.kek.(*xorKEK).fail = down.fail
	wantKind(t, "a change while it is down", s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(2)); return nil }), escrow.Unavailable)
	r.kek.(*xorKEK).fail = nil
	update(t, s, puncture(2))
	if back := r.reopen(t); back.Alive(subject(2)) || back.Stale() {
		t.Error("the change is not there")
	}
}

// TestTenantKeyThatOnlyOpens: each start with a key that does not encrypt would leave a root that nothing is under, until the stores are full.
func TestTenantKeyThatOnlyOpens(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	r.kek = &xorKEK{key: 3}
	r.create(t)
	for range 3 {
		s := r.reopen(t)
		r.kek.(*xorKEK).fail = errors.New("may not encrypt")
		wantKind(t, "a puncture", s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil }), escrow.Unavailable)
		r.kek.(*xorKEK).fail = nil
		if live := liveRoots(t, s); !slices.Equal(live, []uint64{1, 1}) {
			t.Fatalf("the roots of epochs %v live", live)
		}
	}
	update(t, r.reopen(t), puncture(1))
}

func TestStoresComeAndGo(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	s := r.create(t)
	update(t, s, puncture(1))
	two := newRig(t, r.fsys, 2) // a store added
	s = two.reopen(t)
	if s.Stale() {
		t.Error("a store added makes the state an old copy")
	}
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(1) })
	if s.Epoch() != 3 {
		t.Errorf("epoch %d: the new store must take part", s.Epoch())
	}
	two.stores = []*flaky{two.stores[1], two.stores[0]} // in another order
	two.stores[1].fail = -1
	if s = two.reopen(t); s.Alive(subject(1)) {
		t.Error("the second store opens to something else")
	}
	two.stores = two.stores[:1] // the first one removed
	s = two.reopen(t)
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(2) })
	if s = two.reopen(t); s.Applied() != 2 || s.Epoch() != 3 {
		t.Errorf("with the second store alone: applied %d in epoch %d", s.Applied(), s.Epoch())
	}
	_, err := newRig(t, r.fsys, 1).open()
	wantKind(t, "the store that was removed", err, escrow.Forged)
}

// TestDamagedRoot: the damage of one store is no damage of the other, and the next change mends it.
func TestDamagedRoot(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	s := r.create(t)
	update(t, s, puncture(1))
	name := path.Join(rootsDir, "0")
	b, err := vfs.ReadFile(r.fsys, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[2*28672:])
	if err := vfs.WriteFileAtomic(r.fsys, name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = r.reopen(t)
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(5) })
	if s.Epoch() != 3 || s.Stale() {
		t.Errorf("epoch %d: a lost root must begin an epoch", s.Epoch())
	}
	r.stores[1].fail = -1
	if back := r.reopen(t); back.Applied() != 5 {
		t.Error("the mended store opens to something else")
	}
	r.stores[1].fail = 0
	mustForget(t, "mended", r, s)
	alone := newRig(t, vfs.NewMem(), 1)
	update(t, alone.create(t), puncture(1))
	if err := vfs.WriteFileAtomic(alone.fsys, name, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = alone.open()
	wantKind(t, "the only root file is garbage", err, escrow.Corrupt)
}

// TestAnotherProcess: a change meets roots that neither it nor the start knew.
func TestAnotherProcess(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	s := r.create(t)
	r.stores[1].fail = -1 // so that nobody says so at the start
	behind := r.reopen(t)
	r.stores[1].fail = 0
	if err := r.stores[1].Store.Create(t.Context(), 7, 0); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*keystate.State{s, behind} {
		wantKind(t, "a newer epoch out of nowhere", s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil }), escrow.Conflict)
		if !s.Alive(subject(1)) {
			t.Error("the change was made")
		}
	}
	if back := r.reopen(t); !back.Stale() {
		t.Error("a restart does not see the newer epoch")
	}
}

func TestRequired(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	s := r.create(t)
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(30); tx.SetSigned(40) })
	if s.Required() != 40 {
		t.Errorf("required %d, want the signed size", s.Required())
	}
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(50) })
	if s.Required() != 50 {
		t.Errorf("required %d, want the applied position", s.Required())
	}
	old := read(t, r.fsys, "state")
	update(t, s, func(tx *keystate.Tx) { tx.SetSigned(60); tx.Rotate() })
	write(t, r.fsys, "state", old)
	if back := r.reopen(t); back.Required() != 60 || back.Signed() != 40 {
		t.Errorf("an old copy requires %d, want what the stores remember", back.Required())
	}
}
