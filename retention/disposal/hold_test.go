package disposal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/retention/disposal"
)

// TestSeveralHolds: each hold has slots of its own, and the end of one leaves the others; the end of the last kills at once.
func TestSeveralHolds(t *testing.T) {
	for _, when := range []string{"both before", "one after the erasure"} {
		t.Run(when, func(t *testing.T) {
			v := found(t, settings{})
			seq := v.putClass(1, 100, "principal", "ana", "bob")
			first := v.hold(seq)
			second := uint32(1)
			if when == "both before" {
				second = v.hold(seq)
			}
			v.request(person(v.subject("ana")))
			v.request(person(v.subject("bob")))
			v.advance(disposal.Options{})
			if when != "both before" {
				second = v.hold(seq)
			}
			share := v.keys.Ref(keytree.KindHold, first)
			if v.Restricted(seq, share) {
				t.Error("the share of a hold in force is restricted")
			}
			v.release(first)
			if !v.Restricted(seq, share) || !v.keys.Alive(share) {
				t.Error("who read the slots before the release still opens them")
			}
			v.want("one released, not carried out yet", seq, map[bool]string{true: "body of ana|ana|bob", false: ""}[when == "both before"])
			v.advance(disposal.Options{})
			v.want("one released", seq, "body of ana|ana|bob")
			v = v.again(settings{})
			v.want("one released, opened again", seq, "body of ana|ana|bob")
			v.release(second)
			if got := v.read(seq); got != "" {
				t.Errorf("released, not carried out yet: reads %q", got)
			}
			v.advance(disposal.Options{})
			v.want("both released", seq, "")
			if got := v.force(seq); got != "" {
				t.Errorf("both released: the keys read %q", got)
			}
		})
	}
}

// TestHoldInTheCoolingOffTime: a hold placed then spares its messages, and lifts the restriction from them.
func TestHoldInTheCoolingOffTime(t *testing.T) {
	v := found(t, settings{terms: disposal.Terms{CoolingOff: time.Hour}})
	held, other := v.putClass(1, 100, "principal", "ana", "bob"), v.putClass(1, 100, "principal", "ana", "bob")
	single := v.putClass(1, 100, "principal", "bob")
	v.request(person(v.subject("ana")))
	v.request(messages(single, other))
	v.want("restricted", held, "bob")
	v.want("restricted", single, "")
	hold := v.hold(held, single)
	v.want("held", held, "body of ana|ana|bob")
	v.want("held", single, "body of bob|bob")
	v.want("not held", other, "")
	v.move(time.Hour)
	r := v.advance(disposal.Options{})
	if r.Slots != 4 { // body and identity of ana, body and identity of bob in single
		t.Errorf("%d slots, want one for each facet that would die", r.Slots)
	}
	v.want("ordered", held, "body of ana|ana|bob")
	v.want("ordered", single, "body of bob|bob")
	v.want("ordered", other, "")
	if r := v.advance(disposal.Options{}); r.Slots != 0 {
		t.Errorf("%d slots are added twice", r.Slots)
	}
	v.release(hold)
	v.advance(disposal.Options{})
	v.want("released", held, "bob")
	v.want("released", single, "")
}

// TestHoldOnWhatDoesNotDie adds no slot, and its release kills nothing.
func TestHoldOnWhatDoesNotDie(t *testing.T) {
	v := found(t, settings{})
	seq := v.putClass(1, 100, "any-of", "ana", "bob")
	hold := v.hold(seq)
	v.request(person(v.subject("ana")))
	if r := v.advance(disposal.Options{}); r.Slots != 1 { // ana's identity; the body is bob's as well
		t.Errorf("%d slots", r.Slots)
	}
	v.release(hold)
	v.advance(disposal.Options{})
	v.want("released", seq, "body of ana|bob")
}

// TestManyHeldMessages: slots are divided into records of at most MaxHoldSlots.
func TestManyHeldMessages(t *testing.T) {
	v := found(t, settings{})
	var seqs []escrow.Seq
	for range 700 {
		seqs = append(seqs, v.putClass(1, 100, "principal", "ana"))
	}
	v.hold(seqs...)
	from := escrow.Seq(v.ledger.Size())
	v.request(person(v.subject("ana")))
	if r := v.advance(disposal.Options{}); r.Slots != 1400 {
		t.Errorf("%d slots for two facets of 700 messages", r.Slots)
	}
	var sizes []int
	for _, f := range v.facts(from) {
		if f, ok := f.(events.HoldSlotsAdded); ok {
			sizes = append(sizes, len(f.Slots))
		}
	}
	if !slices.Equal(sizes, []int{1000, 400}) {
		t.Errorf("records of %v slots", sizes)
	}
	v = v.again(settings{})
	for _, seq := range seqs {
		v.want("held", seq, "body of ana|ana")
	}
}

