package rules_test

import (
	"slices"
	"strings"
	"testing"
)

// rule is one rule about the Go files of a package.
type rule struct {
	name  string
	check func(*pkg) []finding
}

// all returns the rules that look at one package at a time.
func all() []rule {
	return []rule{
		{"imports", checkImports},
		{"libraries", checkLibraries},
		{"package names", checkPackageNames},
		{"identifiers", checkIdentifiers},
		{"calls", checkCalls},
		{"files", checkFileAccess},
		{"panics", checkPanics},
		{"variables", checkVariables},
		{"comments", checkComments},
		{"sizes", checkSizes},
		{"wrapping", checkWrapping},
		{"dropped errors", checkDropped},
		{"format", checkFormat},
	}
}

// allOfTree returns the rules that look at the whole module.
func allOfTree() map[string]func(*tree) []finding {
	return map[string]func(*tree) []finding{
		"blind archive":     checkBlindArchive,
		"unfinished marks":  checkMarks,
		"machine paths":     checkMachinePaths,
		"links":             checkLinks,
		"named packages":    checkArchitecture,
		"dependencies page": checkDependencies,
	}
}

func TestRules(t *testing.T) {
	tr := loadTree(t)
	used := make([]bool, len(exceptions))
	for _, r := range all() {
		t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
			for _, p := range tr.packages {
				report(t, r.name, r.check(p), used)
			}
		})
	}
	for name, check := range allOfTree() {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { report(t, name, check(tr), used) })
	}
	t.Run("exceptions", func(t *testing.T) {
		for i, e := range exceptions {
			if !used[i] && exists(tr, e.in) {
				t.Errorf("nothing needs the exception %s, %s, %q any more; remove it", e.rule, e.in, e.text)
			}
		}
	})
}

// report fails for each finding no exception covers.
func report(t *testing.T, rule string, found []finding, used []bool) {
	t.Helper()
	for _, f := range found {
		i := slices.IndexFunc(exceptions, func(e exception) bool { return e.covers(rule, f) })
		if i < 0 {
			t.Error(f)
			continue
		}
		used[i] = true
	}
}

func exists(tr *tree, in string) bool {
	return slices.ContainsFunc(tr.docs, func(d document) bool { return within(d.path, in) })
}
