package keystate_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

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
	if back.Applied() != 30 || back.Signed() != 40 || back.IndexLeaves() != 5 || back.Epoch() != 2 || back.Version() != 2 || back.Trees() != 7 {
		t.Errorf("numbers after reopening: %d %d %d %d %d %d", back.Applied(), back.Signed(), back.IndexLeaves(), back.Epoch(), back.Version(), back.Trees())
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
	file, digest := read(t, fsys, "state"), s.Digest()
	tests := map[string]struct {
		kind escrow.Kind
		fn   func(*keystate.Tx) error
	}{
		"its function fails": {escrow.Held, func(*keystate.Tx) error { return escrow.Errorf("test", escrow.Held, "no") }},
		"unknown tree":       {escrow.NotFound, func(tx *keystate.Tx) error { tx.Puncture(keytree.Ref{Kind: keytree.KindRetention}); return nil }},
		"unknown kind":       {escrow.Invalid, func(tx *keystate.Tx) error { tx.AddTree('Q', 0); return nil }},
		"a second hold tree": {escrow.Invalid, func(tx *keystate.Tx) error { tx.AddTree(keytree.KindHold, 1); return nil }},
		"range of no tree":   {escrow.NotFound, func(tx *keystate.Tx) error { tx.PunctureRange(keytree.KindRetention, 9, 0, 1); return nil }},
		"generation back":    {escrow.Conflict, func(tx *keystate.Tx) error { tx.StartGeneration(keytree.KindSubject, 0); return nil }},
		"generation of days": {escrow.Invalid, func(tx *keystate.Tx) error { tx.StartGeneration(keytree.KindIngestDay, 5); return nil }},
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
		if !s.Alive(subject(1)) || s.Epoch() != 1 || s.Version() != 2 || s.IndexLeaves() != 0 {
			t.Errorf("%s: the state changed", name)
		}
	}
	if !bytes.Equal(file, read(t, fsys, "state")) || s.Digest() != digest {
		t.Error("the file changed")
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
	r := newRig(t, vfs.NewMem(), 1)
	_, err = keystate.Create(t.Context(), r.fsys, dir, r.config(), make([]byte, keystate.MaxSigningKeyBytes+1))
	wantKind(t, "long signing keyset", err, escrow.Invalid)
}

func TestConfigIsChecked(t *testing.T) {
	for name, r := range map[string]*rig{"no root store": newRig(t, vfs.NewMem(), 0), "too many": newRig(t, vfs.NewMem(), keystate.MaxStores+1)} {
		_, err := keystate.Create(t.Context(), r.fsys, dir, r.config(), nil)
		wantKind(t, name, err, escrow.Invalid)
		_, err = r.open()
		wantKind(t, name, err, escrow.Invalid)
	}
	r := newRig(t, vfs.NewMem(), 1)
	cfg := r.config()
	cfg.Now = nil
	_, err := keystate.Create(t.Context(), r.fsys, dir, cfg, nil)
	wantKind(t, "no clock", err, escrow.Invalid)
}

func TestCreateDoesNotDestroy(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	_, err := r.open()
	wantKind(t, "nothing there", err, escrow.NotFound)
	s := r.create(t)
	_, err = keystate.Create(t.Context(), r.fsys, dir, r.config(), nil)
	wantKind(t, "twice", err, escrow.Conflict)
	update(t, s, puncture(1))
	state := read(t, r.fsys, "state")
	if err := r.fsys.Remove(path.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	_, err = keystate.Create(t.Context(), r.fsys, dir, r.config(), nil)
	wantKind(t, "the state is missing, its roots are there", err, escrow.Conflict)
	if !strings.Contains(err.Error(), "restore the file state") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	write(t, r.fsys, "state", state)
	if back := r.reopen(t); mustShare(t, back, subject(2)) != mustShare(t, s, subject(2)) {
		t.Error("the state does not come back with its file")
	}
	if err := r.fsys.Remove(rootsDir + "/0"); err != nil {
		t.Fatal(err)
	}
	_, err = r.open()
	wantKind(t, "the roots are missing", err, escrow.Corrupt)
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
		if op.Changes() && path.Dir(op.Name) != rootsDir {
			seen = append(seen, fmt.Sprintf("%s %s %v", op.Kind, path.Base(op.Name), s.Alive(subject(1))))
		}
	})
	update(t, s, puncture(1))
	want := []string{"create state.tmp true", "write state.tmp true", "sync state.tmp true",
		"create state.tmp true", "write state.tmp true", "write state.tmp true", "truncate state.tmp true", "sync state.tmp true", "rename state.tmp true", "syncdir keys true"}
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

func TestEpochs(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 2)
	s := r.create(t)
	day := keytree.Ref{Kind: keytree.KindRetention, Tree: 3, Leaf: 20_000}
	tests := []struct {
		name  string
		epoch uint64 // by which the epoch grows
		fn    func(*keystate.Tx)
	}{
		{"nothing", 0, func(tx *keystate.Tx) {}},
		{"numbers", 0, func(tx *keystate.Tx) { tx.SetApplied(1); tx.SetSigned(1); _, _ = tx.ReserveIndexLeaves(3) }},
		{"puncture", 1, puncture(1)},
		{"puncture again", 0, puncture(1)},
		{"add a tree", 1, func(tx *keystate.Tx) { tx.AddTree(keytree.KindRetention, 3) }},
		{"add it again", 0, func(tx *keystate.Tx) { tx.AddTree(keytree.KindRetention, 3) }},
		{"puncture a range", 1, func(tx *keystate.Tx) { tx.PunctureRange(keytree.KindRetention, 3, 0, day.Leaf) }},
		{"puncture it again", 0, func(tx *keystate.Tx) { tx.PunctureRange(keytree.KindRetention, 3, 5, day.Leaf); tx.Puncture(day) }},
		{"generation", 1, func(tx *keystate.Tx) { tx.StartGeneration(keytree.KindSubject, 1000) }},
		{"renew the index", 1, func(tx *keystate.Tx) { tx.RenewIndexTree() }},
		{"rotate", 1, func(tx *keystate.Tx) { tx.Rotate() }},
		{"terminate", 1, func(tx *keystate.Tx) { tx.DropAll() }},
		{"terminate again", 1, func(tx *keystate.Tx) { tx.DropAll() }},
	}
	epoch, version := uint64(1), uint64(1)
	for _, test := range tests {
		r.now = r.now.Add(time.Hour)
		file := read(t, r.fsys, "state")
		update(t, s, test.fn)
		epoch, version = epoch+test.epoch, version+1
		if s.Epoch() != epoch || s.Version() != version || bytes.Equal(file, read(t, r.fsys, "state")) {
			t.Errorf("%s: epoch %d, version %d; want %d and %d", test.name, s.Epoch(), s.Version(), epoch, version)
		}
		if n := len(s.Retired()); uint64(n) != epoch-1 {
			t.Errorf("%s: %d retired roots in epoch %d", test.name, n, epoch)
		}
		back := r.reopen(t)
		if back.Epoch() != epoch || back.Version() != version || back.Digest() != s.Digest() || fmt.Sprint(back.Retired()) != fmt.Sprint(s.Retired()) || back.Stale() {
			t.Errorf("%s: after reopening epoch %d, version %d, retired %v", test.name, back.Epoch(), back.Version(), back.Retired())
		}
	}
	if retired := s.Retired(); retired[0] != (keystate.Retired{Epoch: 1, At: start.Add(3 * time.Hour).Truncate(time.Second)}) {
		t.Errorf("the first root was retired %v", retired[0])
	}
}

