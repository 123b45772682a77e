package disposal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/events"
	"escrow/internal/vfs"
	"escrow/retention/disposal"
)

func fileStore(t testing.TB, fs vfs.FS) rootstore.Store {
	t.Helper()
	check(t, vfs.MkdirAllSync(fs, "/roots", 0o700))
	return must(file.Open(fs, "/roots/file", file.Config{Stripes: 4}))(t)
}

// slowStore is a store whose provider keeps the material for a while after it was destroyed, and which can be away.
type slowStore struct {
	rootstore.Store
	clock *clock
	wait  time.Duration
	ended map[uint64]time.Time
	away  bool
}

func (s *slowStore) Destroy(ctx context.Context, epoch uint64) error {
	if s.away {
		return escrow.Errorf("slow", escrow.Unavailable, "away")
	}
	if s.ended == nil {
		s.ended = map[uint64]time.Time{}
	}
	if _, again := s.ended[epoch]; !again {
		s.ended[epoch] = s.clock.Now().Add(s.wait)
	}
	return s.Store.Destroy(ctx, epoch)
}

func (s *slowStore) Evidence(ctx context.Context) (rootstore.Evidence, error) {
	e, err := s.Store.Evidence(ctx)
	e.Store, e.Wait = "slow", s.wait
	for i, r := range e.Roots {
		if due := s.ended[r.Epoch]; due.After(s.clock.Now()) {
			e.Roots[i] = rootstore.Root{Epoch: r.Epoch, State: rootstore.Pending, Due: due, Detail: "PendingDeletion"}
		}
	}
	return e, err
}

func digest(_ context.Context, seq escrow.Seq) (string, error) {
	return fmt.Sprint("digest of ", seq), nil
}

// TestRootsAreKeptForK: an older copy of the keys opens for K, and not a day longer; the request is finished only then.
func TestRootsAreKeptForK(t *testing.T) {
	const keep = 3 * 24 * time.Hour
	v := found(t, settings{terms: disposal.Terms{KeepRoots: keep}, certify: digest})
	v.put("principal", "ana")
	epoch := v.keys.Epoch()
	request := v.request(person(v.subject("ana")))
	ordered := v.Now()
	v.advance(disposal.Options{})
	live := func() bool {
		e := must(v.keys.Evidence(ctx()))(t)[0]
		r, known := e.Of(epoch)
		return known && r.State == rootstore.Live
	}
	for _, after := range []time.Duration{time.Hour, keep - time.Second} {
		v.move(ordered.Add(after).Sub(v.Now()))
		v.advance(disposal.Options{})
		if c := must(v.Case(request))(t); !live() || c.Destroyed != nil || c.Certified != nil {
			t.Errorf("%v after the order: live %v, case %q", after, live(), c.State())
		}
	}
	v.move(ordered.Add(keep).Sub(v.Now()))
	r := v.advance(disposal.Options{})
	if c := must(v.Case(request))(t); live() || c.Destroyed == nil || c.Certified == nil || len(r.Certified) != 1 {
		t.Errorf("%v after the order: live %v, case %q", keep, live(), c.State())
	}
}

// TestRootsOfTheTimeBeforeThePurge: a key state of between puncture and purge derives the keys of index files with words of the person, so its root counts.
func TestRootsOfTheTimeBeforeThePurge(t *testing.T) {
	const keep = 3 * 24 * time.Hour
	v := found(t, settings{terms: disposal.Terms{KeepRoots: keep}, certify: digest})
	check(t, v.keys.Update(func(tx *keystate.Tx) error { _, err := tx.ReserveIndexLeaves(3); return err }))
	request := v.request(person(v.subject("ana")))
	v.index.fail(errDisk)
	_, err := v.Advance(ctx(), disposal.Options{})
	if err == nil || !strings.Contains(err.Error(), "step purge") {
		t.Errorf("the index fails, and Advance says %v", err)
	}
	v.move(20 * time.Hour)
	v.index.fail(nil)
	v.index.dead = []uint32{1}
	if r := v.advance(disposal.Options{}); r.Files != 1 {
		t.Errorf("report %+v", r)
	}
	v.move(keep - 10*time.Hour) // the roots of before the puncture are gone, that of before the purge is not
	v.advance(disposal.Options{})
	if c := must(v.Case(request))(t); c.State() != disposal.StatePurged {
		t.Errorf("an older copy of the keys opens index files, and the case is %q", c.State())
	}
	v.move(11 * time.Hour)
	v.advance(disposal.Options{})
	if c := must(v.Case(request))(t); c.State() != disposal.StateCertified {
		t.Errorf("the case is %q", c.State())
	}
}

