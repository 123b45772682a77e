package ingest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest"

	"github.com/google/go-cmp/cmp"
)

// about is a passage of a text about somebody.
type about struct{ id, name, words string }

// mentioning returns a message whose text consists of the parts; those that are about somebody are marked.
func mentioning(id, from string, to []string, parts ...any) string {
	var text strings.Builder
	var mentions []string
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			text.WriteString(p)
		case about:
			mentions = append(mentions, fmt.Sprintf(`{"id":%q,"name":%q,"start":%d,"length":%d}`, p.id, p.name, text.Len(), len(p.words)))
			text.WriteString(p.words)
		}
	}
	slices.Reverse(mentions) // any order will do
	readers := make([]string, len(to))
	for i, p := range to {
		readers[i] = party(p)
	}
	body, _ := json.Marshal(text.String())
	return fmt.Sprintf(`{"id":%q,"from":%s,"to":[%s],"mentions":[%s],"body":{"text":%s}}`, id, party(from), strings.Join(readers, ","), strings.Join(mentions, ","), body)
}

func TestParseMentions(t *testing.T) {
	in := mentioning("1", "user:a", nil, "é ", about{"email:Zoe@Example.org", "Zoë", "Zoë \"Z\""}, "\n and ", about{"tel:+49 30 123456", "", "😀"}, ".")
	m := must(ingest.ParseContract([]byte(in)))(t)
	want := []escrow.Mention{{ID: "email:zoe@example.org", Name: "Zoë", Start: 3, Length: 8}, {ID: "tel:+4930123456", Start: 17, Length: 4}}
	if d := cmp.Diff(want, m.Mentions); d != "" {
		t.Error(d)
	}
	if at := m.Mentions[1]; m.Text[at.Start:at.Start+at.Length] != "😀" {
		t.Error("the numbers do not lead to the passage")
	}
}

