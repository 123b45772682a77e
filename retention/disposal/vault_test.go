package disposal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

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
	"escrow/events/officers"
	"escrow/internal/vfs"
	"escrow/retention"
	"escrow/retention/disposal"
)

const origin = "escrow/test/acme"

// start is a moment in the middle of a day and of a quarter.
var start = time.Date(2026, 5, 12, 10, 0, 0, 0, time.UTC)

// archiveKeys are what outlives the processes of a test: the officers' keys.
type archiveKeys struct {
	secret, public map[string]string
}

func newArchiveKeys(t testing.TB) *archiveKeys {
	t.Helper()
	k := &archiveKeys{map[string]string{}, map[string]string{}}
	for _, name := range []string{"dpo", "legal", "clerk"} {
		secret, public, err := officers.NewKey(rand.Reader, name)
		check(t, err)
		k.secret[name], k.public[name] = secret, public
	}
	return k
}

// clock is a clock that stands still unless it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// settings of a vault; the zero value waits for nothing.
type settings struct {
	terms   disposal.Terms
	sealed  func(context.Context) (bool, error)
	certify func(context.Context, escrow.Seq) (string, error)
	index   disposal.Index // nil: one that has nothing to do
	stores  func(vfs.FS, *clock) []rootstore.Store
	founded time.Time // zero: start
}

// vault is the archive of one tenant without log and ingest, in memory.
type vault struct {
	*clock
	*disposal.Pipeline
	t         testing.TB
	fs        vfs.FS
	officers  *archiveKeys
	ledger    *archive.Ledger
	keys      *keystate.State
	directory *directory.Directory
	sealer    *seal.Sealer
	index     *emptyIndex
	counter   uint64
}

// found makes an archive with two classes, of 1 and of 100 days, and two officers.
func found(t testing.TB, s settings) *vault {
	t.Helper()
	fs, c := vfs.NewMem(), &clock{now: start}
	if !s.founded.IsZero() {
		c.now = s.founded
	}
	keyset := must(sign.NewKeyset(rand.Reader))(t)
	keys := must(keystate.Create(context.Background(), fs, "/keys", s.keyConfig(t, fs, c), keyset))(t)
	check(t, keys.Update(func(tx *keystate.Tx) error {
		tx.AddTree(keytree.KindRetention, 0)
		tx.AddTree(keytree.KindRetention, 1)
		return nil
	}))
	check(t, keys.Close())
	v := must(reopen(t, fs, c, newArchiveKeys(t), s))(t)
	for _, name := range []string{"dpo", "legal"} {
		v.record(name, events.OfficerAdded{Officer: name, Key: v.officers.public[name]})
	}
	return v
}

func (s settings) keyConfig(t testing.TB, fs vfs.FS, c *clock) keystate.Config {
	t.Helper()
	if s.stores != nil {
		return keystate.Config{Roots: s.stores(fs, c), Rand: rand.Reader, Now: c.Now}
	}
	check(t, vfs.MkdirAllSync(fs, "/roots", 0o700))
	roots := must(file.Open(fs, "/roots/file", file.Config{Stripes: 4}))(t)
	return keystate.Config{Roots: []rootstore.Store{roots}, Rand: rand.Reader, Now: c.Now}
}

// reopen opens what is in fs and passes the gate.
func reopen(t testing.TB, fs vfs.FS, c *clock, keys *archiveKeys, s settings) (*vault, error) {
	t.Helper()
	v, err := unlock(t, fs, c, keys, s)
	if err != nil {
		return nil, err
	}
	return v, v.Gate(context.Background())
}

