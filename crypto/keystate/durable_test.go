package keystate_test

import (
	"bytes"
	mrand "math/rand/v2"
	"path"
	"slices"
	"syscall"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/internal/vfs"
)

// prepare returns files of a state in version 2, with subject 77 erased, under the roots of n stores.
func prepare(t testing.TB, n int) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	update(t, newRig(t, mem, n).create(t), puncture(77))
	return mem
}

// mustBeOldOrNew opens a state after a crash or failure during the puncture of subject 1, and returns whether it is the new one. It must be whole and able to
// go on; if it is the old one it may be taken for an older copy.
func mustBeOldOrNew(t testing.TB, what string, r *rig) bool {
	t.Helper()
	s, err := r.open()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	isNew := !s.Alive(subject(1))
	if isNew != (s.Version() == 3) || s.Version() < 2 || s.Alive(subject(77)) || !s.Alive(subject(2)) || isNew && s.Stale() {
		t.Fatalf("%s: version %d, epoch %d, subject 1 alive = %v, stale = %v", what, s.Version(), s.Epoch(), !isNew, s.Stale())
	}
	if s.Stale() {
		wantKind(t, what, s.Update(func(tx *keystate.Tx) error { return nil }), escrow.Conflict)
	}
	update(t, s, func(tx *keystate.Tx) { tx.RenewIndexTree(); tx.Puncture(subject(5)) })
	if back := r.reopen(t); back.Stale() || back.Alive(subject(5)) || back.Version() != s.Version() || back.Alive(subject(1)) == isNew {
		t.Fatalf("%s: going on leaves version %d, stale %v", what, back.Version(), back.Stale())
	}
	mustForget(t, what, r, s)
	return isNew
}

// mustForget destroys all retired roots and checks that the stores have none but the present one.
func mustForget(t testing.TB, what string, r *rig, s *keystate.State) {
	t.Helper()
	if _, err := s.DestroyRoots(t.Context(), r.now); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if live := liveRoots(t, s); !slices.Equal(live, slices.Repeat([]uint64{s.Epoch()}, len(r.stores))) {
		t.Fatalf("%s: once retired roots are destroyed those of epochs %v live, the present one is %d", what, live, s.Epoch())
	}
}

// liveRoots returns the epochs of all living roots in all stores.
func liveRoots(t testing.TB, s *keystate.State) (epochs []uint64) {
	t.Helper()
	all, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		for _, r := range e.Roots {
			if r.State == 0 {
				epochs = append(epochs, r.Epoch)
			}
		}
	}
	return epochs
}

// TestPowerCutAtAnyMoment cuts the power after each operation of an Update, of state file and roots together, and again after each operation of what follows.
func TestPowerCutAtAnyMoment(t *testing.T) {
	mem := prepare(t, 2)
	fsys := vfs.NewFaulty(mem)
	s := newRig(t, fsys, 2).reopen(t)
	rng := mrand.New(mrand.NewPCG(1, 1))
	var cut []*vfs.Mem
	fsys.After(func(op vfs.Op) {
		if op.Changes() {
			for range 8 {
				cut = append(cut, mem.CrashClone(rng))
			}
		}
	})
	update(t, s, puncture(1))
	fsys.After(nil)
	outcomes := map[bool]int{}
	for i, disk := range cut {
		again := vfs.NewFaulty(disk)
		again.After(func(op vfs.Op) {
			if op.Changes() && (rng.IntN(10) == 0) {
				if _, err := newRig(t, disk.CrashClone(rng), 2).open(); err != nil {
					t.Fatalf("cut %d, and again after %s: %v", i, op, err)
				}
			}
		})
		outcomes[mustBeOldOrNew(t, "cut", newRig(t, again, 2))]++
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("of %d power cuts %d ended in the new state: the test proves nothing", len(cut), outcomes[true])
	}
	for range 30 {
		if !mustBeOldOrNew(t, "cut after Update", newRig(t, mem.CrashClone(rng), 2)) {
			t.Fatal("Update returned and the power cut undid it")
		}
	}
}

