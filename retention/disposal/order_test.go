package disposal_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/directory"
	"escrow/crypto/rootstore"
	"escrow/events"
	"escrow/internal/vfs"
	"escrow/retention/disposal"
)

// TestOfficersActWhileAnOrderIsPrepared: what was gathered before an officer acted is gathered again.
func TestOfficersActWhileAnOrderIsPrepared(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(v *vault, request, seq escrow.Seq)
		want string
	}{
		{"a withdrawal", func(v *vault, request, _ escrow.Seq) { v.record("dpo", events.ErasureWithdrawn{Request: request}) }, "body of ana|ana|bob"},
		{"a hold", func(v *vault, _, seq escrow.Seq) { v.hold(seq) }, "body of ana|ana|bob"},
		{"another request", func(v *vault, _, _ escrow.Seq) { v.request(person(v.subject("bob"))) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var meanwhile func()
			v := found(t, settings{sealed: func(context.Context) (bool, error) {
				if act := meanwhile; act != nil {
					meanwhile = nil
					act()
				}
				return true, nil
			}})
			seq := v.putClass(1, 100, "principal", "ana", "bob")
			request := v.request(person(v.subject("ana")))
			meanwhile = func() { tt.act(v, request, seq) }
			v.advance(disposal.Options{})
			if got := v.force(seq); got != tt.want {
				t.Errorf("the keys read %q, want %q", got, tt.want)
			}
		})
	}
}

// brokenStore makes no further roots for a while, so that no key can be destroyed.
type brokenStore struct {
	rootstore.Store
	broken bool
}

func (s *brokenStore) Create(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	if s.broken {
		return escrow.Errorf("broken", escrow.Unavailable, "no more roots")
	}
	return s.Store.Create(ctx, epoch, size)
}

// TestNoHoldOnWhatIsBeingDestroyed: between an order and the end of its keys a message can be read, and a hold that came then would not keep it.
func TestNoHoldOnWhatIsBeingDestroyed(t *testing.T) {
	var store *brokenStore
	v := found(t, settings{stores: func(fs vfs.FS, _ *clock) []rootstore.Store {
		store = &brokenStore{Store: fileStore(t, fs)}
		return []rootstore.Store{store}
	}})
	seq, other := v.putClass(1, 100, "principal", "ana"), v.putClass(1, 100, "principal", "bob")
	request := v.request(person(v.subject("ana")))
	store.broken = true
	_, err := v.Advance(ctx(), disposal.Options{})
	wantKind(t, "no roots", err, escrow.Unavailable, "step puncture")
	if c := must(v.Case(request))(t); c.State() != disposal.StateOrdered {
		t.Errorf("the case is %q", c.State())
	}
	for _, of := range []escrow.Seq{seq, other} {
		soon, cancel := context.WithTimeout(ctx(), 10*time.Millisecond)
		_, err = v.Record(soon, v.signed("legal", events.HoldPlaced{Matter: "m", Messages: events.Ranges([]escrow.Seq{of})}))
		cancel()
		wantKind(t, "a hold meanwhile", err, escrow.Unavailable)
	}
	v.want("ordered, not destroyed", seq, "")
	store.broken = false
	v.advance(disposal.Options{})
	if v.force(seq) != "" {
		t.Error("the order was not carried out")
	}
	_, err = v.try("legal", events.HoldPlaced{Matter: "m", Messages: events.Ranges([]escrow.Seq{seq})})
	wantKind(t, "a hold afterwards", err, escrow.Erased)
	v.hold(other)
}

// TestOldDirectoriesDie: no snapshot of the directory from before an erasure tells any more who was who.
func TestOldDirectoriesDie(t *testing.T) {
	v := found(t, settings{})
	v.putClass(1, 100, "principal", "ana", "bob")
	check(t, v.directory.Save(v.ledger.Size()))
	before := v.fs.(*vfs.Mem).Clone()
	v.request(person(v.subject("ana")))
	v.advance(disposal.Options{})
	_, err := directory.Open(before, "/keys", v.keys.Secret("directory"), v.keys)
	wantKind(t, "the directory of before", err, escrow.Erased)
	now := must(directory.Open(v.fs, "/keys", v.keys.Secret("directory"), v.keys))(t)
	_, ana := now.Lookup(identity("ana"))
	_, bob := now.Lookup(identity("bob"))
	if ana || !bob {
		t.Errorf("the directory of now knows ana: %v, bob: %v", ana, bob)
	}
}