// unlock opens what is in fs as far as before the gate. Errors are returned, for tests of copies that must not open.
func unlock(t testing.TB, fs vfs.FS, c *clock, officers *archiveKeys, s settings) (*vault, error) {
	t.Helper()
	ctx := context.Background()
	v := &vault{clock: c, t: t, fs: fs, officers: officers, index: &emptyIndex{}, sealer: must(seal.New(rand.Reader))(t)}
	t.Cleanup(v.close)
	var err error
	if v.keys, err = keystate.Open(ctx, fs, "/keys", s.keyConfig(t, fs, c)); err != nil {
		return nil, err
	}
	signer := must(sign.NewSigner(origin, v.keys.SigningKey()))(t)
	if v.ledger, err = archive.Open(ctx, fs, "/ledger", archive.Config{Signer: signer, Now: c.Now}); err != nil {
		return nil, err
	}
	book := chronicle.Chronicle{Source: origin, Now: c.Now, Rand: rand.Reader}
	if v.ledger.Size() == 0 {
		e := must(book.Entry(events.ArchiveFounded{Tenant: "acme", Region: "eu", Format: 1}))(t)
		if _, err := v.ledger.Append(ctx, []archive.Entry{e}); err != nil {
			return nil, err
		}
	}
	if v.directory, err = openDirectory(fs, v.keys); err != nil {
		return nil, err
	}
	var index disposal.Index = v.index
	if s.index != nil {
		index = s.index
	}
	v.Pipeline, err = disposal.Open(ctx, disposal.Config{Ledger: v.ledger, Keys: v.keys, Directory: v.directory, Chronicle: book, Sealer: v.sealer,
		Terms: s.terms, Now: c.Now, Logger: slog.New(slog.DiscardHandler), Index: index, Sealed: s.sealed, Certify: s.certify})
	for _, n := range v.streams() {
		v.counter = max(v.counter, n)
	}
	return v, err
}

func (v *vault) streams() map[[16]byte]uint64 { return v.ledger.Streams() }

// openDirectory opens the snapshot, and begins anew where there is none that opens.
func openDirectory(fs vfs.FS, keys *keystate.State) (*directory.Directory, error) {
	d, err := directory.Open(fs, "/keys", keys.Secret("directory"), keys)
	if err != nil && escrow.KindOf(err) == escrow.Erased {
		if err := fs.Remove("/keys/directory"); err != nil {
			return nil, err
		}
		return directory.Open(fs, "/keys", keys.Secret("directory"), keys)
	}
	return d, err
}

// close releases the archive; it may be called twice.
func (v *vault) close() {
	if v.ledger != nil {
		_ = v.ledger.Close() // fails where a test made the disk fail
	}
	if v.keys != nil {
		_ = v.keys.Close()
	}
}

// again closes the archive and opens it anew.
func (v *vault) again(s settings) *vault {
	v.t.Helper()
	v.close()
	return must(reopen(v.t, v.fs, v.clock, v.officers, s))(v.t)
}

// signed returns an act for which an officer answers. Each takes a second, so that no two statements are the same.
func (v *vault) signed(officer string, act events.Act) events.Act {
	v.t.Helper()
	v.move(time.Second)
	act = act.SignedBy(officer, "")
	signer := must(note.NewSigner(v.officers.secret[officer]))(v.t)
	return act.SignedBy(officer, must(officers.Sign(officers.Draft(origin, act, v.Now()), signer))(v.t))
}

// try records an act of an officer.
func (v *vault) try(officer string, act events.Act) (escrow.Seq, error) {
	v.t.Helper()
	return v.Record(context.Background(), v.signed(officer, act))
}

func (v *vault) record(officer string, act events.Act) escrow.Seq {
	v.t.Helper()
	return must(v.try(officer, act))(v.t)
}

// request asks for an erasure and has it approved.
func (v *vault) request(f events.ErasureRequested) escrow.Seq {
	v.t.Helper()
	seq := v.record("dpo", f)
	v.approve(seq)
	return seq
}

func (v *vault) approve(request escrow.Seq) {
	v.t.Helper()
	v.record("legal", v.approval(request))
}

