package source_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/ingest/source"
)

const mail = "From: ana@example.org\nTo: bob@example.org\nSubject: hello\n\ntext\n"

// brief is what most tests look at: place, folder, flags, data, or why not.
func brief(it source.Item) string {
	switch {
	case it.Err != nil:
		text := it.Err.Error()
		return it.Place() + " failed: " + text[strings.Index(text, ": ")+2:]
	case it.Ignored != "":
		return it.Place() + " ignored: " + it.Ignored
	}
	s := it.Place()
	for _, extra := range []string{it.Folder, it.Flags} {
		if extra != "" {
			s += " [" + extra + "]"
		}
	}
	return s
}

func briefs(items []source.Item) []string {
	all := []string{}
	for _, it := range items {
		all = append(all, brief(it))
	}
	return all
}

func collect(t *testing.T, w *source.Walker, err error) []source.Item {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var all []source.Item
	for it := range w.All(t.Context()) {
		all = append(all, it)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	return all
}

func walkFS(t *testing.T, fsys fs.FS, format string, paths ...string) []source.Item {
	t.Helper()
	w, err := source.OpenFS(t.Context(), fsys, paths, source.Options{Format: format})
	return collect(t, w, err)
}

func walk(t *testing.T, format string, paths ...string) []source.Item {
	t.Helper()
	w, err := source.Open(t.Context(), paths, source.Options{Format: format})
	return collect(t, w, err)
}

func files(m map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, data := range m {
		fsys[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return fsys
}

func TestFolders(t *testing.T) {
	tests := []struct {
		name   string
		format string
		files  map[string]string
		want   []string
	}{
		{"mails whatever they are called", "", map[string]string{"in/1.": mail, "in/2.txt": mail, "in/a.eml": "no header at all", "b": mail}, []string{"b", "in/1. [in]", "in/2.txt [in]", "in/a.eml [in]"}},
		{"other files", "", map[string]string{
			"1.cats": "1,1,2\n", "2.png": "\x89PNG\r\n\x1a\n\x00\x00", "3.md": "# Title\n\nFrom: here to there\n", "4": "", "5.msg": "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", "6.eml": "", "7.html": "<html>\n",
			"8.csv": "from,to\na,b\n", "9": "From: x\n\x00\n",
		}, []string{
			"1.cats ignored: not a message", "2.png ignored: not a message", "3.md ignored: not a message", "4 ignored: empty file",
			"5.msg ignored: Outlook .msg, which is not a text mail", "6.eml failed: empty", "7.html ignored: not a message", "8.csv ignored: not a message", "9 ignored: not a message",
		}},
		{"broken headers", "", map[string]string{
			"a": "From: x\nTo: y\nDate: z\noops\nSubject: s\n", "b": "From: x\noops oops\n", "c": "From ana@example.org Mon\nReceived: by y\nX-Z: 1\n",
			"d": ">From ana\nSubject: s\n", "e": "Received: by\r\n\tcontinued\r\n here\r\nX: y\r\n", "f": "Subject : blanks\n",
		}, []string{"a", "b ignored: not a message", "c at byte 0", "d", "e", "f"}},
		{"Maildir", "", map[string]string{
			"cur/1:2,RS": mail, "cur/2!2,": "anything", "cur/3;2,DFPRSTab": mail, "new/4": mail, "tmp/5": mail, "dovecot-uidlist": "3 V1\n",
			".Sent/cur/6:2,S": mail, ".Sent.2024/cur/7": mail, ".Entw&APw-rfe/cur/8": mail, ".R&-D/cur/8": mail, ".bad&x/cur/8": mail, "cur/deeper/9": mail, "sub/10": mail,
		}, []string{
			".Entw&APw-rfe/cur/8 [Entwürfe]", ".R&-D/cur/8 [R&D]", ".Sent/cur/6:2,S [Sent] [seen]", ".Sent.2024/cur/7 [Sent/2024]", ".bad&x/cur/8 [bad&x]",
			"cur/1:2,RS [INBOX] [replied seen]", "cur/2!2, [INBOX]", "cur/3;2,DFPRSTab [INBOX] [draft flagged passed replied seen trashed]", "cur/deeper/9 [deeper]",
			"dovecot-uidlist ignored: not a message", "new/4 [INBOX]", "sub/10 [sub]", "tmp/5 ignored: unfinished delivery in tmp",
		}},
		{"Maildirs of several people", "maildir", map[string]string{"ana/Maildir/cur/1": mail, "ana/Maildir/.X/cur/2": mail, "bob/new/3": mail, "bob/cur/4": mail, "notes.eml": mail},
			[]string{"ana/Maildir/.X/cur/2 [ana/Maildir/X]", "ana/Maildir/cur/1 [ana/Maildir]", "bob/cur/4 [bob]", "bob/new/3 [bob]", "notes.eml ignored: not in cur or new"}},
		{"a given format holds for all", "eml", map[string]string{"a.jsonl": "{}\n", "b.mbox": fromA + "A: 1\n", "c.bin": "\x00"}, []string{"a.jsonl", "b.mbox", "c.bin"}},
		{"mixed", "", map[string]string{"a.jsonl": "{}\n\n{\"id\":1}\n", "b": fromA + "A: 1\n\n" + fromB + "B: 2\n", "c.json": "{}\n", "d": mail},
			[]string{"a.jsonl:1", "a.jsonl:3", "b at byte 0", "b at byte 52", "c.json ignored: not a message", "d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, briefs(walkFS(t, files(tt.files), tt.format, "."))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExplicitFiles(t *testing.T) {
	fsys := files(map[string]string{
		"plain": "whatever\n", "empty": "", "label.cats": "1,1\n", "chat.json": " {\"id\":\"1\"}\n{\"id\":\"2\"}", "box": fromA + "A: 1\n", "old.msg": "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", "crlf.eml": "A: 1\r\n\r\nx",
	})
	want := []string{"plain", "empty failed: empty", "label.cats", "chat.json:1", "chat.json:2", "box at byte 0", "old.msg", "crlf.eml"}
	got := walkFS(t, fsys, "", "plain", "empty", "label.cats", "chat.json", "box", "old.msg", "crlf.eml")
	if diff := cmp.Diff(want, briefs(got)); diff != "" {
		t.Error(diff)
	}
	last := got[len(got)-1]
	sum := sha256.Sum256([]byte("A: 1\r\n\r\nx"))
	if string(last.Data) != "A: 1\r\n\r\nx" || last.ID != "sha256:"+hex.EncodeToString(sum[:]) || last.ContentType != "message/rfc822" {
		t.Errorf("got %q, %s, %s", last.Data, last.ID, last.ContentType)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, format string
		want               escrow.Kind
	}{
		{"missing", filepath.Join(t.TempDir(), "none"), "", escrow.NotFound},
		{"unknown format", ".", "pst", escrow.Invalid},
		{"a file is no Maildir", file, "maildir", escrow.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := source.Open(t.Context(), []string{t.TempDir(), tt.path}, source.Options{Format: tt.format}); err == nil || escrow.KindOf(err) != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := source.OpenFS(t.Context(), fstest.MapFS{}, []string{"none"}, source.Options{}); err == nil || escrow.KindOf(err) != escrow.NotFound {
		t.Errorf("got %v", err)
	}
}

// hostileFS fails in the ways of a folder in use.
type hostileFS struct {
	fstest.MapFS
	fail map[string]error
}

func (h hostileFS) Open(name string) (fs.File, error) {
	if err := h.fail[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return h.MapFS.Open(name)
}

func (h hostileFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := h.fail[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return h.MapFS.ReadDir(name)
}

func TestUnreadable(t *testing.T) {
	fsys := hostileFS{
		files(map[string]string{"a.eml": mail, "b.eml": mail, "c.eml": mail, "d/e.eml": mail, "f.eml": mail}),
		map[string]error{"a.eml": fs.ErrPermission, "b.eml": fs.ErrNotExist, "c.eml": syscall.EIO, "d": fs.ErrPermission},
	}
	want := []string{"a.eml failed: permission denied", "b.eml failed: vanished before it was read", "c.eml failed: cannot be read: input/output error", "d failed: permission denied", "f.eml"}
	if diff := cmp.Diff(want, briefs(walkFS(t, fsys, "", "."))); diff != "" {
		t.Error(diff)
	}
}

func TestTooLargeAndTooDeep(t *testing.T) {
	deep := strings.Repeat("d/", 70)
	fsys := files(map[string]string{"a.eml": mail, deep + "x.eml": mail})
	fsys["big.eml"] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), escrow.MaxImport+1)}
	fsys["fits.eml"] = &fstest.MapFile{Data: fsys["big.eml"].Data[1:]}
	got := walkFS(t, fsys, "", ".")
	want := []string{"a.eml", "big.eml failed: too large", strings.Repeat("d/", 64) + "d failed: folders are nested more than 64 deep", "fits.eml"}
	if diff := cmp.Diff(want, briefs(got)); diff != "" {
		t.Error(diff)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := source.OpenFS(ctx, files(map[string]string{"a.eml": mail, "b.eml": mail}), []string{"."}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range w.All(ctx) {
		n++
		cancel()
	}
	if n != 1 {
		t.Errorf("%d items after the first was told to be the last", n-1)
	}
	if _, err := source.Open(ctx, []string{"."}, source.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSizeAndDone(t *testing.T) {
	fsys := files(map[string]string{"a.eml": mail, "b.png": "\x89PNG" + strings.Repeat("\x00", 100_000), "c.mbox": fromA + "A: 1\n\n" + fromB + "B: 2\n", "m/cur/1": mail, "m/tmp/2": mail, "empty": ""})
	w, err := source.OpenFS(t.Context(), fsys, []string{"m", ".", "a.eml"}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, f := range fsys {
		sum += int64(len(f.Data))
	}
	sum += 3 * int64(len(mail))
	last := int64(0)
	for range w.All(t.Context()) {
		if w.Done() < last {
			t.Error("went backwards")
		}
		last = w.Done()
	}
	if w.Size(t.Context()) != sum || w.Done() != sum {
		t.Errorf("size %d, done %d, want %d", w.Size(t.Context()), w.Done(), sum)
	}
}
