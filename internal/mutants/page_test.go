package mutants_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPages checks the pages that name tests: every test exists, and those in bold are in the table.
func TestPages(t *testing.T) {
	declared, pages := declaredTests(t), ""
	for _, page := range []string{"docs/traps.md", "docs/privacy/erasure.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		pages += string(text)
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`).FindAllString(string(text), -1) {
			if !declared[name] {
				t.Errorf("%s names %s, and there is no such test", page, name)
			}
		}
	}
	proven := map[string]bool{}
	for _, m := range mutants {
		_, test := m.where(t)
		name, _, _ := strings.Cut(test, "/")
		proven[name] = true
	}
	for _, bold := range regexp.MustCompile(`\*\*(Test\w+)\*\*`).FindAllStringSubmatch(pages, -1) {
		if !proven[bold[1]] {
			t.Errorf("a page says that %s is proven, and no mutant names it", bold[1])
		}
	}
}

// declaredTests returns the names of all tests, fuzz targets and benchmarks of the module.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declared := map[string]bool{}
	pattern := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
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
