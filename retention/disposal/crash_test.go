package disposal_test

import (
	"context"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/events"
	"escrow/internal/vfs"
	"escrow/retention/disposal"
)

// scene is an archive in which everything is due at once: ana is erased, one message of bob as such, a day is over, a hold is released, and another keeps a
// message of ana and one of the day; the quarter ends, too, so that new trees begin. Roots are destroyed at once.
type scene struct {
	*vault
	s                                              settings
	ana, single, day, heldAna, heldDay, freed, bob escrow.Seq
}

func setScene(t testing.TB) *scene {
	s := settings{certify: digest, founded: time.Date(2026, 6, 29, 10, 0, 0, 0, time.UTC)}
	c := &scene{vault: found(t, s), s: s}
	c.ana, c.heldAna = c.putClass(1, 100, "principal", "ana", "bob"), c.putClass(1, 100, "principal", "ana", "bob")
	c.freed = c.putClass(1, 100, "principal", "cid", "bob")
	c.single, c.bob = c.putClass(1, 100, "principal", "bob"), c.putClass(1, 100, "principal", "bob")
	c.day, c.heldDay = c.put("principal", "bob"), c.put("principal", "bob")
	c.hold(c.heldAna, c.heldDay)
	released := c.hold(c.freed)
	c.request(person(c.subject("cid")))
	c.advance(disposal.Options{})
	c.want("held", c.freed, "body of cid|cid|bob")
	c.release(released)
	c.request(messages(c.single))
	return c
}

// due makes the rest due.
func (c *scene) due() {
	c.request(person(c.subject("ana")))
	c.move(3 * 24 * time.Hour)
}

// in opens the scene in another file system, as after a crash.
func (c *scene) in(t testing.TB, fs vfs.FS) (*scene, error) {
	other := *c
	v, err := reopen(t, fs, &clock{now: c.Now()}, c.officers, c.s)
	other.vault = v
	return &other, err
}

// untouched is what must be readable whatever happens.
func (c *scene) untouched(what string) {
	c.t.Helper()
	c.want(what, c.bob, "body of bob|bob")
	c.want(what, c.heldAna, "body of ana|ana|bob")
	c.want(what, c.heldDay, "body of bob|bob")
}

// destroyed reports whether the order is carried out as far as keys go, and fails the test if it is in part.
func (c *scene) destroyed(what string) bool {
	c.t.Helper()
	got := fmt.Sprintf("%q %q %q %q", c.force(c.ana), c.force(c.single), c.force(c.day), c.force(c.freed))
	switch got {
	case `"bob" "" "" "bob"`:
		return true
	case `"body of ana|ana|bob" "body of bob|bob" "body of bob|bob" "bob"`: // the hold is released: its slot is not used any more
		return false
	}
	c.t.Errorf("%s: neither before nor after: %s", what, got)
	return false
}

// complete demands that every step was taken.
func (c *scene) complete(what string) {
	c.t.Helper()
	if !c.destroyed(what) {
		c.t.Errorf("%s: not destroyed", what)
	}
	c.untouched(what)
	for _, k := range c.Cases() {
		if k.State() != disposal.StateCertified {
			c.t.Errorf("%s: request %d is %q", what, k.Seq, k.State())
		}
	}
	if retired := c.keys.Retired(); len(retired) > 0 {
		c.t.Errorf("%s: roots of earlier states are left: %v", what, retired)
	}
	if _, known := c.directory.Lookup(identity("ana")); known {
		c.t.Errorf("%s: the directory knows ana", what)
	}
	if newest, _ := c.generation(keytree.KindMessage, 0); newest != 1 {
		c.t.Errorf("%s: %d generations of messages", what, newest+1)
	}
	facts := names(c.facts(0))
	if n := strings.Count(facts, "ErasureExecuted"); n != 2 {
		c.t.Errorf("%s: %d orders: %s", what, n, facts)
	}
}

