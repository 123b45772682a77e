package ingest_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"escrow"
	"escrow/ingest"

	"github.com/jhillyerd/enmime/v2"
	"github.com/klauspost/compress/zstd"
)

// mailCorpora are the real mails tests read where ESCROW_CORPORA says they are; see the README.md beside them.
var mailCorpora = []string{"enron", "spamassassin", "openbmc-first3000", "torture-permissive"}

// eachCorpusMail calls f with the name and bytes of every file of a corpus.
func eachCorpusMail(t testing.TB, corpus string, f func(name string, raw []byte)) {
	t.Helper()
	dir := os.Getenv("ESCROW_CORPORA")
	if dir == "" {
		t.Skip("ESCROW_CORPORA is not set: not reading real mails")
	}
	file, err := os.Open(filepath.Join(dir, corpus+".tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := zstd.NewReader(file, zstd.WithDecoderMaxWindow(1<<27))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || strings.HasSuffix(h.Name, ".cats") { // labels beside the mails of enron
			continue
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f(h.Name, raw)
	}
}

// TestCorpora reads every real mail: in time, without panic, into valid UTF-8, splits it and puts it together again.
func TestCorpora(t *testing.T) {
	for _, corpus := range mailCorpora {
		t.Run(corpus, func(t *testing.T) {
			count, size, defective, kinds := 0, 0, 0, map[string]int{}
			eachCorpusMail(t, corpus, func(name string, raw []byte) {
				start := time.Now()
				m := ingest.ParseMail(raw)
				cuts := ingest.Split(ingest.TypeMail, raw, m)
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("%s took %v", name, took)
				}
				checkView(t, name, m)
				checkSplit(t, name, raw, m, cuts)
				compareHeader(t, name, raw, m, kinds)
				count, size = count+1, size+len(raw)
				if len(m.Defects) > 0 {
					defective++
				}
				for _, d := range m.Defects {
					if i := strings.Index(d, ": "); strings.HasPrefix(d, "part ") && i > 0 {
						d = d[i+2:]
					}
					kinds["defect: "+d]++
				}
			})
			t.Logf("%d mails, %d bytes, %d with defects", count, size, defective)
			for _, k := range slices.Sorted(maps.Keys(kinds)) {
				t.Logf("%6d %s", kinds[k], k)
			}
		})
	}
}

// checkView checks what must hold for every Message.
func checkView(t testing.TB, name string, m escrow.Message) {
	t.Helper()
	texts := []string{m.ID, m.RefersTo, m.Conversation, m.Title, m.Text, m.HTML, m.From.Name}
	for _, p := range append([]escrow.Participant{m.From}, m.To...) {
		if err := p.ID.Check(); err != nil {
			t.Errorf("%s: identity: %v", name, err)
		}
		if p.ID != p.ID.Normalise() {
			t.Errorf("%s: an identity is not normalised", name)
		}
		texts = append(texts, p.Name)
	}
	for _, a := range m.Attachments {
		texts = append(texts, a.Name, a.MediaType, a.Transcript)
	}
	texts = append(append(texts, slices.Collect(maps.Values(m.Metadata))...), m.Defects...)
	if i := slices.IndexFunc(texts, func(s string) bool { return !utf8.ValidString(s) }); i >= 0 {
		t.Errorf("%s: text %d is not UTF-8", name, i)
	}
	switch {
	case len(m.Text) > escrow.MaxTextBytes, len(m.To) > escrow.MaxParticipants, len(m.Attachments) > escrow.MaxAttachments, len(m.ID) > escrow.MaxIDBytes:
		t.Errorf("%s: beyond a limit", name)
	case m.Type != escrow.TypeMessage:
		t.Errorf("%s: type %q", name, m.Type)
	}
}

// checkSplit checks all that must hold for cuts.
func checkSplit(t testing.TB, name string, raw []byte, m escrow.Message, cuts []ingest.Cut) {
	t.Helper()
	checkRoundTrip(t, name, raw, cuts)
	checkErasure(t, name, raw, m, cuts)
}

// checkRoundTrip checks that the pieces make the whole.
func checkRoundTrip(t testing.TB, name string, raw []byte, cuts []ingest.Cut) {
	t.Helper()
	template, pieces := ingest.Cutout(raw, cuts)
	if got, erased := ingest.Restore(template, cuts, pieces, "x"); erased || !bytes.Equal(got, raw) {
		t.Errorf("%s: restored bytes differ", name)
	}
	coded := ingest.AppendCuts(nil, cuts)
	if again, err := ingest.ParseCuts(coded); err != nil || !slices.Equal(again, cuts) {
		t.Errorf("%s: cuts do not survive encoding: %v", name, err)
	}
}

