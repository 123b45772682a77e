package ingest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/ingest"

	"github.com/google/go-cmp/cmp"
)

// courier is a vault with a log before it, and an intake's place to put entries there.
type courier struct {
	*vault
	server *natslog.Server
	conn   *natslog.Conn
	log    *natslog.Log
	counts map[[16]byte]uint64
}

func newCourier(t testing.TB) *courier {
	t.Helper()
	c := &courier{vault: newVault(t, nil, nil), counts: map[[16]byte]uint64{}}
	c.server = must(natslog.StartServer(context.Background(), natslog.ServerConfig{StoreDir: t.TempDir(), Port: -1}))(t)
	t.Cleanup(func() { check(t, c.server.Close()) })
	c.conn = must(c.server.Connect(context.Background()))(t)
	c.log = must(natslog.OpenLog(context.Background(), c.conn, natslog.LogConfig{Tenant: c.name}))(t)
	return c
}

// newSealer is the sealer as a fresh process has it, with its own connection to the log.
func (c *courier) newSealer() *ingest.Sealer {
	c.t.Helper()
	c.log = must(natslog.OpenLog(context.Background(), c.conn, natslog.LogConfig{Tenant: c.name}))(c.t)
	return &ingest.Sealer{Log: c.log, Ledger: c.ledger, Keys: c.keys, Seal: c.sealer, Recorder: c.recorder, Events: c.book, Now: c.clock,
		Logger: slog.New(slog.DiscardHandler)}
}

// entry makes the next log entry of a channel.
func (c *courier) entry(channel escrow.Channel, id, text string) []byte {
	c.t.Helper()
	adm := must(c.admit(natslog.Arrival{Channel: channel, Data: []byte(talk(id, text, "email:ana@example.org", "email:bo@example.org"))}))(c.t)
	c.counts[adm.ChannelTag]++
	return c.entryOf(adm, c.counts[adm.ChannelTag])
}

// entryOf makes a log entry under a given counter.
func (c *courier) entryOf(adm natslog.Admission, counter uint64) []byte {
	c.t.Helper()
	now := c.clock()
	e := natslog.Entry{Tenant: c.name, Channel: adm.ChannelTag, Counter: counter, Day: uint32(now.Unix() / 86400), Received: now, Once: adm.Once}
	e.Sealed = must(c.gate().Seal(c.name, e.Day, e.AppendHeader(nil), adm.Plain))(c.t)
	return e.Append(nil)
}

func (c *courier) commit(entries ...[]byte) {
	c.t.Helper()
	must(c.log.Commit(context.Background(), entries))(c.t)
}

// ids returns the ids of the messages in the ledger, in order, and fails the test if one is not what its counter says.
func (c *courier) ids() []string {
	c.t.Helper()
	var out []string
	check(c.t, c.ledger.Scan(context.Background(), 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindMessage {
			return nil
		}
		o, err := c.opener.Open(rec)
		out = append(out, o.Message.ID)
		return err
	}))
	return out
}

// what returns the incidents as "what from-to".
func (c *courier) what() []string {
	c.t.Helper()
	var out []string
	for _, i := range c.incidents() {
		out = append(out, fmt.Sprintf("%s %d-%d", i.What, i.From, i.To))
	}
	return out
}

func (c *courier) want(ids, incidents []string) {
	c.t.Helper()
	if d := cmp.Diff(ids, c.ids()); d != "" {
		c.t.Errorf("messages (-want +got):\n%s", d)
	}
	if d := cmp.Diff(incidents, c.what()); d != "" {
		c.t.Errorf("incidents (-want +got):\n%s", d)
	}
	c.audit()
}

func drain(t testing.TB, s *ingest.Sealer) {
	t.Helper()
	check(t, s.Drain(context.Background()))
}

