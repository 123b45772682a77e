package natslog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/events/natslog"
)

// example is the entry worked through in docs/format/log-entry.md.
var example = natslog.Entry{
	Tenant: "acme", Channel: [16]byte(bytes.Repeat([]byte{0xc4}, 16)), Counter: 7, Day: 20779,
	Received: time.Date(2026, 11, 22, 12, 0, 0, 500, time.UTC), Once: [16]byte(bytes.Repeat([]byte{0x0e}, 16)), Sealed: []byte("sealed!"),
}

func TestFormatExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/format/log-entry.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```hex\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 1 {
		t.Fatalf("the page has %d examples", len(blocks))
	}
	var digits strings.Builder
	for line := range strings.Lines(blocks[0][1]) {
		data, _, _ := strings.Cut(line, "  ")
		digits.WriteString(strings.ReplaceAll(strings.TrimSpace(data), " ", ""))
	}
	raw, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	e, digest, err := natslog.ParseEntry(raw)
	if err != nil {
		t.Fatalf("%v; it should be %x", err, example.Append(nil))
	}
	if diff := cmp.Diff(example, e); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(digest[:], raw[len(raw)-32:]) || !bytes.Equal(e.Append(nil), raw) {
		t.Error("the example is not canonical")
	}
}

func TestEntryHeaderIsItsBeginning(t *testing.T) {
	b := example.Append([]byte("before"))
	if !bytes.HasPrefix(b, append([]byte("before"), example.AppendHeader(nil)...)) {
		t.Error("the header is not what the entry begins with")
	}
}

// Every flipped bit, every truncation and every extension is noticed.
func TestEntryDamageIsNoticed(t *testing.T) {
	good := example.Append(nil)
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		wantCorrupt(t, bad)
	}
	for i := range good {
		wantCorrupt(t, good[:i])
	}
	wantCorrupt(t, append(bytes.Clone(good), 0))
	wantCorrupt(t, append(bytes.Clone(good), good...))
}

func wantCorrupt(t *testing.T, b []byte) {
	t.Helper()
	if e, _, err := natslog.ParseEntry(b); err == nil || escrow.KindOf(err) != escrow.Corrupt {
		t.Fatalf("%x: %+v, %v", b, e, err)
	}
}

// What is well-formed but says what cannot be is refused as well.
func TestEntryRefusesNonsense(t *testing.T) {
	for name, change := range map[string]func(*natslog.Entry){
		"no tenant":    func(e *natslog.Entry) { e.Tenant = "" },
		"bad tenant":   func(e *natslog.Entry) { e.Tenant = "A.b" },
		"zero counter": func(e *natslog.Entry) { e.Counter = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			e := example
			change(&e)
			wantCorrupt(t, e.Append(nil))
		})
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(example.Append(nil))
	f.Add(example.Append(nil)[:len(example.Append(nil))-32])
	f.Add([]byte("ESLE\x01"))
	empty := example
	empty.Sealed = nil
	f.Add(empty.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkParse(t, b)
		sum := sha256.Sum256(b)
		checkParse(t, append(b, sum[:]...)) // so that not all ends at the digest
	})
}

func checkParse(t *testing.T, b []byte) {
	e, _, err := natslog.ParseEntry(b)
	if err != nil {
		if escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("kind %v", escrow.KindOf(err))
		}
		return
	}
	if !bytes.Equal(e.Append(nil), b) {
		t.Error("parsed and encoded again it is different")
	}
}
