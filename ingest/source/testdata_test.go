package source_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/ingest"
	"escrow/testdata"
)

// manifest is testdata/manifest.json.
type manifest struct {
	Files []struct {
		Path, Format string
		Messages     int
		Languages    []string
	}
	Messages counts
	Erase    struct {
		Name                        string
		Identities                  []escrow.Identity
		Authored, Participant, Held counts
		Words                       []string
		HeldWords                   []string `json:"held_words"`
	}
	Hold struct {
		Matter, Query string
		Messages      counts
	}
	Expectations []expectation
}

// expectation says how many messages of each folder a query must find.
type expectation struct {
	Query, Match, Language string
	Forms                  []string
	Inflected              bool
	counts
}

type counts struct{ Mail, Mbox, Chat, SMS, Total int }

func (c *counts) add(folder string) {
	c.Total++
	switch folder {
	case "mail":
		c.Mail++
	case "mbox":
		c.Mbox++
	case "chat":
		c.Chat++
	case "sms":
		c.SMS++
	}
}

// sample is a message of testdata as the archive understands it.
type sample struct {
	path string
	msg  escrow.Message
	text string // title, text, transcripts and names of attachments
}

func (s sample) folder() string {
	folder, _, _ := strings.Cut(s.path, "/")
	return folder
}

func readManifest(t *testing.T) manifest {
	t.Helper()
	data, err := fs.ReadFile(testdata.Files, "manifest.json")
	try(t, err)
	var m manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	try(t, dec.Decode(&m))
	return m
}

func readSamples(t *testing.T) []sample {
	t.Helper()
	var all []sample
	for _, it := range walkFS(t, testdata.Files, "", "mail", "mbox", "chat", "sms") {
		if it.Err != nil || it.Ignored != "" {
			t.Fatalf("%s: %v %s", it.Place(), it.Err, it.Ignored)
		}
		m, err := ingest.Parse(it.ContentType, nil, it.Data)
		if err != nil {
			t.Fatalf("%s: %v", it.Place(), err)
		}
		text := []string{m.Title, m.Text}
		for _, a := range m.Attachments {
			text = append(text, a.Name, a.Transcript)
		}
		all = append(all, sample{it.Path, m, strings.Join(text, "\n")})
	}
	return all
}

