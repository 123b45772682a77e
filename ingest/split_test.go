package ingest_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"escrow"
	"escrow/ingest"

	"github.com/google/go-cmp/cmp"
)

// without parses raw, splits it, and restores it without the pieces of the given participants.
func without(t *testing.T, contentType string, raw []byte, gone ...uint16) string {
	t.Helper()
	m, err := ingest.Parse(contentType, nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	cuts := ingest.Split(contentType, raw, m)
	template, pieces := ingest.Cutout(raw, cuts)
	if got, erased := ingest.Restore(template, cuts, pieces, "?"); erased || !bytes.Equal(got, raw) {
		t.Errorf("with everybody there it is not the original:\n%s", got)
	}
	had := false
	for _, p := range gone {
		had = had || len(pieces[p]) > 0
		delete(pieces, p)
	}
	got, erased := ingest.Restore(template, cuts, pieces, "?")
	if erased != had {
		t.Errorf("erased is %t", erased)
	}
	return string(got)
}

func TestSplitMail(t *testing.T) {
	const body = "\nana@example.org stays in the body\n"
	for _, tt := range []struct {
		name, header string
		gone         []uint16
		want         string
	}{
		{"author", "From: \"Ana Díaz\" <ana@example.org>\nTo: bo@example.net\nSubject: for Ana Díaz\n", []uint16{0},
			"From: ?\nTo: bo@example.net\nSubject: for ?\n"},
		{"reader", "From: ana@example.org\nTo: Bo <bo@example.net>, =?utf-8?q?C=C3=BD?=\n <cy@example.com>\n", []uint16{2},
			"From: ana@example.org\nTo: Bo <bo@example.net>, ?\n"},
		{"everybody", "From: ana@example.org\nTo: bo@example.net, cy@example.com\n", []uint16{0, 1, 2}, "From: ?\nTo: ?, ?\n"},
		{"field names stay", "From: To <ana@example.org>\nTo: bo@example.net\nX-To-Do: to do\n", []uint16{0}, "From: ?\nTo: bo@example.net\nX-To-Do: to do\n"},
		{"received, in capitals", "Received: by mx\n\tfor <BO@Example.NET>; now\nFrom: ana@example.org\nTo: bo@example.net\n", []uint16{1},
			"Received: by mx\n\tfor <?>; now\nFrom: ana@example.org\nTo: ?\n"},
		{"VERP and URL", "Return-Path: <list+bo=example.net@l.example.org>\nFrom: ana@example.org\nTo: bo@example.net\nList-Unsubscribe: <https://l.example.org/?a=bo%40example.net>\n",
			[]uint16{1}, "Return-Path: <list+?@l.example.org>\nFrom: ana@example.org\nTo: ?\nList-Unsubscribe: <https://l.example.org/?a=?>\n"},
		{"other addresses of the author", "From bounce@example.org Mon Mar  2 10:11:12 2026\nReturn-Path: <b@example.org>\nSender: c@example.org\nReply-To: Ana <d@example.org>\nFrom: ana@example.org\n",
			[]uint16{0}, "From ? Mon Mar  2 10:11:12 2026\nReturn-Path: ?\nSender: ?\nReply-To: ?\nFrom: ?\n"},
		{"the reader's mailbox", "Delivered-To: box7@example.net\nFrom: ana@example.org\nTo: bo@example.net\n", []uint16{1},
			"Delivered-To: ?\nFrom: ana@example.org\nTo: ?\n"},
		{"a mailbox of one among several", "Delivered-To: box7@example.net\nFrom: ana@example.org\nTo: bo@example.net, cy@example.net\n", []uint16{1},
			"Delivered-To: box7@example.net\nFrom: ana@example.org\nTo: ?, cy@example.net\n"},
		{"names in fields of their own", "From: ana@example.org\nTo: bo@example.net, cy@example.net\nX-From: Ana Maria Díaz\nX-To: Bo Lind, Cy Young\n", []uint16{0, 2},
			"From: ?\nTo: bo@example.net, ?\nX-From: ?\nX-To: Bo Lind, ?\n"},
		{"an address that ends with another", "From: ana@example.org\nTo: joana@example.org, x.ana@example.org\n", []uint16{0},
			"From: ?\nTo: joana@example.org, x.ana@example.org\n"},
		{"a name within a word", "From: Ana <ana@example.org>\nTo: bo@example.net\nSubject: banana, Ana, Anab and ana.example.net\n", []uint16{0},
			"From: ?\nTo: bo@example.net\nSubject: banana, ?, Anab and ana.example.net\n"},
		{"a short name stays where it may be a word", "From: Al <al@example.org>\nTo: bo@example.net\nSubject: Al\n", []uint16{0},
			"From: ?\nTo: bo@example.net\nSubject: Al\n"},
		{"another's address as a name", "From: \"bo@example.net\" <spoof@example.org>\nTo: bo@example.net\n", []uint16{1},
			"From: \"?\" <spoof@example.org>\nTo: ?\n"},
		{"comment", "From: ana@example.org (Ana Díaz)\nTo: bo@example.net\nComments: Ana\n  Díaz wrote\n", []uint16{0}, "From: ?\nTo: bo@example.net\nComments: ? wrote\n"},
		{"group", "From: ana@example.org\nTo: The team: bo@example.net, cy@example.net;\n", []uint16{1}, "From: ana@example.org\nTo: The team: ?, cy@example.net;\n"},
		{"message id", "From: ana@example.org\nTo: bo@example.net\nMessage-ID: <1.ana@example.org>\n", []uint16{0}, "From: ?\nTo: bo@example.net\nMessage-ID: <1.?>\n"},
		{"bystander", "From: ana@example.org\nTo: bo@example.net\nX-Also: cy@example.net\n", []uint16{0, 1}, "From: ?\nTo: ?\nX-Also: cy@example.net\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := without(t, ingest.TypeMail, []byte(tt.header+body), tt.gone...)
			if d := cmp.Diff(tt.want+body, got); d != "" {
				t.Error(d)
			}
			crlfWant := strings.ReplaceAll(tt.want+body, "\n", "\r\n")
			if d := cmp.Diff(crlfWant, without(t, ingest.TypeMail, crlf(tt.header+body), tt.gone...)); d != "" {
				t.Errorf("with CRLF: %s", d)
			}
		})
	}
}

