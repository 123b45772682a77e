package ingest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/seal"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/natslog"
	"escrow/ingest"
	"escrow/internal/vfs"
	"escrow/retention"
	"escrow/retention/disposal"
)

// vault is the archive of one tenant without log and, unless indexed, without index.
type vault struct {
	t         testing.TB
	fs        vfs.FS
	name      escrow.Tenant
	keys      *keystate.State
	ledger    *archive.Ledger
	directory *directory.Directory
	sealer    *seal.Sealer
	recorder  *ingest.Recorder
	opener    *ingest.Opener
	book      chronicle.Chronicle
	pipeline  *disposal.Pipeline

	mu  sync.Mutex
	now time.Time
}

var vaultStart = time.Date(2026, 3, 2, 10, 11, 12, 0, time.UTC)

const lettersSchedule = `{"classes": [{"name": "letters", "number": 1, "days": 2190}]}`

// newVault founds an archive in fs, or in memory if that is nil.
func newVault(t testing.TB, fs vfs.FS, channels map[escrow.Channel]ingest.ChannelRule) *vault {
	t.Helper()
	if fs == nil {
		fs = vfs.NewMem()
	}
	keyset := must(sign.NewKeyset(rand.Reader))(t)
	check(t, fs.MkdirAll("/keys", 0o700))
	keys := must(keystate.Create(context.Background(), fs, "/keys", keyConfig(t, fs), keyset))(t)
	check(t, keys.Update(func(tx *keystate.Tx) error {
		tx.AddTree(keytree.KindRetention, 0)
		tx.AddTree(keytree.KindRetention, 1)
		return nil
	}))
	check(t, keys.Close())
	return openVault(t, fs, channels)
}

// keyConfig is what opens the keys: roots in a file, small ones.
func keyConfig(t testing.TB, fs vfs.FS) keystate.Config {
	roots := must(file.Open(fs, "/keys/roots", file.Config{Stripes: 16}))(t)
	return keystate.Config{Roots: []rootstore.Store{roots}, Now: func() time.Time { return vaultStart }}
}

// openVault opens the archive that is in fs, as the service does, but leaves what interrupted erasures left in the index to the caller.
func openVault(t testing.TB, fs vfs.FS, channels map[escrow.Channel]ingest.ChannelRule) *vault {
	t.Helper()
	v := &vault{t: t, fs: fs, name: "acme", now: vaultStart}
	v.keys = must(keystate.Open(context.Background(), fs, "/keys", keyConfig(t, fs)))(t)
	signer := must(sign.NewSigner("escrow/test/acme", v.keys.SigningKey()))(t)
	v.ledger = must(archive.Open(context.Background(), fs, "/ledger", archive.Config{Signer: signer, Now: v.clock}))(t)
	v.directory = openDirectory(t, fs, v.keys)
	v.sealer = must(seal.New(rand.Reader))(t)
	schedule := must(retention.ParseSchedule([]byte(lettersSchedule)))(t)
	v.opener = &ingest.Opener{Tenant: v.name, Keys: v.keys, Sealer: v.sealer}
	v.recorder = &ingest.Recorder{Tenant: v.name, Region: "eu", Keys: v.keys, Directory: v.directory, Sealer: v.sealer, Schedule: schedule, Channels: channels, Rand: rand.Reader}
	v.book = chronicle.Chronicle{Source: "escrow/test/acme", Now: v.clock, Rand: rand.Reader}
	v.pipeline = must(disposal.Open(context.Background(), disposal.Config{Ledger: v.ledger, Keys: v.keys, Directory: v.directory, Chronicle: v.book, Sealer: v.sealer,
		Now: v.clock, Index: noIndex{}, Logger: slog.New(slog.DiscardHandler)}))(t)
	check(t, v.pipeline.Gate(context.Background()))
	v.opener.Guard = v.pipeline
	t.Cleanup(v.close)
	return v
}