func TestGenerations(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	s := r.create(t)
	old := mustShare(t, s, s.Ref(keytree.KindSubject, 1000))
	update(t, s, func(tx *keystate.Tx) {
		tx.StartGeneration(keytree.KindSubject, 1000)
		tx.StartGeneration(keytree.KindMessage, 5)
	})
	update(t, s, func(tx *keystate.Tx) { tx.StartGeneration(keytree.KindSubject, 3000) })
	for _, s := range []*keystate.State{s, r.reopen(t)} {
		for leaf, tree := range map[uint32]uint16{0: 0, 999: 0, 1000: 1, 2999: 1, 3000: 2, math.MaxUint32: 2} {
			if ref := s.Ref(keytree.KindSubject, leaf); ref != (keytree.Ref{Kind: keytree.KindSubject, Tree: tree, Leaf: leaf}) {
				t.Errorf("subject %d is %v, want tree %d", leaf, ref, tree)
			}
		}
		if ref := s.Ref(keytree.KindMessage, 5); ref.Tree != 1 || s.Ref(keytree.KindMessage, 4).Tree != 0 || s.Ref(keytree.KindHold, 7).Tree != 0 {
			t.Errorf("message 5 is %v", ref)
		}
		if mustShare(t, s, s.Ref(keytree.KindSubject, 1000)) == old || s.Trees() != 9 {
			t.Errorf("generations share keys, or there are %d trees", s.Trees())
		}
	}
}

