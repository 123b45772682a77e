package ingest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"testing"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/index"
	"escrow/index/bleveindex"
	"escrow/ingest"
	"escrow/internal/vfs"
	"escrow/retention/disposal"

	"github.com/google/go-cmp/cmp"
)

// shelf is a vault with a real search index.
type shelf struct {
	*vault
	index   *bleveindex.Index
	indexer *ingest.Indexer
}

// fileKeys gives out the leaves of index files one by one.
type fileKeys struct{ keys *keystate.State }

func (f fileKeys) IndexShare(leaf uint32) (keytree.Share, error) {
	return f.keys.Share(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: leaf})
}

func (f fileKeys) NextIndexLeaf() (leaf uint32, err error) {
	err = f.keys.Update(func(tx *keystate.Tx) (err error) {
		leaf, err = tx.ReserveIndexLeaves(1)
		return err
	})
	return leaf, err
}

func newShelf(t testing.TB, v *vault) *shelf {
	t.Helper()
	return openShelf(t, v, t.TempDir())
}

func openShelf(t testing.TB, v *vault, dir string) *shelf {
	t.Helper()
	s := &shelf{vault: v}
	s.index = must(bleveindex.Open(context.Background(), dir, fileKeys{v.keys}, bleveindex.Config{Rand: rand.Reader}))(t)
	t.Cleanup(func() { check(t, s.index.Close()) })
	s.indexer = &ingest.Indexer{Ledger: v.ledger, Opener: v.opener, Index: s.index, Erasures: v.pipeline, Logger: slog.New(slog.DiscardHandler)}
	v.pipeline.Attach(s.indexer)
	return s
}

func (s *shelf) follow() {
	s.t.Helper()
	check(s.t, s.indexer.Follow(context.Background(), s.ledger.Size()))
}

// find returns the records that match.
func (s *shelf) find(query string) []escrow.Seq {
	s.t.Helper()
	q := must(index.Parse(query, vaultStart))(s.t)
	return must(s.index.Matches(context.Background(), q))(s.t)
}

func (s *shelf) found(query string, want ...escrow.Seq) {
	s.t.Helper()
	if got := s.find(query); !slices.Equal(got, want) {
		s.t.Errorf("%s finds %v, want %v", query, got, want)
	}
}

// unknown checks that no dictionary of the index has the words.
func (s *shelf) unknown(field string, words ...string) {
	s.t.Helper()
	for _, w := range words {
		if must(s.index.HasTerm(context.Background(), field, w))(s.t) {
			s.t.Errorf("the dictionary of %s still has %q", field, w)
		}
	}
}

// purges returns the IndexPurged events.
func (v *vault) purges() []events.IndexPurged {
	v.t.Helper()
	var out []events.IndexPurged
	check(v.t, v.ledger.ScanEvents(context.Background(), 0, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		if f, ok := e.Fact.(events.IndexPurged); ok {
			out = append(out, f)
		}
		return err
	}))
	return out
}

// deadFiles counts index files whose keys are destroyed, and fails the test if a key lives that no file uses.
func (s *shelf) deadFiles() (dead int) {
	s.t.Helper()
	live := must(s.index.Leaves(context.Background()))(s.t)
	for leaf := range s.keys.IndexLeaves() {
		alive := s.keys.Alive(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: leaf})
		if used := slices.Contains(live, leaf); used != alive {
			s.t.Errorf("index file %d: in use %v, key alive %v", leaf, used, alive)
		}
		if !alive {
			dead++
		}
	}
	return dead
}