func TestSealerSealsOnce(t *testing.T) {
	c := newCourier(t)
	s := c.newSealer()
	var told [][16]byte
	s.Sealed = func(tags [][16]byte) { told = append(told, tags...) }
	c.commit(c.entry("chat", "1", "one"), c.entry("mail", "2", "two"), c.entry("chat", "3", "three"))
	if n := must(s.Waiting(context.Background()))(t); n == 0 { // the log may store several entries in one message
		t.Errorf("%d waiting", n)
	}
	drain(t, s)
	c.want([]string{"1", "2", "3"}, nil)
	if len(told) != 3 || told[0] == told[1] {
		t.Errorf("the intake was told %d tags", len(told))
	}
	if n := must(s.Waiting(context.Background()))(t); n != 0 {
		t.Errorf("%d waiting", n)
	}
	drain(t, c.newSealer())
	c.want([]string{"1", "2", "3"}, nil)
	// An idle round removes from the log what the ledger has.
	must(s.Round(context.Background(), time.Millisecond))(t)
	if state := must(c.log.State(context.Background()))(t); state.Msgs != 0 {
		t.Errorf("%d entries are still in the log", state.Msgs)
	}
}

// Killed between append and acknowledgement, the sealer gets everything again and does nothing with it.
func TestSealerKilledBeforeAck(t *testing.T) {
	c := newCourier(t)
	for i := range 3 {
		s := c.newSealer()
		c.commit(c.entry("chat", fmt.Sprint(2*i), "x"), c.entry("chat", fmt.Sprint(2*i+1), "x"))
		ctx, kill := context.WithCancel(context.Background())
		s.Sealed = func([][16]byte) { kill() } // after the append, before the acknowledgement
		if _, err := s.Round(ctx, time.Second); err == nil {
			t.Fatal("the round was not interrupted")
		}
	}
	drain(t, c.newSealer())
	c.want([]string{"0", "1", "2", "3", "4", "5"}, nil)
}

// Killed before the append, it loses nothing.
func TestSealerKilledBeforeAppend(t *testing.T) {
	c := newCourier(t)
	c.commit(c.entry("chat", "1", "x"), c.entry("chat", "2", "x"))
	must(c.newSealer().Log.Fetch(context.Background(), 10, time.Second))(t)
	drain(t, c.newSealer())
	c.want([]string{"1", "2"}, nil)
}

