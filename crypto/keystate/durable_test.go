package keystate_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	mrand "math/rand/v2"
	"path"
	"syscall"
	"testing"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/internal/vfs"
)

// roots returns the two roots in the root file, zeros for an empty slot.
func roots(t testing.TB, fsys vfs.FS) [2][]byte {
	t.Helper()
	b := read(t, fsys, "root")
	if len(b) != 8192 {
		t.Fatalf("the root file has %d bytes", len(b))
	}
	return [2][]byte{b[8:40], b[4096+8 : 4096+40]}
}

// mustNotContain looks for a secret in every file of the directory.
func mustNotContain(t testing.TB, fsys vfs.FS, secret []byte) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if bytes.Contains(read(t, fsys, e.Name()), secret) {
			t.Errorf("a destroyed root is still in the file %s", e.Name())
		}
	}
}

func TestOldStatesNeverOpenAgain(t *testing.T) {
	fsys := vfs.NewMem()
	s := create(t, fsys)
	var oldStates, oldRoots [][]byte
	for leaf := range uint32(5) {
		now := roots(t, fsys)
		oldStates = append(oldStates, read(t, fsys, "state"))
		oldRoots = append(oldRoots, now[s.Epoch()&1])
		if !bytes.Equal(now[(s.Epoch()+1)&1], make([]byte, 32)) {
			t.Fatal("there are two roots")
		}
		update(t, s, puncture(leaf))
		for _, root := range oldRoots {
			mustNotContain(t, fsys, root)
		}
		for _, old := range oldStates {
			restored := fsys.Clone()
			write(t, restored, "state", old)
			_, err := keystate.Open(restored, dir)
			wantKind(t, "an old state under the present root", err, escrow.Forged)
		}
	}
	restored := fsys.Clone()
	write(t, restored, "state", oldStates[4])
	root := read(t, restored, "root")
	copy(root[4096*int((s.Epoch()-1)&1)+8:], oldRoots[4]) // the root, without its epoch
	write(t, restored, "root", root)
	_, err := keystate.Open(restored, dir)
	wantKind(t, "a root in the slot of no epoch", err, escrow.Forged)
}

// mustBeOldOrNew opens a state after a crash or failure during the puncture of subject 1, and returns whether it is the new one. It must be whole, and
// there must be one root.
func mustBeOldOrNew(t testing.TB, what string, fsys vfs.FS, before, after uint64) bool {
	t.Helper()
	s, err := keystate.Open(fsys, dir)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if s.Alive(subject(1)) != (s.Epoch() == before) || s.Epoch() != before && s.Epoch() != after || s.Alive(subject(77)) || !s.Alive(subject(2)) {
		t.Fatalf("%s: epoch %d, subject 1 alive = %v", what, s.Epoch(), s.Alive(subject(1)))
	}
	if !bytes.Equal(roots(t, fsys)[(s.Epoch()+1)&1], make([]byte, 32)) {
		t.Fatalf("%s: there are two roots after Open", what)
	}
	return s.Epoch() == after
}

// prepare returns files of a state at epoch 2, with subject 77 erased.
func prepare(t testing.TB) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	update(t, create(t, mem), puncture(77))
	return mem
}

// TestPowerCutAtAnyMoment cuts the power after each operation of an Update, and again after each operation of the Open that follows.
func TestPowerCutAtAnyMoment(t *testing.T) {
	mem := prepare(t)
	fsys := vfs.NewFaulty(mem)
	s := reopen(t, fsys)
	rng := mrand.New(mrand.NewPCG(1, 1))
	var cut []*vfs.Mem
	fsys.After(func(op vfs.Op) {
		for range 12 {
			cut = append(cut, mem.CrashClone(rng))
		}
	})
	update(t, s, puncture(1))
	outcomes := map[bool]int{}
	for _, disk := range cut {
		again := vfs.NewFaulty(disk)
		again.After(func(op vfs.Op) {
			if op.Changes() {
				mustBeOldOrNew(t, "cut again after "+op.String(), disk.CrashClone(rng), 2, 3)
			}
		})
		outcomes[mustBeOldOrNew(t, "cut", again, 2, 3)]++
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("of %d power cuts %d ended in the new state: the test proves nothing", len(cut), outcomes[true])
	}
	for range 50 {
		disk := mem.CrashClone(rng)
		if !mustBeOldOrNew(t, "cut after Update", disk, 2, 3) {
			t.Fatal("Update returned and the power cut undid it")
		}
	}
}

