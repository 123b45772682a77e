package disposal_test

import (
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/retention/disposal"

	"crypto/rand"

	"github.com/google/go-cmp/cmp"
)

// lastPurge returns the newest IndexPurged.
func (v *vault) lastPurge() (last events.IndexPurged) {
	for _, f := range v.facts(0) {
		if p, ok := f.(events.IndexPurged); ok {
			last = p
		}
	}
	return last
}

// TestCountsWhatDied: after an erasure the ledger is read again, and every facet that belonged to what was erased is counted as what it is.
func TestCountsWhatDied(t *testing.T) {
	v := found(t, settings{})
	v.putClass(1, 100, "principal", "ana", "bob")         // body and ana die
	v.putClass(1, 100, "principal", "bob", "ana")         // ana dies, the body is bob's
	v.putClass(1, 100, "any-of", "ana", "bob")            // ana dies, the body stays for bob
	v.hold(v.putClass(1, 100, "principal", "ana", "cid")) // all is held
	v.putClass(1, 100, "principal", "bob", "cid")         // not concerned
	v.request(person(v.subject("ana")))
	v.advance(disposal.Options{})
	want := &events.FacetCount{Messages: 4, Dead: 4, Held: 2, Others: 1}
	if d := cmp.Diff(want, v.lastPurge().Counted); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	v.move(dayLong)
	v.advance(disposal.Options{})
	if c := v.lastPurge().Counted; c != nil {
		t.Errorf("a day without requests was counted: %+v", c)
	}
	v.release(0)
	v.advance(disposal.Options{})
	v.request(everything())
	v.advance(disposal.Options{})
	if c := v.lastPurge().Counted; c == nil || c.Messages != 5 || c.Dead != 15 || c.Held+c.Others != 0 {
		t.Errorf("at the end of the tenant: %+v", c)
	}
}

// TestPurgeRefusesWhatStillOpens: an order the key state claims to have applied and has not is found, and never recorded as done.
func TestPurgeRefusesWhatStillOpens(t *testing.T) {
	s := settings{terms: disposal.Terms{CoolingOff: time.Hour}}
	v := found(t, s)
	v.putClass(1, 100, "principal", "ana", "bob")
	request := v.request(person(v.subject("ana")))
	order := events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{v.subject("ana")}, Basis: "art17-1", Requests: []escrow.Seq{request}}
	pen := chronicle.Chronicle{Source: v.ledger.Origin(), Now: v.Now, Rand: rand.Reader}
	entry := must(pen.Entry(order))(t)
	must(v.ledger.Append(ctx(), []archive.Entry{entry}))(t)
	check(t, v.keys.Update(func(tx *keystate.Tx) error {
		tx.SetApplied(v.ledger.Size())
		return nil
	}))
	v = v.again(s)
	_, err := v.Advance(ctx(), disposal.Options{})
	wantKind(t, "an order that was not carried out", err, escrow.Internal, "still be opened")
	if c := must(v.Case(request))(t); c.Purged != nil || c.Certified != nil {
		t.Error("it is recorded as purged")
	}
}
