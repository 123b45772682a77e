package ingest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"escrow"
	"escrow/ingest"
)

// schema is what of a JSON Schema the published one uses.
type schema struct {
	Type                 string            `json:"type"`
	Ref                  string            `json:"$ref"`
	Required             []string          `json:"required"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
	Enum                 []string          `json:"enum"`
	Items                *schema           `json:"items"`
	MinLength            int               `json:"minLength"`
	MaxLength            int               `json:"maxLength"`
	MaxBytes             int               `json:"maxBytes"`
	MaxItems             int               `json:"maxItems"`
	MaxProperties        int               `json:"maxProperties"`
	Defs                 map[string]schema `json:"$defs"`
}

func readSchema(t *testing.T) schema {
	t.Helper()
	b, err := os.ReadFile("../docs/schema/message.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// place is where an object of the schema stands in a message: around holds %s for it.
type place struct {
	path, around string
	object       schema
	base         map[string]string // fields it cannot do without
}

func places(s schema) []place {
	return []place{
		{"", "%s", s, map[string]string{"id": `"1"`, "from": `{"id": "user:a"}`}},
		{"from.", `{"id": "1", "from": %s}`, s.Defs["participant"], map[string]string{"id": `"user:a"`}},
		{"to[0].", `{"id": "1", "from": {"id": "user:a"}, "to": [%s]}`, s.Defs["participant"], map[string]string{"id": `"user:b"`}},
		{"body.", `{"id": "1", "from": {"id": "user:a"}, "body": %s}`, s.Properties["body"], nil},
		{"mentions[0].", `{"id": "1", "from": {"id": "user:a"}, "body": {"text": "` + strings.Repeat("x", 100) + `"}, "mentions": [%s]}`, s.Defs["mention"],
			map[string]string{"id": `"user:b"`, "start": "0", "length": "1"}},
		{"attachments[0].", `{"id": "1", "from": {"id": "user:a"}, "attachments": [%s]}`, s.Defs["attachment"], map[string]string{"data": `""`}},
	}
}

// with returns a message whose object at p has one more field.
func (p place) with(key, value string) []byte {
	fields := maps.Clone(p.base)
	if fields == nil {
		fields = map[string]string{}
	}
	if key != "" {
		fields[key] = value
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, fmt.Sprintf("%q: %s", k, fields[k]))
	}
	return fmt.Appendf(nil, p.around, "{"+strings.Join(list, ", ")+"}")
}

// TestSchemaFields checks that the parser knows exactly the fields of the published schema.
func TestSchemaFields(t *testing.T) {
	listed := regexp.MustCompile(`the fields are ([a-z0-9_, ]+);`)
	for _, p := range places(readSchema(t)) {
		if string(p.object.AdditionalProperties) != "false" {
			t.Errorf("%s: the schema allows unknown fields", p.path)
		}
		_, err := ingest.ParseContract(p.with("no_such_field", `""`))
		if err == nil {
			t.Fatalf("%s: an unknown field was accepted", p.path)
		}
		m := listed.FindStringSubmatch(err.Error())
		if m == nil {
			t.Fatalf("%s: the error does not list the fields: %v", p.path, err)
		}
		known, want := strings.Split(m[1], ", "), slices.Sorted(maps.Keys(p.object.Properties))
		slices.Sort(known)
		if !slices.Equal(known, want) {
			t.Errorf("%s: the parser knows %v, the schema %v", p.path, known, want)
		}
		for _, key := range p.object.Required {
			for name := range p.base {
				if name == key {
					q := p
					q.base = maps.Clone(p.base)
					delete(q.base, key)
					if _, err := ingest.ParseContract(q.with("", "")); err == nil || !strings.Contains(err.Error(), p.path+key+": is missing") {
						t.Errorf("%s%s is required: %v", p.path, key, err)
					}
				}
			}
		}
	}
}

// TestSchemaLimits checks for every string, list and choice of the schema that the parser takes what is at the limit and refuses what is beyond.
func TestSchemaLimits(t *testing.T) {
	s := readSchema(t)
	for _, p := range places(s) {
		for key, f := range p.object.Properties {
			switch {
			case f.Enum != nil:
				for _, v := range f.Enum {
					expect(t, p, key, fmt.Sprintf("%q", v), "")
				}
				expect(t, p, key, `"no such choice"`, "must be one of "+strings.Join(f.Enum, ", "))
			case f.MaxBytes > 0 && key != "id" && key != "media_type" && key != "object":
				if f.MaxBytes != f.MaxLength {
					t.Errorf("%s%s: %d bytes, %d characters", p.path, key, f.MaxBytes, f.MaxLength)
				}
				expect(t, p, key, `"`+strings.Repeat("x", f.MaxBytes)+`"`, "")
				expect(t, p, key, `"`+strings.Repeat("x", f.MaxBytes+1)+`"`, fmt.Sprintf("the limit is %d", f.MaxBytes))
				if f.MinLength > 0 {
					expect(t, p, key, `""`, "must not be empty")
				}
			case key == "mentions":
				if f.MaxItems != escrow.MaxMentions {
					t.Errorf("the limit of mentions is %d, the schema says %d", escrow.MaxMentions, f.MaxItems)
				}
			case f.MaxItems > 0:
				item := map[string]string{"to": `{"id": "user:b"}`, "attachments": `{"data": ""}`, "tags": `"x"`}[key]
				expect(t, p, key, "["+strings.TrimSuffix(strings.Repeat(item+",", f.MaxItems), ",")+"]", "")
				expect(t, p, key, "["+strings.Repeat(item+",", f.MaxItems)+item+"]", fmt.Sprintf("more than %d", f.MaxItems))
			}
		}
	}
	ids := [...]struct {
		path   string
		limit  int
		schema int
	}{
		{"id", escrow.MaxIDBytes, s.Properties["id"].MaxBytes}, {"participant.id", escrow.MaxIdentityBytes, s.Defs["participant"].Properties["id"].MaxBytes},
		{"tag", escrow.MaxTagBytes, s.Properties["tags"].Items.MaxBytes}, {"metadata", escrow.MaxMetadata, s.Properties["metadata"].MaxProperties},
	}
	for _, x := range ids {
		if x.limit != x.schema {
			t.Errorf("%s: the limit is %d, the schema says %d", x.path, x.limit, x.schema)
		}
	}
}

// expect parses a message with one field set; want is part of the error, "" for none.
func expect(t *testing.T, p place, key, value, want string) {
	t.Helper()
	_, err := ingest.ParseContract(p.with(key, value))
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), p.path+key) || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s%s = %.40s…: got %v, want %q", p.path, key, value, err, want)
	}
}

// TestDocsExamples checks that the examples of the published page parse.
func TestDocsExamples(t *testing.T) {
	page, err := os.ReadFile("../docs/publishing.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile(`(?s)(?:\n|'|\x60)(\{\s*"id": .*?\n?\})(?:\n|'|\x60|,? ?\))`).FindAllStringSubmatch(string(page), -1)
	if len(examples) < 3 {
		t.Fatalf("found %d examples", len(examples))
	}
	for i, e := range examples {
		if _, err := ingest.ParseContract([]byte(e[1])); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
	}
}
