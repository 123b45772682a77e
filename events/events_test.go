package events_test

import (
	"testing"
	"time"

	"escrow"
	"escrow/events"

	"github.com/google/go-cmp/cmp"
)

func TestWireRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 3, 0, time.UTC)
	for _, f := range []events.Fact{
		events.OfficerAdded{Officer: "dpo-2", Key: "dpo-2+00+x", Sponsor: "dpo", Statement: "s"},
		events.OfficerRemoved{Officer: "dpo-2", Remover: "legal", Statement: "s"},
		events.ErasureRequested{Scope: events.ScopePerson, Subjects: []uint32{7}, Messages: []events.SeqRange{{From: 3, To: 9}}, Basis: "art17-1-b", Case: "2026/17",
			Preview: events.Counts{Dies: 5, DiesOfOthers: 1, LosesIdentity: 2, Stays: 3, Held: 4, Why: map[string]uint64{"all-of": 3}}, Officer: "dpo", Statement: "s"},
		events.ErasureApproved{Request: 9, Leaf: "ab", Until: at, Officer: "legal", Statement: "s"},
		events.ErasureRestricted{Request: 9},
		events.ErasureWithdrawn{Request: 9, Officer: "legal", Statement: "s"},
		events.HoldPlaced{Hold: 1, Matter: "m/1", Messages: []events.SeqRange{{From: 3, To: 9}}, Officer: "legal", Statement: "s"},
		events.HoldReleased{Hold: 1, Officer: "legal", Statement: "s"},
		events.HoldSlotsAdded{Hold: 1, Slots: []events.HoldSlot{{Seq: 3, Facet: 1, Slot: []byte{1, 2}}}},
		events.ErasureExecuted{Scope: events.ScopePerson, Subjects: []uint32{7}, Basis: "art17-1-b", Case: "2026/17"},
		events.ErasureExecuted{Scope: events.ScopeDue, Subjects: []uint32{7}, Messages: []events.SeqRange{{From: 3, To: 9}}, Days: []events.DayRange{{Class: 1, From: 2, To: 3}},
			IngestDays: []events.LeafRange{{From: 4, To: 5}}, Holds: []uint32{6}, Tenant: true, Requests: []escrow.Seq{9}, Basis: "b"},
		events.EpochCommitted{Epoch: 4, State: "ab", Applied: 12, Trees: 8, Shares: 3},
		events.IndexPurged{UpTo: 12, Removed: 3, Redacted: 1, Files: 2, Counted: &events.FacetCount{Messages: 4, Dead: 3, Held: 2, Others: 1}},
		events.RootsDestroyed{Roots: []events.RootDestroyed{{Epoch: 3, Store: "file", Method: "Clear", State: events.RootPending, Due: &at, Detail: "d"}}},
		events.ErasureCertified{Request: 9, Digest: "ab"},
		events.LogIncident{What: "gap", Stream: "ab", Sequence: 4, From: 3, To: 3, Detail: "one entry is missing", Noticed: at},
		events.RecordsLost{Has: 7, Had: 9, Backup: at, Noticed: at},
		events.ArchiveFounded{Tenant: "main", Region: "eu", Format: 1},
	} {
		want := events.Event{ID: "00", Source: "escrow/x", Time: at, Fact: f}
		b, err := events.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := events.Parse(b)
		if err != nil {
			t.Fatalf("Parse(%s): %v", b, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: round trip (-want +got):\n%s", f.Type(), d)
		}
	}
}

// TestOlderOrders reads an order as it was written before it could name days, holds and requests.
func TestOlderOrders(t *testing.T) {
	const order = `{"specversion":"1.0","id":"1","source":"s","type":"escrow.ErasureExecuted.v1","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json",` +
		`"data":{"scope":"message","messages":[{"from":1,"to":2}],"basis":"art17-1"}}`
	e, err := events.Parse([]byte(order))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(events.ErasureExecuted{Scope: "message", Messages: []events.SeqRange{{From: 1, To: 2}}, Basis: "art17-1"}, e.Fact); d != "" {
		t.Error(d)
	}
	b, err := events.Marshal(e)
	if err != nil || string(b) != order {
		t.Errorf("written again: %s, %v", b, err)
	}
}