func (v *vault) approval(request escrow.Seq) events.ErasureApproved {
	v.t.Helper()
	h := must(v.ledger.Header(request))(v.t)
	leaf := h.LeafHash()
	return events.ErasureApproved{Request: request, Leaf: fmt.Sprintf("%x", leaf[:]), Until: v.Until()}
}

func person(leaves ...uint32) events.ErasureRequested {
	return events.ErasureRequested{Scope: events.ScopePerson, Subjects: leaves, Basis: "art17-1-b"}
}

func messages(seqs ...escrow.Seq) events.ErasureRequested {
	return events.ErasureRequested{Scope: events.ScopeMessage, Messages: events.Ranges(seqs), Basis: "art17-1-d"}
}

func everything() events.ErasureRequested {
	return events.ErasureRequested{Scope: events.ScopeTenant, Basis: "contract-end"}
}

// hold places a hold and returns its number.
func (v *vault) hold(seqs ...escrow.Seq) uint32 {
	v.t.Helper()
	n := v.NextHold()
	v.record("legal", events.HoldPlaced{Hold: n, Matter: "m-1", Messages: events.Ranges(seqs)})
	return n
}

func (v *vault) release(hold uint32) {
	v.t.Helper()
	v.record("legal", events.HoldReleased{Hold: hold})
}

// advance carries out what is due.
func (v *vault) advance(o disposal.Options) disposal.Report {
	v.t.Helper()
	return must(v.Advance(context.Background(), o))(v.t)
}

// subject returns the number of a person.
func (v *vault) subject(name string) uint32 {
	v.t.Helper()
	leaf, _, err := v.directory.Assign(identity(name))
	check(v.t, err)
	return leaf
}

func identity(name string) string { return "email:" + name + "@example.org" }

// put seals a message of class 0, kept for one day, from the first person to the others, all of them its participants.
func (v *vault) put(policy string, people ...string) escrow.Seq {
	v.t.Helper()
	return v.putClass(0, 1, policy, people...)
}

func (v *vault) putClass(class uint16, days int, policy string, people ...string) escrow.Seq {
	v.t.Helper()
	for {
		seq, err := v.seal(class, days, policy, people...)
		if escrow.KindOf(err) == escrow.Conflict && err != nil {
			continue // something else was appended meanwhile
		}
		return must(seq, err)(v.t)
	}
}

func (v *vault) seal(class uint16, days int, policy string, people ...string) (escrow.Seq, error) {
	size := v.ledger.Size()
	entry, err := v.entry(escrow.Seq(size), class, days, policy, people...)
	if err != nil {
		return 0, err
	}
	return escrow.Seq(size), v.ledger.AppendAt(ctx(), size, []archive.Entry{entry})
}

// entry seals a message as the record with number seq.
func (v *vault) entry(seq escrow.Seq, class uint16, days int, policy string, people ...string) (archive.Entry, error) {
	now := v.Now()
	due := retention.Class{Number: class, Days: days}.Due(now)
	life := []keytree.Ref{{Kind: keytree.KindRetention, Tree: class, Leaf: uint32(due)}, v.keys.Ref(keytree.KindMessage, uint32(seq))}
	slot := func(names ...string) []keytree.Ref {
		refs := slices.Clone(life)
		for _, name := range names {
			refs = append(refs, v.keys.Ref(keytree.KindSubject, v.subject(name)))
		}
		return refs
	}
	slots := [][]keytree.Ref{slot(people[0])}
	switch policy {
	case "all-of":
		slots = [][]keytree.Ref{slot(people...)}
	case "any-of":
		slots = nil
		for _, name := range people {
			slots = append(slots, slot(name))
		}
	}
	facets := []seal.Facet{{Kind: seal.FacetBody, Plain: []byte("body of " + people[0]), Slots: slots}}
	for i, name := range people {
		facets = append(facets, seal.Facet{Kind: seal.FacetIdentity, Index: uint16(i), Plain: []byte(name), Slots: [][]keytree.Ref{slot(name)}})
	}
	context := seal.Context{Tenant: "acme", Region: "eu", Seq: seq, Policy: seal.PolicyID{Name: policy, Version: 1}, Class: fmt.Sprint("c", class)}
	blob, err := v.sealer.Seal(v.keys, context, facets)
	if err != nil {
		return archive.Entry{}, err
	}
	v.counter++
	return archive.Entry{Header: archive.Header{Kind: archive.KindMessage, Time: now, Class: context.Class, Source: archive.Source{Tag: [16]byte{1}, Seq: v.counter},
		Stream: archive.Stream{Tag: [16]byte{2}, Counter: v.counter}}, Blob: blob}, nil
}