func TestParseMentionsRefuses(t *testing.T) {
	with := func(mentions string) string {
		return minimal(`"body": {"text": "aé😀z"}, "mentions": [` + mentions + `]`)
	}
	many := func(n, people, readers int) string {
		list, to := make([]string, n), make([]string, readers)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":"user:m%d","start":%d,"length":1}`, i%people, i)
		}
		for i := range to {
			to[i] = fmt.Sprintf(`{"id":"user:r%d"}`, i)
		}
		return minimal(`"to":[` + strings.Join(to, ",") + `],"mentions":[` + strings.Join(list, ",") + `],"body":{"text":"` + strings.Repeat("x", n) + `"}`)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"no id", with(`{"start": 0, "length": 1}`), "mentions[0].id: is missing"},
		{"no start", with(`{"id": "user:b", "length": 1}`), "mentions[0].start: is missing"},
		{"no length", with(`{"id": "user:b", "start": 0}`), "mentions[0].length: is missing"},
		{"empty", with(`{"id": "user:b", "start": 0, "length": 0}`), "mentions[0].length: must be at least 1"},
		{"negative", with(`{"id": "user:b", "start": -1, "length": 1}`), "mentions[0].start: must be a whole number from 0"},
		{"a fraction", with(`{"id": "user:b", "start": 0.0, "length": 1}`), "mentions[0].start: must be a whole number"},
		{"an exponent", with(`{"id": "user:b", "start": 0, "length": 1e0}`), "mentions[0].length: must be a whole number"},
		{"beyond every number", with(`{"id": "user:b", "start": 18446744073709551616, "length": 1}`), "mentions[0].start: must be a whole number from 0 to 16777216"},
		{"a string", with(`{"id": "user:b", "start": "0", "length": 1}`), "mentions[0].start: must be a number, not a string"},
		{"out of range", with(`{"id": "user:b", "start": 7, "length": 2}`), "mentions[0]: ends at byte 9, but body.text has 8 bytes"},
		{"at the end", with(`{"id": "user:b", "start": 8, "length": 1}`), "mentions[0]: ends at byte 9"},
		{"begins inside a character", with(`{"id": "user:b", "start": 2, "length": 1}`), "mentions[0]: begins or ends inside a character"},
		{"ends inside a character", with(`{"id": "user:b", "start": 3, "length": 2}`), "mentions[0]: begins or ends inside a character"},
		{"overlapping", with(`{"id": "user:b", "start": 1, "length": 6}, {"id": "user:c", "start": 0, "length": 3}`), "mentions[0]: overlaps another mention"},
		{"twice the same", with(`{"id": "user:b", "start": 0, "length": 1}, {"id": "user:b", "start": 0, "length": 1}`), "mentions[1]: overlaps another mention"},
		{"no text", minimal(`"mentions": [{"id": "user:b", "start": 0, "length": 1}]`), "mentions[0]: ends at byte 1, but body.text has 0 bytes"},
		{"html as well", minimal(`"body": {"text": "secret", "html": "<p>secret"}, "mentions": [{"id": "user:b", "start": 0, "length": 1}]`), "mentions: need a body of text alone"},
		{"unknown field", with(`{"id": "user:b", "end": 3}`), `mentions[0]: unknown field "end"; the fields are id, name, start, length`},
		{"bad id", with(`{"id": "email:secret", "start": 0, "length": 1}`), "mentions[0].id: must be a mail address"},
		{"not a list", minimal(`"mentions": {}`), "mentions: must be a list"},
		{"too many", many(1001, 1, 0), "mentions[1000]: more than 1000 mentions"},
		{"too many people for so many readers", many(1000, 1000, 65), "mentions: 1000 people mentioned among 66 participants; the product must be at most 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ingest.ParseContract([]byte(tt.in))
			wantKind(t, err, escrow.Invalid, tt.want)
			if err != nil && (strings.Contains(err.Error(), "secret") || len(err.Error()) > 400) {
				t.Errorf("quotes content: %s", err)
			}
		})
	}
	for name, in := range map[string]string{"at the limits": many(1000, 1000, 64), "many of few": many(1000, 6, 9999)} {
		if _, err := ingest.ParseContract([]byte(in)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplitMentions(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		gone     []uint16
		want     string
	}{
		{"plain", `{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "ask Cy now"}, "mentions": [{"id": "user:cy", "name": "Cy", "start": 4, "length": 2}]}`, []uint16{1},
			`{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "ask ? now"}, "mentions": [{"id": "?", "name": "?", "start": 4, "length": 2}]}`},
		{"escapes", `{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "\u00e9\n\t\ud83d\ude00 C\u00fd\u0301\/\"\ud83d\ude00\u0041 \\n"}, "mentions": [{"id": "user:cy", "start": 9, "length": 12}]}`, []uint16{1},
			`{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "\u00e9\n\t\ud83d\ude00 ? \\n"}, "mentions": [{"id": "?", "start": 9, "length": 12}]}`},
		{"whole text, list before it", `{"mentions": [{"length": 2, "start": 0, "id": "user:cy"}], "id": "1", "from": {"id": "user:ana"}, "body": {"text": "Cy"}}`, []uint16{1},
			`{"mentions": [{"length": 2, "start": 0, "id": "?"}], "id": "1", "from": {"id": "user:ana"}, "body": {"text": "?"}}`},
		{"two of one person, one of another", `{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "Cy, Dee, Cy"}, "mentions": [{"id": "user:dee", "start": 4, "length": 3}, {"id": "user:cy", "start": 9, "length": 2}, {"id": "user:cy", "start": 0, "length": 2}]}`,
			[]uint16{1}, `{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "?, Dee, ?"}, "mentions": [{"id": "user:dee", "start": 4, "length": 3}, {"id": "?", "start": 9, "length": 2}, {"id": "?", "start": 0, "length": 2}]}`},
		{"neighbours", `{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "CyDee"}, "mentions": [{"id": "user:cy", "start": 0, "length": 2}, {"id": "user:dee", "start": 2, "length": 3}]}`,
			[]uint16{2}, `{"id": "1", "from": {"id": "user:ana"}, "body": {"text": "Cy?"}, "mentions": [{"id": "user:cy", "start": 0, "length": 2}, {"id": "?", "start": 2, "length": 3}]}`},
		{"elsewhere", `{"id": "1", "from": {"id": "user:ana"}, "title": "Cyril", "tags": ["user:cy9"], "body": {"text": "Cyril"}, "metadata": {"who": "cy9", "text": "Cyril"}, "mentions": [{"id": "user:cy9", "name": "Cyril", "start": 0, "length": 5}]}`,
			[]uint16{1}, `{"id": "1", "from": {"id": "user:ana"}, "title": "?", "tags": ["?"], "body": {"text": "?"}, "metadata": {"who": "?", "text": "?"}, "mentions": [{"id": "?", "name": "?", "start": 0, "length": 5}]}`},
		{"a participant as such", `{"id": "1", "from": {"id": "user:ana", "name": "Ana"}, "title": "Ana", "body": {"text": "I, Ana"}, "mentions": [{"id": "user:ana", "name": "Ana", "start": 3, "length": 3}]}`, []uint16{0},
			`{"id": "1", "from": {"id": "?", "name": "?"}, "title": "?", "body": {"text": "I, Ana"}, "mentions": [{"id": "user:ana", "name": "Ana", "start": 3, "length": 3}]}`},
		{"a participant as one mentioned", `{"id": "1", "from": {"id": "user:ana", "name": "Ana"}, "title": "Ana", "body": {"text": "I, Ana"}, "mentions": [{"id": "user:ana", "name": "Ana", "start": 3, "length": 3}]}`, []uint16{1},
			`{"id": "1", "from": {"id": "user:ana", "name": "Ana"}, "title": "Ana", "body": {"text": "I, ?"}, "mentions": [{"id": "?", "name": "?", "start": 3, "length": 3}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, without(t, ingest.TypeJSON, []byte(tt.in), tt.gone...)); d != "" {
				t.Error(d)
			}
			left := strings.ReplaceAll(without(t, ingest.TypeJSON, []byte(tt.in), tt.gone...), "?", ingest.Placeholder)
			if _, err := ingest.ParseContract([]byte(left)); err != nil && tt.name != "a participant as such" {
				t.Errorf("what is left does not parse: %v", err)
			}
			event := `{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "body": {"text": "Cy"}, "mentions": [{"id": "x"}], "data": `
			if d := cmp.Diff(event+tt.want+"}", without(t, ingest.TypeCloudEvent, []byte(event+tt.in+"}"), tt.gone...)); d != "" {
				t.Errorf("in a CloudEvent: %s", d)
			}
		})
	}
}

// Where strings of a message are a reader's and nothing else, all of them go with that reader, what is left keeps its form, and nobody is found by being gone.
func TestErasedStrings(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	seq := s.chat("chat", `{"id":"1","from":{"id":"email:bo@example.net"},"to":[{"id":"email:ana@example.org","name":"Anastasia"},{"id":"user:U777","name":"Cyrus"}],
		"conversation":"ana@example.org","title":"Anastasia","tags":["ana@example.org","Anastasia","blue"],"body":{"text":"hello there"},
		"metadata":{"ana@example.org":"owner","Anastasia":"sponsor","user:U777":"watcher","type":"ana@example.org","role":"Anastasia"},
		"attachments":[{"name":"Anastasia","data":"aGk=","transcript":"Anastasia"}]}`)
	s.follow()
	s.found("anastasia", seq)
	s.found("in:ana@example.org", seq)
	s.erase("email:ana@example.org", "chat")
	s.follow()
	o := must(s.open(seq))(t)
	if m := o.Message; len(m.Defects) > 0 || m.Text != "hello there" || m.Metadata["user:U777"] != "watcher" || len(m.Metadata) != 5 || len(m.Tags) != 2 {
		t.Errorf("%v: %+v", m.Defects, m.Metadata)
	}
	if left := string(o.Envelope.Original); containsText(left, "Anastasia") || containsText(left, "ana@") {
		t.Errorf("left: %s", left)
	}
	for _, q := range []string{"anastasia", "ana", "erased", "person", "in:erased:person", "id:erased:person"} {
		s.found(q)
	}
	for _, q := range []string{"hello", "meta:owner", "meta:sponsor", "cyrus", "tag:blue", "to:cyrus"} {
		s.found(q, seq)
	}
	if seqs := must(s.index.ConversationSeqs(t.Context(), "chat", ingest.Placeholder))(t); len(seqs) > 0 {
		t.Errorf("the conversation of nobody is %v", seqs)
	}
	s.same()
	s.audit()
}

// The parts of a message about somebody go with that person, and nothing else does.
func TestErasedMention(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	original := mentioning("1", "!email:ana@example.org=Ana", []string{"email:bo@example.net=Bo"}, "yesterday ", about{"email:cyril@example.com", "Cyril", "Cyril\u00a0Xylander"},
		" met ", about{"user:U9", "", "the umbrella girl"}, " and ", about{"email:cyril@example.com", "Cy", "Cy"}, " left")
	seq := s.chat("chat", original)
	s.follow()
	s.found("xylander", seq)
	s.found(`"the umbrella girl"`, seq)
	if got := must(s.index.SubjectSeqs(t.Context(), s.leaf("email:cyril@example.com", "chat")))(t); !slices.Equal(got, []escrow.Seq{seq}) {
		t.Errorf("cyril is the subject of %v", got)
	}
	if o := must(s.open(seq))(t); string(o.Envelope.Original) != original || o.Cut != 0 || len(o.Mentioned) != 2 {
		t.Errorf("%d cut, %d mentioned, and the original is %s", o.Cut, len(o.Mentioned), o.Envelope.Original)
	}
	s.erase("email:cyril@example.com", "chat")
	o := must(s.open(seq))(t)
	want := strings.NewReplacer("Cyril\u00a0Xylander", ingest.Placeholder, `"id":"email:cyril@example.com","name":"Cyril"`, `"id":"erased:person","name":"erased:person"`,
		`"id":"email:cyril@example.com","name":"Cy"`, `"id":"erased:person","name":"erased:person"`, "and Cy left", "and erased:person left").Replace(original)
	if d := cmp.Diff(want, string(o.Envelope.Original)); d != "" {
		t.Error(d)
	}
	if want := "yesterday erased:person met the umbrella girl and erased:person left"; o.Message.Text != want || o.Cut != 1 || o.Erased != 0 || len(o.Message.Defects) > 0 {
		t.Errorf("%d cut, %d erased, %v: %q", o.Cut, o.Erased, o.Message.Defects, o.Message.Text)
	}
	if m := o.Message.Mentions; len(m) != 3 || m[1].ID != "user:U9" || o.Message.Text[m[1].Start:m[1].Start+m[1].Length] != "the umbrella girl" || m[0].ID != ingest.ErasedIdentity {
		t.Errorf("%+v", m)
	}
	s.found("xylander")
	s.found("umbrella", seq)
	s.found("yesterday", seq)
	s.found("erased")
	s.found(`"yesterday met"`, seq)
	s.unknown("body", "cyril", "xylander", "erased", "person")
	if !o.From([]byte(original)) || o.From([]byte(strings.Replace(original, "left", "lost", 1))) {
		t.Error("the record no longer knows what it was made from")
	}
	s.audit()
	s.erase("user:U9", "chat")
	if o := must(s.open(seq))(t); o.Message.Text != "yesterday erased:person met erased:person and erased:person left" || o.Cut != 2 {
		t.Errorf("%d cut: %q", o.Cut, o.Message.Text)
	}
	s.erase("email:ana@example.org", "chat")
	_, err := s.open(seq)
	wantKind(t, err, escrow.Erased)
	if present, erased := s.audit(); present != 0 || erased != 1 {
		t.Errorf("%d present, %d erased", present, erased)
	}
}

// Under every policy a mention dies with its body and with the person, and with nobody else.
func TestMentionPolicies(t *testing.T) {
	for _, policy := range []ingest.Policy{ingest.PolicyPrincipal, ingest.PolicyAllOf, ingest.PolicyAnyOf} {
		for _, order := range permutations([]person{ana, bo, cy}) {
			t.Run(fmt.Sprintf("%s/%s%s%s", policy, order[0].name[:2], order[1].name[:2], order[2].name[:2]), func(t *testing.T) {
				v := newVault(t, nil, map[escrow.Channel]ingest.ChannelRule{"chat": {Policy: policy}})
				outsider := v.chat("chat", mentioning("1", "!"+ana.id, []string{bo.id}, "about ", about{cy.id, "", "somebody"}, "."))
				insider := v.chat("chat", mentioning("2", "!"+ana.id, []string{bo.id}, "about ", about{bo.id, "", "somebody"}, "."))
				for n := range order {
					v.erase(order[n].id, "chat")
					gone := order[:n+1]
					a, b, c := slices.Contains(gone, ana), slices.Contains(gone, bo), slices.Contains(gone, cy)
					dead := map[ingest.Policy]bool{ingest.PolicyPrincipal: a, ingest.PolicyAllOf: a || b, ingest.PolicyAnyOf: a && b}[policy]
					v.mentions(outsider, dead, c)
					v.mentions(insider, dead, b)
				}
				v.audit()
			})
		}
	}
}

func (v *vault) mentions(seq escrow.Seq, dead, cut bool) {
	v.t.Helper()
	o, err := v.open(seq)
	switch {
	case dead:
		wantKind(v.t, err, escrow.Erased)
	case err != nil:
		v.t.Error(err)
	case cut != (o.Message.Text == "about erased:person.") || !cut && o.Message.Text != "about somebody.":
		v.t.Errorf("record %d: cut %v, text %q", seq, cut, o.Message.Text)
	}
}

// A directory that is built again knows who was mentioned and is alive, and nobody else.
func TestReplayMentions(t *testing.T) {
	v := newVault(t, nil, nil)
	first := v.chat("chat", mentioning("1", "email:ana@example.org", nil, about{"email:cy@example.com", "Cy", "Cy"}, " and ", about{"email:dee@example.com", "Dee", "Dee"}))
	cy, dee := v.leaf("email:cy@example.com", "chat"), v.leaf("email:dee@example.com", "chat")
	v.erase("email:cy@example.com", "chat")
	ids, highest, err := v.opener.Identities(v.read(first))
	check(t, err)
	if want := []ingest.Identity{{Scope: "email:ana@example.org", Leaf: v.leaf("email:ana@example.org", "chat")}, {Scope: "email:dee@example.com", Leaf: dee}}; !slices.Equal(ids, want) || highest != max(cy, dee) {
		t.Errorf("%v, the highest is %d", ids, highest)
	}
	back := v.chat("chat", mentioning("2", "email:ana@example.org", nil, about{"email:cy@example.com", "Cy", "Cy"}))
	if again := v.leaf("email:cy@example.com", "chat"); again == cy {
		t.Error("who returned has the number of who was erased")
	}
	if o := must(v.open(back))(t); o.Message.Text != "Cy" {
		t.Errorf("the text is %q", o.Message.Text)
	}
}

func TestGateMentions(t *testing.T) {
	v := newVault(t, nil, nil)
	_, err := v.admit(natslog.Arrival{Data: []byte(mentioning("1", "user:a", nil, about{"erased:person", "", "erased:person"}))})
	wantKind(t, err, escrow.Invalid, `mention 0: the scheme "erased"`)
	in := mentioning("1", "user:a", nil, about{"user:b", "", "b"})
	event := map[string][]string{"Content-Type": {ingest.TypeCloudEvent}}
	_, err = v.admit(natslog.Arrival{Header: event, Data: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":%q}`, base64Of(in))})
	wantKind(t, err, escrow.Invalid, "data_base64.mentions: a passage cannot be taken out of base64")
	seq := v.put(natslog.Arrival{Header: map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"s"}, "ce-type": {"t"}}, Data: []byte(in)})
	v.erase("user:b", "chat")
	if o := must(v.open(seq))(t); o.Message.Text != ingest.Placeholder {
		t.Errorf("the text is %q", o.Message.Text)
	}
}

