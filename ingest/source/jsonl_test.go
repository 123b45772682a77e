package source_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"escrow/ingest/source"
)

func TestJSONL(t *testing.T) {
	tests := []struct {
		name, in string
		want     []source.Item
	}{
		{"empty", "", nil},
		{"lines", "{\"a\":1}\n{\"b\":2}\n", []source.Item{{Line: 1, Data: []byte(`{"a":1}`)}, {Line: 2, Data: []byte(`{"b":2}`)}}},
		{"no newline at the end", "{\"a\":1}", []source.Item{{Line: 1, Data: []byte(`{"a":1}`)}}},
		{"CRLF", "{\"a\":1}\r\n\r\n{\"b\":2}\r\n", []source.Item{{Line: 1, Data: []byte(`{"a":1}`)}, {Line: 3, Data: []byte(`{"b":2}`)}}},
		{"blank lines", "\n \t\n{}\n\n", []source.Item{{Line: 3, Data: []byte(`{}`)}}},
		{"byte order mark", "\xef\xbb\xbf{}\n", []source.Item{{Line: 1, Data: []byte(`{}`)}}},
		{"nonsense is the server's to refuse", "nonsense\n", []source.Item{{Line: 1, Data: []byte(`nonsense`)}}},
		{"longer than the buffer", "{\"a\":\"" + strings.Repeat("x", 200_000) + "\"}\n{}\n",
			[]source.Item{{Line: 1, Data: []byte("{\"a\":\"" + strings.Repeat("x", 200_000) + "\"}")}, {Line: 2, Data: []byte(`{}`)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.want {
				tt.want[i].Path, tt.want[i].ContentType = "a.jsonl", "application/json"
			}
			if diff := cmp.Diff(tt.want, walkFS(t, files(map[string]string{"a.jsonl": tt.in}), "", "a.jsonl"), emptyIsNil); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJSONLLineLimit(t *testing.T) {
	line := bytes.Repeat([]byte("x"), 64<<20)
	data := append(append(bytes.Clone(line), "\nx"...), line...)
	data = append(data, "\r\n{}\n"...)
	got := walkFS(t, fstest.MapFS{"a.jsonl": {Data: data}}, "", "a.jsonl")
	if diff := cmp.Diff([]string{"a.jsonl:1", "a.jsonl:2 failed: too large", "a.jsonl:3"}, briefs(got)); diff != "" {
		t.Error(diff)
	}
	if len(got[0].Data) != len(line) {
		t.Errorf("the longest line has %d bytes", len(got[0].Data))
	}
}