// openDirectory opens the snapshot of the directory, or an empty one where it died with an erasure.
func openDirectory(t testing.TB, fs vfs.FS, keys *keystate.State) *directory.Directory {
	t.Helper()
	d, err := directory.Open(fs, "/keys", keys.Secret("directory"), keys)
	if err != nil && escrow.KindOf(err) == escrow.Erased {
		check(t, fs.Remove("/keys/directory"))
		d, err = directory.Open(fs, "/keys", keys.Secret("directory"), keys)
	}
	return must(d, err)(t)
}

// close releases the archive. It may be called twice.
func (v *vault) close() {
	if v.ledger != nil {
		_ = v.ledger.Close() // fails where a test made the disk fail
		_ = v.keys.Close()
	}
	v.ledger = nil
}

func (v *vault) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(time.Second)
	return v.now
}

func (v *vault) entrance() *ingest.Entrance {
	return &ingest.Entrance{Keys: v.keys, Sealer: v.sealer, Ledger: v.ledger, Opener: v.opener, Recorder: v.recorder,
		OnceKey: v.keys.Secret("once"), TagKey: v.keys.Secret("tag")}
}

func (v *vault) gate() *ingest.Gate {
	return &ingest.Gate{Tenants: map[escrow.Tenant]*ingest.Entrance{v.name: v.entrance()}}
}

// admit asks the gate about a publish.
func (v *vault) admit(a natslog.Arrival) (natslog.Admission, error) {
	if a.Tenant == "" {
		a.Tenant = v.name
	}
	if a.Channel == "" {
		a.Channel = "chat"
	}
	if a.Received.IsZero() {
		a.Received = v.clock()
	}
	return v.gate().Admit(context.Background(), &a)
}

// put takes a publish through gate and recorder into the ledger.
func (v *vault) put(a natslog.Arrival) escrow.Seq {
	v.t.Helper()
	adm := must(v.admit(a))(v.t)
	if adm.Known {
		v.t.Fatalf("already known as record %d", adm.Seq)
	}
	env := must(ingest.ParseEnvelope(adm.Plain))(v.t)
	seq := escrow.Seq(v.ledger.Size())
	entry := must(v.recorder.Record(seq, env, ingest.Origin{Log: [16]byte{1}, Seq: uint64(seq) + 1, Channel: adm.ChannelTag, Counter: uint64(seq) + 1, Once: adm.Once}))(v.t)
	return must(v.ledger.Append(context.Background(), []archive.Entry{entry}))(v.t)
}

// chat puts a message in JSON.
func (v *vault) chat(c escrow.Channel, body string) escrow.Seq {
	v.t.Helper()
	return v.put(natslog.Arrival{Channel: c, Data: []byte(body)})
}

func (v *vault) read(seq escrow.Seq) archive.Record {
	v.t.Helper()
	return must(v.ledger.Read(seq))(v.t)
}

func (v *vault) open(seq escrow.Seq) (ingest.Opened, error) {
	v.t.Helper()
	return v.opener.Open(v.read(seq))
}

// leaf returns the number of a person.
func (v *vault) leaf(id string, c escrow.Channel) uint32 {
	v.t.Helper()
	leaf, ok := v.directory.Lookup(escrow.Identity(id).Scoped(c))
	if !ok {
		v.t.Fatalf("%s is unknown", id)
	}
	return leaf
}

// outcome says what became of an order.
type outcome struct {
	Seq                      escrow.Seq // its record
	Removed, Redacted, Files int
}

// erase erases a person.
func (v *vault) erase(id string, c escrow.Channel) outcome {
	v.t.Helper()
	return v.ordering(events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{v.leaf(id, c)}, Basis: "art17-1"})
}

// eraseMessages erases messages.
func (v *vault) eraseMessages(seqs ...escrow.Seq) outcome {
	v.t.Helper()
	return v.ordering(events.ErasureExecuted{Scope: events.ScopeMessage, Messages: events.Ranges(seqs), Basis: "art17-1"})
}

// ordering is order, and what became of it.
func (v *vault) ordering(f events.ErasureExecuted) outcome {
	v.t.Helper()
	seq := escrow.Seq(v.ledger.Size())
	check(v.t, v.order(f))
	last := v.purges()
	return outcome{seq, last[len(last)-1].Removed, last[len(last)-1].Redacted, last[len(last)-1].Files}
}

