package certificate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"escrow"
	"escrow/archive"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/officers"
	"escrow/privacy/certificate"
)

// TestUnsoundStories: what a ledger tells that an honest archive would not have written is not certified, though it is all in the signed tree.
func TestUnsoundStories(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(b *book) escrow.Seq
		want string
	}{
		{"approved by the requester", deciders("dpo", "dpo"), "another officer must approve"},
		{"approved by the requester's own officer", deciders("dpo", "dpo-2"), "brought in by"},
		{"requested by the approver's own officer", deciders("dpo-2", "dpo"), "brought in by"},
		{"approved with another key of the name", func(b *book) escrow.Seq {
			s := sound()
			do := s.steps[1].do
			s.replace("approved", func(b *book, s *story) { b.key("legal", 77); do(b, s) })
			s.tell(b, "")
			return s.seq
		}, "not that of"},
		{"approved by somebody removed", func(b *book) escrow.Seq {
			s := sound()
			do := s.steps[1].do
			s.replace("approved", func(b *book, s *story) {
				b.officer("legal-2", "legal", 15)
				b.act(archive.KindPolicy, events.OfficerRemoved{Officer: "legal"}, "dpo")
				do(b, s)
			})
			s.tell(b, "")
			return s.seq
		}, "no officer any more"},
		{"approved without statement", replaced("approved", func(b *book, s *story) {
			b.write(archive.KindRequest, events.ErasureApproved{Request: s.seq, Leaf: b.leaf(s.seq), Until: b.now, Officer: "legal"})
		}), "is missing"},
		{"approval of another request", replaced("approved", func(b *book, s *story) {
			b.act(archive.KindRequest, events.ErasureApproved{Request: s.seq, Leaf: b.leaf(s.seq - 1), Until: b.now}, "legal")
		}), "another request"},
		{"approval kept for a day", replaced("approved", func(b *book, s *story) {
			act := events.ErasureApproved{Request: s.seq, Leaf: b.leaf(s.seq), Until: b.now}.SignedBy("legal", "")
			statement, err := officers.Sign(officers.Draft(origin, act, b.now.Add(-24*time.Hour)), b.keys["legal"])
			if err != nil {
				b.t.Fatal(err)
			}
			b.write(archive.KindRequest, act.SignedBy("legal", statement))
		}), "minutes from now"},
		{"never approved", replaced("approved", nothing), "no place here"},
		{"never approved nor restricted", func(b *book) escrow.Seq {
			s := sound().replace("approved", nothing).replace("restricted", nothing)
			s.tell(b, "")
			return s.seq
		}, "before approval"},
		{"never restricted", replaced("restricted", nothing), "before approval and restriction"},
		{"ordered before the cooling-off time was over", replaced("slots", nothing), "cooling-off"},
		{"order about somebody else", replaced("ordered", func(b *book, s *story) {
			b.write(archive.KindErase, events.ErasureExecuted{Scope: "person", Subjects: []uint32{8}, Requests: []escrow.Seq{s.seq}, Basis: "b"})
		}), "does not name everything"},
		{"order about nobody", replaced("ordered", func(b *book, s *story) {
			b.write(archive.KindErase, events.ErasureExecuted{Scope: "person", Requests: []escrow.Seq{s.seq}, Basis: "b"})
		}), "does not name everything"},
		{"order about some of the messages", func(b *book) escrow.Seq {
			s := sound().replace("ordered", func(b *book, s *story) {
				b.write(archive.KindErase, events.ErasureExecuted{Scope: "message", Messages: []events.SeqRange{{From: 1, To: 1}, {From: 3, To: 9}}, Requests: []escrow.Seq{s.seq}, Basis: "b"})
			})
			s.request.Scope, s.request.Subjects, s.request.Messages = events.ScopeMessage, nil, []events.SeqRange{{From: 1, To: 2}}
			s.tell(b, "")
			return s.seq
		}, "does not name everything"},
		{"termination that leaves something", func(b *book) escrow.Seq {
			s := sound().replace("ordered", func(b *book, s *story) {
				b.write(archive.KindErase, events.ErasureExecuted{Scope: "tenant", Requests: []escrow.Seq{s.seq}, Basis: "b"})
			})
			s.request.Scope, s.request.Subjects = events.ScopeTenant, nil
			s.tell(b, "")
			return s.seq
		}, "does not name everything"},
		{"epoch that is not new", replaced("committed", func(b *book, _ *story) {
			b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 7, State: "5e", Applied: b.ledger.Size()})
		}), "do not increase"},
		{"purge before the keys were destroyed", replaced("committed", func(b *book, _ *story) {
			b.write(archive.KindPurge, events.IndexPurged{UpTo: b.ledger.Size()})
			b.write(archive.KindKeyEpoch, events.EpochCommitted{Epoch: 7, State: "5e", Applied: b.ledger.Size()})
		}), "do not increase"},
		{"order as a record of another kind", replaced("ordered", func(b *book, s *story) {
			b.write(archive.KindHold, events.ErasureExecuted{Scope: "person", Subjects: []uint32{7}, Requests: []escrow.Seq{s.seq}, Basis: "b"})
		}), "of kind"},
		{"release nobody signed", func(b *book) escrow.Seq {
			b.staff()
			return b.write(archive.KindErase, events.ErasureExecuted{Scope: events.ScopeHold, Holds: []uint32{3}, Basis: "release"})
		}, "nobody released hold 3"},
		{"event of another archive", func(b *book) escrow.Seq {
			s := sound()
			s.tell(b, "approved")
			raw, err := events.Marshal(events.Event{ID: "x", Source: "example.org/escrow/other", Time: b.now, Fact: events.ErasureRestricted{Request: s.seq}})
			if err != nil {
				b.t.Fatal(err)
			}
			b.append(archive.Entry{Blob: raw, Header: archive.Header{Kind: archive.KindRequest, Time: b.now}})
			return s.seq
		}, "another archive"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook(t)
			_, err := certificate.Build(t.Context(), b.ledger, test.tell(b), b.signer)
			if err == nil || escrow.KindOf(err) != escrow.Forged || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error of kind forged that says %q", err, test.want)
			}
		})
	}
}