// What the courier may not do becomes an incident and is never sealed as something else.
func TestSealerIncidents(t *testing.T) {
	for _, tt := range []struct {
		name      string
		inject    func(c *courier)
		ids       []string
		incidents []string
	}{
		{"gap", func(c *courier) {
			c.entry("chat", "2", "never stored")
			c.entry("chat", "3", "never stored")
			c.commit(c.entry("chat", "4", "x"))
		}, []string{"1", "4", "9"}, []string{"gap 2-3"}},
		{"late", func(c *courier) {
			missing := c.entry("chat", "2", "x")
			c.commit(c.entry("chat", "3", "x"), missing)
		}, []string{"1", "3", "2", "9"}, []string{"gap 2-2", "late 2-2"}},
		{"doubled in one batch", func(c *courier) {
			e := c.entry("chat", "2", "x")
			c.commit(e)
			c.commit(e)
		}, []string{"1", "2", "9"}, []string{"doubled 2-2"}},
		{"same message under two counters in one batch", func(c *courier) {
			adm := must(c.admit(natslog.Arrival{Data: []byte(talk("2", "x", "email:ana@example.org"))}))(c.t)
			c.commit(c.entryOf(adm, 2), c.entryOf(adm, 3))
			c.counts[adm.ChannelTag] = 3
		}, []string{"1", "2", "9"}, []string{"doubled 3-3", "gap 3-3"}},
		{"gap before a message that is known", func(c *courier) {
			adm := must(c.admit(natslog.Arrival{Data: []byte(talk("2", "x", "email:ana@example.org"))}))(c.t)
			c.commit(c.entryOf(adm, 2), c.entryOf(adm, 4))
			c.counts[adm.ChannelTag] = 4
		}, []string{"1", "2", "9"}, []string{"gap 3-3", "doubled 4-4", "gap 3-4"}},
		{"reused counter", func(c *courier) {
			adm := must(c.admit(natslog.Arrival{Data: []byte(talk("evil", "x", "email:ana@example.org"))}))(c.t)
			c.commit(c.entryOf(adm, 1))
		}, []string{"1", "9"}, []string{"reused 1-1"}},
		{"damaged", func(c *courier) {
			e := c.entry("chat", "2", "x")
			e[len(e)/2] ^= 1
			c.commit(e)
		}, []string{"1", "9"}, []string{"damaged 0-0", "gap 2-2"}},
		{"junk", func(c *courier) { c.commit([]byte("no entry at all")) }, []string{"1", "9"}, []string{"damaged 0-0"}},
		{"sealed by nobody here", func(c *courier) {
			adm := must(c.admit(natslog.Arrival{Data: []byte(talk("2", "x", "email:ana@example.org"))}))(c.t)
			e := natslog.Entry{Tenant: c.name, Channel: adm.ChannelTag, Counter: 2, Day: 20_000, Received: vaultStart, Once: adm.Once, Sealed: bytes.Repeat([]byte("x"), 200)}
			c.commit(e.Append(nil))
			c.counts[adm.ChannelTag] = 2
		}, []string{"1", "9"}, []string{"foreign 2-2", "gap 2-2"}},
		{"of another tenant", func(c *courier) {
			adm := must(c.admit(natslog.Arrival{Data: []byte(talk("2", "x", "email:ana@example.org"))}))(c.t)
			e := natslog.Entry{Tenant: "other", Channel: adm.ChannelTag, Counter: 2, Day: 20_000, Received: vaultStart, Once: adm.Once}
			e.Sealed = must(c.gate().Seal(c.name, e.Day, e.AppendHeader(nil), adm.Plain))(c.t)
			own := e
			own.Tenant = c.name // the header was exchanged
			c.commit(own.Append(nil))
			c.counts[adm.ChannelTag] = 2
		}, []string{"1", "9"}, []string{"foreign 2-2", "gap 2-2"}},
		{"no envelope", func(c *courier) {
			adm := must(c.admit(natslog.Arrival{Data: []byte(talk("2", "x", "email:ana@example.org"))}))(c.t)
			adm.Plain = []byte("not an envelope")
			c.commit(c.entryOf(adm, 2))
			c.counts[adm.ChannelTag] = 2
		}, []string{"1", "9"}, []string{"foreign 2-2", "gap 2-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCourier(t)
			c.commit(c.entry("chat", "1", "x"))
			drain(t, c.newSealer())
			tt.inject(c)
			drain(t, c.newSealer())
			c.commit(c.entry("chat", "9", "life goes on"))
			s := c.newSealer() // after a restart, which knows only what the ledger says
			drain(t, s)
			c.want(tt.ids, tt.incidents)
			drain(t, c.newSealer())
			c.want(tt.ids, tt.incidents)
			if n := must(s.Waiting(context.Background()))(t); n != 0 {
				t.Errorf("%d still waiting", n)
			}
		})
	}
}

// The bytes of what is not sealed are kept, still sealed.
func TestSealerQuarantine(t *testing.T) {
	c := newCourier(t)
	e := c.entry("chat", "1", "x")
	e[10] ^= 1
	c.commit(e)
	drain(t, c.newSealer())
	found := c.incidents()
	tag := c.log.Tag()
	if len(found) != 1 || !bytes.Equal(found[0].Quarantined, e) || found[0].Stream != hex.EncodeToString(tag[:]) || found[0].Sequence != 1 || found[0].Detail == "" {
		t.Errorf("%+v", found)
	}
}

