package archive_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
)

const leafText = `escrow/leaf@v1
kind message
time 2026-11-22T09:00:03Z
source 000102030405060708090a0b0c0d0e0f 88123
entry sha256:0101010101010101010101010101010101010101010101010101010101010101
stream 101112131415161718191a1b1c1d1e1f 4711
once 202122232425262728292a2b2c2d2e2f
sealed sha256:0202020202020202020202020202020202020202020202020202020202020202 2048
content sha256:0303030303030303030303030303030303030303030303030303030303030303 8
kref sha256:0404040404040404040404040404040404040404040404040404040404040404
class R7
`

func leafHeader() archive.Header {
	h := archive.Header{Kind: archive.KindMessage, Time: time.Date(2026, 11, 22, 9, 0, 3, 0, time.UTC), Class: "R7",
		Content: archive.Content{Fields: 8}, Sealed: archive.Digest{Len: 2048}}
	for i := range 16 {
		h.Source.Tag[i], h.Stream.Tag[i], h.Once[i] = byte(i), byte(i)+16, byte(i)+32
	}
	h.Source.Seq, h.Stream.Counter = 88123, 4711
	for i := range 32 {
		h.Entry[i], h.Sealed.SHA256[i], h.Content.Root[i], h.KRef[i] = 1, 2, 3, 4
	}
	return h
}

func TestLeafText(t *testing.T) {
	h := leafHeader()
	if diff := cmp.Diff(leafText, string(h.AppendLeaf(nil))); diff != "" {
		t.Error(diff)
	}
	got, err := archive.ParseLeaf([]byte(leafText))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, got); diff != "" {
		t.Error(diff)
	}
	if want := tlog.Hash(sha256.Sum256([]byte("\x00" + leafText))); h.LeafHash() != want {
		t.Error("the leaf hash is not SHA-256(0x00 ‖ text)")
	}
}

func TestLeafOfAnEventHasNoLinesForWhatItHasNot(t *testing.T) {
	h := archive.Header{Kind: archive.KindNote, Time: start()}
	zero := strings.Repeat("0", 64)
	want := "escrow/leaf@v1\nkind note\ntime 2026-11-22T09:00:00Z\nsealed sha256:" + zero + " 0\ncontent sha256:" + zero + " 0\nkref sha256:" + zero + "\n"
	if diff := cmp.Diff(want, string(h.AppendLeaf(nil))); diff != "" {
		t.Error(diff)
	}
	if got, err := archive.ParseLeaf([]byte(want)); err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
}

func TestLongestLeafFits(t *testing.T) {
	h := leafHeader()
	h.Kind, h.Class = archive.KindKeyEpoch, strings.Repeat("x", archive.MaxClassBytes)
	h.Source.Seq, h.Stream.Counter, h.Sealed.Len, h.Content.Fields = 1<<64-1, 1<<64-1, 1<<64-1, 1<<32-1
	leaf := h.AppendLeaf(nil)
	if len(leaf) > archive.MaxLeafBytes {
		t.Errorf("%d bytes", len(leaf))
	}
	if got, err := archive.ParseLeaf(leaf); err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
}

func TestLeafParserIsStrict(t *testing.T) {
	edit := func(old, new string) string { return strings.Replace(leafText, old, new, 1) }
	tests := []struct{ name, leaf string }{
		{"empty", ""},
		{"other title", edit("@v1", "@v2")},
		{"no newline at the end", strings.TrimSuffix(leafText, "\n")},
		{"empty line at the end", leafText + "\n"},
		{"empty line inside", edit("\nentry", "\n\nentry")},
		{"unknown line", leafText + "more x\n"},
		{"line twice", leafText + "class R7\n"},
		{"lines exchanged", edit("class R7\n", "") + "class R7\nclass R7\n"},
		{"kind after time", edit("kind message\ntime 2026-11-22T09:00:03Z", "time 2026-11-22T09:00:03Z\nkind message")},
		{"unknown kind", edit("message", "massage")},
		{"no kind", edit("kind message\n", "")},
		{"no time", edit("time 2026-11-22T09:00:03Z\n", "")},
		{"fraction of a second", edit("03Z", "03.5Z")},
		{"zero fraction", edit("03Z", "03.0Z")},
		{"time with zone", edit("03Z", "03+00:00")},
		{"time before 1970", edit("2026", "1969")},
		{"impossible day", edit("11-22", "02-30")},
		{"upper-case hex", edit("0a0b", "0A0B")},
		{"tag too short", edit("000102", "0102")},
		{"sequence 0", edit("88123", "0")},
		{"leading zero", edit("88123", "088123")},
		{"plus sign", edit("88123", "+88123")},
		{"number too large", edit("88123", "18446744073709551616")},
		{"fields too large", edit("303 8", "303 4294967304")},
		{"two spaces", edit(" 88123", "  88123")},
		{"space at the end", edit("88123", "88123 ")},
		{"no digest name", edit("entry sha256:", "entry ")},
		{"zero entry", edit(strings.Repeat("01", 32), strings.Repeat("00", 32))},
		{"zero once", edit("202122232425262728292a2b2c2d2e2f", strings.Repeat("00", 16))},
		{"empty class", edit("class R7", "class ")},
		{"space in class", edit("class R7", "class R 7")},
		{"class too long", edit("class R7", "class "+strings.Repeat("x", archive.MaxClassBytes+1))},
		{"carriage return", edit("R7\n", "R7\r\n")},
		{"too long", leafText + strings.Repeat("x", archive.MaxLeafBytes)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if h, err := archive.ParseLeaf([]byte(test.leaf)); err == nil || escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("got %v, %v", h, err)
			}
		})
	}
}

func FuzzParseLeaf(f *testing.F) {
	f.Add([]byte(leafText))
	f.Add(archive.Header{Kind: archive.KindNote, Time: start()}.AppendLeaf(nil))
	f.Add([]byte("escrow/leaf@v1\n\n\n"))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		h, err := archive.ParseLeaf(leaf)
		if err == nil && !bytes.Equal(h.AppendLeaf(nil), leaf) {
			t.Errorf("%q is read and becomes %q", leaf, h.AppendLeaf(nil))
		}
		if err != nil && escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("kind %s", escrow.KindOf(err))
		}
	})
}
