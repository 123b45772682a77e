package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"escrow/archive"
	"escrow/internal/vfs"
)

// The three documents of the ledger's formats show one and the same ledger of one record. These tests hold them to the code, in both directions.

// document returns the fenced blocks of a language in a document, in order.
func document(t *testing.T, name, language string) (blocks []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "format", name))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(b), "\n```")
	for i := 1; i < len(parts); i += 2 {
		if block, ok := strings.CutPrefix(parts[i], language+"\n"); ok {
			blocks = append(blocks, block+"\n")
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of %s", name, language)
	}
	return blocks
}

// dump reads a dump: hexadecimal bytes up to a bar on each line.
func dump(t *testing.T, block string) (out []byte) {
	t.Helper()
	for _, line := range strings.Split(block, "\n") {
		digits, _, _ := strings.Cut(line, "|")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, b...)
	}
	return out
}

func exampleConfig(t *testing.T) archive.Config {
	cfg := config(t)
	cfg.Now = func() time.Time { return start().Add(3 * time.Second) }
	return cfg
}

func exampleEntry() archive.Entry {
	return archive.Entry{Header: leafHeader(), Blob: []byte("sealed bytes")}
}

func TestDocumentedLedgerIsWhatIsWritten(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, exampleConfig(t))
	if _, err := l.Append(context.Background(), []archive.Entry{exampleEntry()}); err != nil {
		t.Fatal(err)
	}
	h, err := l.Header(0)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := l.InclusionProof(0)
	if err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	got := load(t, mem, "ledger/segments/00000000000000000000.seg")
	if diff := cmp.Diff(hex.Dump(got), hex.Dump(dump(t, document(t, "segment.md", "hex")[0]))); diff != "" {
		t.Errorf("segment.md: %s", diff)
	}
	if diff := cmp.Diff(string(h.AppendLeaf(nil)), document(t, "leaf.md", "leaf")[0]); diff != "" {
		t.Errorf("leaf.md: %s", diff)
	}
	if diff := cmp.Diff(string(load(t, mem, "ledger/checkpoint")), document(t, "checkpoint.md", "checkpoint")[0]); diff != "" {
		t.Errorf("checkpoint.md: %s", diff)
	}
	if diff := cmp.Diff(string(proof), document(t, "checkpoint.md", "proof")[0]); diff != "" {
		t.Errorf("checkpoint.md, proof: %s", diff)
	}
}

func TestDocumentedLedgerOpens(t *testing.T) {
	mem := vfs.NewMem()
	if err := vfs.MkdirAllSync(mem, "ledger/segments", 0o700); err != nil {
		t.Fatal(err)
	}
	store(t, mem, "ledger/segments/00000000000000000000.seg", dump(t, document(t, "segment.md", "hex")[0]))
	store(t, mem, "ledger/checkpoint", []byte(document(t, "checkpoint.md", "checkpoint")[0]))
	verifier, err := note.NewVerifier(strings.TrimSpace(document(t, "checkpoint.md", "vkey")[0]))
	if err != nil {
		t.Fatal(err)
	}
	l, err := archive.OpenReadOnly(t.Context(), mem, "ledger", verifier)
	if err != nil {
		t.Fatal(err)
	}
	defer closeLedger(t, l)
	checkSound(t, l)
	rec, err := l.Read(0)
	if err != nil {
		t.Fatal(err)
	}
	if want := exampleEntry(); !bytes.Equal(rec.Blob, want.Blob) {
		t.Errorf("the record is %q", rec.Blob)
	}
	leaf := []byte(document(t, "leaf.md", "leaf")[0])
	h, err := archive.ParseLeaf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, rec.Header); diff != "" {
		t.Error(diff)
	}
	if err := archive.VerifyProof([]byte(document(t, "checkpoint.md", "proof")[0]), leaf, verifier); err != nil {
		t.Error(err)
	}
	hash := sha256.Sum256(append([]byte{0}, leaf...))
	if want := hex.EncodeToString(hash[:]) + "\n"; document(t, "leaf.md", "hash")[0] != want {
		t.Errorf("leaf.md shows another hash, it should be %s", want)
	}
}
