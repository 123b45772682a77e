package disposal_test

import (
	"fmt"
	"sync"
	"testing"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/retention/disposal"
)

// TestEverythingAtOnce lets messages arrive, officers act, holds come and go and readers read while erasures are carried out, and looks at the end who is
// there: everybody erased is gone, everybody held is there, nobody else lost anything.
func TestEverythingAtOnce(t *testing.T) {
	const people = 6
	v := found(t, settings{})
	seqs, held := make([]escrow.Seq, people), make([]escrow.Seq, people)
	for i := range people {
		name := fmt.Sprint("p", i)
		seqs[i], held[i] = v.putClass(1, 100, "principal", name), v.putClass(1, 100, "principal", name)
	}
	var officers, others sync.WaitGroup
	var acting sync.Mutex // one officer at a time drafts, signs and records
	done := make(chan struct{})
	for i := range people {
		officers.Go(func() {
			acting.Lock()
			hold := v.hold(held[i])
			acting.Unlock()
			if i%2 == 0 {
				acting.Lock()
				v.request(person(v.subject(fmt.Sprint("p", i))))
				acting.Unlock()
			}
			if i%3 == 0 {
				acting.Lock()
				v.release(hold)
				acting.Unlock()
			}
		})
	}
	background := func(do func(n int)) {
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					do(n)
				}
			}
		})
	}
	background(func(int) { v.advance(disposal.Options{}) })
	background(func(n int) {
		if n < 200 {
			v.putClass(1, 100, "principal", "bystander")
		}
	})
	background(func(n int) {
		i := n % people
		v.RestrictedSubjects()
		v.Restricted(seqs[i], keytree.Ref{Kind: keytree.KindSubject, Leaf: uint32(i)})
		if _, err := v.Slots(held[i]); err != nil {
			t.Error(err)
		}
		v.Cases()
		v.Holds()
	})
	officers.Wait()
	close(done)
	others.Wait()
	v.advance(disposal.Options{})
	for i := range people {
		body := fmt.Sprintf("body of p%d|p%d", i, i)
		erased, kept := i%2 == 0, i%3 != 0
		if want := map[bool]string{true: "", false: body}[erased]; v.force(seqs[i]) != want {
			t.Errorf("p%d reads %q, want %q", i, v.force(seqs[i]), want)
		}
		if want := map[bool]string{true: "", false: body}[erased && !kept]; v.force(held[i]) != want {
			t.Errorf("what is held of p%d reads %q, want %q", i, v.force(held[i]), want)
		}
	}
	for seq := held[people-1] + 1; uint64(seq) < uint64(v.ledger.Size()); seq++ {
		if h := must(v.ledger.Header(seq))(t); h.Kind == "message" && v.force(seq) != "body of bystander|bystander" {
			t.Errorf("message %d of a bystander reads %q", seq, v.force(seq))
		}
	}
	executed := map[escrow.Seq]int{}
	for _, f := range v.facts(0) {
		if o, ok := f.(events.ErasureExecuted); ok {
			for _, r := range o.Requests {
				executed[r]++
			}
		}
	}
	for request, n := range executed {
		if n != 1 {
			t.Errorf("request %d was carried out %d times", request, n)
		}
	}
}
