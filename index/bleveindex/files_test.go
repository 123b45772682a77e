package bleveindex_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

// secrets go in and must be in no file.
var secrets = []string{"zqxsecretbody", "zqxsecrettitle", "zqxsecretlocal", "zqxsecretname", "zqxsecretfile", "zqxsecrettag", "zqxsecretmeta",
	"zqxsecretconversation", "zqxsecretid", "zqxchannel", "20310399"}

func secretDocument() index.Document {
	return index.Document{Body: "zqxsecretbody zqxsecretbodies", Title: "zqxsecrettitle", ID: "zqxsecretid", Conversation: "zqxsecretconversation",
		Channel: "zqxchannel", Month: "20310399", From: []index.Person{person("email:zqxsecretlocal@example.org", "zqxsecretname")},
		Files: []string{"zqxsecretfile.pdf"}, Tags: []string{"zqxsecrettag"}, Metadata: map[string]string{"zqxsecretmeta": "zqxsecretmeta"}}
}

// No word of a message, no name of a field and no month is in any file in clear, while the index is open and after.
func TestNoPlaintextInFiles(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir, &fakeKeys{})
	apply(t, x, append(synthetic(300, 10, 1), secretDocument())...)
	check := func(when string) {
		t.Helper()
		files := contents(t, dir)
		if len(files) < 3 {
			t.Fatalf("%s: only %d files", when, len(files))
		}
		for path, data := range files {
			for _, secret := range append([]string{"example.org", "secret"}, secrets...) {
				if bytes.Contains(bytes.ToLower(data), []byte(secret)) || strings.Contains(path, secret) {
					t.Errorf("%s: %s contains %q", when, filepath.Base(path), secret)
				}
			}
		}
	}
	check("open")
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{1}, Position: x.Position()})
	if _, err := x.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	check("purged")
	closeIndex(t, x)
	check("closed")
}

func TestReopen(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	apply(t, x, office()...)
	change(t, x, bleveindex.Batch{Position: 17})
	if _, err := bleveindex.Open(context.Background(), dir, keys, config()); escrow.KindOf(err) != escrow.Conflict {
		t.Errorf("opened twice: %v", err)
	}
	closeIndex(t, x)
	if _, err := x.Search(context.Background(), index.Request{}); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("search in a closed index: %v", err)
	}
	if err := x.Apply(context.Background(), bleveindex.Batch{Docs: office(), Position: 20}); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("apply to a closed index: %v", err)
	}
	y := open(t, dir, keys)
	if got := matches(t, y, "alpha"); !slices.Equal(got, []escrow.Seq{0, 1, 2}) || y.Position() != 17 {
		t.Errorf("position %d, found %v", y.Position(), got)
	}
	apply(t, y, index.Document{Seq: 17, Body: "alpha again"})
	if got := matches(t, y, "alpha"); len(got) != 4 {
		t.Errorf("found %v", got)
	}
}

// Without the key of any one of its files the index is refused; what remains is never taken for the whole.
func TestPuncturedKey(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	docs := office()
	apply(t, x, docs[:2]...)
	apply(t, x, docs[2:]...)
	leaves, err := x.Leaves(context.Background())
	if err != nil || len(leaves) < 3 {
		t.Fatalf("leaves %v, %v", leaves, err)
	}
	closeIndex(t, x)
	refused := 0
	for _, leaf := range leaves {
		without := &fakeKeys{last: keys.last, dead: map[uint32]bool{leaf: true}}
		to := t.TempDir()
		copyTree(t, dir, to)
		y, err := bleveindex.Open(context.Background(), to, without, config())
		if err == nil { // the file was merged into another one and not yet removed
			if got := matches(t, y, "alpha"); len(got) != 3 {
				t.Errorf("without leaf %d: found %v", leaf, got)
			}
			closeIndex(t, y)
			continue
		}
		if refused++; escrow.KindOf(err) != escrow.Erased {
			t.Errorf("without leaf %d: %v", leaf, err)
		}
	}
	if refused < 4 { // two tables of contents and at least two segments
		t.Errorf("only %d of %d leaves were missed", refused, len(leaves))
	}
	to := t.TempDir()
	copyTree(t, dir, to)
	if got := matches(t, open(t, to, keys), "alpha"); len(got) != 3 {
		t.Errorf("a restored copy finds %v", got)
	}
}

