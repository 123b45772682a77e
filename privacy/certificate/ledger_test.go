package certificate_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"escrow"
	"escrow/archive"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/officers"
	"escrow/internal/vfs"
	"escrow/privacy/certificate"
)

const origin = "example.org/escrow/acme"

// canary is in every message of the test ledgers, in clear, which no real one would be.
const canary = "Zaphod-Quetzalcoatl"

// book is a ledger under test, the keys of its officers and a clock that moves an hour a record.
type book struct {
	t      testing.TB
	ledger *archive.Ledger
	signer *sign.Signer
	now    time.Time
	keys   map[string]note.Signer
	n      byte
}

func newSigner(t testing.TB, seed byte) *sign.Signer {
	t.Helper()
	keyset, err := sign.NewKeyset(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewSigner(origin, keyset)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newBook(t testing.TB) *book {
	b := &book{t: t, signer: newSigner(t, 1), now: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC), keys: map[string]note.Signer{}}
	var err error
	b.ledger, err = archive.Open(t.Context(), vfs.NewMem(), "ledger", archive.Config{Signer: b.signer, Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.ledger.Close() })
	b.write(archive.KindFounded, events.ArchiveFounded{Tenant: "main", Region: "eu", Format: 1})
	b.messages(3)
	return b
}

func (b *book) append(e archive.Entry) escrow.Seq {
	b.t.Helper()
	seq, err := b.ledger.Append(b.t.Context(), []archive.Entry{e})
	if err != nil {
		b.t.Fatal(err)
	}
	return seq
}

// write appends a fact, an hour after the one before.
func (b *book) write(kind archive.RecordKind, f events.Fact) escrow.Seq {
	b.t.Helper()
	b.now, b.n = b.now.Add(time.Hour), b.n+1
	c := chronicle.Chronicle{Source: b.ledger.Origin(), Now: func() time.Time { return b.now }, Rand: bytes.NewReader(bytes.Repeat([]byte{b.n}, 16))}
	e, err := c.Entry(f)
	if err != nil {
		b.t.Fatal(err)
	}
	e.Header.Kind = kind
	return b.append(e)
}

// messages appends records that are no events.
func (b *book) messages(n int) {
	b.t.Helper()
	for range n {
		seq := b.ledger.Size()
		b.append(archive.Entry{Blob: fmt.Appendf(nil, "%s %d", canary, seq), Header: archive.Header{Kind: archive.KindMessage, Time: b.now,
			Source: archive.Source{Tag: [16]byte{1}, Seq: uint64(seq) + 1}, Stream: archive.Stream{Tag: [16]byte{2}, Counter: uint64(seq) + 1}, Class: "R7"}})
	}
}

// act appends an act for which an officer answers, signed a minute before it is written.
func (b *book) act(kind archive.RecordKind, act events.Act, officer string) escrow.Seq {
	b.t.Helper()
	act = act.SignedBy(officer, "")
	statement, err := officers.Sign(officers.Draft(origin, act, b.now.Add(59*time.Minute)), b.keys[officer])
	if err != nil {
		b.t.Fatal(err)
	}
	return b.write(kind, act.SignedBy(officer, statement))
}

func (b *book) key(name string, seed byte) string {
	b.t.Helper()
	secret, verifier, err := officers.NewKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)), name)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.keys[name], err = officers.ParseKey(secret); err != nil {
		b.t.Fatal(err)
	}
	return verifier
}

func (b *book) officer(name, sponsor string, seed byte) escrow.Seq {
	b.t.Helper()
	verifier := b.key(name, seed)
	if sponsor == "" {
		sponsor = name
	}
	return b.act(archive.KindPolicy, events.OfficerAdded{Officer: name, Key: verifier}, sponsor)
}

func (b *book) staff() {
	b.t.Helper()
	b.officer("dpo", "", 10)
	b.officer("legal", "", 11)
	b.officer("dpo-2", "dpo", 12)
}

func (b *book) leaf(seq escrow.Seq) string {
	b.t.Helper()
	h, err := b.ledger.Header(seq)
	if err != nil {
		b.t.Fatal(err)
	}
	hash := h.LeafHash()
	return hex.EncodeToString(hash[:])
}

var person = events.ErasureRequested{Scope: events.ScopePerson, Subjects: []uint32{7}, Basis: "art17-1-b", Case: "2026/17",
	Preview: events.Counts{Dies: 3, DiesOfOthers: 1, LosesIdentity: 2, Stays: 4, Held: 1, Why: map[string]uint64{"any-of": 4}}}

// story is the steps of a request, one function each, so that a test can leave one out, change one or stop before one.
type story struct {
	request            events.ErasureRequested
	requester, decider string
	seq                escrow.Seq
	steps              []step
}

type step struct {
	name string
	do   func(b *book, s *story)
}

