package keystate_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"sync"
	"testing"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

const dir = "tenants/acme/keys"

func subject(leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: keytree.KindSubject, Leaf: leaf}
}

func create(t testing.TB, fsys vfs.FS) *keystate.State {
	t.Helper()
	s, err := keystate.Create(fsys, dir, rand.Reader, []byte("signing keyset"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func reopen(t testing.TB, fsys vfs.FS) *keystate.State {
	t.Helper()
	s, err := keystate.Open(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
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

func TestStateSurvivesReopening(t *testing.T) {
	fsys := vfs.NewMem()
	s := create(t, fsys)
	retention := keytree.Ref{Kind: keytree.KindRetention, Tree: 7, Leaf: 20_000}
	_, err := s.Share(retention)
	wantKind(t, "a retention class not added yet", err, escrow.NotFound)
	if s.Alive(retention) {
		t.Error("a key of an unknown tree is alive")
	}
	var first uint32
	update(t, s, func(tx *keystate.Tx) {
		tx.AddTree(keytree.KindRetention, 7)
		tx.SetApplied(30)
		tx.SetSigned(40)
		first, err = tx.ReserveIndexLeaves(5)
	})
	if first != 0 || err != nil {
		t.Errorf("ReserveIndexLeaves = %d, %v", first, err)
	}
	back := reopen(t, fsys)
	for _, ref := range []keytree.Ref{retention, subject(1), {Kind: keytree.KindMessage, Leaf: 9}, {Kind: keytree.KindHold}, {Kind: keytree.KindIndexFile},
		{Kind: keytree.KindIngestDay}, {Kind: keytree.KindRecord}} {
		if mustShare(t, s, ref) != mustShare(t, back, ref) || !back.Alive(ref) {
			t.Errorf("share %c differs after reopening", ref.Kind)
		}
	}
	if mustShare(t, s, subject(1)) == mustShare(t, s, keytree.Ref{Kind: keytree.KindHold, Leaf: 1}) {
		t.Error("two trees give one share")
	}
	if back.Applied() != 30 || back.Signed() != 40 || back.IndexLeaves() != 5 || back.Epoch() != 2 || back.Generation() != 0 {
		t.Errorf("numbers after reopening: %d %d %d %d %d", back.Applied(), back.Signed(), back.IndexLeaves(), back.Epoch(), back.Generation())
	}
	if !bytes.Equal(back.SigningKey(), []byte("signing keyset")) {
		t.Error("the signing keyset differs after reopening")
	}
	if back.Secret("once") != s.Secret("once") || s.Secret("once") == s.Secret("tag") || s.Secret("") == [32]byte{} {
		t.Error("secrets must depend on the purpose and stay")
	}
	update(t, back, func(tx *keystate.Tx) { first, err = tx.ReserveIndexLeaves(1) })
	if first != 5 {
		t.Errorf("index leaf %d was given out after 0 to 4", first)
	}
}

func TestPuncture(t *testing.T) {
	fsys := vfs.NewMem()
	s := create(t, fsys)
	before := mustShare(t, s, subject(2))
	n := 0
	update(t, s, func(tx *keystate.Tx) {
		n = tx.Puncture(subject(1), subject(1), keytree.Ref{Kind: keytree.KindHold, Leaf: 3}, subject(9))
		n += tx.Puncture(subject(1))
	})
	if n != 3 {
		t.Errorf("%d keys were punctured, not 3", n)
	}
	for _, state := range []*keystate.State{s, reopen(t, fsys)} {
		_, err := state.Share(subject(1))
		wantKind(t, "punctured", err, escrow.Erased)
		if state.Alive(subject(1)) || state.Alive(keytree.Ref{Kind: keytree.KindHold, Leaf: 3}) || mustShare(t, state, subject(2)) != before {
			t.Error("the wrong keys are gone")
		}
	}
}

func TestFailedUpdateChangesNothing(t *testing.T) {
	fsys := vfs.NewMem()
	s := create(t, fsys)
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(10); tx.SetSigned(10) })
	files := [][]byte{read(t, fsys, "state"), read(t, fsys, "root")}
	tests := map[string]struct {
		kind escrow.Kind
		fn   func(*keystate.Tx) error
	}{
		"its function fails": {escrow.Held, func(*keystate.Tx) error { return escrow.Errorf("test", escrow.Held, "no") }},
		"unknown tree":       {escrow.NotFound, func(tx *keystate.Tx) error { tx.Puncture(keytree.Ref{Kind: keytree.KindRetention}); return nil }},
		"unknown kind":       {escrow.Invalid, func(tx *keystate.Tx) error { tx.AddTree('Q', 0); return nil }},
		"applied goes back":  {escrow.Conflict, func(tx *keystate.Tx) error { tx.SetApplied(9); return nil }},
		"signed goes back":   {escrow.Conflict, func(tx *keystate.Tx) error { tx.SetSigned(9); return nil }},
		"all leaves given out": {escrow.Conflict, func(tx *keystate.Tx) error {
			if _, err := tx.ReserveIndexLeaves(1<<32 - 1); err != nil {
				return errors.New("too early")
			}
			_, err := tx.ReserveIndexLeaves(1)
			return err
		}},
	}
	for name, test := range tests {
		err := s.Update(func(tx *keystate.Tx) error {
			tx.Puncture(subject(1))
			return test.fn(tx)
		})
		wantKind(t, name, err, test.kind)
		if !s.Alive(subject(1)) || s.Epoch() != 2 || s.IndexLeaves() != 0 {
			t.Errorf("%s: the state changed", name)
		}
	}
	if !bytes.Equal(files[0], read(t, fsys, "state")) || !bytes.Equal(files[1], read(t, fsys, "root")) {
		t.Error("the files changed")
	}
}

func TestTreesAreBounded(t *testing.T) {
	s := create(t, vfs.NewMem())
	err := s.Update(func(tx *keystate.Tx) error {
		for n := range keystate.MaxTrees {
			tx.AddTree(keytree.KindRetention, uint16(n))
		}
		return nil
	})
	wantKind(t, "too many trees", err, escrow.Invalid)
	_, err = keystate.Create(vfs.NewMem(), dir, rand.Reader, make([]byte, keystate.MaxSigningKeyBytes+1))
	wantKind(t, "long signing keyset", err, escrow.Invalid)
}

func TestCreateDoesNotDestroy(t *testing.T) {
	fsys := vfs.NewMem()
	_, err := keystate.Open(fsys, dir)
	wantKind(t, "nothing there", err, escrow.NotFound)
	s := create(t, fsys)
	_, err = keystate.Create(fsys, dir, rand.Reader, nil)
	wantKind(t, "twice", err, escrow.Conflict)
	update(t, s, puncture(1))
	state := read(t, fsys, "state")
	if err := fsys.Remove(path.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	_, err = keystate.Create(fsys, dir, rand.Reader, nil)
	wantKind(t, "the state is missing, its root is there", err, escrow.Conflict)
	write(t, fsys, "state", state)
	if back := reopen(t, fsys); mustShare(t, back, subject(2)) != mustShare(t, s, subject(2)) {
		t.Error("the state does not come back with its file")
	}
	if err := fsys.Remove(path.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	_, err = keystate.Open(fsys, dir)
	wantKind(t, "the root is missing", err, escrow.Corrupt)
}

func TestClose(t *testing.T) {
	s := create(t, vfs.NewMem())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Share(subject(1))
	wantKind(t, "Share", err, escrow.Unavailable)
	wantKind(t, "Update", s.Update(func(*keystate.Tx) error { return nil }), escrow.Unavailable)
	if s.Alive(subject(1)) || s.SigningKey() != nil || s.Secret("x") != [32]byte{} || s.Epoch() != 0 {
		t.Error("something is left after Close")
	}
}

// TestReadersSeeTheOldStateUntilTheNewOneIsDurable reads at every operation of an Update.
func TestReadersSeeTheOldStateUntilTheNewOneIsDurable(t *testing.T) {
	fsys := vfs.NewFaulty(vfs.NewMem())
	s := create(t, fsys)
	var seen []string
	fsys.After(func(op vfs.Op) {
		if op.Changes() {
			seen = append(seen, fmt.Sprintf("%s %s %v", op.Kind, path.Base(op.Name), s.Alive(subject(1))))
		}
	})
	update(t, s, puncture(1))
	want := []string{"create root true", "write root true", "sync root true", "create state.tmp true", "write state.tmp true", "sync state.tmp true",
		"rename state.tmp true", "syncdir keys true", "create root false", "write root false", "sync root false"}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("operations, and whether the key was alive:\n got %q\nwant %q", seen, want)
	}
}

func TestStateIsSafeForConcurrentUse(t *testing.T) {
	s := create(t, vfs.NewMem())
	want := mustShare(t, s, subject(0))
	var wg sync.WaitGroup
	for g := range uint32(3) {
		wg.Go(func() {
			for i := range uint32(20) {
				update(t, s, puncture(1+g*20+i))
			}
		})
		wg.Go(func() {
			for i := range uint32(2000) {
				if share, err := s.Share(subject(0)); err != nil || share != want {
					t.Errorf("a living key: %v", err)
					return
				}
				if _, err := s.Share(subject(i % 60)); err != nil && escrow.KindOf(err) != escrow.Erased {
					t.Error(err)
				}
				_, _ = s.Epoch(), s.SigningKey()
			}
		})
	}
	wg.Wait()
	if s.Epoch() != 61 {
		t.Errorf("epoch %d after 60 updates", s.Epoch())
	}
}
