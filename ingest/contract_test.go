package ingest_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/ingest"

	"github.com/google/go-cmp/cmp"
)

func TestParseContract(t *testing.T) {
	const full = `{
		"id": "m-1", "type": "edit", "refers_to": "m-0", "conversation": "room 7", "sent_at": "2026-03-02T10:11:12.5+01:00",
		"from": {"id": "email: Ana@Example.org ", "name": "Ana D\u00edaz", "role": "customer"},
		"to": [{"id": "tel:+49 30 123456", "role": "agent"}, {"id": "user:U1"}, {"id": "user:U1", "name": "again"}],
		"title": "T\ud83d\ude00", "body": {"html": "<p>Hello <b>you</b></p>"},
		"attachments": [{"name": "a.txt", "media_type": "text/plain", "data": "aGk=", "transcript": "hi"}, {"data": ""}],
		"tags": ["x", "y", "x"], "metadata": {"k": "v"}, "purpose": "support", "basis": "6(1)(b)", "consent": "c1", "retention": "short"
	}`
	got, err := ingest.ParseContract([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := escrow.Message{
		ID: "m-1", Type: escrow.TypeEdit, RefersTo: "m-0", Conversation: "room 7", SentAt: time.Date(2026, 3, 2, 9, 11, 12, 5e8, time.UTC),
		From:  escrow.Participant{ID: "email:ana@example.org", Name: "Ana Díaz", Role: escrow.RoleCustomer},
		To:    []escrow.Participant{{ID: "tel:+4930123456", Role: escrow.RoleAgent}, {ID: "user:U1", Role: escrow.RoleMember}},
		Title: "T😀", Text: "Hello you", HTML: "<p>Hello <b>you</b></p>",
		Attachments: []escrow.Attachment{{Name: "a.txt", MediaType: "text/plain", Data: []byte("hi"), Transcript: "hi"},
			{MediaType: "application/octet-stream", Data: []byte{}}},
		Tags: []string{"x", "y"}, Metadata: map[string]string{"k": "v"},
		Purpose: "support", Basis: "6(1)(b)", Consent: "c1", Retention: "short",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// minimal is the smallest message, with more fields before the closing brace.
func minimal(more string) string {
	if more != "" {
		more = ", " + more
	}
	return `{"id": "1", "from": {"id": "user:a"}` + more + `}`
}

func TestParseContractAccepts(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		check    func(m escrow.Message) bool
	}{
		{"minimal", minimal(""), func(m escrow.Message) bool { return m.To == nil && m.Type == escrow.TypeMessage }},
		{"nobody to read it", minimal(`"to": []`), func(m escrow.Message) bool { return len(m.To) == 0 }},
		{"text and html, words of both", minimal(`"body": {"text": "short", "html": "<p>Short</p><p>and more</p>"}`),
			func(m escrow.Message) bool { return m.Text == "short\n\nand more" }},
		{"a solidus escaped in base64", minimal(`"attachments": [{"data": "\/\/8="}]`), func(m escrow.Message) bool { return len(m.Attachments[0].Data) == 2 }},
		{"the right digest", minimal(`"attachments": [{"data": "aGk=", "sha256": "8F434346648F6B96DF89DDA901C5176B10A6D83961DD3C1AC88B59B2DC327AA4"}]`),
			func(m escrow.Message) bool { return strings.HasPrefix(m.Attachments[0].SHA256, "8f43") }},
		{"1900", minimal(`"sent_at": "1900-01-01T00:00:00Z"`), func(m escrow.Message) bool { return m.SentAt.Year() == 1900 }},
		{"white space around", " \r\n\t" + minimal("") + " \n", func(m escrow.Message) bool { return m.ID == "1" }},
		{"a change of nothing is marked", minimal(`"type": "delete"`), func(m escrow.Message) bool { return len(m.Defects) == 1 }},
		{"id at the limit", `{"id": "` + strings.Repeat("x", escrow.MaxIDBytes) + `", "from": {"id": "user:a"}}`, func(m escrow.Message) bool { return len(m.ID) == 512 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ingest.ParseContract([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(m) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestParseContractRefuses(t *testing.T) {
	deep := strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", ``, "must be an object, not no JSON value"},
		{"a list", `[]`, "must be an object, not a list"},
		{"not UTF-8", `{"id": "` + "\xff" + `"}`, "not valid UTF-8"},
		{"byte order mark", "\ufeff{}", "byte order mark"},
		{"trailing data", minimal("") + `{}`, "data after the JSON object"},
		{"cut off", minimal("")[:13], "not valid JSON at byte"},
		{"no comma", `{"id": "1" "from": {}}`, "a comma or } must come here"},
		{"trailing comma", `{"id": "1",}`, "a key in double quotes"},
		{"comment", `{/**/}`, "a key in double quotes"},
		{"duplicate key", `{"id": "1", "id": "2"}`, `the key "id" appears twice`},
		{"duplicate key, escaped", `{"id": "1", "\u0069d": "2"}`, `the key "id" appears twice`},
		{"duplicate key in metadata is not named", minimal(`"metadata": {"ana": "1", "ana": "2"}`), "metadata: a key appears twice"},
		{"lone surrogate", `{"id": "\ud800"}`, "wrong escape"},
		{"wrong escape", `{"id": "\x"}`, "wrong escape"},
		{"raw line end in a string", "{\"id\": \"a\nb\"}", "control characters in a string must be escaped"},
		{"deep nesting", `{"tags": ` + deep + `}`, "must be a string, not a list"},
		{"unknown field", minimal(`"colour": 1`), `unknown field "colour"; the fields are id, type,`},
		{"the remedy", minimal(`"colour": 1`), "put extras in metadata"},
		{"unknown field, long", minimal(`"` + strings.Repeat("x", 100) + `": 1`), `xxx…"`},
		{"unknown field of from", `{"from": {"id": "user:a", "age": 3}}`, `from: unknown field "age"`},
		{"unknown field of a reader", minimal(`"to": [{"id": "user:b"}, {"nick": ""}]`), `to[1]: unknown field "nick"`},
		{"unknown field of body", minimal(`"body": {"markdown": ""}`), `body: unknown field "markdown"`},
		{"unknown field of an attachment", minimal(`"attachments": [{"url": ""}]`), `attachments[0]: unknown field "url"`},
		{"case matters", minimal(`"Title": "x"`), `unknown field "Title"`},
		{"no id", `{"from": {"id": "user:a"}}`, "id: is missing"},
		{"empty id", `{"id": ""}`, "id: must not be empty"},
		{"id too long", `{"id": "` + strings.Repeat("x", 513) + `"}`, "id: has 513 bytes, the limit is 512"},
		{"id a number", `{"id": 7}`, "id: must be a string, not a number"},
		{"no from", `{"id": "1"}`, "from: is missing"},
		{"from null", `{"id": "1", "from": null}`, "from: must be an object, not null; leave the field out"},
		{"from a string", `{"id": "1", "from": "ana"}`, "from: must be an object, not a string"},
		{"from without id", `{"id": "1", "from": {"name": "secret-name"}}`, "from.id: is missing"},
		{"untyped identity", `{"id": "1", "from": {"id": "secret-id"}}`, "from.id: an identity must be typed"},
		{"identity with a control character", `{"id": "1", "from": {"id": "user:a\u0000"}}`, "from.id: an identity must not contain control characters"},
		{"identity of blanks", `{"id": "1", "from": {"id": "user:  "}}`, "from.id: an identity must be typed"},
		{"mail address without @", `{"id": "1", "from": {"id": "email:secret-id"}}`, "from.id: must be a mail address"},
		{"short code as tel", `{"id": "1", "from": {"id": "tel:12345"}}`, "from.id: must be an E.164 number"},
		{"too many digits", `{"id": "1", "from": {"id": "tel:+1234567890123456"}}`, "from.id: must be an E.164 number"},
		{"unknown role", minimal(`"to": [{"id": "user:b", "role": "boss"}]`), "to[0].role: must be one of customer, agent, member, system"},
		{"name too long", minimal(`"to": [{"id": "user:b", "name": "` + strings.Repeat("x", 1025) + `"}]`), "to[0].name: has 1025 bytes"},
		{"too many readers", minimal(`"to": [` + strings.Repeat(`{"id": "user:b"},`, 10_000) + `{"id": "user:b"}]`), "to[10000]: more than 10000 participants"},
		{"unknown type", minimal(`"type": "shout"`), "type: must be one of message, edit,"},
		{"time without zone", minimal(`"sent_at": "2026-01-01T00:00:00"`), "sent_at: must be a time as in RFC 3339"},
		{"time with a one-digit hour", minimal(`"sent_at": "2026-01-01T1:00:00Z"`), "sent_at: must be a time"},
		{"time a number", minimal(`"sent_at": 1700000000`), "sent_at: must be a string, not a number"},
		{"body a string", minimal(`"body": "secret"`), "body: must be an object, not a string"},
		{"text too long", minimal(`"body": {"text": "` + strings.Repeat("x", escrow.MaxTextBytes+1) + `"}`), "body.text: has 16777217 bytes, the limit is 16777216"},
		{"title too long", minimal(`"title": "` + strings.Repeat("x", 64<<10+1) + `"`), "title: has 65537 bytes"},
		{"wrong base64", minimal(`"attachments": [{"data": "aGk="}, {"data": "secret!"}]`), "attachments[1].data: is not valid base64"},
		{"base64 without padding", minimal(`"attachments": [{"data": "aGk"}]`), "attachments[0].data: is not valid base64"},
		{"no data", minimal(`"attachments": [{"name": "x"}]`), "attachments[0].data: is missing"},
		{"data and object", minimal(`"attachments": [{"data": "", "object": "o"}]`), "attachments[0]: has both data and object"},
		{"wrong media type", minimal(`"attachments": [{"media_type": "png", "data": ""}]`), "attachments[0].media_type: must be a media type"},
		{"wrong digest", minimal(`"attachments": [{"data": "", "sha256": "` + strings.Repeat("0", 64) + `"}]`), "attachments[0].sha256: is not the digest of data"},
		{"malformed digest", minimal(`"attachments": [{"data": "", "sha256": "00"}]`), "attachments[0].sha256: must be a SHA-256 digest"},
		{"too many attachments", minimal(`"attachments": [` + strings.Repeat(`{"data": ""},`, 256) + `{"data": ""}]`), "attachments[256]: more than 256 attachments"},
		{"tag a number", minimal(`"tags": [1]`), "tags[0]: must be a string"},
		{"empty tag", minimal(`"tags": [""]`), "tags[0]: must not be empty"},
		{"tag too long", minimal(`"tags": ["` + strings.Repeat("x", 129) + `"]`), "tags[0]: has 129 bytes, the limit is 128"},
		{"too many tags", minimal(`"tags": [` + strings.Repeat(`"x",`, 256) + `"x"]`), "tags[256]: more than 256 tags"},
		{"metadata nested", minimal(`"metadata": {"secret-key": {}}`), "metadata: entry 1: must be a string, not an object"},
		{"metadata without key", minimal(`"metadata": {"": ""}`), "metadata: entry 1: the key must not be empty"},
		{"metadata value too long", minimal(`"metadata": {"a": "", "b": "` + strings.Repeat("x", 64<<10+1) + `"}`), "metadata: entry 2: has 65537 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ingest.ParseContract([]byte(tt.in))
			if err == nil {
				t.Fatalf("accepted: %+v", m)
			}
			if escrow.KindOf(err) != escrow.Invalid {
				t.Errorf("kind %v", escrow.KindOf(err))
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") || len(err.Error()) > 400 {
				t.Errorf("quotes content: %s", err)
			}
		})
	}
}

func TestParseContractObject(t *testing.T) {
	_, err := ingest.ParseContract([]byte(minimal(`"attachments": [{"object": "bucket/1"}]`)))
	if escrow.KindOf(err) != escrow.Unavailable || !strings.Contains(err.Error(), "attachments[0].object: attachment objects are not accepted yet") {
		t.Errorf("got %v", err)
	}
}

// TestParseContractLarge checks that the largest payloads pass: many readers, large attachment.
func TestParseContractLarge(t *testing.T) {
	var to []string
	for i := range escrow.MaxParticipants {
		to = append(to, fmt.Sprintf(`{"id": "user:%d"}`, i))
	}
	data := base64.StdEncoding.EncodeToString(make([]byte, 5<<20))
	m, err := ingest.ParseContract([]byte(minimal(`"to": [` + strings.Join(to, ",") + `], "attachments": [{"data": "` + data + `"}]`)))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.To) != escrow.MaxParticipants || len(m.Attachments[0].Data) != 5<<20 {
		t.Errorf("%d readers, %d bytes", len(m.To), len(m.Attachments[0].Data))
	}
}

func FuzzParseContract(f *testing.F) {
	f.Add([]byte(minimal(`"to": [{"id": "email:b@example.org", "name": "B"}], "body": {"text": "x", "html": "<p>y"}, "metadata": {"a": "b@example.org"}`)))
	f.Add([]byte(minimal(`"attachments": [{"data": "aGk=", "name": "\ud83d\ude00"}], "tags": ["a"], "sent_at": "2026-01-01T00:00:00Z"`)))
	f.Add([]byte(mentioning("1", "user:a", []string{"user:b"}, "\t\"é", about{"user:b", "B", "B\n"}, about{"user:c", "", "\u2028"}, " and ", about{"user:b", "B", "😀"})))
	f.Add([]byte(`{"id": "1", "from": {"id": "tel:+123456"}, "x": [1e5, -0.1, true, null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ingest.ParseContract(data)
		if err != nil {
			if k := escrow.KindOf(err); k != escrow.Invalid && k != escrow.Unavailable {
				t.Fatalf("kind %v: %v", k, err)
			}
			return
		}
		if m.ID == "" || m.From.ID.Check() != nil {
			t.Fatal("incomplete message accepted")
		}
		cuts := ingest.Split(ingest.TypeJSON, data, m)
		template, pieces := ingest.Cutout(data, cuts)
		if got, erased := ingest.Restore(template, cuts, pieces, ""); erased || string(got) != string(data) {
			t.Fatal("restored bytes differ")
		}
		left, _ := ingest.Restore(template, cuts, nil, ingest.Placeholder)
		if again, err := ingest.ParseContract(left); err == nil && again.From.ID != ingest.ErasedIdentity {
			t.Fatalf("the author is still there: %v", again.From.ID)
		}
	})
}