// checkErasure checks that a person whose pieces are gone is not in the header any more.
func checkErasure(t testing.TB, name string, raw []byte, m escrow.Message, cuts []ingest.Cut) {
	t.Helper()
	template, pieces := ingest.Cutout(raw, cuts)
	people := append([]escrow.Participant{m.From}, m.To...)
	for i, p := range people[:min(len(people), 20)] {
		if slices.ContainsFunc(people[:i], func(q escrow.Participant) bool { return q.ID == p.ID }) {
			continue // has the number of the first
		}
		left := maps.Clone(pieces)
		delete(left, uint16(i))
		rest, _ := ingest.Restore(template, cuts, left, "x")
		head := strings.ToLower(headerOf(rest))
		if p.ID.Scheme() == "email" && containsAddress(head, p.ID.Value()) {
			t.Errorf("%s: the address of participant %d is still in the header", name, i)
		}
		if n := strings.ToLower(p.Name); strings.Contains(n, " ") && containsName(head, n, people, i) {
			t.Errorf("%s: the name of participant %d is still in the header", name, i)
		}
	}
}

// headerOf returns what stands before the first empty line.
func headerOf(raw []byte) string {
	s := strings.ReplaceAll(string(raw), "\r\n", "\n")
	s, _, _ = strings.Cut(strings.TrimLeft(s, "\n"), "\n\n")
	return s
}

// containsAddress reports whether addr is in head, and not as the end or start of a longer address.
func containsAddress(head, addr string) bool { return containsWhole(head, addr, ".-_+=%@'") }

// containsName reports whether name is in head as whole words other than in a name others have, too.
func containsName(head, name string, people []escrow.Participant, self int) bool {
	for i, p := range people {
		if i != self && strings.Contains(strings.ToLower(p.Name), name) {
			return false
		}
	}
	return containsWhole(head, name, "")
}

// containsWhole reports whether s is in text between bytes that are neither letters, digits nor in also.
func containsWhole(text, s, also string) bool {
	joins := func(i int) bool {
		if i < 0 || i >= len(text) {
			return false
		}
		c := rune(text[i])
		return c >= 0x80 || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune(also, c)
	}
	for i := 0; ; i++ {
		k := strings.Index(text[i:], s)
		if k < 0 {
			return false
		}
		if i += k; !joins(i-1) && !joins(i+len(s)) {
			return true
		}
	}
}

// compareHeader compares with what net/mail reads, where it can, and counts differences by kind.
func compareHeader(t testing.TB, name string, raw []byte, m escrow.Message, kinds map[string]int) {
	t.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return
	}
	if date, err := parsed.Header.Date(); err == nil && !date.Equal(m.SentAt) {
		kinds["date differs from net/mail"]++
		if _, offset := date.Zone(); offset != 0 { // names of zones mean nothing to net/mail
			kinds["date with a numeric zone differs from net/mail"]++
			if os.Getenv("ESCROW_VERBOSE") != "" {
				fmt.Println(name, parsed.Header.Get("Date"), m.SentAt)
			}
		}
	}
	if from, err := parsed.Header.AddressList("From"); err == nil && len(from) > 0 {
		kinds["from compared"]++
		if want := "email:" + strings.ToLower(from[0].Address); string(m.From.ID) != want {
			kinds["from differs from net/mail"]++
			if os.Getenv("ESCROW_VERBOSE") != "" {
				fmt.Println(name, want, m.From.ID)
			}
		}
	}
}

// TestCorporaAgainstEnmime compares with the most tolerant of the libraries: what it finds in real mails must be found here, too.
func TestCorporaAgainstEnmime(t *testing.T) {
	const tolerated = 0.01 // of the mails may lack more than a tenth of enmime's words: where tags within words make several of one for it
	parser := enmime.NewParser(enmime.DisableCharacterDetection(true))
	for _, corpus := range mailCorpora {
		t.Run(corpus, func(t *testing.T) {
			count, failed, poorer, fewer := 0, 0, 0, 0
			eachCorpusMail(t, corpus, func(name string, raw []byte) {
				count++
				e, err := parser.ReadEnvelope(bytes.NewReader(raw))
				if err != nil {
					failed++
					return
				}
				m := ingest.ParseMail(raw)
				said := m.Text
				for _, a := range m.Attachments {
					said += "\n" + a.Transcript
				}
				have, words := wordsOf(said), wordsOf(e.Text)
				missing := 0
				for w := range words {
					if !have[w] {
						missing++
					}
				}
				if missing*10 > len(words) && missing > 3 {
					poorer++
				}
				if len(m.Attachments) < len(e.Attachments) {
					fewer++
				}
			})
			t.Logf("%d mails, enmime failed on %d; here %d lack words, %d lack attachments", count, failed, poorer, fewer)
			if float64(poorer) > tolerated*float64(count)+float64(failed) {
				t.Errorf("%d of %d mails lack more than a tenth of the words enmime finds", poorer, count)
			}
		})
	}
}

// wordsOf returns the ASCII words of a text outside of links; enmime leaves bytes it cannot decode in the others.
func wordsOf(s string) map[string]bool {
	words := make(map[string]bool)
	for _, w := range strings.Fields(strings.ToLower(s)) {
		w = strings.Trim(w, ".,;:!?()[]<>*\"'-_")
		if w != "" && strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") == "" {
			words[w] = true
		}
	}
	return words
}
