package source_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/ingest/source"
)

const (
	fromA = "From ana@example.org Mon Feb  2 10:00:00 2026\n"
	fromB = "From bob@example.org Tue Feb  3 10:00:00 2026\n"
)

// split returns the entries of an mbox, and fails the test on any error.
func split(t *testing.T, text string, v source.Variant) []source.Entry {
	t.Helper()
	m, err := source.NewMbox(strings.NewReader(text), v)
	if err != nil {
		t.Fatal(err)
	}
	var all []source.Entry
	for {
		e, err := m.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
}

func bodies(entries []source.Entry) []string {
	all := []string{}
	for _, e := range entries {
		all = append(all, string(e.Data))
	}
	return all
}

func TestMbox(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	tests := []struct {
		name    string
		variant source.Variant
		in      string
		want    []string
	}{
		{"empty", source.VariantAuto, "", []string{}},
		{"one", source.VariantAuto, fromA + "A: 1\n\ntext\n\n", []string{"A: 1\n\ntext\n"}},
		{"two", source.VariantAuto, fromA + "A: 1\n\ntext\n\n" + fromB + "B: 2\n\nmore\n\n", []string{"A: 1\n\ntext\n", "B: 2\n\nmore\n"}},
		{"no blank line at the end", source.VariantAuto, fromA + "A: 1\n\ntext\n", []string{"A: 1\n\ntext\n"}},
		{"no newline at the end", source.VariantAuto, fromA + "A: 1\n\ntext", []string{"A: 1\n\ntext"}},
		{"CRLF", source.VariantAuto, crlf(fromA + "A: 1\n\ntext\n\n" + fromB + "B: 2\n\nmore\n\n"), []string{crlf("A: 1\n\ntext\n"), crlf("B: 2\n\nmore\n")}},
		{"only the last blank line goes", source.VariantAuto, fromA + "A: 1\n\ntext\n\n\n\n" + fromB + "B: 2\n", []string{"A: 1\n\ntext\n\n\n", "B: 2\n"}},
		{"byte order mark", source.VariantAuto, "\xef\xbb\xbf" + fromA + "A: 1\n\ntext\n", []string{"A: 1\n\ntext\n"}},
		{"no From_ line at the beginning", source.VariantAuto, "A: 1\n\ntext\n\n" + fromB + "B: 2\n\nmore\n", []string{"A: 1\n\ntext\n", "B: 2\n\nmore\n"}},
		{"From without date in the text", source.VariantAuto, fromA + "A: 1\n\nhello\n\nFrom now on:\nX: y\n", []string{"A: 1\n\nhello\n\nFrom now on:\nX: y\n"}},
		{"From_ line with date in the text", source.VariantAuto, fromA + "A: 1\n\nshe wrote\n\n" + fromB + "I come on Monday\n", []string{"A: 1\n\nshe wrote\n\n" + fromB + "I come on Monday\n"}},
		{"no blank line before From_", source.VariantAuto, fromA + "A: 1\n\ntext\n" + fromB + "B: 2\n\nmore\n", []string{"A: 1\n\ntext\n", "B: 2\n\nmore\n"}},
		{"empty message", source.VariantAuto, fromA + "\n" + fromB + "B: 2\n", []string{"", "B: 2\n"}},
		{"nothing but From_ lines", source.VariantAuto, fromA + fromB, []string{"", ""}},
		{"header without body", source.VariantAuto, fromA + "A: 1\n" + fromB + "B: 2\n", []string{"A: 1\n", "B: 2\n"}},
		{"old quoted From_ as first field", source.VariantAuto, fromA + "A: 1\n\nx\n\n" + fromB + ">From uucp Mon Feb  2 10:00:00 2026\nB: 2\n",
			[]string{"A: 1\n\nx\n", ">From uucp Mon Feb  2 10:00:00 2026\nB: 2\n"}},
		{"dates of other writers", source.VariantAuto,
			"From - Mon Feb 02 10:00:00 2026\nA: 1\n\nx\n\nFrom 17@xxx Mon Feb 02 10:00:00 +0000 2026\nB: 2\n\nx\n\nFrom c Mon Feb  2 10:00 MET 2026 remote from d\nC: 3\n",
			[]string{"A: 1\n\nx\n", "B: 2\n\nx\n", "C: 3\n"}},
		{"file without dates", source.VariantAuto, "From ana\nA: 1\n\nx\n\nFrom bob\nB: 2\n\nFrom me to you\n", []string{"A: 1\n\nx\n", "B: 2\n\nFrom me to you\n"}},
		{"From_ line too long", source.VariantAuto, fromA + "A: 1\n\n" + "From " + strings.Repeat("x", 3000) + " Mon Feb  2 10:00:00 2026\nB: 2\n",
			[]string{"A: 1\n\n" + "From " + strings.Repeat("x", 3000) + " Mon Feb  2 10:00:00 2026\nB: 2\n"}},
		{"first line too long", source.VariantAuto, "From " + strings.Repeat("x", 3000) + "\nA: 1\n", []string{"From " + strings.Repeat("x", 3000) + "\nA: 1\n"}},

		{"o keeps quoting", source.VariantO, fromA + "A: 1\n\n>From a\n>>From b\n", []string{"A: 1\n\n>From a\n>>From b\n"}},
		{"rd takes one", source.VariantRD, fromA + "A: 1\n\n>From a\n>>From b\n>Fromage\n> From c\n", []string{"A: 1\n\nFrom a\n>From b\n>Fromage\n> From c\n"}},
		{"auto without evidence is o", source.VariantAuto, fromA + "A: 1\n\n>From a\n", []string{"A: 1\n\n>From a\n"}},
		{"auto with evidence is rd", source.VariantAuto, fromA + "A: 1\n\n>From a\n\n" + fromB + "B: 2\n\n>>From b\n", []string{"A: 1\n\nFrom a\n", "B: 2\n\n>From b\n"}},

		{"cl2 with a separator inside", source.VariantCL2, fromA + "Content-Length: 56\n\nhello\n\n" + fromB + "B: \n\n" + fromB + "Content-Length: 0\n\n",
			[]string{"Content-Length: 56\n\nhello\n\n" + fromB + "B: ", "Content-Length: 0\n\n"}},
		{"auto finds cl2", source.VariantAuto, fromA + "Content-Length: 58\n\nhello\n\n" + fromB + "B: 2\n\n" + fromB + "content-length : 2\n\nx\n",
			[]string{"Content-Length: 58\n\nhello\n\n" + fromB + "B: 2\n", "content-length : 2\n\nx\n"}},
		{"cl takes one", source.VariantCL, fromA + "Content-Length: 17\n\n>From a\n>>From b\n\n" + fromB + "Content-Length: 0\n\n",
			[]string{"Content-Length: 17\n\nFrom a\n>From b\n", "Content-Length: 0\n\n"}},
		{"cl2 keeps quoting", source.VariantCL2, fromA + "Content-Length: 8\n\n>From a\n\n", []string{"Content-Length: 8\n\n>From a\n"}},
		{"body without line end", source.VariantCL2, fromA + "Content-Length: 1\n\nx\n\n" + fromB + "Content-Length: 1\n\ny", []string{"Content-Length: 1\n\nx", "Content-Length: 1\n\ny"}},
		{"length too short", source.VariantAuto, fromA + "Content-Length: 2\n\ntext\n\n" + fromB + "B: 2\n", []string{"Content-Length: 2\n\ntext\n", "B: 2\n"}},
		{"length too long", source.VariantAuto, fromA + "Content-Length: 700\n\ntext\n\n" + fromB + "B: 2\n", []string{"Content-Length: 700\n\ntext\n", "B: 2\n"}},
		{"length absurd", source.VariantCL, fromA + "Content-Length: 99999999999999999999\n\ntext\n\n" + fromB + "Content-Length: -1\n\nx\n",
			[]string{"Content-Length: 99999999999999999999\n\ntext\n", "Content-Length: -1\n\nx\n"}},
		{"two lengths", source.VariantCL2, fromA + "Content-Length: 5\nContent-Length: 2\n\ntext\n\n" + fromB + "B: 2\n", []string{"Content-Length: 5\nContent-Length: 2\n\ntext\n", "B: 2\n"}},
		{"length of the next message", source.VariantCL2, fromA + "A: 1\n" + fromB + "Content-Length: 2\n\nx\n\n" + fromA + "C: 3\n", []string{"A: 1\n", "Content-Length: 2\n\nx\n", "C: 3\n"}},
		{"one wrong length in cl2", source.VariantCL2, fromA + "Content-Length: 9\n\na\n\n" + fromB + "Content-Length: 2\n\nb\n\n", []string{"Content-Length: 9\n\na\n", "Content-Length: 2\n\nb\n"}},
		{"one wrong length ends belief", source.VariantAuto, fromA + "Content-Length: 4\n\na\n\n" + fromB + "Content-Length: 58\n\nhello\n\n" + fromB + "B: 2\n\n",
			[]string{"Content-Length: 4\n\na\n", "Content-Length: 58\n\nhello\n", "B: 2\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := split(t, tt.in, tt.variant)
			if diff := cmp.Diff(tt.want, bodies(got)); diff != "" {
				t.Error(diff)
			}
			for _, e := range got {
				if !strings.HasPrefix(tt.in[e.Offset:], string(e.Separator)) {
					t.Errorf("offset %d does not lead to the From_ line", e.Offset)
				}
			}
		})
	}
}

func TestMboxLimits(t *testing.T) {
	t.Run("too large", func(t *testing.T) {
		big := strings.Repeat("0123456789abcde\n", escrow.MaxImport/16)
		got := split(t, fromA+"A: 1\n\n"+big+"\n"+fromB+"B: 2\n", source.VariantAuto)
		if len(got) != 2 || !got[0].TooLarge || got[0].Data != nil || string(got[1].Data) != "B: 2\n" {
			t.Errorf("got %d entries", len(got))
		}
	})
	t.Run("as large as allowed", func(t *testing.T) {
		big := strings.Repeat("0123456789abcde\n", escrow.MaxImport/16)
		got := split(t, fromA+big+"\n"+fromB+"B: 2\n", source.VariantO)
		if len(got) != 2 || got[0].TooLarge || len(got[0].Data) != escrow.MaxImport {
			t.Errorf("got %d entries, the first of %d bytes", len(got), len(got[0].Data))
		}
	})
	t.Run("many wrong lengths", func(t *testing.T) {
		in := strings.Repeat(fromA+"Content-Length: 60000000\n\nx\n\n", 100)
		if got := split(t, in, source.VariantCL2); len(got) != 100 {
			t.Errorf("got %d entries", len(got))
		}
	})
	t.Run("one line without end", func(t *testing.T) {
		big := strings.Repeat("x", 1<<20)
		got := split(t, fromA+"A: 1\n\n"+big, source.VariantAuto)
		if len(got) != 1 || string(got[0].Data) != "A: 1\n\n"+big {
			t.Errorf("got %d entries", len(got))
		}
	})
}

func TestMboxReadError(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader(fromA+"A: 1\n\ntext\n\n"+fromB+"B: 2\n\nmo"), iotest.ErrReader(broken))
	for _, v := range []source.Variant{source.VariantO, source.VariantRD, source.VariantCL, source.VariantCL2} {
		m, err := source.NewMbox(in, v)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			var e source.Entry
			e, err = m.Next()
			if err == nil && strings.Contains(string(e.Data), "B: 2") {
				t.Error("a part of a message was taken for a message")
			}
		}
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := source.NewMbox(in, source.VariantAuto); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// requote undoes what reading an mboxrd does to a message.
func requote(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			out = append(out, '>')
		}
		out = append(out, line...)
	}
	return out
}

