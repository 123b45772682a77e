package officers_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/officers"
)

// example returns a fenced block of docs/format/statement.md.
func example(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "format", "statement.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```"+name+"\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("the page has no block %s", name)
	}
	return block
}

// TestPage makes the example of the page again, from a key and a fact, and checks it.
func TestPage(t *testing.T) {
	o := newOffice(t)
	o.key("legal", 2)
	at := time.Date(2026, 11, 22, 9, 0, 3, 0, time.UTC)
	act := o.sign(events.ErasureApproved{Request: 17, Leaf: leafOf(17), Until: at.Add(72 * time.Hour).Truncate(time.Hour)}, "legal", at)
	_, statement := act.By()
	unsigned, err := json.Marshal(act.SignedBy("", ""))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"vkey": o.keys["legal"] + "\n", "fact": string(unsigned) + "\n", "statement": statement} {
		if want := example(t, name); got != want {
			t.Errorf("%s is now\n%s", name, got)
		}
	}
	var r officers.Roster
	for _, name := range []string{"dpo", "legal"} {
		if name == "dpo" {
			o.key(name, 1)
		}
		if err := r.Apply(archive.Record{}, o.sign(events.OfficerAdded{Officer: name, Key: o.keys[name]}, name, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Apply(archive.Record{Seq: 17, Header: header(17)}, o.sign(request(1), "dpo", at)); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(origin, act.SignedBy("legal", example(t, "statement")), at.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	flipped := bytes.Replace([]byte(example(t, "statement")), []byte("legal"), []byte("Legal"), 1)
	if err := r.Check(origin, act.SignedBy("legal", string(flipped)), at); err == nil || escrow.KindOf(err) != escrow.Denied {
		t.Errorf("a changed example is taken: %v", err)
	}
}