func TestRootsNow(t *testing.T) {
	v := found(t, settings{terms: disposal.Terms{KeepRoots: 7 * 24 * time.Hour}, certify: digest})
	v.put("principal", "ana")
	request := v.request(person(v.subject("ana")))
	v.advance(disposal.Options{RootsNow: true})
	if c := must(v.Case(request))(t); c.State() != disposal.StateCertified || len(v.keys.Retired()) > 0 {
		t.Errorf("the case is %q, %d roots are kept", c.State(), len(v.keys.Retired()))
	}
}

// TestProviderWaits: a root that waits for its end at a provider is recorded as pending, and the request is certified when it is gone.
func TestProviderWaits(t *testing.T) {
	const wait = 5 * 24 * time.Hour
	var slow *slowStore
	v := found(t, settings{certify: digest, stores: func(fs vfs.FS, c *clock) []rootstore.Store {
		ended := map[uint64]time.Time{}
		if slow != nil {
			ended = slow.ended
		}
		slow = &slowStore{Store: fileStore(t, fs), clock: c, wait: wait, ended: ended}
		return []rootstore.Store{slow}
	}})
	v.put("principal", "ana")
	request := v.request(person(v.subject("ana")))
	v.advance(disposal.Options{})
	from := escrow.Seq(v.ledger.Size())
	v.advance(disposal.Options{})
	v.advance(disposal.Options{})
	if got := names(v.facts(from)); got != "" {
		t.Errorf("while nothing changes the ledger grows: %s", got)
	}
	if c := must(v.Case(request))(t); c.State() != disposal.StatePurged {
		t.Errorf("while the provider waits the case is %q", c.State())
	}
	pending := 0
	for _, f := range v.facts(0) {
		if f, ok := f.(events.RootsDestroyed); ok {
			for _, r := range f.Roots {
				if r.State != events.RootPending || r.Due == nil || r.Detail != "PendingDeletion" || r.Store != "slow" {
					t.Errorf("recorded %+v", r)
				}
				pending++
			}
		}
	}
	if pending == 0 {
		t.Error("nothing is recorded as pending")
	}
	v.move(wait + time.Second)
	v.advance(disposal.Options{})
	if c := must(v.Case(request))(t); c.State() != disposal.StateCertified || c.Destroyed == nil {
		t.Errorf("when the provider is done the case is %q", c.State())
	}
}

// TestEveryStoreMustDestroy: a root that is left in one of two stores is not destroyed, and that is an error.
func TestEveryStoreMustDestroy(t *testing.T) {
	var second *slowStore
	v := found(t, settings{certify: digest, stores: func(fs vfs.FS, c *clock) []rootstore.Store {
		check(t, vfs.MkdirAllSync(fs, "/roots", 0o700))
		second = &slowStore{Store: must(file.Open(fs, "/roots/second", file.Config{Stripes: 4}))(t), clock: c}
		return []rootstore.Store{fileStore(t, fs), second}
	}})
	v.put("principal", "ana")
	request := v.request(person(v.subject("ana")))
	second.away = true
	_, err := v.Advance(ctx(), disposal.Options{})
	wantKind(t, "one store is away", err, escrow.Unavailable, "step roots")
	if c := must(v.Case(request))(t); c.State() != disposal.StatePurged {
		t.Errorf("the case is %q", c.State())
	}
	second.away = false
	v.advance(disposal.Options{})
	if c := must(v.Case(request))(t); c.State() != disposal.StateCertified {
		t.Errorf("when the store is back the case is %q", c.State())
	}
	for _, f := range v.facts(0) {
		if f, ok := f.(events.RootsDestroyed); ok && len(f.Roots)%2 != 0 {
			t.Errorf("an epoch is recorded for one store only: %+v", f.Roots)
		}
	}
}

// TestRootThatStays: what a store still shows as usable is not recorded as destroyed, whatever its Destroy said.
func TestRootThatStays(t *testing.T) {
	var liar *lyingStore
	v := found(t, settings{certify: digest, stores: func(fs vfs.FS, c *clock) []rootstore.Store {
		liar = &lyingStore{Store: fileStore(t, fs)}
		return []rootstore.Store{liar}
	}})
	v.put("principal", "ana")
	request := v.request(person(v.subject("ana")))
	liar.lies = true
	_, err := v.Advance(ctx(), disposal.Options{})
	wantKind(t, "a root that stays", err, escrow.Unavailable, "still has it")
	if c := must(v.Case(request))(t); c.Destroyed != nil || c.Certified != nil {
		t.Errorf("the case is %q", c.State())
	}
}

// lyingStore destroys nothing and says it did.
type lyingStore struct {
	rootstore.Store
	lies bool
}

func (s *lyingStore) Destroy(ctx context.Context, epoch uint64) error {
	if s.lies {
		return nil
	}
	return s.Store.Destroy(ctx, epoch)
}
