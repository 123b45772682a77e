package disposal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/events"
	"escrow/retention/disposal"
)

const dayLong = 24 * time.Hour

// TestLifeOfARequest follows one request through every step and looks at what can be read and what the ledger says after each.
func TestLifeOfARequest(t *testing.T) {
	s := settings{terms: disposal.Terms{CoolingOff: 72 * time.Hour, KeepRoots: 2 * dayLong},
		certify: func(_ context.Context, seq escrow.Seq) (string, error) { return fmt.Sprint("digest of ", seq), nil }}
	v := found(t, s)
	seq, other := v.putClass(1, 100, "principal", "ana", "bob"), v.putClass(1, 100, "principal", "bob", "ana")
	from := escrow.Seq(v.ledger.Size())
	state := func(request escrow.Seq, want string) {
		t.Helper()
		if got := must(v.Case(request))(t).State(); got != want {
			t.Errorf("the case is %q, want %q", got, want)
		}
	}

	request := v.record("dpo", person(v.subject("ana")))
	state(request, disposal.StateRequested)
	v.want("requested", seq, "body of ana|ana|bob")

	v.approve(request)
	state(request, disposal.StateCooling)
	v.want("restricted", seq, "bob")
	v.want("restricted", other, "body of bob|bob")
	if v.force(seq) != "body of ana|ana|bob" {
		t.Error("the restriction destroyed something")
	}
	v.move(71 * time.Hour)
	v.advance(disposal.Options{})
	if v.force(seq) != "body of ana|ana|bob" {
		t.Error("the cooling-off time was not waited for")
	}

	v.move(2 * time.Hour)
	r := v.advance(disposal.Options{})
	state(request, disposal.StatePurged)
	if v.force(seq) != "bob" || v.force(other) != "body of bob|bob" || r.Order == nil || len(r.Requests) != 1 || r.Removed != 1 || r.Redacted != 2 {
		t.Errorf("after the order: %q, %q, report %+v", v.force(seq), v.force(other), r)
	}
	if _, known := v.directory.Lookup(identity("ana")); known {
		t.Error("the directory still knows ana")
	}
	if len(v.RestrictedSubjects()) != 0 {
		t.Error("somebody is restricted who is erased")
	}
	v.move(3 * dayLong)
	r = v.advance(disposal.Options{})
	state(request, disposal.StateCertified)
	if len(r.Certified) != 1 || must(v.Case(request))(t).Digest != fmt.Sprint("digest of ", request) {
		t.Errorf("certified %v", r.Certified)
	}
	const order = "ErasureExecuted EpochCommitted IndexPurged "
	const want = "ErasureRequested ErasureApproved ErasureRestricted " + order + "RootsDestroyed " + // the days before
		order + // ana and three days; no root is old enough
		order + "RootsDestroyed ErasureCertified"
	if got := names(v.facts(from)); got != want {
		t.Errorf("the ledger says\n%s\nwant\n%s", got, want)
	}
	v = v.again(s)
	state(request, disposal.StateCertified)
	v.want("reopened", seq, "bob")
}

func TestRecordRefuses(t *testing.T) {
	v := found(t, settings{terms: disposal.Terms{CoolingOff: time.Hour}})
	seq, other := v.putClass(1, 100, "principal", "ana", "bob"), v.putClass(1, 100, "principal", "bob")
	ana := v.subject("ana")
	refused := func(what, officer string, act events.Act, kind escrow.Kind, words ...string) {
		t.Helper()
		size := v.ledger.Size()
		_, err := v.try(officer, act)
		wantKind(t, what, err, kind, words...)
		if v.ledger.Size() != size {
			t.Errorf("%s: something was written", what)
		}
	}
	refused("a stranger", "clerk", person(ana), escrow.Denied)
	refused("people and messages", "dpo", events.ErasureRequested{Scope: "person", Subjects: []uint32{1}, Messages: events.Ranges([]escrow.Seq{seq})}, escrow.Invalid)
	refused("a person without a number", "dpo", events.ErasureRequested{Scope: "person"}, escrow.Invalid)
	refused("somebody there is not", "dpo", person(ana, 99), escrow.NotFound, "99")
	refused("an order", "dpo", events.ErasureRequested{Scope: "expiry"}, escrow.Invalid)
	refused("a record that is not there", "dpo", messages(99), escrow.NotFound, "99")
	refused("ranges out of order", "dpo", events.ErasureRequested{Scope: "message", Messages: []events.SeqRange{{From: seq, To: seq}, {From: seq, To: seq}}}, escrow.Invalid)
	refused("approving no request", "legal", v.approval(seq), escrow.Denied)
	refused("withdrawing no request", "legal", events.ErasureWithdrawn{Request: seq}, escrow.Denied)
	refused("releasing no hold", "legal", events.HoldReleased{Hold: 0}, escrow.NotFound)
	refused("a hold with a number of its own", "legal", events.HoldPlaced{Hold: 7, Matter: "m", Messages: events.Ranges([]escrow.Seq{seq})}, escrow.Conflict, "number 0")
	refused("a hold on nothing", "legal", events.HoldPlaced{Matter: "m"}, escrow.Invalid)
	refused("a hold on an event", "legal", events.HoldPlaced{Matter: "m", Messages: []events.SeqRange{{From: 0, To: 0}}}, escrow.Invalid, "record 0")
	if _, err := v.Record(context.Background(), events.ErasureExecuted{Scope: "person", Subjects: []uint32{ana}}); escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("an order by hand: %v", err)
	}

	first := v.record("dpo", person(ana))
	refused("approving one's own", "dpo", v.approval(first), escrow.Denied)
	late := v.approval(first)
	late.Until = late.Until.Add(-time.Hour)
	refused("shortening the cooling-off time", "legal", late, escrow.Invalid, "1 h")
	v.approve(first)
	refused("approving twice", "legal", v.approval(first), escrow.Conflict, "approved already")
	v.record("dpo", events.ErasureWithdrawn{Request: first})
	v.want("withdrawn", seq, "body of ana|ana|bob")
	refused("withdrawing twice", "dpo", events.ErasureWithdrawn{Request: first}, escrow.Conflict, "withdrawn")
	refused("approving what was withdrawn", "legal", v.approval(first), escrow.Conflict, "withdrawn")

	second := v.request(person(ana))
	v.move(time.Hour)
	v.advance(disposal.Options{})
	refused("withdrawing what was carried out", "dpo", events.ErasureWithdrawn{Request: second}, escrow.Conflict, "too late")
	refused("approving what was carried out", "legal", v.approval(second), escrow.Conflict, "carried out")
	refused("erasing again", "dpo", person(ana), escrow.Erased)
	refused("holding what is gone", "legal", events.HoldPlaced{Matter: "m", Messages: events.Ranges([]escrow.Seq{seq})}, escrow.Erased, fmt.Sprint(seq))
	refused("holding what is partly gone", "legal", events.HoldPlaced{Matter: "m", Messages: events.Ranges([]escrow.Seq{seq, other})}, escrow.Erased, "1 of 2", fmt.Sprint(seq))
	hold := v.hold(other)
	v.release(hold)
	refused("releasing twice", "legal", events.HoldReleased{Hold: hold}, escrow.Conflict)
	orders := strings.Count(names(v.facts(0)), "ErasureExecuted")
	v.advance(disposal.Options{})
	v.advance(disposal.Options{})
	if n := strings.Count(names(v.facts(0)), "ErasureExecuted"); n != orders+1 {
		t.Errorf("%d orders for one release", n-orders)
	}
}