func TestErasedPersonLeavesIndex(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	own := s.chat("chat", talk("1", "my theremin is out of tune", "email:ana@example.org=Anastasia", "email:bo@example.net=Bo"))
	to := s.chat("chat", talk("2", "the umbrella is here", "email:bo@example.net=Bo", "email:ana@example.org=Anastasia"))
	other := s.chat("chat", talk("3", "another umbrella", "email:bo@example.net=Bo"))
	s.follow()
	s.found("theremin", own)
	s.found("with:ana@example.org", own, to)
	before := must(s.index.Leaves(context.Background()))(t)

	out := s.erase("email:ana@example.org", "chat")
	if out.Removed != 1 || out.Redacted != 1 || out.Files == 0 {
		t.Errorf("%+v", out)
	}
	s.found("theremin")
	s.found("with:ana@example.org")
	s.found("umbrella", to, other)
	s.found("from:bo@example.net", to, other)
	s.unknown("body", "theremin", "tune")
	s.unknown("from", "anastasia", "ana@example.org", "ana")
	s.unknown("to", "anastasia", "ana@example.org", "ana")
	if got := s.purges(); len(got) != 1 || got[0] != (events.IndexPurged{UpTo: escrow.TreeSize(out.Seq) + 2, Removed: 1, Redacted: 1, Files: out.Files}) {
		t.Errorf("%+v", got)
	}
	for _, leaf := range before {
		if s.keys.Alive(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: leaf}) && !slices.Contains(must(s.index.Leaves(context.Background()))(t), leaf) {
			t.Errorf("the key of the former index file %d is alive", leaf)
		}
	}
	if dead := s.deadFiles(); dead < out.Files {
		t.Errorf("%d keys are dead, %d were destroyed", dead, out.Files)
	}
	if pending := must(s.pipeline.Complete(context.Background()))(t); pending {
		t.Error("something was left to do")
	}
}

func TestErasedMessagesLeaveIndex(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	var seqs []escrow.Seq
	for i, w := range []string{"apple", "banana", "cherry", "damson"} {
		seqs = append(seqs, s.chat("chat", talk(fmt.Sprint(i), w, "email:ana@example.org")))
	}
	s.follow()
	conversation := must(s.index.ConversationSeqs(context.Background(), "chat", "room 1"))(t)
	if !slices.Equal(conversation, seqs) {
		t.Errorf("the conversation is %v", conversation)
	}
	out := s.eraseMessages(seqs[0])
	if out.Removed != 1 || out.Redacted != 0 {
		t.Errorf("%+v", out)
	}
	s.found("apple")
	s.unknown("body", "apple")
	s.found("banana", seqs[1])
	out = s.eraseMessages(seqs[1:3]...)
	if out.Removed != 2 {
		t.Errorf("%+v", out)
	}
	s.unknown("body", "banana", "cherry")
	s.found("damson", seqs[3])
	s.deadFiles()
}

// brokenIndex fails at one step.
type brokenIndex struct {
	disposal.Index
	reach, purge error
}

func (b brokenIndex) Reach(ctx context.Context, n escrow.TreeSize) (int, int, error) {
	if b.reach != nil {
		return 0, 0, b.reach
	}
	return b.Index.Reach(ctx, n)
}

func (b brokenIndex) Purge(ctx context.Context) ([]uint32, error) {
	if b.purge != nil {
		return nil, b.purge
	}
	return b.Index.Purge(ctx)
}

// An erasure that stopped at the index is completed from there, in the same process or in the next.
func TestCompleteAfterIndexFailure(t *testing.T) {
	for name, broken := range map[string]brokenIndex{"reach": {reach: errors.New("no")}, "purge": {purge: errors.New("no")}} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%v", name, restart), func(t *testing.T) {
				dir, mem := t.TempDir(), vfs.NewMem()
				s := openShelf(t, newVault(t, mem, nil), dir)
				seq := s.chat("chat", talk("1", "theremin", "email:ana@example.org"))
				s.follow()
				broken.Index = s.indexer
				s.pipeline.Attach(broken)
				err := s.order(events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{s.leaf("email:ana@example.org", "chat")}, Basis: "b"})
				if err == nil {
					t.Fatal("the index did not fail")
				}
				if _, err := s.open(seq); escrow.KindOf(err) != escrow.Erased {
					t.Errorf("the message is still readable: %v", err)
				}
				s.pipeline.Attach(s.indexer)
				if restart {
					check(t, s.index.Close())
					s.close()
					s = openShelf(t, openVault(t, mem, nil), dir)
				}
				if did := must(s.pipeline.Complete(context.Background()))(t); !did {
					t.Error("nothing was completed")
				}
				s.found("theremin")
				s.unknown("body", "theremin")
				if got := s.purges(); len(got) != 1 {
					t.Errorf("%+v", got)
				}
				if did := must(s.pipeline.Complete(context.Background()))(t); did {
					t.Error("completed twice")
				}
			})
		}
	}
}