func TestSplitJSON(t *testing.T) {
	const from, to = `"from": {"id": "email:ana@example.org", "name": "Ana Díaz", "role": "customer"}`, `"to": [{"name": "Bo", "id": "user:U77"}, {"id": "tel:+49 30 123456"}]`
	for _, tt := range []struct {
		name, in string
		gone     []uint16
		want     string
	}{
		{"author", `{"id": "1", ` + from + `, ` + to + `}`, []uint16{0}, `{"id": "1", "from": {"id": "?", "name": "?", "role": "customer"}, ` + to + `}`},
		{"readers", `{"id": "1", ` + from + `, ` + to + `}`, []uint16{1, 2}, `{"id": "1", ` + from + `, "to": [{"name": "?", "id": "?"}, {"id": "?"}]}`},
		{"elsewhere", `{"id": "1", ` + from + `, "conversation": "ANA@example.org", "tags": ["email:ana@example.org", "Ana Díaz", "Ana"], "metadata": {"by": "ana@example.org", "ana@example.org": "x"}}`,
			[]uint16{0}, `{"id": "1", "from": {"id": "?", "name": "?", "role": "customer"}, "conversation": "?", "tags": ["?", "?", "Ana"], "metadata": {"by": "?", "?": "x"}}`},
		{"any key of metadata", `{"id": "1", ` + from + `, "metadata": {"role": "Ana Díaz", "type": "ana@example.org", "data": "Ana Díaz", "id": "Ana Díaz"}}`, []uint16{0},
			`{"id": "1", "from": {"id": "?", "name": "?", "role": "customer"}, "metadata": {"role": "?", "type": "?", "data": "?", "id": "?"}}`},
		{"several keys of metadata", `{"id": "1", ` + from + `, ` + to + `, "metadata": {"Ana Díaz": "x", "user:U77": "y", "ana@example.org": "z"}}`, []uint16{0, 1},
			`{"id": "1", "from": {"id": "?", "name": "?", "role": "customer"}, "to": [{"name": "?", "id": "?"}, {"id": "tel:+49 30 123456"}], "metadata": {"?": "x", "?": "y", "?": "z"}}`},
		{"account that is also an id", `{"id": "U77", ` + from + `, "refers_to": "U77", ` + to + `, "metadata": {"m": "u77"}}`, []uint16{1},
			`{"id": "U77", ` + from + `, "refers_to": "U77", "to": [{"name": "?", "id": "?"}, {"id": "tel:+49 30 123456"}], "metadata": {"m": "?"}}`},
		{"escaped", `{"id": "1", "from": {"id": "email\u003aana\u0040example.org", "name": "\"A\""}, "title": "Ana"}`, []uint16{0}, `{"id": "1", "from": {"id": "?", "name": "?"}, "title": "Ana"}`},
		{"text stays", `{"id": "1", ` + from + `, "body": {"text": "Ana Díaz <ana@example.org>"}}`, []uint16{0},
			`{"id": "1", "from": {"id": "?", "name": "?", "role": "customer"}, "body": {"text": "Ana Díaz <ana@example.org>"}}`},
		{"data stays", `{"id": "1", "from": {"id": "user:aGkx"}, "attachments": [{"data": "aGkx"}]}`, []uint16{0}, `{"id": "1", "from": {"id": "?"}, "attachments": [{"data": "aGkx"}]}`},
		{"role stays", `{"id": "1", "from": {"id": "user:member", "role": "member"}, "type": "message"}`, []uint16{0}, `{"id": "1", "from": {"id": "?", "role": "member"}, "type": "message"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, without(t, ingest.TypeJSON, []byte(tt.in), tt.gone...)); d != "" {
				t.Error(d)
			}
			left := strings.ReplaceAll(without(t, ingest.TypeJSON, []byte(tt.in), tt.gone...), `"?"`, `"`+ingest.Placeholder+`"`)
			if _, err := ingest.ParseContract([]byte(left)); err != nil {
				t.Errorf("what is left does not parse: %v", err)
			}
		})
	}
}

func TestSplitCloudEvent(t *testing.T) {
	in := `{"specversion": "1.0", "id": "1", "source": "user:ana", "type": "t", "data": {"id": "1", "from": {"id": "user:ana", "name": "Ana"}}}`
	want := `{"specversion": "1.0", "id": "1", "source": "?", "type": "t", "data": {"id": "1", "from": {"id": "?", "name": "?"}}}`
	if d := cmp.Diff(want, without(t, ingest.TypeCloudEvent, []byte(in), 0)); d != "" {
		t.Error(d)
	}
}

// TestCutoutRestore checks the round trip for random bytes and cuts, in memory and through the binary form.
func TestCutoutRestore(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		raw := make([]byte, rng.IntN(200))
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		var cuts []ingest.Cut
		for pos := 0; ; {
			start := pos + rng.IntN(20)
			end := start + 1 + rng.IntN(20)
			if end > len(raw) {
				break
			}
			cuts = append(cuts, ingest.Cut{Offset: uint32(start), Owner: uint16(rng.IntN(4)), Len: uint32(end - start)})
			pos = end
		}
		template, pieces := ingest.Cutout(raw, cuts)
		if got, erased := ingest.Restore(template, cuts, pieces, "x"); erased || !bytes.Equal(got, raw) {
			t.Fatalf("%v: restored %x, want %x", cuts, got, raw)
		}
		parsed, err := ingest.ParseCuts(ingest.AppendCuts(nil, cuts))
		if err != nil || !slices.Equal(parsed, cuts) {
			t.Fatalf("%v: parsed %v, %v", cuts, parsed, err)
		}
		left := maps.Clone(pieces)
		delete(left, 0)
		if _, erased := ingest.Restore(template, cuts, left, "x"); erased != (len(pieces[0]) > 0) {
			t.Fatal("a missing piece went unnoticed")
		}
	}
}

func TestParseCutsRefuses(t *testing.T) {
	good := ingest.AppendCuts(nil, []ingest.Cut{{Offset: 200, Owner: 3, Len: 300}, {Offset: 500, Owner: 0, Len: 1}})
	if _, err := ingest.ParseCuts(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if _, err := ingest.ParseCuts(good[:i]); escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("cut off at %d: %v", i, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":             {},
		"bytes after the end": append(slices.Clone(good), 0),
		"more than there are": {200, 1},
		"empty cut":           {1, 0, 0, 0},
		"long encoding":       {1, 0x80, 0, 1, 0},
		"participant":         {1, 0, 1, 0xff, 0xff, 3},
		"beyond any message":  {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0},
	} {
		if _, err := ingest.ParseCuts(b); escrow.KindOf(err) != escrow.Corrupt || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRestoreForeign checks that arguments that do not belong together neither panic nor cost much.
func TestRestoreForeign(t *testing.T) {
	cuts := []ingest.Cut{{Offset: 10, Owner: 1, Len: 1 << 30}, {Offset: 5, Owner: 2, Len: 3}}
	got, erased := ingest.Restore([]byte("short"), cuts, map[uint16][]byte{1: []byte("x"), 2: []byte("abc")}, "?")
	if !erased || len(got) > 20 {
		t.Errorf("got %q", got)
	}
	template, pieces := ingest.Cutout([]byte("short"), cuts)
	if string(template) != "short" || len(pieces) != 0 {
		t.Errorf("cut %d pieces from places that do not exist", len(pieces))
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(true, []byte("From: \"Ana\" <ana@example.org>\r\nTo: b@c (x), ana@example.org;\r\nX-To: Ana\r\n\r\nbody"))
	f.Add(true, []byte("From a@b Mon\nFrom: a@b\nSender: c\nReceived: for a=b, a%40b\n"))
	f.Add(true, []byte("From:0000000!AnA@eXAmple. 0 AnA@eXAmple."))
	f.Add(true, []byte("A@B \nFrom:A@B"))
	f.Add(false, []byte(`{"id": "1", "from": {"id": "user:a", "name": "A"}, "to": [{"id": "user:b"}], "metadata": {"a": "user:b"}}`))
	f.Add(false, []byte(`{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": `+mentioning("1", "user:a", nil, "x\n", about{"user:b", "B", "B"}, about{"user:a", "", "é"})+`}`))
	f.Add(false, []byte(`{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"id": "1", "from": {"id": "tel:+123456"}}}`))
	f.Fuzz(func(t *testing.T, isMail bool, raw []byte) {
		contentType := ingest.TypeMail
		if !isMail {
			contentType = ingest.TypeCloudEvent
		}
		m, err := ingest.Parse(contentType, nil, raw)
		if err != nil {
			return
		}
		cuts := ingest.Split(contentType, raw, m)
		end := uint32(0)
		for _, c := range cuts {
			if c.Offset < end || c.Len == 0 || int(c.Owner) > len(m.To)+len(m.Mentions) {
				t.Fatalf("cut %+v after %d", c, end)
			}
			end = c.Offset + c.Len
		}
		checkRoundTrip(t, "fuzz", raw, cuts)
		if _, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil && isMail { // else nobody knows where the header ends
			checkErasure(t, "fuzz", raw, m, cuts)
		}
	})
}