// A changed, missing or older file is an error when the index is opened or when the file is read, and never a shorter answer.
func TestDamagedFiles(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	apply(t, x, office()...)
	closeIndex(t, x)
	var segments []string
	for path := range contents(t, dir) {
		if filepath.Ext(path) == ".zap" {
			segments = append(segments, strings.TrimPrefix(path, dir))
		}
	}
	slices.Sort(segments)
	for _, damage := range []struct {
		name string
		do   func(path string) error
	}{
		{"missing", os.Remove},
		{"truncated", func(path string) error { return os.Truncate(path, 100) }},
		{"changed", func(path string) error { return flip(path) }},
	} {
		t.Run(damage.name, func(t *testing.T) {
			to := t.TempDir()
			copyTree(t, dir, to)
			if err := damage.do(filepath.Join(to, segments[0])); err != nil {
				t.Fatal(err)
			}
			y, err := bleveindex.Open(context.Background(), to, keys, config())
			if err != nil {
				if k := escrow.KindOf(err); k != escrow.Corrupt && k != escrow.Forged {
					t.Errorf("kind %v: %v", k, err)
				}
				return
			}
			defer closeIndex(t, y)
			if got, err := y.Matches(context.Background(), parse(t, "alpha")); err == nil {
				t.Errorf("found %v without an error", got)
			}
		})
	}
	t.Run("partition gone", func(t *testing.T) {
		to := t.TempDir()
		copyTree(t, dir, to)
		if err := os.RemoveAll(filepath.Dir(filepath.Join(to, segments[0]))); err != nil {
			t.Fatal(err)
		}
		if _, err := bleveindex.Open(context.Background(), to, keys, config()); escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("got %v", err)
		}
	})
	t.Run("partition from an older copy", func(t *testing.T) {
		older, newer := t.TempDir(), t.TempDir()
		copyTree(t, dir, older)
		copyTree(t, dir, newer)
		y := open(t, newer, keys)
		apply(t, y, index.Document{Seq: 4, Body: "alpha", Month: "203012"}, index.Document{Seq: 5, Body: "alpha"})
		closeIndex(t, y)
		part := filepath.Dir(segments[0])
		if err := errors.Join(os.RemoveAll(filepath.Join(newer, part)), os.Rename(filepath.Join(older, part), filepath.Join(newer, part))); err != nil {
			t.Fatal(err)
		}
		if _, err := bleveindex.Open(context.Background(), newer, keys, config()); escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("got %v", err)
		}
	})
}

// flip changes one bit in every stretch of a file, but for its end, where the engine keeps its own check sums.
func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := 40; i < len(data)-200; i += 16 {
		data[i] ^= 1
	}
	return os.WriteFile(path, data, 0o600)
}

// A copy taken at any moment opens, or says that it does not, and catches up.
func TestCrash(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	docs := synthetic(600, 10, 5)
	for i := range docs {
		docs[i].Seq = escrow.Seq(i)
		docs[i].Month = []string{"203101", "203102", "203103"}[i%3]
		docs[i].Body += " common"
		complete(&docs[i])
	}
	opened := 0
	for i := 0; i < 600; i += 120 {
		done := make(chan error, 1)
		go func() {
			done <- x.Apply(context.Background(), bleveindex.Batch{Docs: docs[i : i+120], Position: escrow.TreeSize(i + 120)})
		}()
		to := t.TempDir()
		copyTree(t, dir, to)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		opened += recoverCopy(t, to, keys, docs)
	}
	if opened == 0 {
		t.Error("no copy could be opened")
	}
}

