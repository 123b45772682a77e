package ingest_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/ingest"

	"github.com/google/go-cmp/cmp"
)

func TestParseCloudEvent(t *testing.T) {
	message := minimal(`"body": {"text": "hi"}`)
	attributes := `"specversion": "1.0", "id": "e1", "source": "/chat", "type": "org.example.message", "time": "2026-01-02T03:04:05Z", "comexampleext": [1, {"a": null}]`
	want := escrow.Message{
		ID: "1", Type: escrow.TypeMessage, From: escrow.Participant{ID: "user:a", Role: escrow.RoleMember}, Text: "hi",
		SentAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Metadata: map[string]string{"ce-source": "/chat", "ce-type": "org.example.message"},
	}
	binary := map[string][]string{"ce-specversion": {"1.0"}, "Ce-Id": {"e1"}, "ce-source": {"%2Fchat"}, "ce-type": {"org.example.message"}, "ce-time": {"2026-01-02T03:04:05Z"}}
	for _, tt := range []struct {
		name, contentType, body string
		header                  map[string][]string
	}{
		{"structured", ingest.TypeCloudEvent, `{` + attributes + `, "data": ` + message + `}`, nil},
		{"structured, base64", ingest.TypeCloudEvent, `{"data_base64": "` + base64.StdEncoding.EncodeToString([]byte(message)) + `", ` + attributes + `}`, nil},
		{"binary", ingest.TypeJSON, message, binary},
		{"binary, no content type", "", message, binary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !ingest.IsCloudEvent(tt.contentType, tt.header) {
				t.Error("not recognised")
			}
			got, id, err := ingest.ParseCloudEvent(tt.contentType, tt.header, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if id != "/chat\ne1" {
				t.Errorf("id %q", id)
			}
			again, err := ingest.Parse(tt.contentType, tt.header, []byte(tt.body))
			if err != nil || !cmp.Equal(got, again) {
				t.Errorf("Parse differs: %v", err)
			}
		})
	}
}

func TestParseCloudEventRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"old version", `{"specversion": "0.3", "id": "1", "source": "s", "type": "t", "data": ` + minimal("") + `}`, "specversion: must be 1.0"},
		{"no version", `{"id": "1", "source": "s", "type": "t", "data": ` + minimal("") + `}`, "specversion: is missing"},
		{"no source", `{"specversion": "1.0", "id": "1", "type": "t", "data": ` + minimal("") + `}`, "source: is missing"},
		{"no data", `{"specversion": "1.0", "id": "1", "source": "s", "type": "t"}`, "data: there must be either"},
		{"both", `{"data": ` + minimal("") + `, "data_base64": "` + base64.StdEncoding.EncodeToString([]byte(minimal(""))) + `"}`, "data: there must be either"},
		{"data a string", `{"data": "x"}`, "data: must be an object, not a string"},
		{"wrong message", `{"data": {"id": 1}}`, "data.id: must be a string"},
		{"wrong message in base64", `{"data_base64": "e30="}`, "data_base64.id: is missing"},
		{"other data", `{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "datacontenttype": "text/xml", "data": ` + minimal("") + `}`, "datacontenttype: must be"},
		{"control character", `{"specversion": "1.0", "id": "1\n", "source": "s", "type": "t", "data": ` + minimal("") + `}`, "id: must not contain control"},
		{"wrong time", `{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "now", "data": ` + minimal("") + `}`, "time: must be a time"},
		{"deep extension", `{"x": ` + strings.Repeat(`[`, 10_000) + `}`, "nested deeper than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ingest.Parse(ingest.TypeCloudEvent, nil, []byte(tt.in))
			if escrow.KindOf(err) != escrow.Invalid || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParseMailHeaders(t *testing.T) {
	raw := []byte("From: ana@example.org\r\nTo: bo@example.org\r\nMessage-ID: <1@example.org>\r\nX-Folder: inbox\r\n\r\nhi\r\n")
	m, err := ingest.Parse(ingest.TypeMail, map[string][]string{
		"Escrow-Conversation": {"case 7"}, "escrow-tags": {"a, b", "a,c"}, "Escrow-Meta-Case": {"7", "8"}, "traceparent": {"00-1"},
	}, raw)
	if err != nil {
		t.Fatal(err)
	}
	want := escrow.Message{
		ID: "1@example.org", Type: escrow.TypeMessage, Conversation: "case 7", Text: "hi",
		From: escrow.Participant{ID: "email:ana@example.org", Role: escrow.RoleMember},
		To:   []escrow.Participant{{ID: "email:bo@example.org", Role: escrow.RoleMember}},
		Tags: []string{"a", "b", "c"}, Metadata: map[string]string{"x-folder": "inbox", "case": "7, 8"},
	}
	if d := cmp.Diff(want, m); d != "" {
		t.Error(d)
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, tt := range []struct {
		name, contentType string
		header            map[string][]string
		want              string
	}{
		{"unknown type", "text/xml", nil, "Content-Type: must be"},
		{"mail header on JSON", ingest.TypeJSON, map[string][]string{"Escrow-Tags": {"x"}}, `header "Escrow-Tags": belongs to raw mail`},
		{"unknown header", ingest.TypeMail, map[string][]string{"Escrow-Tag": {"x"}}, `header "Escrow-Tag": is unknown; known are`},
		{"two conversations", ingest.TypeMail, map[string][]string{"Escrow-Conversation": {"x", "y"}}, "appears twice"},
		{"empty conversation", ingest.TypeMail, map[string][]string{"Escrow-Conversation": {""}}, "must have 1 to 512 bytes"},
		{"long tag", ingest.TypeMail, map[string][]string{"Escrow-Tags": {long}}, "a tag has 70000 bytes"},
		{"many tags", ingest.TypeMail, map[string][]string{"Escrow-Tags": {strings.Repeat("x,", 300)}}, "more than 256 tags"},
		{"long metadata", ingest.TypeMail, map[string][]string{"Escrow-Meta-A": {long}}, "have more than 65536 bytes"},
		{"control character", ingest.TypeMail, map[string][]string{"Escrow-Meta-A": {"a\x00b"}}, "without control characters"},
		{"not UTF-8", ingest.TypeMail, map[string][]string{"Escrow-Meta-A": {"\xff"}}, "must be UTF-8"},
		{"no name", ingest.TypeMail, map[string][]string{"Escrow-Meta-": {"x"}}, "is unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ingest.Parse(tt.contentType, tt.header, []byte(minimal("")))
			if err == nil || escrow.KindOf(err) != escrow.Invalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