// TestDestroyedRootSurvivesNoPowerCut: once Update has returned, no state of the disk after a power cut holds the root before.
func TestDestroyedRootSurvivesNoPowerCut(t *testing.T) {
	mem := prepare(t)
	s := reopen(t, mem)
	old := bytes.Clone(roots(t, mem)[s.Epoch()&1])
	update(t, s, puncture(1))
	rng := mrand.New(mrand.NewPCG(2, 2))
	for range 50 {
		mustNotContain(t, mem.CrashClone(rng), old)
	}
}

// faults are the ways an operation fails.
func faults() map[string]vfs.Plan {
	return map[string]vfs.Plan{
		"lost":         {Fault: vfs.Lost, Err: syscall.EIO},
		"short":        {Fault: vfs.Short, Err: syscall.ENOSPC},
		"done":         {Fault: vfs.Done, Err: syscall.EIO},
		"lost for now": {Fault: vfs.Lost, Err: syscall.EIO, Sticky: true},
		"done, broken": {Fault: vfs.Done, Err: syscall.EIO, Sticky: true},
	}
}

// failedUpdate fails the at-th operation of an Update that punctures subject 1. It returns nil when there is no such operation.
func failedUpdate(t *testing.T, name string, plan vfs.Plan, at int) (*keystate.State, *vfs.Mem, *vfs.Faulty) {
	t.Helper()
	mem := prepare(t)
	fsys := vfs.NewFaulty(mem)
	s := reopen(t, fsys)
	plan.At = fsys.Ops() + at
	fsys.Fail(plan)
	err := s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil })
	if fsys.Ops() < plan.At {
		return nil, nil, nil
	}
	fsys.Fail(vfs.Plan{})
	wantKind(t, name, err, escrow.Unavailable)
	return s, mem, fsys
}

// TestUpdateFailsAtAnyOperation fails each operation of an Update in every way: afterwards the files open as old or new, also after a power cut, also
// after a restart and a power cut, and the same State goes on once the disk is mended.
func TestUpdateFailsAtAnyOperation(t *testing.T) {
	rng := mrand.New(mrand.NewPCG(3, 3))
	for name, plan := range faults() {
		at := 1
		for ; ; at++ {
			s, mem, fsys := failedUpdate(t, name, plan, at)
			if s == nil {
				break
			}
			for range 5 {
				mustBeOldOrNew(t, name+", then a power cut", mem.CrashClone(rng), 2, 3)
			}
			goOn(t, name, s, mem, fsys)
			_, mem, _ = failedUpdate(t, name, plan, at)
			mustBeOldOrNew(t, name+", then a restart", mem, 2, 3)
			for range 10 {
				mustBeOldOrNew(t, name+", then a restart and a power cut", mem.CrashClone(rng), 2, 3)
			}
		}
		if at < 11 {
			t.Errorf("%s: only %d operations failed", name, at-1)
		}
	}
}

// goOn makes another change after a failed one, with power cuts at every moment, and checks that it and perhaps the one before are there, with one root.
func goOn(t *testing.T, name string, s *keystate.State, mem *vfs.Mem, fsys *vfs.Faulty) {
	t.Helper()
	rng := mrand.New(mrand.NewPCG(5, 5))
	fsys.After(func(op vfs.Op) {
		for range 3 {
			if _, err := keystate.Open(mem.CrashClone(rng), dir); err != nil {
				t.Fatalf("%s: going on, cut after %s: %v", name, op, err)
			}
		}
	})
	update(t, s, puncture(3))
	fsys.After(nil)
	for range 3 {
		back := reopen(t, mem.CrashClone(rng))
		if back.Alive(subject(3)) || back.Alive(subject(1)) != s.Alive(subject(1)) || back.Epoch() != s.Epoch() || back.Epoch() < 3 {
			t.Fatalf("%s: after going on, epoch %d in memory and %d on disk", name, s.Epoch(), back.Epoch())
		}
	}
	if !bytes.Equal(roots(t, mem)[(s.Epoch()+1)&1], make([]byte, 32)) {
		t.Fatalf("%s: after going on there are two roots", name)
	}
}