func TestRenewIndexTree(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	s := r.create(t)
	leaves := s.FileLeaves()
	one, err := leaves.NextIndexLeaf()
	if err != nil {
		t.Fatal(err)
	}
	before, err := leaves.IndexShare(one)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *keystate.Tx) { tx.RenewIndexTree() })
	_, err = leaves.IndexShare(one)
	wantKind(t, "a file of before", err, escrow.Erased)
	two, err := leaves.NextIndexLeaf()
	if err != nil || two <= one {
		t.Errorf("after %d comes %d, %v", one, two, err)
	}
	if share, err := leaves.IndexShare(two); err != nil || share == before {
		t.Errorf("the key of a new file: %v", err)
	}
	if s.Trees() != 7 {
		t.Errorf("%d trees", s.Trees())
	}
}

func TestDropAll(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	s := r.create(t)
	update(t, s, func(tx *keystate.Tx) { tx.AddTree(keytree.KindRetention, 1); tx.Puncture(subject(3)) })
	update(t, s, func(tx *keystate.Tx) { tx.Puncture(subject(4)); tx.DropAll(); tx.SetApplied(9) })
	for _, s := range []*keystate.State{s, r.reopen(t)} {
		_, err := s.Share(subject(1))
		wantKind(t, "a key after DropAll", err, escrow.Erased)
		if !s.Terminated() || s.Trees() != 0 || s.Alive(subject(1)) || s.Secret("directory") != [32]byte{} || string(s.SigningKey()) != "signing keyset" || s.Applied() != 9 {
			t.Error("something is left, or the signing key is not")
		}
		wantKind(t, "another tree", s.Update(func(tx *keystate.Tx) error { tx.AddTree(keytree.KindRetention, 2); return nil }), escrow.Conflict)
		wantKind(t, "another generation", s.Update(func(tx *keystate.Tx) error { tx.StartGeneration(keytree.KindSubject, 2); return nil }), escrow.Conflict)
		_, err = s.FileLeaves().NextIndexLeaf()
		wantKind(t, "another index file", err, escrow.Conflict)
	}
	epoch := s.Epoch()
	update(t, s, func(tx *keystate.Tx) {
		if tx.Puncture(subject(5), keytree.Ref{Kind: keytree.KindRetention, Tree: 77}) != 0 || tx.PunctureRange(keytree.KindHold, 0, 0, 9) != 0 {
			t.Error("something was left to puncture")
		}
		tx.RenewIndexTree()
	})
	if s.Epoch() != epoch {
		t.Error("there is nothing to begin an epoch for")
	}
}

func TestExport(t *testing.T) {
	r := newRig(t, vfs.NewMem(), 1)
	s := r.create(t)
	update(t, s, puncture(1))
	b, err := s.Export()
	if err != nil || !bytes.Equal(b, read(t, r.fsys, "state")) {
		t.Errorf("Export gives something else than the file, or error %v", err)
	}
	write(t, r.fsys, "state", append(b, 0))
	_, err = s.Export()
	wantKind(t, "a file that is not ours", err, escrow.Unavailable)
}
