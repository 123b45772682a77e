package mutants_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPage checks docs/traps.md: every test it names exists, and those in bold are in the table.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "traps.md"))
	if err != nil {
		t.Fatal(err)
	}
	declared := declaredTests(t)
	for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(string(page), -1) {
		if !declared[name] {
			t.Errorf("docs/traps.md names %s, and there is no such test", name)
		}
	}
	proven := map[string]bool{}
	for _, m := range mutants {
		_, test := m.where(t)
		name, _, _ := strings.Cut(test, "/")
		proven[name] = true
	}
	for _, bold := range regexp.MustCompile(`\*\*(Test\w+)\*\*`).FindAllStringSubmatch(string(page), -1) {
		if !proven[bold[1]] {
			t.Errorf("docs/traps.md says that %s is proven, and no mutant names it", bold[1])
		}
	}
}

// declaredTests returns the names of all tests and fuzz targets of the module.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declared := map[string]bool{}
	pattern := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range pattern.FindAllStringSubmatch(string(source), -1) {
			declared[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}