// order writes an order and carries it out, as the pipeline does once a request was approved and its time has come.
func (v *vault) order(f events.ErasureExecuted) error {
	ctx := context.Background()
	entry := must(v.book.Entry(f))(v.t)
	if _, err := v.ledger.Append(ctx, []archive.Entry{entry}); err != nil {
		return err
	}
	if err := v.pipeline.InForce(ctx, v.ledger.Size()); err != nil {
		return err
	}
	_, err := v.pipeline.Complete(ctx)
	return err
}

// ordered tells what orders in the ledger destroy.
func (v *vault) ordered() func(keytree.Ref) bool {
	v.t.Helper()
	dead, days := map[keytree.Ref]bool{}, []events.DayRange{}
	check(v.t, v.ledger.ScanEvents(context.Background(), 0, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		if f, ok := e.Fact.(events.ErasureExecuted); ok {
			for _, leaf := range f.Subjects {
				dead[v.keys.Ref(keytree.KindSubject, leaf)] = true
			}
			for seq := range events.Seqs(f.Messages) {
				dead[v.keys.Ref(keytree.KindMessage, uint32(seq))] = true
			}
			days = append(days, f.Days...)
		}
		return err
	}))
	return func(ref keytree.Ref) bool {
		over := func(d events.DayRange) bool { return d.Class == ref.Tree && d.From <= ref.Leaf && ref.Leaf <= d.To }
		return dead[ref] || ref.Kind == keytree.KindRetention && slices.ContainsFunc(days, over)
	}
}

// audit checks every message of the ledger: present and as committed to, or lawfully erased.
func (v *vault) audit() (present, erased int) {
	v.t.Helper()
	ordered := v.ordered()
	check(v.t, v.ledger.Scan(context.Background(), 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindMessage {
			return nil
		}
		c, err := v.opener.Audit(rec, ordered)
		if err != nil {
			v.t.Errorf("record %d: %v", rec.Seq, err)
		}
		if c.Present {
			present++
		} else {
			erased++
		}
		return nil
	}))
	return present, erased
}

// incidents returns the incidents in the ledger, in order.
func (v *vault) incidents() []events.LogIncident {
	v.t.Helper()
	var out []events.LogIncident
	check(v.t, v.ledger.ScanEvents(context.Background(), 0, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		if f, ok := e.Fact.(events.LogIncident); ok {
			out = append(out, f)
		}
		return err
	}))
	return out
}

// noIndex stands for an index that has nothing to do.
type noIndex struct{}

func (noIndex) Reach(context.Context, escrow.TreeSize) (int, int, error) { return 0, 0, nil }
func (noIndex) Purge(context.Context) ([]uint32, error)                  { return nil, nil }
func (noIndex) Reset(context.Context) ([]uint32, error)                  { return nil, nil }

// must returns a function that returns v, or fails the test with err.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantKind fails the test unless err is of the kind and says all of the words.
func wantKind(t testing.TB, err error, kind escrow.Kind, words ...string) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("got %v, want an error of kind %v", err, kind)
		return
	}
	for _, w := range words {
		if !containsText(err.Error(), w) {
			t.Errorf("the error %q does not say %q", err, w)
		}
	}
}

// talk is a message from one to others, "id" or "id=Name"; a leading "!" makes somebody a customer.
func talk(id, text, from string, to ...string) string {
	readers := make([]string, len(to))
	for i, p := range to {
		readers[i] = party(p)
	}
	return fmt.Sprintf(`{"id":%q,"from":%s,"to":[%s],"body":{"text":%q},"conversation":"room 1"}`, id, party(from), strings.Join(readers, ","), text)
}

func party(s string) string {
	role := "member"
	if s[0] == '!' {
		role, s = "customer", s[1:]
	}
	id, name := s, ""
	for i := range s {
		if s[i] == '=' {
			id, name = s[:i], s[i+1:]
		}
	}
	return fmt.Sprintf(`{"id":%q,"name":%q,"role":%q}`, id, name, role)
}
