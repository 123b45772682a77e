package bleveindex_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

const onlyHers = "zqxonlyhers"

func hers() index.Document {
	return index.Document{Body: onlyHers + " and contracts", Title: onlyHers, Files: []string{onlyHers + ".pdf"}, Tags: []string{onlyHers},
		Metadata: map[string]string{"note": onlyHers}, From: []index.Person{person("email:"+onlyHers+"@example.org", onlyHers)},
		To: []index.Person{person("email:"+onlyHers+"@example.org", "")}, Transcripts: []string{onlyHers}}
}

var wordFields = []string{"body", "stem", "title", "file", "tag", "meta", "from", "to"}

// inDictionary returns the fields whose dictionaries know a word.
func inDictionary(t *testing.T, x *bleveindex.Index, term string) []string {
	t.Helper()
	var fields []string
	for _, f := range wordFields {
		ok, err := x.HasTerm(context.Background(), f, term)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			fields = append(fields, f)
		}
	}
	return fields
}

// After Purge the words of a deleted message are in no dictionary, the files that held them are gone, their leaves are reported, and with those
// leaves punctured the index works on.
func TestPurge(t *testing.T) {
	for _, tc := range []struct {
		name    string
		batches int
	}{{"one segment", 1}, {"many segments", 6}} {
		t.Run(tc.name, func(t *testing.T) {
			dir, keys := t.TempDir(), &fakeKeys{}
			x := open(t, dir, keys)
			docs := append(synthetic(60, 10, 7), hers())
			for i := range docs {
				docs[i].Body += " common"
			}
			for chunk := range slices.Chunk(docs, (len(docs)+tc.batches-1)/tc.batches) {
				apply(t, x, chunk...)
			}
			purgeOf(t, x, dir, keys, 60)
			closeIndex(t, x)
			y := open(t, dir, keys)
			if got := matches(t, y, "common"); len(got) != 60 {
				t.Errorf("%d documents after reopening", len(got))
			}
			if got := inDictionary(t, y, onlyHers); got != nil {
				t.Errorf("still in %v after reopening", got)
			}
		})
	}
}

// purgeOf deletes a document, purges and punctures.
func purgeOf(t *testing.T, x *bleveindex.Index, dir string, keys *fakeKeys, seq escrow.Seq) {
	t.Helper()
	ctx := context.Background()
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{seq}, Position: x.Position()})
	if got := matches(t, x, onlyHers); len(got) != 0 {
		t.Errorf("found %v after deletion", got)
	}
	if got := inDictionary(t, x, onlyHers); len(got) != 7 {
		t.Fatalf("before purging, only %v know the word", got)
	}
	before := segmentFiles(t, dir)
	dead, err := x.Purge(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := inDictionary(t, x, onlyHers); got != nil {
		t.Errorf("still in the dictionaries of %v", got)
	}
	if after := segmentFiles(t, dir); slices.Equal(before, after) || len(dead) == 0 {
		t.Errorf("no file was replaced (%v), leaves %v", after, dead)
	}
	live, err := x.Leaves(ctx)
	if err != nil || slices.ContainsFunc(dead, func(leaf uint32) bool { return slices.Contains(live, leaf) }) {
		t.Errorf("dead leaves %v in use %v, %v", dead, live, err)
	}
	keys.puncture(dead...)
	again, err := x.Purge(ctx) // the engine may have joined files meanwhile
	if err != nil {
		t.Errorf("second purge: %v", err)
	}
	keys.puncture(again...)
}

func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "p-*", "*.zap"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A redacted message is indexed anew without the erased part; its old words leave like those of a deleted one.
func TestPurgeRedacted(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, hers(), index.Document{Body: "other"})
	redacted := index.Document{Seq: 0, Body: "and contracts", Time: received, Month: "203103"}
	change(t, x, bleveindex.Batch{Docs: []index.Document{redacted}, Position: 2})
	if _, err := x.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := inDictionary(t, x, onlyHers); got != nil {
		t.Errorf("still in %v", got)
	}
	if got := matches(t, x, "contract"); !slices.Equal(got, []escrow.Seq{0}) {
		t.Errorf("found %v", got)
	}
}

// Everything in a partition can be deleted.
func TestPurgeEverything(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	apply(t, x, hers())
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{0}, Position: 1})
	dead, err := x.Purge(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	keys.puncture(dead...)
	if got := inDictionary(t, x, onlyHers); got != nil {
		t.Errorf("still in %v", got)
	}
	closeIndex(t, x)
	y := open(t, dir, keys)
	if n, err := y.Count(context.Background()); n != 0 || err != nil || y.Position() != 1 {
		t.Errorf("%d documents, %v, position %d", n, err, y.Position())
	}
}

// A purge without deletions touches no file.
func TestPurgeNothing(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir, &fakeKeys{})
	apply(t, x, office()...)
	before := segmentFiles(t, dir)
	if _, err := x.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after := segmentFiles(t, dir); !slices.Equal(before, after) {
		t.Errorf("files changed from %v to %v", before, after)
	}
}

