package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/ingest"
	"escrow/ingest/source"
	"escrow/server"

	"github.com/klauspost/compress/zstd"
)

// corpus is one public collection of real messages, and words that must be found again in it.
type corpus struct {
	name     string
	messages uint64 // that must be read; 0: do not check
	words    []string
}

func corpora() []corpus {
	return []corpus{
		{"enron", 5841, []string{"enron", "california", "meeting"}},
		{"spamassassin", 6046, []string{"linux", "unsubscribe", "viagra"}},
		{"openbmc-first3000", 2999, []string{"patch", "redfish", "kernel"}},
		{"torture-permissive", 0, []string{"test", "attachment"}},
		{"sms", 92874, []string{"lunch", "吃饭"}},
		{"haskell-jp-slack", 25668, []string{"haskell", "関数"}},
	}
}

// TestE2ECorpora archives real messages with the program as it is: everything is acknowledged, accounted for, found again, verified. Then one executive
// is erased, and no file and no dictionary holds a word that only his messages had, while everybody else's still open.
func TestE2ECorpora(t *testing.T) {
	e2e(t)
	dir := os.Getenv("ESCROW_CORPORA")
	if dir == "" {
		t.Fatal("ESCROW_CORPORA is not set; it must name the folder with the corpora")
	}
	p := newProgram(t)
	p.ok("init", "--cooling-off-hours", "0", "--keep-roots-days", "0")
	folders := map[string]string{}
	total := uint64(0)
	for _, c := range corpora() {
		folders[c.name] = unpack(t, dir, c.name)
		total += p.importCorpus(t, c, folders[c.name])
	}
	p.verified(t, total, 0)
	for _, c := range corpora() {
		for _, word := range c.words {
			var answer server.SearchAnswer
			p.into(&answer, "search", word, "channel:"+channelOf(c.name))
			if answer.Count == 0 || !answer.Complete {
				t.Errorf("%s: %q is found %d times, complete %v", c.name, word, answer.Count, answer.Complete)
			}
		}
	}
	again := p.importAgain(t, folders["enron"])
	if again.New != 0 || again.Failed != 0 || again.Duplicate != again.Read {
		t.Errorf("the same import again: %+v", again)
	}
	p.eraseExecutive(t, folders["enron"], total)
}

func channelOf(corpus string) string { return corpus }

func (p *program) importCorpus(t *testing.T, c corpus, folder string) uint64 {
	t.Helper()
	start := time.Now()
	var r source.Report
	p.into(&r, "import", folder, "--channel", channelOf(c.name))
	if r.Failed != 0 || r.Read != r.New+r.Duplicate+r.Failed || r.Read == 0 {
		t.Errorf("%s: %+v", c.name, r)
	}
	if c.messages != 0 && r.Read != c.messages {
		t.Errorf("%s: %d messages read, there are %d", c.name, r.Read, c.messages)
	}
	t.Logf("%s: %d read, %d new, %d duplicate in %.1f s", c.name, r.Read, r.New, r.Duplicate, time.Since(start).Seconds())
	return r.New
}

func (p *program) importAgain(t *testing.T, folder string) (r source.Report) {
	t.Helper()
	p.into(&r, "import", folder, "--channel", channelOf("enron"))
	return r
}

func (p *program) verified(t *testing.T, messages, erased uint64) {
	t.Helper()
	var v server.VerifyAnswer
	p.into(&v, "verify")
	if !v.OK || v.Messages != messages || v.Present != messages-erased || v.Erased != erased || v.Incidents != 0 {
		t.Errorf("verify: ok %v, %d messages, %d present, %d erased, %d incidents; want %d messages, %d erased; %v",
			v.OK, v.Messages, v.Present, v.Erased, v.Incidents, messages, erased, v.Findings)
	}
	t.Logf("verified %d messages, %.0f MB in %.1f s", v.Messages, float64(v.Bytes)/1e6, float64(v.Millis)/1e3)
}