func ctx() context.Context { return context.Background() }

// guarded are keys as a reader of one record may use them.
type guarded struct {
	v   *vault
	seq escrow.Seq
}

// Share implements seal.Keys.
func (g guarded) Share(ref keytree.Ref) (keytree.Share, error) {
	if g.v.Restricted(g.seq, ref) {
		return keytree.Share{}, escrow.Errorf("test", escrow.Denied, "restricted")
	}
	return g.v.keys.Share(ref)
}

// read returns what can be read of a message, the body first, then identities: "body of ana|ana|bob"; "" if nothing.
func (v *vault) read(seq escrow.Seq) string {
	v.t.Helper()
	return v.readWith(seq, guarded{v, seq})
}

// force is read by somebody who has the keys and asks nobody.
func (v *vault) force(seq escrow.Seq) string {
	v.t.Helper()
	return v.readWith(seq, v.keys)
}

func (v *vault) readWith(seq escrow.Seq, keys seal.Keys) string {
	v.t.Helper()
	sealed := must(v.sealer.Parse(must(v.ledger.Read(seq))(v.t).Blob))(v.t)
	for _, s := range must(v.Slots(seq))(v.t) {
		check(v.t, sealed.AddSlot(s.Facet, s.Slot))
	}
	var parts []string
	for i := range sealed.Facets() {
		plain, err := sealed.Open(keys, i)
		if err != nil && escrow.KindOf(err) != escrow.Erased && escrow.KindOf(err) != escrow.Denied {
			v.t.Errorf("record %d, facet %d: %v", seq, i, err)
		}
		if err == nil {
			parts = append(parts, string(plain))
		}
	}
	return strings.Join(parts, "|")
}

// want compares what can be read.
func (v *vault) want(what string, seq escrow.Seq, want string) {
	v.t.Helper()
	if got := v.read(seq); got != want {
		v.t.Errorf("%s: message %d reads %q, want %q", what, seq, got, want)
	}
}

// facts returns the facts in the ledger from a record on.
func (v *vault) facts(from escrow.Seq) []events.Fact {
	v.t.Helper()
	var out []events.Fact
	check(v.t, v.ledger.ScanEvents(ctx(), from, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		out = append(out, e.Fact)
		return err
	}))
	return out
}

// names returns the types of facts, shortened, in one line.
func names(facts []events.Fact) string {
	var out []string
	for _, f := range facts {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(f.Type(), "escrow."), ".v1"))
	}
	return strings.Join(out, " ")
}

// emptyIndex is an index without documents whose files can be made to die, and which can fail.
type emptyIndex struct {
	mu      sync.Mutex
	dead    []uint32
	purges  int
	resets  int
	failing error
}

func (x *emptyIndex) Reach(context.Context, escrow.TreeSize) (int, int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return 1, 2, x.failing
}

func (x *emptyIndex) Purge(context.Context) ([]uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.purges++
	dead := x.dead
	x.dead = nil
	return dead, x.failing
}

func (x *emptyIndex) Reset(context.Context) ([]uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resets++
	return nil, x.failing
}

func (x *emptyIndex) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failing = err
}

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
func wantKind(t testing.TB, what string, err error, kind escrow.Kind, words ...string) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("%s: got %v, want an error of kind %v", what, err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error %q does not say %q", what, err, w)
		}
	}
}

var errDisk = errors.New("disk")