func TestPurgeCancelled(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, hers(), index.Document{Body: "other"})
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{0}, Position: 2})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := x.Purge(ctx); escrow.KindOf(err) != escrow.Unavailable || err == nil {
		t.Errorf("got %v", err)
	}
	if _, err := x.Purge(context.Background()); err != nil {
		t.Error(err)
	}
	if got := inDictionary(t, x, onlyHers); got != nil {
		t.Errorf("still in %v", got)
	}
}

// Purging beside indexing, deleting and searching: nothing is lost, nothing comes back, no leaf in use is reported dead.
func TestPurgeBesideEverything(t *testing.T) {
	dir, keys := t.TempDir(), &fakeKeys{}
	x := open(t, dir, keys)
	apply(t, x, index.Document{Body: "common"})
	docs := synthetic(400, 8, 9)
	for i := range docs {
		docs[i].Body += " common"
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	beside := func(do func()) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					do()
				}
			}
		})
	}
	beside(func() { search(t, x, index.Request{Query: parse(t, "common"), Limit: 10}) })
	beside(func() {
		dead, err := x.Purge(context.Background())
		if err != nil {
			t.Error(err)
		}
		keys.puncture(dead...)
	})
	for i := 0; i < len(docs); i += 20 {
		apply(t, x, docs[i:i+20]...)
		change(t, x, bleveindex.Batch{Delete: []escrow.Seq{escrow.Seq(i + 1)}, Position: x.Position()})
	}
	close(stop)
	wg.Wait()
	if got := matches(t, x, "common"); len(got) != 401-20 {
		t.Errorf("%d documents, want %d", len(got), 401-20)
	}
	closeIndex(t, x)
	if got := matches(t, open(t, dir, keys), "common"); len(got) != 401-20 {
		t.Errorf("%d documents after reopening", len(got))
	}
}

// A purge waits for the searches before it, with patience, and those after it do not wait for either.
func TestPurgeWaitsForSearches(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, hers(), index.Document{Body: "other"})
	began, end := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	var first sync.Once
	slow.Go(func() {
		search(t, x, index.Request{Hidden: func(escrow.Seq) bool {
			first.Do(func() { close(began) })
			<-end
			return false
		}})
	})
	<-began
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{0}, Position: 2})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for range 2 { // the second knows of the search, too
		if _, err := x.Purge(ctx); escrow.KindOf(err) != escrow.Unavailable {
			t.Errorf("a purge beside a search: %v", err)
		}
	}
	purged := make(chan error, 1)
	go func() {
		_, err := x.Purge(context.Background())
		purged <- err
	}()
	for range 100 {
		if got := search(t, x, index.Request{Query: parse(t, "other")}); got.Total != 1 {
			t.Errorf("%d found beside a purge that waits", got.Total)
		}
	}
	select {
	case err := <-purged:
		t.Errorf("the purge did not wait: %v", err)
	default:
	}
	close(end)
	slow.Wait()
	if err := <-purged; err != nil {
		t.Error(err)
	}
}

// Keys that cannot be had stop indexing with an error, and it goes on when they are back.
func TestKeysUnavailable(t *testing.T) {
	keys := &failingKeys{}
	x := open(t, t.TempDir(), keys)
	apply(t, x, index.Document{Body: "common"})
	keys.set(true)
	doc := index.Document{Seq: 1, Body: "common", Month: "203103", Time: received}
	if err := x.Apply(context.Background(), bleveindex.Batch{Docs: []index.Document{doc}, Position: 2}); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("got %v", err)
	}
	if x.Position() != 1 {
		t.Errorf("position %d", x.Position())
	}
	keys.set(false)
	for range 5 { // the engine may report an attempt of before
		if err := x.Apply(context.Background(), bleveindex.Batch{Docs: []index.Document{doc}, Position: 2}); err == nil {
			break
		}
	}
	if got := matches(t, x, "common"); len(got) != 2 {
		t.Errorf("found %v", got)
	}
}

type failingKeys struct {
	fakeKeys
	switchMu sync.Mutex
	failing  bool
}

func (k *failingKeys) set(failing bool) {
	k.switchMu.Lock()
	defer k.switchMu.Unlock()
	k.failing = failing
}

func (k *failingKeys) NextIndexLeaf() (uint32, error) {
	k.switchMu.Lock()
	defer k.switchMu.Unlock()
	if k.failing {
		return 0, escrow.Errorf("test.Keys", escrow.Unavailable, "no leaves now")
	}
	return k.fakeKeys.NextIndexLeaf()
}

// A purge is not over while the process still has a replaced file open.
func TestPurgeWaitsForHandles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	dir := filepath.Join(t.TempDir(), "link") // the system calls files by another name
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	x := open(t, dir, &fakeKeys{})
	apply(t, x, hers(), index.Document{Body: "other"})
	var handles []*os.File
	for _, path := range segmentFiles(t, dir) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, f)
	}
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{0}, Position: 2})
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := x.Purge(ctx); err == nil || escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("with a handle: %v", err)
	}
	for _, f := range handles {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Purge(context.Background()); err != nil {
		t.Errorf("without: %v", err)
	}
}