// TestOldDirectoriesStayDeadUnderOldKeys: an older copy of the keys, without a directory, opens no snapshot of one whose key was destroyed since.
func TestOldDirectoriesStayDeadUnderOldKeys(t *testing.T) {
	s := settings{terms: disposal.Terms{KeepRoots: 7 * dayLong}}
	v := found(t, s)
	v.putClass(1, 100, "principal", "ana", "bob", "cid")
	check(t, v.directory.Save(v.ledger.Size()))
	before := v.fs.(*vfs.Mem).Clone()
	var olds []*vfs.Mem
	for _, name := range []string{"ana", "bob", "cid"} {
		olds = append(olds, v.fs.(*vfs.Mem).Clone())
		v.request(person(v.subject(name)))
		v.advance(disposal.Options{})
	}
	v.close()
	copyInto(t, v.fs, before, "/keys")
	check(t, v.fs.Remove("/keys/directory"))
	v = must(reopen(t, v.fs, v.clock, v.officers, s))(t)
	for i, old := range olds {
		_, err := directory.Open(old, "/keys", v.keys.Secret("directory"), v.keys)
		wantKind(t, fmt.Sprint("directory ", i), err, escrow.Erased)
	}
	v = v.again(s)
	v.request(person(v.subject("dan")))
	v.advance(disposal.Options{})
}

// TestOrdersAreBounded: requests that name more than an order can hold are divided over several, but for the end of the tenant, which takes all.
func TestOrdersAreBounded(t *testing.T) {
	v := found(t, settings{terms: disposal.Terms{CoolingOff: time.Hour}})
	v.directory.Used(disposal.MaxNamed)
	half := make([]uint32, disposal.MaxNamed/2)
	for i := range half {
		half[i] = uint32(i)
	}
	first, second, third := v.request(person(half...)), v.request(person(disposal.MaxNamed-1, disposal.MaxNamed)), v.request(person(half...))
	_, err := v.try("dpo", person(make([]uint32, disposal.MaxNamed+1)...))
	wantKind(t, "a request for too many", err, escrow.Invalid, "divide")
	v.move(2 * time.Hour)
	if r := v.advance(disposal.Options{}); !slices.Equal(r.Requests, []escrow.Seq{first, second}) {
		t.Errorf("the first order carries out %v", r.Requests)
	}
	if r := v.advance(disposal.Options{}); !slices.Equal(r.Requests, []escrow.Seq{third}) {
		t.Errorf("the second order carries out %v", r.Requests)
	}
	other, rest := v.request(person(disposal.MaxNamed-2)), v.request(everything())
	v.move(2 * time.Hour)
	if r := v.advance(disposal.Options{}); !slices.Equal(r.Requests, []escrow.Seq{other, rest}) || !v.keys.Terminated() {
		t.Errorf("the end of the tenant carries out %v", r.Requests)
	}
}

// TestOneOrderForAllThatIsDue: requests whose cooling-off ends together, days and releases go into one order, which names what it is for.
func TestOneOrderForAllThatIsDue(t *testing.T) {
	v := found(t, settings{terms: disposal.Terms{CoolingOff: time.Hour}})
	seq, single := v.putClass(1, 100, "principal", "ana"), v.putClass(1, 100, "principal", "bob")
	hold := v.hold(seq)
	v.move(24 * time.Hour)
	v.advance(disposal.Options{})
	scope := func(want string) {
		t.Helper()
		if got := v.lastOrder(); got.Scope != want {
			t.Errorf("the order is of scope %q, want %q", got.Scope, want)
		}
	}
	scope("expiry")
	first, second := v.request(person(v.subject("ana"))), v.request(messages(single))
	v.move(time.Hour)
	if r := v.advance(disposal.Options{}); fmt.Sprint(r.Requests) != fmt.Sprint([]escrow.Seq{first, second}) {
		t.Errorf("carried out %v", r.Requests)
	}
	scope("due")
	v.release(hold)
	v.advance(disposal.Options{})
	scope("hold")
	third := v.request(person(v.subject("cid")))
	v.move(time.Hour)
	v.advance(disposal.Options{})
	scope("person")
	if o := v.lastOrder(); o.Basis != "art17-1-b" || o.Requests[0] != third {
		t.Errorf("the order %+v", o)
	}
}
