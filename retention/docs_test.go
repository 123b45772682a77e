package retention_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow/retention"
)

// The schedule in the documentation is one.
func TestDocumentedSchedule(t *testing.T) {
	page, err := os.ReadFile("../docs/retention.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/retention.md has no example")
	}
	want := []retention.Class{{"default", 0, 3650}, {"letters", 1, 2192}, {"chat", 3, 90}}
	if diff := cmp.Diff(want, parse(t, example).Classes()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
}
