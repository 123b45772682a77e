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
		events.ErasureExecuted{Scope: "person", Subjects: []uint32{7}, Basis: "art17-1-b", Case: "2026/17"},
		events.ErasureExecuted{Scope: "conversation", Messages: []events.SeqRange{{From: 3, To: 9}}, Basis: "art17-1-a"},
		events.IndexPurged{UpTo: 12, Removed: 3, Redacted: 1, Files: 2},
		events.LogIncident{What: "gap", Stream: "ab", Sequence: 4, From: 3, To: 3, Detail: "one entry is missing", Noticed: at},
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