func deciders(requester, approver string) func(b *book) escrow.Seq {
	return func(b *book) escrow.Seq {
		s := sound()
		s.requester, s.decider = requester, approver
		s.tell(b, "")
		return s.seq
	}
}

func replaced(name string, do func(b *book, s *story)) func(b *book) escrow.Seq {
	return func(b *book) escrow.Seq {
		s := sound().replace(name, do)
		s.tell(b, "")
		return s.seq
	}
}

// TestEveryByte flips a bit of every byte of a small certificate, and of some bytes of a large one.
func TestEveryByte(t *testing.T) {
	small := newBook(t)
	order := small.write(archive.KindErase, events.ErasureExecuted{Scope: events.ScopeExpiry, Days: []events.DayRange{{Class: 1, From: 0, To: 1}}, Basis: "schedule"})
	_, raw := small.build(order)
	flip(t, raw, 1, small.signer.VKey())
	large, s := newBook(t), sound()
	s.tell(large, "")
	_, raw = large.build(s.seq)
	flip(t, raw, 23, large.signer.VKey())
}

func flip(t *testing.T, raw []byte, stride int, vkey string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(raw); i += stride {
		old := raw[i]
		raw[i] ^= 1 << rng.IntN(8)
		if _, err := certificate.Verify(raw, vkey); err == nil || escrow.KindOf(err) != escrow.Corrupt && escrow.KindOf(err) != escrow.Forged {
			t.Errorf("byte %d is %q instead of %q: %v", i, raw[i], old, err)
		}
		raw[i] = old
	}
}

// document is the JSON of a certificate, to be changed at will; values keep their order and spelling.
type document struct {
	Format     json.RawMessage   `json:"format"`
	Statement  json.RawMessage   `json:"statement"`
	Note       string            `json:"note"`
	Checkpoint string            `json:"checkpoint"`
	Target     json.RawMessage   `json:"target"`
	Attested   json.RawMessage   `json:"attested"`
	Records    []documentRecord  `json:"records"`
	More       map[string]string `json:"more,omitempty"`
}

type documentRecord struct {
	Seq   uint64   `json:"seq"`
	Leaf  string   `json:"leaf"`
	Event string   `json:"event"`
	Proof []string `json:"proof"`
}