func base64Of(s string) string {
	b, _ := json.Marshal([]byte(s))
	return strings.Trim(string(b), `"`)
}

// FuzzMentions marks any part of any text, written with any escapes, and takes it out.
func FuzzMentions(f *testing.F) {
	f.Add("é\"\n😀 words about somebody", uint16(3), uint16(9), uint16(30), uint8(0))
	f.Add("a\\u0041\u2028</script>", uint16(1), uint16(2), uint16(4), uint8(7))
	f.Fuzz(func(t *testing.T, text string, a, b, c uint16, style uint8) {
		if !utf8.ValidString(text) || strings.Contains(text, "erased:") {
			return
		}
		edges := []int{int(a) % (len(text) + 1), int(b) % (len(text) + 1), int(c) % (len(text) + 1)}
		slices.Sort(edges)
		raw := fmt.Sprintf(`{"id":"1","from":{"id":"user:from"},"mentions":[{"id":"user:one","start":%d,"length":%d},{"id":"user:two","start":%d,"length":%d}],"body":{"text":%s}}`,
			edges[0], edges[1]-edges[0], edges[1], edges[2]-edges[1], written(text, style))
		m, err := ingest.ParseContract([]byte(raw))
		inside := false
		for _, e := range edges {
			inside = inside || e < len(text) && !utf8.RuneStart(text[e])
		}
		if want := edges[0] < edges[1] && edges[1] < edges[2] && !inside; (err == nil) != want {
			t.Fatalf("edges %v of %q: %v", edges, text, err)
		}
		if err != nil {
			return
		}
		if m.Text != text {
			t.Fatalf("text %q", m.Text)
		}
		cuts := ingest.Split(ingest.TypeJSON, []byte(raw), m)
		template, pieces := ingest.Cutout([]byte(raw), cuts)
		if got, erased := ingest.Restore(template, cuts, pieces, "?"); erased || string(got) != raw {
			t.Fatalf("restored as %s", got)
		}
		for gone, want := range map[uint16]string{
			1: text[:edges[0]] + ingest.Placeholder + text[edges[1]:],
			2: text[:edges[1]] + ingest.Placeholder + text[edges[2]:],
		} {
			left := map[uint16][]byte{0: pieces[0], 3 - gone: pieces[3-gone]}
			got, _ := ingest.Restore(template, cuts, left, ingest.Placeholder)
			m, err := ingest.ParseContract(got)
			if err != nil || m.Text != want {
				t.Fatalf("without %d: %q, want %q, %v", gone, m.Text, want, err)
			}
		}
	})
}

// written returns a JSON string for text, with more or fewer escapes.
func written(text string, style uint8) string {
	if style%4 == 0 {
		b, _ := json.Marshal(text)
		return string(b)
	}
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range text {
		switch {
		case r < 0x20 || r == '"' || r == '\\' || (i+int(style))%int(style%4+1) == 0 && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case (i+int(style))%3 == 0 && r >= 0x10000:
			fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