func (e expectation) matches(s sample) bool {
	if e.Match == "substring" {
		return slices.ContainsFunc(e.Forms, func(f string) bool { return strings.Contains(s.text, f) })
	}
	words := strings.FieldsFunc(strings.ToLower(s.text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(e.Forms, func(f string) bool { return slices.Contains(words, f) })
}

func TestManifestCounts(t *testing.T) {
	m := readManifest(t)
	perFile, sum := map[string]int{}, counts{}
	for _, s := range readSamples(t) {
		sum.add(s.folder())
		p := s.path
		if s.folder() == "mail" {
			p = "mail"
			if strings.HasPrefix(s.path, "mail/odd/") {
				p = "mail/odd"
			}
		}
		perFile[p]++
	}
	if diff := cmp.Diff(m.Messages, sum); diff != "" {
		t.Error(diff)
	}
	languages := map[string]bool{}
	for _, f := range m.Files {
		if perFile[f.Path] != f.Messages {
			t.Errorf("%s has %d messages, the manifest says %d", f.Path, perFile[f.Path], f.Messages)
		}
		delete(perFile, f.Path)
		for _, l := range f.Languages {
			languages[l] = true
		}
	}
	if len(perFile) > 0 {
		t.Errorf("not in the manifest: %v", perFile)
	}
	if sum.Total < 220 || len(languages) < 9 {
		t.Errorf("%d messages in %d languages are too few", sum.Total, len(languages))
	}
}

func TestManifestExpectations(t *testing.T) {
	m, samples := readManifest(t), readSamples(t)
	for _, e := range m.Expectations {
		var got counts
		for _, s := range samples {
			if e.matches(s) {
				got.add(s.folder())
			}
		}
		if diff := cmp.Diff(e.counts, got, cmp.AllowUnexported(counts{})); diff != "" {
			t.Errorf("%s: %s", e.Query, diff)
		}
	}
}

// TestManifestErasure checks what the demonstration relies on: whose words are gone, and whose stay.
func TestManifestErasure(t *testing.T) {
	m := readManifest(t)
	var authored, participant, held, matter counts
	hers := func(p escrow.Participant) bool { return slices.Contains(m.Erase.Identities, p.ID) }
	hold := expectation{Match: "word", Forms: []string{strings.ToLower(m.Hold.Query)}}
	word := func(w string) expectation { return expectation{Match: "word", Forms: []string{w}} }
	seen := map[string]bool{}
	for _, s := range readSamples(t) {
		if hold.matches(s) {
			matter.add(s.folder())
		}
		if hers(s.msg.From) {
			authored.add(s.folder())
			if hold.matches(s) {
				held.add(s.folder())
			}
		}
		if hers(s.msg.From) || slices.ContainsFunc(s.msg.To, hers) {
			participant.add(s.folder())
		}
		for _, w := range slices.Concat(m.Erase.Words, m.Erase.HeldWords) {
			if !word(w).matches(s) {
				continue
			}
			seen[w] = true
			if onHold := slices.Contains(m.Erase.HeldWords, w); !hers(s.msg.From) || hold.matches(s) != onHold {
				t.Errorf("%s uses %q", s.path, w)
			}
		}
	}
	want := []counts{m.Erase.Authored, m.Erase.Participant, m.Erase.Held, m.Hold.Messages}
	if diff := cmp.Diff(want, []counts{authored, participant, held, matter}); diff != "" {
		t.Error(diff)
	}
	if len(seen) != len(m.Erase.Words)+len(m.Erase.HeldWords) {
		t.Errorf("only %v are used at all", seen)
	}
}

// TestTestdataIsFiction finds addresses and telephone numbers that could be somebody's, and keeps the embedded files small.
func TestTestdataIsFiction(t *testing.T) {
	address := regexp.MustCompile(`[\w.+-]+@([\w-]+\.)+[a-z]{2,}`)
	reserved := regexp.MustCompile(`@([\w-]+\.)*(example\.(org|com|net)|test)$`)
	phone := regexp.MustCompile(`tel:(\+\d+)`)
	fictional := regexp.MustCompile(`^\+(447700900\d{3}|4917139200\d\d|336399812\d\d)$`)
	size := 0
	err := fs.WalkDir(testdata.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(testdata.Files, p)
		size += len(data)
		for _, a := range address.FindAllString(string(data), -1) {
			if !reserved.MatchString(a) {
				t.Errorf("%s: an address outside the reserved domains: %s", p, a)
			}
		}
		for _, n := range phone.FindAllStringSubmatch(string(data), -1) {
			if !fictional.MatchString(n[1]) {
				t.Errorf("%s: a telephone number that may be somebody's: %s", p, n[1])
			}
		}
		return err
	})
	try(t, err)
	if size > 1<<20 {
		t.Errorf("%d bytes are embedded", size)
	}
}

// TestVariantsAgree reads each mbox of testdata without telling its variant, too: the messages are the same, but for the quoting.
func TestVariantsAgree(t *testing.T) {
	for _, v := range []string{"mboxo", "mboxrd", "mboxcl", "mboxcl2"} {
		name := path.Join("mbox", v+".mbox")
		told, found := walkFS(t, testdata.Files, v, name), walkFS(t, testdata.Files, "", name)
		if len(told) != 6 || len(found) != 6 {
			t.Fatalf("%s: %d messages told, %d found", v, len(told), len(found))
		}
		for i := range told {
			if told[i].Offset != found[i].Offset {
				t.Errorf("%s: message %d at %d and at %d", v, i, told[i].Offset, found[i].Offset)
			}
			if !bytes.Equal(told[i].Data, found[i].Data) && v != "mboxcl" {
				t.Errorf("%s: message %d differs", v, i)
			}
		}
	}
}