// TestEveryField changes what is said, by somebody who writes well-formed files, and for the last ones even holds the key of the archive.
func TestEveryField(t *testing.T) {
	b, s := newBook(t), sound()
	s.tell(b, "")
	_, raw := b.build(s.seq)
	other, o := newBook(t), sound()
	o.request.Case = "2026/99"
	o.tell(other, "")
	_, rawOther := other.build(o.seq)
	resign := func(d *document) { d.Note = resigned(t, b.signer, d) }
	for _, test := range []struct {
		name   string
		change func(d *document)
		want   string
	}{
		{"format", func(d *document) { d.Format = json.RawMessage(`"escrow/certificate@v2"`) }, "format"},
		{"unknown field", func(d *document) { d.More = map[string]string{"a": "b"} }, "unknown field"},
		{"target", func(d *document) { d.Target = json.RawMessage("3") }, "no place here"},
		{"no records", func(d *document) { d.Records = []documentRecord{} }, "is missing"},
		{"statement says attested is proven", swap(`"basis":"attested"`, `"basis":"proven"`), "does not follow"},
		{"statement of fewer dead", swap(`"dies":3`, `"dies":4`), "does not follow"},
		{"statement is final", swap(`"final":true`, `"final":false`), "does not follow"},
		{"statement of another method", swap(`Purge (by`, `Clear (by`), "does not follow"},
		{"statement that nothing remains", swap(`{"what":"the unreadable ciphertext"`, `{"what":"nothing"`), "does not follow"},
		{"held figures", func(d *document) { d.Attested = json.RawMessage(`{"held":[{"hold":1,"facets":1}]}`) }, "does not follow"},
		{"held figures out of order", func(d *document) {
			d.Attested = json.RawMessage(`{"held":[{"hold":2,"facets":2},{"hold":1,"facets":1}]}`)
		}, "not in order"},
		{"empty held figure", func(d *document) { d.Attested = json.RawMessage(`{"held":[{"hold":2,"facets":0}]}`) }, "not in order"},
		{"checkpoint of another ledger", func(d *document) { d.Checkpoint = parse(t, rawOther).Checkpoint }, "not in the tree"},
		{"checkpoint unsigned", func(d *document) { d.Checkpoint, _, _ = strings.Cut(d.Checkpoint, "—") }, "does not hold"},
		{"checkpoint with a witness", func(d *document) {
			d.Checkpoint += d.Checkpoint[strings.Index(d.Checkpoint, "—"):]
		}, "does not hold"},
		{"note of another certificate", func(d *document) { d.Note = parse(t, rawOther).Note }, "another statement"},
		{"note as checkpoint", func(d *document) { d.Checkpoint = d.Note }, "three lines"},
		{"checkpoint as note", func(d *document) { d.Note = d.Checkpoint }, "another statement"},
		{"note of another key", func(d *document) { d.Note = resigned(t, newSigner(t, 2), d) }, "note does not hold"},
		{"number of a record", func(d *document) { d.Records[3].Seq++ }, "not in the tree"},
		{"number beyond the ledger", func(d *document) { d.Records[3].Seq = 1 << 40 }, "records only"},
		{"leaf", func(d *document) {
			d.Records[5].Leaf = strings.Replace(d.Records[5].Leaf, "kind request", "kind hold", 1)
		}, "not in the tree"},
		{"event", func(d *document) { d.Records[5].Event = strings.Replace(d.Records[5].Event, "2026/17", "2026/18", 1) }, "has the digest of"},
		{"proof cut", func(d *document) { d.Records[3].Proof = d.Records[3].Proof[1:] }, "not in the tree"},
		{"proof of another record", func(d *document) { d.Records[3].Proof = d.Records[4].Proof }, "not in the tree"},
		{"endless proof", func(d *document) { d.Records[3].Proof = make65(d.Records[3].Proof[0]) }, "at most 64"},
		{"no proof", func(d *document) { d.Records[3].Proof = nil }, "at most 64"},
		{"records swapped", func(d *document) { d.Records[3], d.Records[4] = d.Records[4], d.Records[3] }, "order of the ledger"},
		{"record doubled", func(d *document) { d.Records = append(d.Records, d.Records[len(d.Records)-1]) }, "order of the ledger"},
		{"too many records", func(d *document) {
			for range certificate.MaxRecords {
				d.Records = append(d.Records, d.Records[0])
			}
		}, "at most 4096 records"},
		{"requester left out", func(d *document) { d.Records = d.Records[1:]; resign(d) }, "no officer"},
		{"another officer left out", func(d *document) { d.Records = append(d.Records[:2:2], d.Records[3:]...); resign(d) }, "does not follow"},
		{"approver left out", func(d *document) { d.Records = append(d.Records[:1:1], d.Records[2:]...); resign(d) }, "no officer"},
		{"approval left out", func(d *document) { d.Records = without(d.Records, "ErasureApproved"); resign(d) }, "no place here"},
		{"restriction left out", func(d *document) { d.Records = without(d.Records, "ErasureRestricted"); resign(d) }, "before approval and restriction"},
		{"order left out", func(d *document) { d.Records = without(d.Records, "ErasureExecuted"); resign(d) }, "not the one"},
		{"purge left out", func(d *document) { d.Records = without(d.Records, "IndexPurged"); resign(d) }, "which is missing"},
		{"epoch of the purge left out", func(d *document) { d.Records = without(d.Records, `"epoch":10`); resign(d) }, "these roots are not"},
		{"roots left out", func(d *document) { d.Records = without(d.Records, "RootsDestroyed"); resign(d) }, "does not follow"},
		{"everything changed and signed again", func(d *document) { swap(`"dies":3`, `"dies":4`)(d); resign(d) }, "does not follow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := parse(t, raw)
			test.change(d)
			changed, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			_, err = certificate.Verify(changed, b.signer.VKey())
			if err == nil || escrow.KindOf(err) != escrow.Corrupt && escrow.KindOf(err) != escrow.Forged || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a refusal that says %q", err, test.want)
			}
		})
	}
	if again, err := json.Marshal(parse(t, raw)); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("unchanged, the test writes another file: %v", err)
	}
}

