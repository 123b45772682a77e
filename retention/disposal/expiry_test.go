package disposal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/retention"
	"escrow/retention/disposal"
)

// today is the day of the vault's clock.
func (v *vault) today() uint32 { return uint32(retention.DayOf(v.Now())) }

// lastOrder returns the last order in the ledger.
func (v *vault) lastOrder() (last events.ErasureExecuted) {
	v.t.Helper()
	for _, f := range v.facts(0) {
		if o, ok := f.(events.ErasureExecuted); ok {
			last = o
		}
	}
	return last
}

// TestExpiry: a message is kept to the end of its last day, a class that is in no schedule expires as well, and there is one order a day.
func TestExpiry(t *testing.T) {
	v := found(t, settings{})
	check(t, v.keys.Update(func(tx *keystate.Tx) error { tx.AddTree(keytree.KindRetention, 65535); return nil }))
	one, gone, long := v.put("principal", "ana"), v.putClass(65535, 2, "principal", "ana"), v.putClass(1, 100, "principal", "ana")
	read := func(what, wantOne, wantGone string) {
		t.Helper()
		v.want(what, one, wantOne)
		v.want(what, gone, wantGone)
		v.want(what, long, "body of ana|ana")
	}
	v.advance(disposal.Options{})
	v.move(24*time.Hour + 13*time.Hour + 59*time.Minute) // one minute before the end of the day after
	v.advance(disposal.Options{})
	read("in the last minute", "body of ana|ana", "body of ana|ana")
	v.move(time.Minute)
	v.advance(disposal.Options{})
	read("a day later", "", "body of ana|ana")
	order := v.lastOrder()
	yesterday := v.today() - 1
	want := []events.DayRange{{Class: 0, From: yesterday, To: yesterday}, {Class: 1, From: yesterday, To: yesterday}, {Class: 65535, From: yesterday, To: yesterday}}
	if diff := cmp.Diff(want, order.Days); diff != "" || order.Scope != "expiry" {
		t.Errorf("the order of scope %q (-want +got):\n%s", order.Scope, diff)
	}
	size := v.ledger.Size()
	v.move(23 * time.Hour)
	v.advance(disposal.Options{})
	if v.ledger.Size() != size {
		t.Errorf("a second order on the same day: %s", names(v.facts(escrow.Seq(size))))
	}
	v.move(time.Hour)
	v.advance(disposal.Options{})
	read("two days later", "", "")
	v.move(24 * time.Hour)
	if r := v.advance(disposal.Options{}); r.Order == nil || r.Days != 3 {
		t.Errorf("a day on which nothing falls due: %+v", r)
	}
	v = v.again(settings{})
	if r := v.advance(disposal.Options{}); r.Order != nil {
		t.Errorf("opened again: days are ordered to expire again: %+v", v.lastOrder())
	}
}

// TestIngestDays: the day of the log ends on the second day after, and only when everything acknowledged is sealed.
func TestIngestDays(t *testing.T) {
	sealed := true
	v := found(t, settings{sealed: func(context.Context) (bool, error) { return sealed, nil }})
	alive := func(day uint32) bool { return v.keys.Alive(v.keys.Ref(keytree.KindIngestDay, day)) }
	day := v.today()
	v.advance(disposal.Options{})
	v.move(24 * time.Hour)
	v.advance(disposal.Options{})
	if !alive(day) {
		t.Error("the day of the log ended on the next day")
	}
	v.move(24 * time.Hour)
	sealed = false
	v.advance(disposal.Options{})
	if !alive(day) {
		t.Error("a day of the log ended with messages in it that are not sealed")
	}
	v.move(24 * time.Hour)
	sealed = true
	v.advance(disposal.Options{})
	if alive(day) || alive(day+1) || !alive(day+2) {
		t.Errorf("when everything is sealed: %v %v %v", alive(day), alive(day+1), alive(day+2))
	}
	if diff := cmp.Diff([]events.LeafRange{{From: day, To: day + 1}}, v.lastOrder().IngestDays); diff != "" {
		t.Error(diff)
	}
}