// A log that ends in an incident, acknowledged and not purged, holds nobody up at the next start.
func TestSealerDrainEndsAfterIncident(t *testing.T) {
	c := newCourier(t)
	s := c.newSealer()
	c.commit(c.entry("chat", "1", "x"))
	c.commit([]byte("junk"))
	must(s.Round(context.Background(), time.Second))(t)
	if state := must(c.log.State(context.Background()))(t); state.Msgs != 2 {
		t.Fatalf("%d entries in the log; the test wants them not purged", state.Msgs)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	again := c.newSealer()
	check(t, again.Drain(ctx))
	if n := must(again.Waiting(ctx))(t); n != 0 {
		t.Errorf("%d waiting", n)
	}
	c.want([]string{"1"}, []string{"damaged 0-0"})
}

// A log whose storage was replaced is an incident, reported once and not at every start.
func TestSealerRecreatedLog(t *testing.T) {
	c := newCourier(t)
	c.commit(c.entry("chat", "1", "x"))
	drain(t, c.newSealer())
	check(t, c.conn.Close())
	check(t, c.server.Close())
	c.server = must(natslog.StartServer(context.Background(), natslog.ServerConfig{StoreDir: t.TempDir(), Port: -1}))(t)
	t.Cleanup(func() { check(t, c.server.Close()) })
	c.conn = must(c.server.Connect(context.Background()))(t)
	for range 3 {
		must(c.newSealer().Round(context.Background(), time.Millisecond))(t)
	}
	c.commit(c.entry("chat", "2", "x"))
	drain(t, c.newSealer())
	c.want([]string{"1", "2"}, []string{"recreated 1-0"})
}

// interloper appends an event of its own just before the sealer's first appends.
type interloper struct {
	*courier
	left int
}

// Share implements ingest.Keys: it is asked while records are being sealed for the numbers they have been given.
func (i *interloper) Share(ref keytree.Ref) (keytree.Share, error) {
	if ref.Kind == keytree.KindMessage && i.left > 0 {
		i.left--
		e, err := i.book.Entry(events.IndexPurged{})
		if err == nil {
			_, err = i.ledger.Append(context.Background(), []archive.Entry{e})
		}
		if err != nil {
			return keytree.Share{}, err
		}
	}
	return i.keys.Share(ref)
}

// Ref implements ingest.Keys.
func (i *interloper) Ref(kind keytree.Kind, leaf uint32) keytree.Ref { return i.keys.Ref(kind, leaf) }

func TestSealerSurvivesInterloper(t *testing.T) {
	c := newCourier(t)
	recorder := *c.recorder
	recorder.Keys = &interloper{c, 3}
	before := c.ledger.Size()
	s := c.newSealer()
	s.Recorder = &recorder
	c.commit(c.entry("chat", "1", "x"))
	drain(t, s)
	c.want([]string{"1"}, nil)
	if size := c.ledger.Size(); size != before+4 {
		t.Errorf("%d records", size-before)
	}
}

// An append that fails for good is returned, and the next process goes on where this one stopped.
func TestSealerStopsWithError(t *testing.T) {
	c := newCourier(t)
	recorder := *c.recorder
	recorder.Keys = deadKeys{}
	s := c.newSealer()
	s.Recorder = &recorder
	c.commit(c.entry("chat", "1", "x"))
	wantKind(t, s.Run(context.Background()), escrow.Internal, "gone already")
	s.Recorder = c.recorder
	drain(t, s)
	c.want([]string{"1"}, nil)
}

type deadKeys struct{}

func (deadKeys) Share(keytree.Ref) (keytree.Share, error) {
	return keytree.Share{}, escrow.Errorf("test", escrow.Erased, "gone")
}

func (deadKeys) Ref(kind keytree.Kind, leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: kind, Leaf: leaf}
}

// TestErasureRacesSealing erases a person again and again while messages of that person arrive. Nothing halts, nothing is lost, and every record is open
// or lawfully erased.
func TestErasureRacesSealing(t *testing.T) {
	c := newCourier(t)
	s := c.newSealer()
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	halted := make(chan error, 1)
	parts.Go(func() { halted <- s.Run(ctx) })
	const messages, rounds = 600, 25
	progress := make(chan struct{}, messages)
	parts.Go(func() {
		for i := range messages {
			if _, err := c.log.Commit(ctx, [][]byte{c.entry("chat", fmt.Sprint(i), "x")}); err != nil {
				t.Error(err)
				return
			}
			progress <- struct{}{}
		}
	})
	for i := range rounds {
		for range messages / rounds {
			<-progress
		}
		who := []string{"email:ana@example.org", "email:bo@example.org"}[i%2]
		leaf, ok := c.directory.Lookup(who)
		if !ok {
			continue
		}
		if err := c.order(events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{leaf}, Basis: "art17-1"}); err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := uint64(1); waiting > 0; {
		select {
		case err := <-halted:
			t.Fatalf("the sealer halted: %v", err)
		case <-tick.C:
		}
		var err error
		if waiting, err = s.Waiting(ctx); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	parts.Wait()
	if err := <-halted; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the sealer halted: %v", err)
	}
	present, erased := c.audit()
	if present+erased != messages || erased == 0 { // how many are present depends on who is faster
		t.Errorf("%d present and %d erased of %d", present, erased, messages)
	}
	if got := c.what(); got != nil {
		t.Errorf("incidents: %v", got)
	}
	t.Logf("%d present, %d erased, %d records", present, erased, c.ledger.Size())
}