// TestHoldsAndTheEndOfTheTenant: what is held is held from everything.
func TestHoldsAndTheEndOfTheTenant(t *testing.T) {
	v := found(t, settings{terms: disposal.Terms{CoolingOff: time.Hour}})
	seq := v.putClass(1, 100, "principal", "ana")
	hold := v.hold(seq)
	_, err := v.try("dpo", everything())
	wantKind(t, "requested under a hold", err, escrow.Held, "holds are in force: 0")
	v.release(hold)
	request := v.record("dpo", everything())
	hold = v.hold(seq)
	_, err = v.try("legal", v.approval(request))
	wantKind(t, "approved under a hold", err, escrow.Held)
	v.release(hold)
	v.approve(request)
	hold = v.hold(seq)
	v.move(time.Hour)
	r := v.advance(disposal.Options{})
	if len(r.Deferred) != 1 || escrow.KindOf(r.Deferred[0].Because) != escrow.Held || v.keys.Terminated() {
		t.Errorf("due under a hold: %+v", r)
	}
	v.want("due under a hold", seq, "body of ana|ana")
	v.release(hold)
	v.advance(disposal.Options{})
	if !v.keys.Terminated() {
		t.Error("when the hold is released the request is not carried out")
	}
}

// TestEndOfTheTenant: nothing can be read, done or sealed any more; the ledger can be verified and the certificate is made.
func TestEndOfTheTenant(t *testing.T) {
	s := settings{terms: disposal.Terms{KeepRoots: 7 * 24 * time.Hour}, certify: digest}
	v := found(t, s)
	seq := v.putClass(1, 100, "principal", "ana")
	before := v.force(seq)
	request := v.request(everything())
	v.want("restricted", seq, "")
	v.advance(disposal.Options{})
	end := func(what string) {
		t.Helper()
		if got := v.force(seq); got != "" || before == "" {
			t.Errorf("%s: the keys read %q", what, got)
		}
		v.want(what, seq, "")
		if c := must(v.Case(request))(t); c.State() != disposal.StateCertified {
			t.Errorf("%s: the case is %q", what, c.State())
		}
		if len(v.keys.Retired()) > 0 {
			t.Errorf("%s: roots are kept: %v", what, v.keys.Retired())
		}
		_, err := v.try("dpo", person(0))
		wantKind(t, what, err, escrow.Erased, "everything of this tenant was erased")
		_, err = v.Preview(ctx(), person(0), slices.Values([]escrow.Seq{seq}))
		wantKind(t, what, err, escrow.Erased)
	}
	end("ended")
	if v.index.resets != 1 {
		t.Errorf("the index was reset %d times", v.index.resets)
	}
	v.move(100 * 24 * time.Hour)
	if r := v.advance(disposal.Options{ClockIsRight: true}); r.Order != nil {
		t.Error("something expires after the end")
	}
	v.close()
	fs := v.fs
	v = must(reopen(t, fs, v.clock, v.officers, s))(t)
	end("opened again")
}

func TestPreview(t *testing.T) {
	v := found(t, settings{})
	own, others := v.putClass(1, 100, "principal", "ana", "bob"), v.putClass(1, 100, "principal", "bob", "ana")
	all, foreign := v.putClass(1, 100, "all-of", "ana", "bob"), v.putClass(1, 100, "all-of", "bob", "ana")
	any, held, gone := v.putClass(1, 100, "any-of", "bob", "ana"), v.putClass(1, 100, "principal", "ana"), v.putClass(1, 100, "principal", "ana")
	v.hold(held)
	v.request(messages(gone))
	v.advance(disposal.Options{})
	seqs := []escrow.Seq{own, others, all, foreign, any, held, gone}
	got := must(v.Preview(ctx(), person(v.subject("ana")), slices.Values(seqs)))(t)
	want := "{Dies:3 DiesOfOthers:1 LosesIdentity:1 Stays:1 Held:1 Why:map[any-of:1 principal:1]}"
	if fmt.Sprintf("%+v", got) != want {
		t.Errorf("preview %+v, want %s", got, want)
	}
	got = must(v.Preview(ctx(), everything(), slices.Values(seqs)))(t)
	if got.Dies != 5 || got.Held != 1 {
		t.Errorf("preview of everything %+v", got)
	}
	got = must(v.Preview(ctx(), messages(own, others), slices.Values([]escrow.Seq{own, others})))(t)
	if got.Dies != 2 || got.DiesOfOthers != 0 {
		t.Errorf("preview of two messages %+v", got)
	}
	if strings.Count(names(v.facts(0)), "ErasureExecuted") != 1 {
		t.Error("a preview ordered something")
	}
}