// TestPersonWaitsForTheLog: a message that was acknowledged and is not sealed yet would bring back who was just erased.
func TestPersonWaitsForTheLog(t *testing.T) {
	sealed := false
	v := found(t, settings{sealed: func(context.Context) (bool, error) { return sealed, nil }})
	seq, single := v.putClass(1, 100, "principal", "ana"), v.putClass(1, 100, "principal", "bob")
	request := v.request(person(v.subject("ana")))
	v.request(messages(single))
	r, err := v.Advance(ctx(), disposal.Options{})
	wantKind(t, "not sealed", err, escrow.Unavailable, "step order", fmt.Sprint("request ", request))
	if len(r.Deferred) != 1 || r.Deferred[0].Request != request || len(r.Requests) != 1 {
		t.Errorf("report %+v", r)
	}
	if v.force(seq) != "body of ana|ana" || v.force(single) != "" {
		t.Errorf("the person %q, the single message %q", v.force(seq), v.force(single))
	}
	sealed = true
	v.advance(disposal.Options{})
	if v.force(seq) != "" {
		t.Error("the person is not erased")
	}
}

// TestDaysWaitForTheLog: a day does not end while a message that is kept until then may wait in the log, because the sealer could not seal it any more.
func TestDaysWaitForTheLog(t *testing.T) {
	sealed := true
	v := found(t, settings{sealed: func(context.Context) (bool, error) { return sealed, nil }})
	seq := v.putClass(1, 100, "principal", "ana")
	v.move(99 * 24 * time.Hour)
	v.advance(disposal.Options{ClockIsRight: true})
	sealed = false
	v.move(3 * 24 * time.Hour)
	v.advance(disposal.Options{ClockIsRight: true})
	v.want("while messages wait in the log", seq, "body of ana|ana")
	sealed = true
	v.advance(disposal.Options{ClockIsRight: true})
	v.want("when they are sealed", seq, "")
}

// TestFoundedWithAWrongClock: an archive that was founded years ahead lets messages expire when its clock is right.
func TestFoundedWithAWrongClock(t *testing.T) {
	v := found(t, settings{})
	v.move(-10 * 365 * 24 * time.Hour)
	seq := v.put("principal", "ana")
	v.advance(disposal.Options{})
	v.want("in the first days", seq, "body of ana|ana")
	v.move(2 * 24 * time.Hour)
	v.advance(disposal.Options{})
	v.want("when the day is over", seq, "")
}

// TestReceivedBeforeTheFounding: what a clock that was behind let arrive before the day the archive was founded expires as well, and when such days have
// ended nothing can be sealed for them.
func TestReceivedBeforeTheFounding(t *testing.T) {
	v := found(t, settings{})
	const year = 365 * 24 * time.Hour
	v.move(-year)
	early, past := v.put("principal", "ana"), v.today()
	v.want("while the clock is behind", early, "body of ana|ana")
	v.move(year + 24*time.Hour)
	v.advance(disposal.Options{})
	v.want("when it is right", early, "")
	v.move(24 * time.Hour)
	v.advance(disposal.Options{})
	if v.keys.Alive(v.keys.Ref(keytree.KindIngestDay, past)) {
		t.Error("the day of the log is still there")
	}
	v.move(-year)
	if _, err := v.seal(0, 1, "principal", "ana"); escrow.KindOf(err) != escrow.Erased {
		t.Errorf("sealed for a day that is over: %v", err)
	}
}

// TestClock: a clock that is far ahead makes nothing expire until somebody confirms it, one that is behind makes nothing due.
func TestClock(t *testing.T) {
	v := found(t, settings{})
	one, long := v.put("principal", "ana"), v.putClass(1, 100, "principal", "ana")
	v.advance(disposal.Options{})
	v.move(8 * 24 * time.Hour)
	v.record("dpo", person(v.subject("ana"))) // other records do not make the clock right
	r := v.advance(disposal.Options{})
	if r.Order != nil || r.ClockAhead < 8*24*time.Hour {
		t.Errorf("eight days later: report %+v", r)
	}
	v.want("eight days later", one, "body of ana|ana")
	v = v.again(settings{})
	if r := v.advance(disposal.Options{}); r.Order != nil || r.ClockAhead == 0 {
		t.Errorf("opened again: report %+v", r)
	}
	if r := v.advance(disposal.Options{ClockIsRight: true}); r.Order == nil || r.ClockAhead != 0 {
		t.Errorf("confirmed: report %+v", r)
	}
	v.want("confirmed", one, "")
	v.move(7 * 24 * time.Hour)
	if r := v.advance(disposal.Options{}); r.Order == nil {
		t.Error("a week later nothing expires")
	}
	v.move(-20 * 365 * 24 * time.Hour)
	if r := v.advance(disposal.Options{}); r.Order != nil || r.ClockAhead != 0 {
		t.Errorf("twenty years earlier: report %+v", r)
	}
	v.want("twenty years earlier", long, "body of ana|ana")
}