// recoverCopy opens a copy and indexes the rest. A copy of files one after the other can be more torn than a crash leaves them; then it must say so.
func recoverCopy(t *testing.T, dir string, keys *fakeKeys, docs []index.Document) int {
	t.Helper()
	ctx := context.Background()
	x, err := bleveindex.Open(ctx, dir, keys, config())
	if err != nil {
		return 0
	}
	defer closeIndex(t, x)
	position := x.Position()
	if got, err := x.Matches(ctx, parse(t, "common")); err == nil && len(got) < int(position) {
		t.Errorf("position %d, but only %d documents", position, len(got))
	}
	err = x.Apply(ctx, bleveindex.Batch{Docs: docs[position:], Position: escrow.TreeSize(len(docs))})
	if err != nil {
		t.Error(err)
	}
	if got := matches(t, x, "common"); len(got) != len(docs) {
		t.Errorf("after catching up from %d: %d documents, want %d", position, len(got), len(docs))
	}
	return 1
}

// Two tenants in one process: neither sees the other's documents or opens its files.
func TestTwoIndexes(t *testing.T) {
	dirs, keys := []string{t.TempDir(), t.TempDir()}, []*fakeKeys{{}, {}}
	a, b := open(t, dirs[0], keys[0]), open(t, dirs[1], keys[1])
	apply(t, a, index.Document{Body: "alpha"})
	apply(t, b, index.Document{Body: "beta"})
	if len(matches(t, a, "beta")) != 0 || len(matches(t, b, "alpha")) != 0 || len(matches(t, b, "beta")) != 1 {
		t.Error("the indexes are mixed up")
	}
	closeIndex(t, a)
	closeIndex(t, b)
	for path := range contents(t, dirs[0]) { // the same leaves exist there, but it is another index
		if filepath.Ext(path) == ".zap" || filepath.Base(path) == "root.bolt" {
			other := partitionDir(t, dirs[1])
			if err := os.Rename(path, filepath.Join(other, filepath.Base(path))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := bleveindex.Open(context.Background(), dirs[1], keys[1], config()); escrow.KindOf(err) != escrow.Forged {
		t.Errorf("opened the other tenant's files: %v", err)
	}
}

func partitionDir(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "p-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return found[0]
}

// What a crash leaves of a partition that was being made disappears.
func TestStrayPartition(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	apply(t, x, office()...)
	closeIndex(t, x)
	stray := filepath.Join(dir, "p-00000000000000ff")
	if err := os.MkdirAll(filepath.Join(stray, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, dir, keys)
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestRemove(t *testing.T) {
	dir, keys := filepath.Join(t.TempDir(), "index"), &fakeKeys{}
	x := open(t, dir, keys)
	apply(t, x, office()...)
	closeIndex(t, x)
	if err := bleveindex.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if y := open(t, dir, keys); y.Position() != 0 || len(matches(t, y, "alpha")) != 0 {
		t.Error("something is left")
	}
}

func TestBadState(t *testing.T) {
	for name, tc := range map[string]struct {
		state string
		kind  escrow.Kind
	}{
		"empty":            {"", escrow.Corrupt},
		"other file":       {"hello\n", escrow.Corrupt},
		"no id":            {"escrow/index@v1\nposition 3\n", escrow.Corrupt},
		"other schema":     {"escrow/index@v1\nid 00112233445566ff\nschema 999\nposition 3\n", escrow.Outdated},
		"unknown line":     {"escrow/index@v1\nid 00112233445566ff\ncolour 3\n", escrow.Corrupt},
		"path for a name":  {"escrow/index@v1\nid 00112233445566ff\npartition p-../../../../../ 3\n", escrow.Corrupt},
		"negative":         {"escrow/index@v1\nid 00112233445566ff\nposition -3\n", escrow.Corrupt},
		"missing the rest": {"escrow/index@v1\nid 00112233445566ff\npartition p-00112233445566ff 3\n", escrow.Corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "state"), []byte(tc.state), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := bleveindex.Open(context.Background(), dir, &fakeKeys{}, config()); escrow.KindOf(err) != tc.kind || err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := bleveindex.Open(context.Background(), t.TempDir(), &fakeKeys{}, bleveindex.Config{}); escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("without randomness: %v", err)
	}
}