// TestCreateFailsAtAnyOperation: whatever a failed Create leaves behind, the next start can use or replace it.
func TestCreateFailsAtAnyOperation(t *testing.T) {
	rng := mrand.New(mrand.NewPCG(4, 4))
	for name, plan := range faults() {
		for plan.At = 1; ; plan.At++ {
			mem := vfs.NewMem()
			fsys := vfs.NewFaulty(mem)
			fsys.Fail(plan)
			_, err := keystate.Create(fsys, dir, rand.Reader, nil)
			if fsys.Ops() < plan.At {
				break
			}
			if err == nil {
				continue // it could do without, as with a Stat before MkdirAll
			}
			for _, disk := range []*vfs.Mem{mem.Clone(), mem.CrashClone(rng), mem.CrashClone(rng)} {
				_, err := keystate.Open(disk, dir)
				if err != nil && escrow.KindOf(err) == escrow.NotFound {
					_, err = keystate.Create(disk, dir, rand.Reader, nil)
				}
				if err != nil {
					t.Fatalf("%s at operation %d: the next start fails: %v", name, plan.At, err)
				}
			}
		}
		if plan.At < 10 {
			t.Errorf("%s: Create has only %d operations", name, plan.At)
		}
	}
}

// TestOpenFailsAtAnyOperation: an Open that fails destroys nothing.
func TestOpenFailsAtAnyOperation(t *testing.T) {
	for name, plan := range faults() {
		for plan.At = 1; ; plan.At++ {
			mem := prepare(t)
			fsys := vfs.NewFaulty(mem)
			fsys.Fail(plan)
			_, err := keystate.Open(fsys, dir)
			if fsys.Ops() < plan.At {
				break
			}
			if err != nil { // reading the end of a file fails with or without a fault
				wantKind(t, name, err, escrow.Unavailable)
			}
			if s := reopen(t, mem); s.Epoch() != 2 || !s.Alive(subject(1)) {
				t.Fatalf("%s at operation %d: epoch %d", name, plan.At, s.Epoch())
			}
		}
	}
}

func TestEveryChangedByteIsAnError(t *testing.T) {
	mem := prepare(t)
	state := read(t, mem, "state")
	for i := range state {
		bad := bytes.Clone(state)
		bad[i] ^= 1
		write(t, mem, "state", bad)
		if _, err := keystate.Open(mem, dir); err == nil || escrow.KindOf(err) != escrow.Forged && escrow.KindOf(err) != escrow.Corrupt {
			t.Fatalf("byte %d of the state changed: %v", i, err)
		}
		write(t, mem, "state", state[:i])
		if _, err := keystate.Open(mem, dir); err == nil {
			t.Fatalf("the state cut to %d bytes opened", i)
		}
	}
	write(t, mem, "state", state)
	root := read(t, mem, "root")
	for i := range 40 {
		bad := bytes.Clone(root)
		bad[i] ^= 0x80 // epoch 2 is in slot 0
		write(t, mem, "root", bad)
		_, err := keystate.Open(mem, dir)
		wantKind(t, "root changed", err, escrow.Forged)
	}
	write(t, mem, "root", root[:8191])
	_, err := keystate.Open(mem, dir)
	wantKind(t, "root cut", err, escrow.Corrupt)
	write(t, mem, "root", root)
	reopen(t, mem)
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	mem := prepare(t)
	for _, name := range []string{"state", "root"} {
		info, err := mem.Stat(path.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if _, err := mem.Stat(path.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
