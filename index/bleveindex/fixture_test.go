package bleveindex_test

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/index"
	"escrow/index/bleveindex"
)

// fakeKeys is a key state in a map.
type fakeKeys struct {
	mu   sync.Mutex
	last uint32
	dead map[uint32]bool
}

func (k *fakeKeys) IndexShare(leaf uint32) (keytree.Share, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead[leaf] || leaf == 0 || leaf > k.last {
		return keytree.Share{}, escrow.Errorf("test.Keys", escrow.Erased, "the leaf is punctured")
	}
	return sha256.Sum256(binary.BigEndian.AppendUint32(nil, leaf)), nil
}

func (k *fakeKeys) NextIndexLeaf() (uint32, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	return k.last, nil
}

func (k *fakeKeys) puncture(leaves ...uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead == nil {
		k.dead = map[uint32]bool{}
	}
	for _, leaf := range leaves {
		k.dead[leaf] = true
	}
}

var (
	now      = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	received = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func config() bleveindex.Config {
	return bleveindex.Config{Rand: crand.Reader, Timeout: time.Minute}
}

// open opens an index and closes it at the end of the test.
func open(t testing.TB, dir string, keys bleveindex.FileKeys) *bleveindex.Index {
	t.Helper()
	x, err := bleveindex.Open(context.Background(), dir, keys, config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIndex(t, x) })
	return x
}

func closeIndex(t testing.TB, x *bleveindex.Index) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// apply indexes documents as records following the position.
func apply(t testing.TB, x *bleveindex.Index, docs ...index.Document) {
	t.Helper()
	position := x.Position()
	for i := range docs {
		if docs[i].Seq == 0 {
			docs[i].Seq = escrow.Seq(position) + escrow.Seq(i)
		}
		complete(&docs[i])
	}
	change(t, x, bleveindex.Batch{Docs: docs, Position: position + escrow.TreeSize(len(docs))})
}

func complete(d *index.Document) {
	if d.Month == "" {
		d.Month = "203103"
	}
	if d.Type == "" {
		d.Type = "message"
	}
	if d.Channel == "" {
		d.Channel = "mail"
	}
	if d.Time.IsZero() {
		d.Time = received.Add(time.Duration(d.Seq) * time.Minute)
	}
}

func change(t testing.TB, x *bleveindex.Index, b bleveindex.Batch) {
	t.Helper()
	if err := x.Apply(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, q string) *index.Query {
	t.Helper()
	parsed, err := index.Parse(q, now)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// matches returns the records a query matches.
func matches(t testing.TB, x *bleveindex.Index, q string) []escrow.Seq {
	t.Helper()
	seqs, err := x.Matches(context.Background(), parse(t, q))
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return seqs
}

func search(t testing.TB, x *bleveindex.Index, r index.Request) index.Result {
	t.Helper()
	result, err := x.Search(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// vocabulary makes up words, the first ones used most.
func vocabulary(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, n)
	for i := range words {
		b := make([]byte, 3+r.IntN(8))
		for j := range b {
			b[j] = byte('a' + r.IntN(26))
		}
		words[i] = string(b)
	}
	return words
}

// synthetic makes messages of the given number of words.
func synthetic(n, words int, seed uint64) []index.Document {
	vocab := vocabulary(30_000)
	r := rand.New(rand.NewPCG(seed, 4))
	zipf := rand.NewZipf(r, 1.1, 4, uint64(len(vocab)-1))
	docs := make([]index.Document, n)
	for i := range docs {
		list := make([]string, words)
		for j := range list {
			list[j] = vocab[zipf.Uint64()]
		}
		docs[i] = index.Document{
			Body: strings.Join(list, " "), Title: list[0] + " " + list[1], Channel: []string{"chat", "mail", "sms"}[i%3],
			From: []index.Person{{ID: escrow.Identity("email:" + vocab[r.IntN(900)] + "@example.org"), Name: vocab[r.IntN(900)]}},
			To:   []index.Person{{ID: escrow.Identity("email:" + vocab[r.IntN(900)] + "@example.com")}},
			Sent: time.Unix(1_700_000_000+int64(i)*60, 0), Conversation: vocab[i%500], Subjects: []uint32{uint32(i % 700), uint32(i % 911)},
		}
	}
	return docs
}

// contents returns all files below dir.
func contents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		data, err := os.ReadFile(path)
		if err == nil {
			files[path] = data
		}
		return ignoreMissing(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ignoreMissing: the engine removes files while they are listed.
func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// copyTree copies an index that is being written, as a crash would leave it.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	for path, data := range contents(t, from) {
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
