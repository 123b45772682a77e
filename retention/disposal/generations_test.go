package disposal_test

import (
	"math"
	"testing"
	"time"

	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/retention/disposal"
)

// generation returns the number of the newest tree of a kind, and the tree a leaf belongs to.
func (v *vault) generation(kind keytree.Kind, leaf uint32) (newest, of uint16) {
	return v.keys.Ref(kind, math.MaxUint32).Tree, v.keys.Ref(kind, leaf).Tree
}

// TestGenerationEachQuarter: with the first Advance of a quarter in which there are messages of an earlier one, messages and subjects to come get trees of
// their own, far beyond what is in use; those there are stay readable and can be erased.
func TestGenerationEachQuarter(t *testing.T) {
	v := found(t, settings{})
	seq := v.putClass(1, 100, "principal", "ana", "bob")
	v.advance(disposal.Options{})
	if newest, _ := v.generation(keytree.KindMessage, 0); newest != 0 {
		t.Errorf("generation %d in the first quarter", newest)
	}
	v.move(60 * 24 * time.Hour) // July
	v.advance(disposal.Options{ClockIsRight: true})
	for _, kind := range []keytree.Kind{keytree.KindMessage, keytree.KindSubject} {
		newest, near := v.generation(kind, uint32(v.ledger.Size())+100_000)
		_, far := v.generation(kind, 1<<20)
		if newest != 1 || near != 0 || far != 1 {
			t.Errorf("%c: newest %d, leaves under way in %d, later ones in %d", kind, newest, near, far)
		}
	}
	committed := uint64(0)
	for _, f := range v.facts(0) {
		if c, ok := f.(events.EpochCommitted); ok {
			committed = c.Epoch
		}
	}
	if committed != v.keys.Epoch() {
		t.Errorf("the epoch of the new trees is %d, and the ledger has %d", v.keys.Epoch(), committed)
	}
	epoch := v.keys.Epoch()
	v.advance(disposal.Options{})
	if v.keys.Epoch() != epoch {
		t.Error("another generation in the same quarter")
	}
	v = v.again(settings{})
	v.want("in the next quarter", seq, "body of ana|ana|bob")
	v.request(person(v.subject("ana")))
	v.advance(disposal.Options{})
	v.want("erased", seq, "bob")
}

// TestGenerationOfAMillion: after a million subjects the next ones get a tree of their own, and who is erased in it dies.
func TestGenerationOfAMillion(t *testing.T) {
	v := found(t, settings{})
	check(t, v.directory.Learn(identity("last"), 999_998))
	v.subject("one more")
	v.advance(disposal.Options{})
	if newest, _ := v.generation(keytree.KindSubject, 0); newest != 1 {
		t.Fatalf("generation %d", newest)
	}
	if newest, _ := v.generation(keytree.KindMessage, 0); newest != 0 {
		t.Errorf("generation %d of messages", newest)
	}
	_, under := v.generation(keytree.KindSubject, 1_000_000+100_000)
	_, next := v.generation(keytree.KindSubject, 1_000_000+1<<17)
	if under != 0 || next != 1 {
		t.Errorf("numbers under way are of generation %d, later ones of %d", under, next)
	}
	check(t, v.directory.Learn(identity("ana"), 1_500_000))
	check(t, v.directory.Learn(identity("bob"), 1_500_001))
	first, second := v.putClass(1, 100, "principal", "ana"), v.putClass(1, 100, "principal", "bob")
	v.hold(second)
	v.request(person(1_500_000))
	v.request(person(1_500_001))
	v.advance(disposal.Options{})
	v.want("in the next generation", first, "")
	v.want("held in the next generation", second, "body of bob|bob")
}
