package file_test

import (
	"bytes"
	"fmt"
	mrand "math/rand/v2"
	"syscall"
	"testing"

	"escrow"
	"escrow/internal/vfs"
)

// story is what is asked of a store while it is disturbed: roots 1 and 2 exist, 1 is destroyed, 3 is made, then 2 is destroyed and 4 made in its place.
type story struct {
	wrapped map[uint64][]byte
}

func newStory(t testing.TB) (*vfs.Mem, *story) {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, mem)
	create(t, s, 1)
	create(t, s, 2)
	return mem, &story{wrapped: map[uint64][]byte{1: wrap(t, s, 1), 2: wrap(t, s, 2)}}
}

// mustBe checks a disk on which `done` of the changes destroy 1, make 3, destroy 2, make 4 were acknowledged, and perhaps one more was under way.
func (st *story) mustBe(t testing.TB, what string, disk vfs.FS, done int) {
	t.Helper()
	s := open(t, disk)
	e, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	least, most := 2+done/2, 2+(done+2)/2
	if int(e.Newest) < least || int(e.Newest) > most || int(e.Size) != 10*int(e.Newest) {
		t.Fatalf("%s: newest epoch %d, size %d; want epoch %d or %d", what, e.Newest, e.Size, least, most)
	}
	for epoch, destroyedBy := range map[uint64]int{1: 1, 2: 3} {
		got, err := s.Unwrap(t.Context(), epoch, st.wrapped[epoch], nil)
		switch {
		case done >= destroyedBy && escrow.KindOf(err) != escrow.Erased:
			t.Fatalf("%s: the destroyed root %d: %v", what, epoch, err)
		case done < destroyedBy-1 && (err != nil || !bytes.Equal(got, key)):
			t.Fatalf("%s: the living root %d: %v", what, epoch, err)
		case err != nil && escrow.KindOf(err) != escrow.Erased:
			t.Fatalf("%s: the root %d that is being destroyed: %v", what, epoch, err)
		}
	}
	for epoch := uint64(3); epoch <= e.Newest; epoch++ {
		if w := wrap(t, s, epoch); len(w) == 0 {
			t.Fatalf("%s: root %d does not wrap", what, epoch)
		}
	}
	create(t, s, 9)
	destroy(t, s, 2)
	if e, err := open(t, disk).Evidence(t.Context()); err != nil || e.Newest != 9 {
		t.Fatalf("%s: going on leaves epoch %d, %v", what, e.Newest, err)
	}
}

// TestPowerCutAtAnyMoment cuts the power after each operation of each change, and again during what the next start does.
func TestPowerCutAtAnyMoment(t *testing.T) {
	mem, st := newStory(t)
	fsys := vfs.NewFaulty(mem)
	s := open(t, fsys)
	rng := mrand.New(mrand.NewPCG(1, 1))
	done := 0
	cuts := 0
	fsys.After(func(op vfs.Op) {
		if !op.Changes() {
			return
		}
		for range 6 {
			disk := mem.CrashClone(rng)
			what := fmt.Sprintf("after %d changes, cut after %s", done, op)
			again := vfs.NewFaulty(disk)
			again.After(func(op vfs.Op) {
				if op.Changes() && rng.IntN(8) == 0 {
					if _, err := open(t, disk.CrashClone(rng)).Evidence(t.Context()); err != nil {
						t.Fatalf("%s, and again after %s: %v", what, op, err)
					}
				}
			})
			st.mustBe(t, what, again, done)
			cuts++
		}
	})
	for _, change := range []func(){func() { destroy(t, s, 1) }, func() { create(t, s, 3) }, func() { destroy(t, s, 2) }, func() { create(t, s, 4) }} {
		change()
		done++
	}
	if cuts < 100 {
		t.Errorf("only %d power cuts", cuts)
	}
}

// TestFailsAtAnyOperation fails each operation of a change in every way; then the same store goes on, with power cuts, or a new process does.
func TestFailsAtAnyOperation(t *testing.T) {
	rng := mrand.New(mrand.NewPCG(2, 2))
	for _, fault := range []vfs.Fault{vfs.Lost, vfs.Short, vfs.Done} {
		for at := 1; ; at++ {
			mem, st := newStory(t)
			fsys := vfs.NewFaulty(mem)
			s := open(t, fsys)
			if _, err := s.Evidence(t.Context()); err != nil { // settled, so that the failure is the first thing that goes wrong
				t.Fatal(err)
			}
			plan := vfs.Plan{At: fsys.Ops() + at, Fault: fault, Err: syscall.EIO}
			fsys.Fail(plan)
			done := 0
			err := s.Destroy(t.Context(), 1)
			if err == nil {
				done = 1
				err = s.Create(t.Context(), 3, 30)
			}
			if fsys.Ops() < plan.At {
				break
			}
			what := fmt.Sprintf("fault %d at operation %d (%v)", fault, at, err)
			if err != nil {
				wantKind(t, what, err, escrow.Unavailable)
			} else {
				done = 2
			}
			for range 3 {
				st.mustBe(t, what+", then a power cut", mem.CrashClone(rng), done)
			}
			st.mustBe(t, what+", then a restart", mem.Clone(), done)
			fsys.After(func(op vfs.Op) { // a failed sync may have left on the disk something else than what is seen
				if op.Changes() {
					if _, err := open(t, mem.CrashClone(rng)).Evidence(t.Context()); err != nil {
						t.Fatalf("%s, going on, cut after %s: %v", what, op, err)
					}
				}
			})
			destroy(t, s, 1)
			create(t, s, 3)
			fsys.After(nil)
			st.mustBe(t, what+", and the same again", mem.CrashClone(rng), 2)
		}
	}
}