// TestErasureSurvivesEveryFault lets every single file operation of an erasure fail, in every way, and then the power go. Whatever was ordered is
// carried out at the next start, and whatever was not is not.
func TestErasureSurvivesEveryFault(t *testing.T) {
	base := vfs.NewMem()
	v := newVault(t, base, nil)
	seq := v.chat("chat", talk("1", "x", "email:ana@example.org", "email:bo@example.org"))
	v.close()
	rng := mrand.New(mrand.NewPCG(1, 2))
	ordered, tried := 0, 0
	for n, hit := 1, true; hit; n++ {
		for _, fault := range []vfs.Fault{vfs.Lost, vfs.Short, vfs.Done} {
			disk := base.Clone()
			faulty := vfs.NewFaulty(disk)
			v := openVault(t, faulty, nil)
			leaf := v.leafAfterReplay("email:ana@example.org")
			at := faulty.Ops() + n
			faulty.Fail(vfs.Plan{At: at, Fault: fault, Err: errors.New("disk error"), Sticky: true})
			err := v.order(events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{leaf}, Basis: "b"})
			hit = faulty.Ops() >= at
			if !hit && err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			for _, after := range []*vfs.Mem{disk.Clone(), disk.CrashClone(rng)} {
				w := openVault(t, after, nil)
				check(t, ingest.ReplayDirectory(context.Background(), w.ledger, w.opener, w.directory))
				must(w.pipeline.Complete(context.Background()))(t)
				order := w.ordered()(keytree.Ref{Kind: keytree.KindSubject, Leaf: leaf})
				if alive := must(w.opener.Alive(w.read(seq)))(t); alive == order {
					t.Errorf("operation %d, fault %d: ordered %v, alive %v", n, fault, order, alive)
				}
				if _, known := w.directory.Lookup("email:ana@example.org"); known == order {
					t.Errorf("operation %d, fault %d: ordered %v, known %v", n, fault, order, known)
				}
				if err == nil && !order {
					t.Errorf("operation %d, fault %d: an erasure that was reported is not in the ledger", n, fault)
				}
				if order {
					ordered++
				}
				tried++
				w.audit()
				w.close()
			}
			v.close()
		}
	}
	t.Logf("%d crashes, %d after the order", tried, ordered)
	if ordered == 0 || ordered == tried {
		t.Error("the faults did not cover the order")
	}
}

// leafAfterReplay brings the directory up to date, as every start does, and looks a person up.
func (v *vault) leafAfterReplay(id string) uint32 {
	v.t.Helper()
	check(v.t, ingest.ReplayDirectory(context.Background(), v.ledger, v.opener, v.directory))
	return v.leaf(id, "chat")
}

// A key state that could not be written once holds up neither the erasure nor who waits for it.
func TestErasureResumesInProcess(t *testing.T) {
	base := vfs.NewMem()
	v := newVault(t, base, nil)
	seq := v.chat("chat", talk("1", "x", "email:ana@example.org"))
	before := v.ledger.Size()
	v.close()
	failed := 0
	for n, hit := 1, true; hit; n++ {
		for _, fault := range []vfs.Fault{vfs.Lost, vfs.Done} {
			faulty := vfs.NewFaulty(base.Clone())
			v := openVault(t, faulty, nil)
			leaf := v.leafAfterReplay("email:ana@example.org")
			at := faulty.Ops() + n
			faulty.Fail(vfs.Plan{At: at, Fault: fault, Err: errors.New("disk error")})
			err := v.order(events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{leaf}, Basis: "b"})
			hit = faulty.Ops() >= at
			size := v.ledger.Size()
			if stats, serr := v.ledger.Stats(); err == nil || size == before || serr != nil || stats.Failed != nil { // not hurt, or not even ordered, or not to be used again
				v.close()
				continue
			}
			failed++
			check(t, v.pipeline.InForce(context.Background(), size))
			must(v.pipeline.Complete(context.Background()))(t)
			check(t, v.pipeline.WaitApplied(context.Background(), before+1))
			if _, err := v.open(seq); escrow.KindOf(err) != escrow.Erased {
				t.Errorf("operation %d, fault %d: still readable: %v", n, fault, err)
			}
			v.close()
		}
	}
	if failed == 0 {
		t.Error("no fault hit the key state")
	}
}

// listened tells when somebody begins to wait for an erasure.
type listened struct {
	ingest.Erasures
	once  sync.Once
	began chan struct{}
}

func (l *listened) WaitApplied(ctx context.Context, n escrow.TreeSize) error {
	l.once.Do(func() { close(l.began) })
	return l.Erasures.WaitApplied(ctx, n)
}

