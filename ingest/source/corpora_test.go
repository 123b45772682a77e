package source_test

import (
	"os"
	"path/filepath"
	"testing"

	"escrow/ingest/source"
)

// TestCorpora reads archives of real mail. Every message in them must be found, and nothing else.
func TestCorpora(t *testing.T) {
	dir := os.Getenv("ESCROW_CORPORA")
	if dir == "" {
		t.Skip("ESCROW_CORPORA is not set")
	}
	tests := []struct {
		file              string
		messages, ignored int
	}{
		{"enron.tar.zst", 5841, 1703},
		{"spamassassin.tar.zst", 6046, 0},
		{"openbmc-first3000.tar.zst", 2999, 0},
		{"torture-permissive.tar.zst", 1650, 13},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			w, err := source.Open(t.Context(), []string{filepath.Join(dir, tt.file)}, source.Options{})
			try(t, err)
			messages, ignored := 0, 0
			for it := range w.All(t.Context()) {
				switch {
				case it.Err != nil:
					t.Errorf("%s: %v", it.Place(), it.Err)
				case it.Ignored != "":
					ignored++
				default:
					messages++
				}
			}
			if messages != tt.messages || ignored != tt.ignored {
				t.Errorf("%d messages and %d ignored files, want %d and %d", messages, ignored, tt.messages, tt.ignored)
			}
			try(t, w.Close())
		})
	}
}
