package certificate_test

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/privacy/certificate"
)

// tree is a signed tree made by an archive that does as it likes, with records of its choice.
type tree struct {
	t      *testing.T
	leaves [][]byte
	events []string
}

// add appends a record with a time of the archive's choice.
func (x *tree) add(kind archive.RecordKind, at time.Time, f events.Fact) {
	x.t.Helper()
	x.addAt(kind, at, at, f)
}

// addAt appends a record whose event has another time than its leaf.
func (x *tree) addAt(kind archive.RecordKind, at, event time.Time, f events.Fact) {
	x.t.Helper()
	raw, err := events.Marshal(events.Event{ID: "x", Source: origin, Time: event, Fact: f})
	if err != nil {
		x.t.Fatal(err)
	}
	h := archive.Header{Kind: kind, Time: at, Sealed: archive.Digest{SHA256: sha256.Sum256(raw), Len: uint64(len(raw))}}
	x.leaves, x.events = append(x.leaves, h.AppendLeaf(nil)), append(x.events, string(raw))
}

// document returns the certificate of record 0, with the checkpoint of a ledger with this name, but without a statement.
func (x *tree) document(signer note.Signer, name string) *document {
	x.t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	n := int64(len(x.leaves))
	for i, leaf := range x.leaves {
		hashes, err := tlog.StoredHashes(int64(i), leaf, reader)
		if err != nil {
			x.t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(n, reader)
	if err != nil {
		x.t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: archive.Checkpoint{Origin: name, Size: escrow.TreeSize(n), Root: root}.Text()}, signer)
	if err != nil {
		x.t.Fatal(err)
	}
	d := &document{Format: json.RawMessage(`"escrow/certificate@v1"`), Statement: json.RawMessage("{}"), Checkpoint: string(signed),
		Target: json.RawMessage("0"), Attested: json.RawMessage("{}")}
	for i := range x.leaves {
		proof, err := tlog.ProveRecord(n, int64(i), reader)
		if err != nil {
			x.t.Fatal(err)
		}
		r := documentRecord{Seq: uint64(i), Leaf: string(x.leaves[i]), Event: x.events[i], Proof: []string{}}
		for _, h := range proof {
			r.Proof = append(r.Proof, h.String())
		}
		d.Records = append(d.Records, r)
	}
	return d
}

func verify(t *testing.T, d *document, vkey string) error {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	_, err = certificate.Verify(raw, vkey)
	return err
}

// TestDishonestArchive: what our ledger would never write, in a tree the archive's key has signed all the same.
func TestDishonestArchive(t *testing.T) {
	signer := newSigner(t, 1)
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	order := events.ErasureExecuted{Scope: events.ScopeExpiry, Days: []events.DayRange{{Class: 1, From: 0, To: 1}}, Basis: "schedule"}
	ledger := func(second time.Time, applied, upTo escrow.TreeSize) *tree {
		x := &tree{t: t}
		x.add(archive.KindErase, at, order)
		x.add(archive.KindKeyEpoch, second, events.EpochCommitted{Epoch: 1, State: "01", Applied: applied})
		x.add(archive.KindPurge, at.Add(time.Hour), events.IndexPurged{UpTo: upTo})
		return x
	}
	ahead := &tree{t: t}
	ahead.addAt(archive.KindErase, at, at.Add(time.Hour), order)
	for _, test := range []struct {
		name string
		tree *tree
		of   string
		want string
	}{
		{"an event later than its record", ahead, origin, "time of its event"},
		{"honest but for the statement", ledger(at, 1, 2), origin, "does not follow"},
		{"time runs backwards", ledger(at.Add(-time.Second), 1, 2), origin, "order of the ledger"},
		{"epoch before the order", ledger(at, 0, 2), origin, "not the one that carries the order out"},
		{"purge before the order", ledger(at, 1, 0), origin, "not the one after the order"},
		{"checkpoint of another ledger", ledger(at, 1, 2), "example.org/escrow/other", "not of"},
	} {
		err := verify(t, test.tree.document(signer, test.of), signer.VKey())
		if err == nil || escrow.KindOf(err) != escrow.Forged || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a refusal that says %q", test.name, err, test.want)
		}
	}
}

// TestForeignRecords: records of the same ledger that have no place in the story are refused, proven as they are.
func TestForeignRecords(t *testing.T) {
	b := newBook(t)
	b.staff()
	release := func(hold uint32) {
		b.act(archive.KindHold, events.HoldPlaced{Hold: hold, Matter: "m", Messages: []events.SeqRange{{From: 1, To: 2}}}, "dpo")
		b.act(archive.KindHold, events.HoldReleased{Hold: hold}, "legal")
	}
	release(3)
	release(4)
	first := b.write(archive.KindErase, events.ErasureExecuted{Scope: events.ScopeHold, Holds: []uint32{3}, Basis: "release"})
	b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 2, State: "02", Applied: b.ledger.Size()})
	b.write(archive.KindPurge, events.IndexPurged{UpTo: b.ledger.Size()})
	b.roots(root(1, "file", gone))
	second := b.write(archive.KindErase, events.ErasureExecuted{Scope: events.ScopeHold, Holds: []uint32{4}, Basis: "release"})
	b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 3, State: "03", Applied: b.ledger.Size()})
	b.write(archive.KindPurge, events.IndexPurged{UpTo: b.ledger.Size()})
	b.roots(root(1, "file", gone), root(2, "file", gone))
	_, raw := b.build(first)
	_, other := b.build(second)
	tried := 0
	for _, foreign := range parse(t, other).Records {
		d := parse(t, raw)
		if slices.ContainsFunc(d.Records, func(r documentRecord) bool { return r.Seq == foreign.Seq }) {
			continue
		}
		d.Records = append(d.Records, foreign)
		slices.SortFunc(d.Records, func(a, b documentRecord) int { return int(a.Seq) - int(b.Seq) })
		err := verify(t, d, b.signer.VKey())
		want := "is not about hold 4"
		switch {
		case strings.Contains(foreign.Event, "HoldPlaced"):
			want = "does not follow" // that it was placed says nothing
		case strings.Contains(foreign.Event, "EpochCommitted"), strings.Contains(foreign.Event, "IndexPurged"):
			want = "is not the one"
		case strings.Contains(foreign.Event, "ErasureExecuted"):
			want = "about one order"
		case strings.Contains(foreign.Event, "RootsDestroyed"):
			want = "these roots are not"
		}
		if tried++; err == nil || escrow.KindOf(err) != escrow.Forged || !strings.Contains(err.Error(), want) {
			t.Errorf("with record %d: %v, want a refusal that says %q", foreign.Seq, err, want)
		}
	}
	if tried != 6 {
		t.Errorf("%d foreign records tried", tried)
	}
}