func sound() *story {
	return &story{request: person, requester: "dpo", decider: "legal", steps: []step{
		{"requested", func(b *book, s *story) { s.seq = b.act(archive.KindRequest, s.request, s.requester) }},
		{"approved", func(b *book, s *story) {
			b.act(archive.KindRequest, events.ErasureApproved{Request: s.seq, Leaf: b.leaf(s.seq), Until: b.now.Add(4 * time.Hour)}, s.decider)
		}},
		{"restricted", func(b *book, s *story) { b.write(archive.KindRequest, events.ErasureRestricted{Request: s.seq}) }},
		{"slots", func(b *book, s *story) {
			b.messages(2)
			b.now = b.now.Add(3 * time.Hour)
			b.write(archive.KindHold, events.HoldSlotsAdded{Hold: 2, Slots: []events.HoldSlot{{Seq: 2, Facet: 0, Slot: []byte("wrapped")}, {Seq: 3, Facet: 0, Slot: []byte("wrapped")}}})
			b.write(archive.KindHold, events.HoldSlotsAdded{Hold: 1, Slots: []events.HoldSlot{{Seq: 2, Facet: 1, Slot: []byte("wrapped")}}})
		}},
		{"ordered", func(b *book, s *story) {
			b.write(archive.KindErase, events.ErasureExecuted{Scope: s.request.Scope, Subjects: s.request.Subjects, Messages: s.request.Messages,
				Tenant: s.request.Scope == events.ScopeTenant, Requests: []escrow.Seq{s.seq}, Basis: s.request.Basis, Case: s.request.Case})
		}},
		{"committed", func(b *book, _ *story) {
			b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 9, State: "5e", Applied: b.ledger.Size(), Trees: 8, Shares: 1})
		}},
		{"cleaned", func(b *book, _ *story) {
			b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 10, State: "60", Applied: b.ledger.Size() - 1, Trees: 8, Shares: 1})
		}},
		{"purged", func(b *book, _ *story) {
			b.write(archive.KindPurge, events.IndexPurged{UpTo: b.ledger.Size(), Removed: 3, Redacted: 2, Files: 1, Counted: &events.FacetCount{Messages: 9, Dead: 8, Held: 7, Others: 6}})
		}},
		{"first roots", func(b *book, _ *story) {
			b.roots(root(6, "awskms", gone), root(7, "awskms", gone), root(7, "file", gone))
		}},
		{"roots at the provider", func(b *book, _ *story) {
			due := b.now.Add(7 * 24 * time.Hour)
			b.roots(root(8, "file", gone), root(8, "awskms", &due), root(9, "file", gone), root(9, "awskms", &due))
		}},
		{"last root but one", func(b *book, _ *story) { b.roots(root(8, "file", gone), root(8, "awskms", gone)) }},
		{"last root", func(b *book, _ *story) { b.roots(root(9, "file", gone), root(9, "awskms", gone)) }},
	}}
}

var gone *time.Time

// root is what a store says of a root: gone, or pending until it is due.
func root(epoch uint64, store string, due *time.Time) events.RootDestroyed {
	r := events.RootDestroyed{Epoch: epoch, Store: store, Method: "Purge <by the provider & its HSM>", State: events.RootGone, Due: due, Detail: "as agreed"}
	if due != nil {
		r.State = events.RootPending
	}
	return r
}

func (b *book) roots(roots ...events.RootDestroyed) escrow.Seq {
	b.t.Helper()
	return b.write(archive.KindKeyEpoch, events.RootsDestroyed{Roots: roots})
}

// tell writes a story with its officers, and what comes before: an earlier order with its epoch.
func (s *story) tell(b *book, until string) {
	b.t.Helper()
	b.staff()
	b.write(archive.KindHold, events.HoldSlotsAdded{Hold: 1, Slots: []events.HoldSlot{{Seq: 1, Facet: 0, Slot: []byte("wrapped")}}})
	b.write(archive.KindErase, events.ErasureExecuted{Scope: events.ScopeExpiry, Days: []events.DayRange{{Class: 1, From: 20_000, To: 20_001}}, Basis: "schedule"})
	b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 8, State: "5d", Applied: b.ledger.Size(), Trees: 8, Shares: 2})
	b.write(archive.KindPurge, events.IndexPurged{UpTo: b.ledger.Size()})
	b.roots(root(5, "awskms", gone))
	b.roots(root(6, "awskms", &b.now)) // not gone before the order
	for _, step := range s.steps {
		step.do(b, s)
		b.messages(1)
		if step.name == until {
			return
		}
	}
}

// replace changes the step of a name.
func (s *story) replace(name string, do func(b *book, s *story)) *story {
	for i := range s.steps {
		if s.steps[i].name == name {
			s.steps[i].do = do
		}
	}
	return s
}

func nothing(*book, *story) {}

func (b *book) build(target escrow.Seq) (*certificate.Certificate, []byte) {
	b.t.Helper()
	c, err := certificate.Build(b.t.Context(), b.ledger, target, b.signer)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := c.MarshalJSON()
	if err != nil {
		b.t.Fatal(err)
	}
	return c, raw
}