// resume opens what a crash left, and demands that it is whole after the gate and complete after Advance.
func (c *scene) resume(t *testing.T, what string, fs vfs.FS) {
	after, err := c.in(t, fs)
	if err != nil {
		t.Errorf("%s: open: %v", what, err)
		return
	}
	defer after.close()
	ordered := after.lastOrderHasRequests()
	if destroyed := after.destroyed(what); destroyed != ordered {
		t.Errorf("%s: the order is in the ledger: %v, the keys are gone: %v", what, ordered, destroyed)
	}
	after.untouched(what + ", after the gate")
	if _, err := after.Advance(context.Background(), disposal.Options{}); err != nil {
		t.Errorf("%s: advance: %v", what, err)
		return
	}
	after.complete(what)
}

func (c *scene) lastOrderHasRequests() bool {
	for _, f := range c.facts(0) {
		if o, ok := f.(events.ErasureExecuted); ok && len(o.Requests) == 2 {
			return true
		}
	}
	return false
}

// cut is what a power cut left.
type cut struct {
	what string
	fs   *vfs.Mem
}

// cuts runs something on a file system and returns what two power cuts after each change of a file could leave.
func cuts(mem *vfs.Mem, faulty *vfs.Faulty, run func()) []cut {
	rng := mrand.New(mrand.NewPCG(3, 5))
	var all []cut
	faulty.After(func(op vfs.Op) {
		if op.Changes() {
			for range 2 {
				all = append(all, cut{fmt.Sprintf("%d: after %s", len(all), op), mem.CrashClone(rng)})
			}
		}
	})
	run()
	faulty.After(nil)
	return all
}

// TestPowerCutAfterEveryOperation cuts the power after every change of a file during one Advance with everything in it.
func TestPowerCutAfterEveryOperation(t *testing.T) {
	c := setScene(t)
	c.due()
	c.close()
	mem := c.fs.(*vfs.Mem).Clone()
	faulty := vfs.NewFaulty(mem)
	run, err := c.in(t, faulty)
	check(t, err)
	all := cuts(mem, faulty, func() { run.advance(disposal.Options{}) })
	run.complete("without a crash")
	if len(all) < 100 {
		t.Errorf("only %d power cuts", len(all))
	}
	for _, cut := range all {
		c.resume(t, cut.what, cut.fs)
		if t.Failed() {
			return
		}
	}
}

// TestEveryOperationFailsOnce lets every operation of one Advance fail, with and without effect. Success is said only when all is done, and what failed is
// completed by going on, or by opening again.
func TestEveryOperationFailsOnce(t *testing.T) {
	c := setScene(t)
	c.due()
	c.close()
	base := c.fs.(*vfs.Mem)
	for _, fault := range []vfs.Fault{vfs.Lost, vfs.Short, vfs.Done} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			t.Parallel()
			for n := 1; !t.Failed() && c.failsOnce(t, base.Clone(), fault, n); n++ {
			}
		})
	}
}

// failsOnce lets operation n of an Advance fail; false if there are not so many.
func (c *scene) failsOnce(t *testing.T, mem *vfs.Mem, fault vfs.Fault, n int) bool {
	faulty := vfs.NewFaulty(mem)
	run, err := c.in(t, faulty)
	check(t, err)
	opened := faulty.Ops()
	faulty.Fail(vfs.Plan{At: opened + n, Fault: fault, Err: errDisk})
	_, err = run.Advance(context.Background(), disposal.Options{})
	what := fmt.Sprintf("fault %d in operation %d", fault, n)
	failed := faulty.Ops() >= opened+n
	faulty.Fail(vfs.Plan{})
	if err == nil {
		run.complete(what + ", success")
	} else if !strings.Contains(err.Error(), "step ") {
		t.Errorf("%s: the error does not name the step: %v", what, err)
	}
	if _, err := run.Advance(context.Background(), disposal.Options{}); err == nil {
		run.complete(what + ", going on")
		run.counted(what)
	}
	run.close()
	c.resumeOrComplete(t, what, mem)
	return failed
}