func parse(t *testing.T, raw []byte) *document {
	t.Helper()
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func swap(from, to string) func(d *document) {
	return func(d *document) { d.Statement = bytes.Replace(d.Statement, []byte(from), []byte(to), 1) }
}

func without(records []documentRecord, fact string) (left []documentRecord) {
	for _, r := range records {
		if !strings.Contains(r.Event, fact) {
			left = append(left, r)
		}
	}
	return left
}

func make65(hash string) (proof []string) {
	for range 65 {
		proof = append(proof, hash)
	}
	return proof
}

// resigned returns a note over the statement of a document by a key under the name of the archive.
func resigned(t *testing.T, signer *sign.Signer, d *document) string {
	t.Helper()
	old, _, _ := strings.Cut(d.Note, "statement sha256:")
	b, err := note.Sign(&note.Note{Text: old + "statement sha256:" + fmt.Sprintf("%x", sha256.Sum256(d.Statement)) + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestKey: a certificate is verified with the key of its archive, and with no other.
func TestKey(t *testing.T) {
	b, s := newBook(t), sound()
	s.tell(b, "")
	_, raw := b.build(s.seq)
	stranger := newSigner(t, 2).VKey()
	for _, test := range []struct {
		name, vkey string
		want       escrow.Kind
	}{
		{"none", "", escrow.Invalid},
		{"an officer's", b.key("dpo", 10), escrow.Forged},
		{"another of the same name", stranger, escrow.Forged},
		{"cut", b.signer.VKey()[:40], escrow.Invalid},
	} {
		if _, err := certificate.Verify(raw, test.vkey); err == nil || escrow.KindOf(err) != test.want {
			t.Errorf("%s: %v, want an error of kind %s", test.name, err, test.want)
		}
	}
	if _, err := certificate.Verify(append(bytes.Clone(raw), '\n'), b.signer.VKey()); err != nil {
		t.Errorf("as a text file: %v", err)
	}
	for name, bad := range map[string][]byte{"nothing": nil, "a number": []byte("1"), "an object": []byte("{}"), "twice": append(bytes.Clone(raw), raw...),
		"a space": bytes.Replace(raw, []byte(`"statement":{`), []byte(`"statement": {`), 1), "another spelling": bytes.Replace(raw, []byte(`"note"`), []byte(`"Note"`), 1),
		"a line after it": append(bytes.Clone(raw), "\n\n"...), "too long": make([]byte, certificate.MaxBytes+1)} {
		if _, err := certificate.Verify(bad, b.signer.VKey()); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("%s: %v, want an error of kind corrupt", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	b := newBook(f)
	_, raw := b.build(b.write(archive.KindErase, events.ErasureExecuted{Scope: events.ScopeExpiry, Days: []events.DayRange{{Class: 1, From: 0, To: 1}}, Basis: "schedule"}))
	f.Add(raw)
	f.Add([]byte(`{"format":"escrow/certificate@v1","statement":{},"note":"","checkpoint":"","target":0,"attested":{},"records":[]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, err := certificate.Verify(in, b.signer.VKey())
		switch {
		case err == nil && !bytes.Equal(bytes.TrimSuffix(in, []byte("\n")), raw):
			t.Error("another certificate is taken")
		case err != nil && escrow.KindOf(err) != escrow.Corrupt && escrow.KindOf(err) != escrow.Forged:
			t.Errorf("an error of kind %s: %v", escrow.KindOf(err), err)
		}
	})
}

// TestEveryOmission leaves out every record, and every two, and asks for every target: nothing is certified, and nothing panics.
func TestEveryOmission(t *testing.T) {
	b, s := newBook(t), sound()
	s.tell(b, "")
	_, raw := b.build(s.seq)
	whole := parse(t, raw)
	refuse := func(what string, d *document) {
		t.Helper()
		changed, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := certificate.Verify(changed, b.signer.VKey()); err == nil || escrow.KindOf(err) != escrow.Forged {
			t.Errorf("%s: %v, want an error of kind forged", what, err)
		}
	}
	for i := range whole.Records {
		for k := range i + 1 {
			d := parse(t, raw)
			d.Records = slices.DeleteFunc(d.Records, func(r documentRecord) bool { return r.Seq == whole.Records[i].Seq || r.Seq == whole.Records[k].Seq })
			refuse(fmt.Sprintf("without records %d and %d", whole.Records[i].Seq, whole.Records[k].Seq), d)
		}
	}
	for target := range b.ledger.Size() {
		d := parse(t, raw)
		d.Target = json.RawMessage(fmt.Sprint(target))
		if escrow.Seq(target) != s.seq {
			refuse(fmt.Sprintf("target %d", target), d)
		}
	}
}