// TestActs says who answers for an act, and that nothing else of it depends on that.
func TestActs(t *testing.T) {
	for _, act := range []events.Act{
		events.OfficerAdded{Officer: "b"}, events.OfficerRemoved{Officer: "b"}, events.ErasureRequested{Case: "b"}, events.ErasureApproved{Request: 2},
		events.ErasureWithdrawn{Request: 2}, events.HoldPlaced{Hold: 2}, events.HoldReleased{Hold: 2},
	} {
		signed := act.SignedBy("a", "s")
		if officer, statement := signed.By(); officer != "a" || statement != "s" {
			t.Errorf("%s: by %q with %q", act.Type(), officer, statement)
		}
		if d := cmp.Diff(act, signed.SignedBy("", "")); d != "" {
			t.Errorf("%s without officer (-want +got):\n%s", act.Type(), d)
		}
	}
	founder := events.OfficerAdded{Officer: "b"}.SignedBy("b", "s")
	if d := cmp.Diff(events.OfficerAdded{Officer: "b", Statement: "s"}, founder); d != "" {
		t.Errorf("a founder answers for itself (-want +got):\n%s", d)
	}
	if officer, _ := founder.By(); officer != "b" {
		t.Errorf("the founder answers as %q", officer)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty":         ``,
		"unknown type":  `{"specversion":"1.0","id":"1","source":"s","type":"escrow.Nothing.v1","time":"2026-01-01T00:00:00Z","data":{}}`,
		"unknown field": `{"specversion":"1.0","id":"1","source":"s","type":"escrow.IndexPurged.v1","time":"2026-01-01T00:00:00Z","data":{"x":1}}`,
		"trailing":      `{"specversion":"1.0","id":"1","source":"s","type":"escrow.IndexPurged.v1","time":"2026-01-01T00:00:00Z","data":{}} {}`,
		"not json":      `nope`,
	} {
		if _, err := events.Parse([]byte(in)); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("%s: Parse = %v, want an error of kind corrupt", name, err)
		}
	}
}

// TestMarshalRefuses: what could not be read again is not written.
func TestMarshalRefuses(t *testing.T) {
	at := func(bytes int) events.Event {
		return events.Event{ID: "1", Source: "s", Fact: events.LogIncident{Quarantined: make([]byte, bytes)}}
	}
	if _, err := events.Marshal(at(escrow.MaxImport)); err != nil {
		t.Errorf("the largest import in quarantine: %v", err)
	}
	if _, err := events.Marshal(at(events.MaxEventBytes/4*3 + 1)); escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("an event longer than is read: %v, want kind invalid", err)
	}
}

func TestInSubject(t *testing.T) {
	tenant, channel, err := events.ParseInSubject(events.InSubject("acme", "support-chat"))
	if err != nil || tenant != "acme" || channel != "support-chat" {
		t.Fatalf("got %v %v %v", tenant, channel, err)
	}
	for _, s := range []string{"escrow.in.acme", "escrow.in.acme.a.b", "escrow.in.Acme.chat", "escrow.in..chat", "other.acme.chat", "escrow.in.acme."} {
		if _, _, err := events.ParseInSubject(s); escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("ParseInSubject(%q) = %v, want invalid", s, err)
		}
	}
}

func TestRanges(t *testing.T) {
	got := events.Ranges([]escrow.Seq{9, 3, 4, 4, 5, 11, 10})
	want := []events.SeqRange{{From: 3, To: 5}, {From: 9, To: 11}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Ranges (-want +got):\n%s", d)
	}
	var back []escrow.Seq
	for s := range events.Seqs(got) {
		back = append(back, s)
	}
	if d := cmp.Diff([]escrow.Seq{3, 4, 5, 9, 10, 11}, back); d != "" {
		t.Errorf("Seqs (-want +got):\n%s", d)
	}
}