// counted checks that the epoch which carries an order out says how many shares were destroyed, also where the change was made and its error came after.
func (v *vault) counted(what string) {
	v.t.Helper()
	applied := escrow.TreeSize(0)
	for _, f := range v.facts(0) {
		if f, ok := f.(events.EpochCommitted); ok {
			if f.Applied > applied && f.Shares < 2 { // of a person and of the directory
				v.t.Errorf("%s: epoch %d carries an order out and counts %d shares", what, f.Epoch, f.Shares)
			}
			applied = f.Applied
		}
	}
}

// resumeOrComplete opens what is there after a fault.
func (c *scene) resumeOrComplete(t *testing.T, what string, fs vfs.FS) {
	after, err := c.in(t, fs)
	if err != nil {
		t.Errorf("%s: open: %v", what, err)
		return
	}
	defer after.close()
	after.untouched(what + ", opened again")
	after.advance(disposal.Options{})
	after.complete(what + ", opened again")
}

// TestPowerCutAtTheEndOfATenant: whenever the power is cut, all is there or nothing is, and what was ordered is finished.
func TestPowerCutAtTheEndOfATenant(t *testing.T) {
	s := settings{terms: disposal.Terms{KeepRoots: 7 * dayLong}, certify: digest}
	v := found(t, s)
	seq := v.putClass(1, 100, "principal", "ana")
	check(t, v.directory.Save(v.ledger.Size()))
	request := v.request(everything())
	v.close()
	mem := v.fs.(*vfs.Mem).Clone()
	faulty := vfs.NewFaulty(mem)
	run := must(reopen(t, faulty, v.clock, v.officers, s))(t)
	all := cuts(mem, faulty, func() { run.advance(disposal.Options{}) })
	for _, cut := range all {
		after, err := reopen(t, cut.fs, v.clock, v.officers, s)
		if err != nil {
			t.Fatalf("%s: open: %v", cut.what, err)
		}
		got := after.force(seq)
		if ordered := must(after.Case(request))(t).Executed != nil; got != map[bool]string{true: "", false: "body of ana|ana"}[ordered] {
			t.Errorf("%s: ordered %v, the keys read %q", cut.what, ordered, got)
		}
		after.advance(disposal.Options{})
		if c := must(after.Case(request))(t); c.State() != disposal.StateCertified || after.force(seq) != "" || len(after.keys.Retired()) > 0 {
			t.Errorf("%s: the case is %q, the keys read %q, roots kept %v", cut.what, c.State(), after.force(seq), after.keys.Retired())
		}
		after.close()
	}
}

// TestGateFailsAndIsTriedAgain: a gate that could not finish stays shut, and opens when the fault is gone.
func TestGateFailsAndIsTriedAgain(t *testing.T) {
	var store *brokenStore
	s := settings{stores: func(fs vfs.FS, _ *clock) []rootstore.Store {
		store = &brokenStore{Store: fileStore(t, fs)}
		return []rootstore.Store{store}
	}}
	v := found(t, s)
	seq := v.putClass(1, 100, "principal", "ana")
	v.request(person(v.subject("ana")))
	store.broken = true
	_, err := v.Advance(ctx(), disposal.Options{}) // ordered, not punctured
	wantKind(t, "no roots", err, escrow.Unavailable, "step puncture")
	v.close()
	base := v.fs.(*vfs.Mem)
	for n, passed := 1, false; !passed; n++ {
		faulty := vfs.NewFaulty(base.Clone())
		v, err := unlock(t, faulty, v.clock, v.officers, s)
		check(t, err)
		opened := faulty.Ops()
		faulty.Fail(vfs.Plan{At: opened + n, Fault: vfs.Lost, Err: errDisk})
		err = v.Gate(ctx())
		passed = faulty.Ops() < opened+n
		faulty.Fail(vfs.Plan{})
		if err == nil && v.force(seq) != "" {
			t.Errorf("operation %d failed: the gate is open and the keys read %q", n, v.force(seq))
		}
		if err != nil && v.read(seq) != "" {
			t.Errorf("operation %d failed: the gate is shut and reads %q", n, v.read(seq))
		}
		if err := v.Gate(ctx()); err == nil && v.force(seq) != "" {
			t.Errorf("operation %d failed: tried again, the keys read %q", n, v.force(seq))
		}
		v.close()
	}
}