// quoteStrays quotes the From_ lines of an mboxrd that are text, which a writer of mboxrd would have quoted.
func quoteStrays(in []byte, entries []source.Entry) []byte {
	separators := make(map[int]bool)
	for _, e := range entries {
		separators[int(e.Offset)] = len(e.Separator) > 0
	}
	var out []byte
	at := 0
	for line := range bytes.Lines(in) {
		if bytes.HasPrefix(line, []byte("From ")) && !separators[at] {
			out = append(out, '>')
		}
		out = append(out, line...)
		at += len(line)
	}
	return out
}

// FuzzMbox checks that nothing of a file is lost or made up, whatever it contains.
func FuzzMbox(f *testing.F) {
	for _, s := range []string{
		"", "x", "From ", "From \n", fromA, fromA + fromB, fromA + "A: 1\n\n>From x\n\n" + fromB + "\n\n", "\xef\xbb\xbf" + fromA + "A: 1\r\n\r\n",
		fromA + "Content-Length: 5\n\nhello\n\n" + fromB + "Content-Length: 3\n\nx\n", "From a\nb: c\n\nFrom d\ne: f\n", fromA + "A: 1\n\n>>From b\n\nFrom now on\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, v := range []source.Variant{source.VariantO, source.VariantCL2} { // nothing is unquoted
			if diff := cmp.Diff(in, join(split(t, string(in), v), bytes.Clone), emptyIsNil); diff != "" {
				t.Errorf("variant %d: %s", v, diff)
			}
		}
		rd := split(t, string(in), source.VariantRD)
		if diff := cmp.Diff(quoteStrays(in, rd), join(rd, requote), emptyIsNil); diff != "" {
			t.Errorf("mboxrd: %s", diff)
		}
		split(t, string(in), source.VariantCL)
		split(t, string(in), source.VariantAuto)
	})
}

var emptyIsNil = cmp.Comparer(bytes.Equal)

func join(entries []source.Entry, quote func([]byte) []byte) []byte {
	var out []byte
	for _, e := range entries {
		out = append(out, e.Separator...)
		out = append(out, quote(e.Data)...)
		out = append(out, e.Trailer...)
	}
	return out
}