// The indexer meets an erasure in the ledger before the keys are gone: it waits, and does not index what is about to die.
func TestIndexerWaitsForKeys(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	first := s.chat("chat", talk("1", "theremin", "email:ana@example.org"))
	s.follow()
	second := s.chat("chat", talk("2", "accordion", "email:ana@example.org"))
	entry := must(s.book.Entry(events.ErasureExecuted{Scope: "person", Subjects: []uint32{s.leaf("email:ana@example.org", "chat")}, Basis: "b"}))(t)
	must(s.ledger.Append(context.Background(), []archive.Entry{entry}))(t)
	l := &listened{Erasures: s.pipeline, began: make(chan struct{})}
	s.indexer.Erasures = l
	done := make(chan error, 1)
	go func() { done <- s.indexer.Follow(context.Background(), s.ledger.Size()) }()
	<-l.began
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if s.index.Position() > escrow.TreeSize(second) {
		t.Errorf("the index is at %d already", s.index.Position())
	}
	s.found("theremin", first)
	s.found("accordion")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantKind(t, s.pipeline.WaitApplied(ctx, s.ledger.Size()), escrow.Unavailable, "before an erasure was applied")
	wantKind(t, s.indexer.Wait(ctx, s.ledger.Size()), escrow.Unavailable, "behind")

	check(t, s.pipeline.InForce(context.Background(), s.ledger.Size()))
	must(s.pipeline.Complete(context.Background()))(t)
	check(t, <-done)
	s.follow()
	s.found("theremin")
	s.found("accordion")
}

// An index built anew from the ledger gives the same answers, erasures included, and the keys of the former files can be destroyed.
func TestRebuildGivesSameAnswers(t *testing.T) {
	s := newShelf(t, newVault(t, nil, map[escrow.Channel]ingest.ChannelRule{"all": {Policy: ingest.PolicyAnyOf}}))
	words := []string{"apple", "banana", "cherry", "damson", "elder", "fig"}
	for i := range 120 {
		channel := []escrow.Channel{"chat", "all"}[i%2]
		s.chat(channel, talk(fmt.Sprint(i), words[i%6]+" "+words[i%5], fmt.Sprintf("email:p%d@example.org=P%d", i%7, i%7), fmt.Sprintf("email:p%d@example.org=P%d", i%3, i%3)))
	}
	s.follow()
	s.erase("email:p1@example.org", "chat")
	s.erase("email:p4@example.org", "chat")
	s.eraseMessages(7, 9, 11)
	s.follow()
	queries := []string{"apple", "banana cherry", "fig OR elder", "-apple", "from:p2@example.org", "with:p1@example.org", "channel:all damson", "in:\"room 1\""}
	var before [][]escrow.Seq
	for _, q := range queries {
		before = append(before, s.find(q))
	}
	dead, err := s.indexer.Rebuild(context.Background())
	check(t, errors.Join(err, s.pipeline.DestroyFileKeys(context.Background(), dead)))
	var after [][]escrow.Seq
	for _, q := range queries {
		after = append(after, s.find(q))
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("answers (-before +after):\n%s", d)
	}
	s.deadFiles()
}

// The indexer's loop follows the ledger and ends with its context.
func TestIndexerRuns(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.indexer.Run(ctx) }()
	for i := range 5 {
		s.chat("chat", talk(fmt.Sprint(i), "apple", "email:ana@example.org"))
		check(t, s.indexer.Wait(ctx, s.ledger.Size()))
	}
	s.erase("email:ana@example.org", "chat")
	check(t, s.indexer.Wait(ctx, s.ledger.Size()))
	s.found("apple")
	stop()
	check(t, <-done)
}

// What a crash left of the keys of index files is destroyed at the next start.
func TestDestroyOtherFileKeys(t *testing.T) {
	v := newVault(t, nil, nil)
	check(t, v.keys.Update(func(tx *keystate.Tx) error { _, err := tx.ReserveIndexLeaves(20); return err }))
	check(t, v.pipeline.DestroyOtherFileKeys(context.Background(), 10, []uint32{3, 7}))
	var alive []uint32
	for leaf := range uint32(12) {
		if v.keys.Alive(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: leaf}) {
			alive = append(alive, leaf)
		}
	}
	if d := cmp.Diff([]uint32{3, 7, 10, 11}, alive); d != "" {
		t.Errorf("alive (-want +got):\n%s", d)
	}
	epoch := v.keys.Epoch()
	check(t, v.pipeline.DestroyOtherFileKeys(context.Background(), 10, []uint32{3, 7}))
	if v.keys.Epoch() != epoch {
		t.Error("nothing to do, and the key state was written")
	}
}