// TestDestroyedRootSurvivesNoPowerCut: once DestroyRoots has returned, no copy of the state made before opens, whatever a power cut leaves of the disk.
func TestDestroyedRootSurvivesNoPowerCut(t *testing.T) {
	mem := prepare(t, 1)
	r := newRig(t, mem, 1)
	s := r.reopen(t)
	old := read(t, mem, "state")
	update(t, s, puncture(1))
	mustForget(t, "now", r, s)
	rng := mrand.New(mrand.NewPCG(2, 2))
	for range 50 {
		disk := mem.CrashClone(rng)
		write(t, disk, "state", old)
		_, err := newRig(t, disk, 1).open()
		wantKind(t, "an old state", err, escrow.Erased)
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
	mem := prepare(t, 1)
	fsys := vfs.NewFaulty(mem)
	s := newRig(t, fsys, 1).reopen(t)
	plan.At = fsys.Ops() + at
	fsys.Fail(plan)
	err := s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil })
	if fsys.Ops() < plan.At {
		return nil, nil, nil
	}
	fsys.Fail(vfs.Plan{})
	if err != nil { // reading the end of a file fails with or without a fault
		wantKind(t, name, err, escrow.Unavailable)
	}
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
			for range 3 {
				mustBeOldOrNew(t, name+", then a power cut", newRig(t, mem.CrashClone(rng), 1))
			}
			mustBeOldOrNew(t, name+", then a restart", newRig(t, mem.Clone(), 1))
			goOn(t, name, s, mem, fsys)
		}
		if at < 30 {
			t.Errorf("%s: only %d operations failed", name, at-1)
		}
	}
}

// goOn makes another change after a failed one, with power cuts at many moments, and checks that it and perhaps the one before are there, and that every root but
// one can be destroyed.
func goOn(t *testing.T, name string, s *keystate.State, mem *vfs.Mem, fsys *vfs.Faulty) {
	t.Helper()
	rng := mrand.New(mrand.NewPCG(5, 5))
	fsys.After(func(op vfs.Op) {
		if !op.Changes() || rng.IntN(4) > 0 {
			return
		}
		if _, err := newRig(t, mem.CrashClone(rng), 1).open(); err != nil {
			t.Fatalf("%s: going on, cut after %s: %v", name, op, err)
		}
	})
	update(t, s, puncture(3))
	fsys.After(nil)
	for range 3 {
		back := reopen(t, mem.CrashClone(rng))
		if back.Alive(subject(3)) || back.Alive(subject(1)) != s.Alive(subject(1)) || back.Version() != s.Version() || back.Stale() {
			t.Fatalf("%s: after going on, version %d in memory and %d on disk", name, s.Version(), back.Version())
		}
	}
	mustForget(t, name, newRig(t, mem, 1), s)
}

