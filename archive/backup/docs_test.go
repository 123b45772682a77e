package backup_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow/internal/vfs"
)

// TestPageShowsAManifest compares the example in docs/format/backup.md with what is written.
func TestPageShowsAManifest(t *testing.T) {
	page, err := os.ReadFile("../../docs/format/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```manifest\n")
	want, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no example")
	}
	w := newWorld(t, vfs.NewMem())
	w.grow(1)
	w.mustBackup()
	w.grow(3)
	w.rekey()
	w.config = "{\"archive\": \"0a0b0c0d\", \"more\": true}\n"
	w.mustBackup()
	if diff := cmp.Diff(want, string(load(t, w.fs, "copy/manifest.json"))); diff != "" {
		t.Error(diff)
	}
	identity := "```json\n" + string(load(t, w.fs, "keys/BACKUP")) + "```"
	if !strings.Contains(string(page), identity) {
		t.Errorf("the page does not have %s", identity)
	}
}