// eraseExecutive erases Jeffrey Skilling under all addresses he wrote from.
func (p *program) eraseExecutive(t *testing.T, folder string, total uint64) {
	t.Helper()
	his, others := enronTexts(t, folder)
	addresses := slices.Sorted(func(yield func(string) bool) {
		for a := range his {
			if !yield(a) {
				return
			}
		}
	})
	words := p.foundOnlyIn(t, onlyIn(his, others, 400), addresses)
	if len(words) < 20 || len(addresses) == 0 {
		t.Fatalf("%d words and %d addresses are too few to show anything", len(words), len(addresses))
	}
	var target []string
	for _, a := range addresses {
		target = append(target, "--person", a)
	}
	preview := p.erase(t, target...)
	t.Logf("erased %d addresses: %d messages die, %d lose an identity; looking for %d words", len(addresses), preview.Dies, preview.LosesIdentity, len(words))
	if _, found, err := grepFiles(p.dir, append(words, addresses...)); err != nil || found != 0 {
		t.Errorf("%d of his words are readable in files (%v)", found, err)
	}
	p.verified(t, total, preview.Dies)
	p.inside(func(ctx context.Context, n *node) {
		for _, word := range words {
			for _, field := range []string{"body", "title", "from", "to", "file", "meta"} {
				terms, err := n.tenants[0].Index.Terms(ctx, field, word[:len(word)-2])
				if err != nil {
					t.Fatal(err)
				}
				if slices.Contains(terms, word) {
					t.Errorf("a word only he used is still in the dictionary of %s", field)
				}
			}
		}
	})
	for _, word := range words[:20] {
		var answer server.SearchAnswer
		p.into(&answer, "search", word)
		if answer.Count != 0 {
			t.Errorf("a word only he used is found %d times", answer.Count)
		}
	}
}

// foundOnlyIn returns those of the words which the index, with all the other corpora in it, finds in messages from these addresses and in no others.
func (p *program) foundOnlyIn(t *testing.T, words, addresses []string) (only []string) {
	t.Helper()
	his := make([]string, len(addresses))
	for i, a := range addresses {
		his[i] = "from:" + escrow.Identity(a).Value()
	}
	p.inside(func(ctx context.Context, n *node) {
		count := func(query string) uint64 {
			answer, err := n.api.Search(ctx, server.SearchRequest{Query: query, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			return answer.Count
		}
		for _, w := range words {
			if all := count(w); all > 0 && all == count(w+" ("+strings.Join(his, " OR ")+")") {
				only = append(only, w)
			}
		}
	})
	return only
}

// enronTexts returns the texts of the executive's messages by address, and everything of everybody else's.
func enronTexts(t *testing.T, folder string) (his map[string][]string, others []string) {
	t.Helper()
	his = map[string][]string{}
	err := filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, ".cats") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m := ingest.ParseMail(raw)
		if id := string(m.From.ID.Normalise()); strings.Contains(id, "skilling") {
			his[id] = append(his[id], strings.ToLower(m.Title+"\n"+m.Text))
		} else {
			others = append(others, strings.ToLower(string(raw)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return his, others
}

var plainWord = regexp.MustCompile(`\b[a-z]{6,14}\b`)

// onlyIn returns words that stand in his texts and nowhere in those of others.
func onlyIn(his map[string][]string, others []string, limit int) []string {
	all := strings.Join(others, "\n")
	known := map[string]bool{}
	for _, w := range plainWord.FindAllString(all, -1) {
		known[w] = true
	}
	seen := map[string]bool{}
	var words []string
	for _, texts := range his {
		for _, text := range texts {
			for _, w := range plainWord.FindAllString(text, -1) {
				if !known[w] && !seen[w] && len(words) < limit && !strings.Contains(all, w) {
					words = append(words, w)
				}
				seen[w] = true
			}
		}
	}
	return words
}

// unpack writes a corpus to a folder of its own: mails as they are, chats as JSON lines of the publishing contract.
func unpack(t *testing.T, dir, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	for ending, write := range map[string]func(*testing.T, io.Reader, string){".tar.zst": untar, ".jsonl.zst": contractLines} {
		f, err := os.Open(filepath.Join(dir, name+ending))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(1<<27))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		write(t, z, out)
	}
	return out
}

func untar(t *testing.T, r io.Reader, out string) {
	t.Helper()
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.MkdirAll(filepath.Dir(h.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(h.Name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// contractLines rewrites the corpora's own JSON lines.
func contractLines(t *testing.T, r io.Reader, out string) {
	t.Helper()
	f, err := os.Create(filepath.Join(out, "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for n := 0; lines.Scan(); n++ {
		var in struct{ Channel, Thread, ID, TS, Sender, Text string }
		if err := json.Unmarshal(bytes.ToValidUTF8(lines.Bytes(), []byte("?")), &in); err != nil {
			t.Fatal(err)
		}
		msg := map[string]any{
			"id":   fmt.Sprintf("%s/%s/%d", in.Channel, in.ID, n),
			"from": map[string]string{"id": "user:" + orUnknown(in.Sender)},
			"body": map[string]string{"text": in.Text}, "conversation": in.Channel,
		}
		if _, err := time.Parse(time.RFC3339, in.TS); err == nil {
			msg["sent_at"] = in.TS
		}
		b, err := json.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(append(b, '\n'))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func orUnknown(s string) string {
	if strings.TrimSpace(s) == "" || escrow.Identity("user:"+s).Check() != nil {
		return "unknown"
	}
	return s
}