// TestSealerBetweenEvents seals a batch that takes longer than the pauses between events, as those of a large hold have them on a disk.
func TestSealerBetweenEvents(t *testing.T) {
	c := newCourier(t)
	s := c.newSealer()
	var entries [][]byte
	for i := range 200 {
		entries = append(entries, c.entry("chat", fmt.Sprint(i), "x"))
	}
	c.commit(entries...)
	ctx, stop := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	defer writer.Wait()
	defer stop()
	writer.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			if _, err := c.ledger.Append(context.Background(), []archive.Entry{must(c.book.Entry(events.IndexPurged{}))(t)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	drain(t, s)
	if got := len(c.ids()); got != len(entries) {
		t.Errorf("%d of %d messages are sealed", got, len(entries))
	}
}

// spoiler is a key state that fails once, and cancels the round at that moment.
type spoiler struct {
	ingest.Keys
	cancel context.CancelFunc
}

func (s *spoiler) Share(ref keytree.Ref) (keytree.Share, error) {
	if s.cancel == nil {
		return s.Keys.Share(ref)
	}
	s.cancel()
	s.cancel = nil
	return keytree.Share{}, escrow.Errorf("test", escrow.Unavailable, "not now")
}

// TestSealerFailsTwice lets a round fail and with it what should make the log deliver again: the next round must not begin behind what failed.
func TestSealerFailsTwice(t *testing.T) {
	c := newCourier(t)
	s := c.newSealer()
	c.commit(c.entry("chat", "1", "one"))
	drain(t, s)
	c.commit(c.entry("chat", "2", "two"))
	ctx, cancel := context.WithCancel(context.Background())
	s.Keys = &spoiler{Keys: c.keys, cancel: cancel}
	for range 20 { // the entry may take a round or two to arrive
		if _, err := s.Round(ctx, 200*time.Millisecond); err != nil {
			break
		}
	}
	if ctx.Err() == nil {
		t.Fatal("the round did not fail")
	}
	c.commit(c.entry("chat", "3", "three"))
	drain(t, s)
	c.want([]string{"1", "2", "3"}, nil)
}

// TestSealerManyReaders seals messages whose records are hundreds of times as large as their log entries; together they do not fit into one batch.
func TestSealerManyReaders(t *testing.T) {
	c := newCourier(t)
	s := c.newSealer()
	before := c.ledger.Size()
	readers := make([]string, 9000)
	for i := range readers {
		readers[i] = fmt.Sprintf("email:reader%d@example.org", i)
	}
	const messages = 15
	for i := range messages {
		id := fmt.Sprint(i)
		adm := must(c.admit(natslog.Arrival{Channel: "news", Data: []byte(talk(id, "to all", "email:ana@example.org", readers...))}))(t)
		c.counts[adm.ChannelTag]++
		c.commit(c.entryOf(adm, c.counts[adm.ChannelTag]))
	}
	drain(t, s)
	stats := must(c.ledger.Stats())(t)
	if stats.Bytes < 32<<20 {
		t.Errorf("the records have %d bytes together, too few to need a second batch", stats.Bytes)
	}
	if size, incidents := c.ledger.Size()-before, c.what(); size != messages || incidents != nil {
		t.Errorf("%d records of %d messages, incidents %v", size, messages, incidents)
	}
}