// TestCreateFailsAtAnyOperation: whatever a failed Create leaves behind, the next start can use or replace it.
func TestCreateFailsAtAnyOperation(t *testing.T) {
	rng := mrand.New(mrand.NewPCG(4, 4))
	for name, plan := range faults() {
		for plan.At = 1; ; plan.At++ {
			mem := vfs.NewMem()
			if err := mem.MkdirAll(rootsDir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := mem.SyncDir("."); err != nil {
				t.Fatal(err)
			}
			fsys := vfs.NewFaulty(mem)
			r := newRig(t, fsys, 1)
			at := plan
			at.At += fsys.Ops()
			fsys.Fail(at)
			_, err := keystate.Create(t.Context(), fsys, dir, r.config(), nil)
			if fsys.Ops() < at.At {
				break
			}
			if err == nil {
				continue // it could do without, as with a Stat before MkdirAll
			}
			for _, disk := range []*vfs.Mem{mem.Clone(), mem.CrashClone(rng), mem.CrashClone(rng)} {
				r := newRig(t, disk, 1)
				_, err := r.open()
				if err != nil && escrow.KindOf(err) == escrow.NotFound {
					_, err = keystate.Create(t.Context(), disk, dir, r.config(), nil)
				}
				if err != nil {
					t.Fatalf("%s at operation %d: the next start fails: %v", name, plan.At, err)
				}
			}
		}
		if plan.At < 30 {
			t.Errorf("%s: Create has only %d operations", name, plan.At)
		}
	}
}

// TestOpenFailsAtAnyOperation: an Open that fails destroys nothing.
func TestOpenFailsAtAnyOperation(t *testing.T) {
	for name, plan := range faults() {
		for at := 1; ; at++ {
			mem := prepare(t, 1)
			fsys := vfs.NewFaulty(mem)
			r := newRig(t, fsys, 1)
			plan.At = fsys.Ops() + at
			fsys.Fail(plan)
			_, err := r.open()
			if fsys.Ops() < plan.At {
				break
			}
			if err != nil {
				wantKind(t, name, err, escrow.Unavailable)
			}
			if s := reopen(t, mem); s.Version() != 2 || !s.Alive(subject(1)) || s.Stale() {
				t.Fatalf("%s at operation %d: version %d", name, at, s.Version())
			}
		}
	}
}

func TestEveryChangedByteIsAnError(t *testing.T) {
	mem := prepare(t, 2)
	state := read(t, mem, "state")
	r := newRig(t, mem, 2)
	for i := range state {
		bad := bytes.Clone(state)
		bad[i] ^= 1
		write(t, mem, "state", bad)
		_, err := r.open()
		if kind := escrow.KindOf(err); err == nil || kind != escrow.Forged && kind != escrow.Corrupt && kind != escrow.Denied {
			t.Fatalf("byte %d of the state changed: %v", i, err)
		}
		write(t, mem, "state", state[:i])
		if _, err := r.open(); err == nil {
			t.Fatalf("the state cut to %d bytes opened", i)
		}
	}
	write(t, mem, "state", state)
	r.reopen(t)
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	mem := prepare(t, 1)
	for _, name := range []string{path.Join(dir, "state"), rootsDir + "/0"} {
		info, err := mem.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// TestReadBack: what is read back differs, so the change is not made and the state before stays.
func TestReadBack(t *testing.T) {
	mem := prepare(t, 1)
	fsys := vfs.NewFaulty(mem)
	s := newRig(t, fsys, 1).reopen(t)
	before := read(t, mem, "state")
	spoiled := false
	fsys.After(func(op vfs.Op) {
		if op.Kind == vfs.OpClose && path.Base(op.Name) == "state.tmp" && !spoiled && !bytes.Equal(read(t, mem, "state.tmp")[:4], make([]byte, 4)) {
			spoiled = true
			b := read(t, mem, "state.tmp")
			b[len(b)/2] ^= 1
			write(t, mem, "state.tmp", b)
		}
	})
	wantKind(t, "a disk that writes something else", s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil }), escrow.Unavailable)
	if !spoiled || !bytes.Equal(before, read(t, mem, "state")) || !s.Alive(subject(1)) {
		t.Error("the state changed")
	}
	update(t, s, puncture(1))
	if back := reopen(t, mem); back.Alive(subject(1)) || back.Stale() {
		t.Error("the second attempt did not succeed")
	}
}

// TestDiskIsFull: attempts that fail for want of space leave no root behind.
func TestDiskIsFull(t *testing.T) {
	mem := prepare(t, 1)
	fsys := vfs.NewFaulty(mem)
	r := newRig(t, fsys, 1)
	s := r.reopen(t)
	fsys.After(func(op vfs.Op) {
		if op.Kind == vfs.OpCreate && path.Base(op.Name) == "state.tmp" {
			fsys.Fail(vfs.Plan{At: fsys.Ops() + 1, Fault: vfs.Short, Err: syscall.ENOSPC})
		}
	})
	for range 3 {
		wantKind(t, "full", s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil }), escrow.Unavailable)
	}
	fsys.After(nil)
	fsys.Fail(vfs.Plan{})
	if live := liveRoots(t, s); len(live) != 2 { // of the epochs 1 and 2, of which the first is retired
		t.Errorf("the roots of epochs %v live", live)
	}
	update(t, s, puncture(1))
	mustForget(t, "with space again", r, s)
}

// TestWriteFailsAgainAndAgain: attempts that fail while the state is written leave a root each, which nothing was sealed under that counts, and all can be
// destroyed.
func TestWriteFailsAgainAndAgain(t *testing.T) {
	mem := prepare(t, 1)
	fsys := vfs.NewFaulty(mem)
	r := newRig(t, fsys, 1)
	s := r.reopen(t)
	for range 20 {
		r.now = r.now.Add(time.Second)
		fsys.After(func(op vfs.Op) {
			if op.Kind == vfs.OpTruncate && path.Base(op.Name) == "state.tmp" {
				fsys.Fail(vfs.Plan{At: fsys.Ops() + 1, Fault: vfs.Lost, Err: syscall.EIO})
			}
		})
		wantKind(t, "failing", s.Update(func(tx *keystate.Tx) error { tx.Puncture(subject(1)); return nil }), escrow.Unavailable)
	}
	if live := liveRoots(t, s); len(live) < 20 {
		t.Errorf("the roots of epochs %v live: the test proves nothing", live)
	}
	fsys.After(nil)
	fsys.Fail(vfs.Plan{})
	update(t, s, func(tx *keystate.Tx) { tx.SetApplied(1) }) // destroys nothing, but the newest epoch is not the state's
	if r.reopen(t).Stale() {
		t.Error("attempts that failed make the state an old copy")
	}
	update(t, s, puncture(1))
	mustForget(t, "once it works", r, s)
}
