package bleveindex_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"

	"context"
)

// The example in docs/format/index.md is what the program writes.
func TestFormatExample(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "format", "index.md"))
	if err != nil {
		t.Fatal(err)
	}
	id, chunks, err := bleveindex.SealExample([]byte("hello"), append(bytes.Repeat([]byte{0}, 30), 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{id, hex.EncodeToString(chunks[0]), hex.EncodeToString(chunks[1])} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// An index, or a file of it, replaced by one in clear is refused.
func TestPlaintextIsRefused(t *testing.T) {
	sealed, plain, keys := t.TempDir(), t.TempDir(), &fakeKeys{}
	x := open(t, sealed, keys)
	apply(t, x, office()[:2]...)
	closeIndex(t, x)
	restore := bleveindex.WithoutSealing()
	y := open(t, plain, keys)
	apply(t, y, office()[:2]...)
	closeIndex(t, y)
	restore()
	for path, data := range contents(t, plain) {
		if dir := partitionDir(t, sealed); filepath.Dir(path) == partitionDir(t, plain) {
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := bleveindex.Open(context.Background(), sealed, keys, config()); escrow.KindOf(err) != escrow.Corrupt {
		t.Errorf("got %v", err)
	}
}

func TestWords(t *testing.T) {
	got := bleveindex.Words("The café, the CAFÉ and 東京都 x1")
	if diff := cmp.Diff([]string{"and", "cafe", "the", "x1", "京都", "東京"}, got); diff != "" {
		t.Error(diff)
	}
}

// Personal types never reach a log.
func TestLogValue(t *testing.T) {
	if got := hers().LogValue().String() + (index.Person{Name: onlyHers}).LogValue().String(); strings.Contains(got, onlyHers) {
		t.Error(got)
	}
}
