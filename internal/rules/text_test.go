package rules_test

import (
	"bytes"
	"go/format"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func checkFormat(p *pkg) []finding {
	var found []finding
	for _, f := range p.files {
		formatted, err := format.Source(f.text)
		if err != nil || !bytes.Equal(formatted, f.text) {
			found = append(found, finding{path: f.path, text: "is not formatted; run gofmt -w"})
		}
	}
	return found
}

// The patterns are put together from pieces so that this file does not match them.
var (
	marks        = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	machinePaths = regexp.MustCompile(`(^|[^\w.])/(work|root|farm|home|Users|tmp)` + `/[A-Za-z.]`)
)

// checkMarks: what is unfinished is an issue, not a comment.
func checkMarks(tr *tree) []finding { return grep(tr, marks, "unfinished; do it, or open an issue") }

// checkMachinePaths: nothing in the repository knows on which machine it was written.
func checkMachinePaths(tr *tree) []finding {
	return grep(tr, machinePaths, "a path of one machine")
}

func grep(tr *tree, pattern *regexp.Regexp, text string) []finding {
	var found []finding
	for _, d := range tr.docs {
		for i, line := range bytes.Split(d.text, []byte("\n")) {
			if m := pattern.Find(line); m != nil {
				found = append(found, finding{path: d.path, line: i + 1, text: text + ": " + string(m)})
			}
		}
	}
	return found
}

var (
	mention = regexp.MustCompile(`\bdocs/[\w./-]*\w\.md\b`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	word    = regexp.MustCompile("`([a-z][a-z0-9-]*(?:/[a-z0-9-]+)*)/?`")
)

// checkLinks: a relative link in a Markdown page leads to a file of this repository, and a page that code or text refers to exists.
func checkLinks(tr *tree) []finding {
	var found []finding
	for _, d := range tr.docs {
		if within(d.path, "internal/rules") {
			continue
		}
		for i, line := range bytes.Split(d.text, []byte("\n")) {
			if m := mention.Find(line); m != nil && !tr.has(string(m)) {
				found = append(found, finding{path: d.path, line: i + 1, text: "refers to " + string(m) + ", which does not exist"})
			}
		}
		if path.Ext(d.path) != ".md" {
			continue
		}
		for i, line := range prose(d.text) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if target, ok := relative(m[1]); ok && !tr.has(path.Join(path.Dir(d.path), target)) {
					found = append(found, finding{path: d.path, line: i + 1, text: "dead link " + m[1]})
				}
			}
		}
	}
	return found
}

// prose returns the lines of a page, those inside code blocks empty.
func prose(text []byte) []string {
	lines := strings.Split(string(text), "\n")
	code := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if code || fence {
			lines[i] = ""
		}
		code = code != fence
	}
	return lines
}

func relative(target string) (string, bool) {
	target, _, _ = strings.Cut(target, "#")
	return target, target != "" && !strings.Contains(target, "://") && !strings.HasPrefix(target, "mailto:")
}

// has reports whether there is such a file or directory in the module.
func (tr *tree) has(name string) bool {
	if name == ".." || strings.HasPrefix(name, "../") || path.IsAbs(name) {
		return false
	}
	if slices.ContainsFunc(tr.docs, func(d document) bool { return within(d.path, name) }) {
		return true
	}
	if tr.root == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(tr.root, filepath.FromSlash(name)))
	return err == nil
}

const architecturePage = "ARCHITECTURE.md"

// checkArchitecture: ARCHITECTURE.md names every package, as `index/bleveindex`, and no package that does not exist.
func checkArchitecture(tr *tree) []finding {
	i := slices.IndexFunc(tr.docs, func(d document) bool { return d.path == architecturePage })
	if i < 0 {
		return []finding{{path: architecturePage, text: "is missing"}}
	}
	var found []finding
	named := map[string]bool{".": true, "testdata": true}
	for line, text := range prose(tr.docs[i].text) {
		for _, m := range word.FindAllStringSubmatch(text, -1) {
			named[m[1]] = true
			if packageLike(m[1]) && !tr.has(m[1]) {
				found = append(found, finding{path: architecturePage, line: line + 1, text: "there is no package " + m[1]})
			}
		}
	}
	for _, p := range tr.packages {
		if !named[p.dir] {
			found = append(found, finding{path: architecturePage, text: "does not name the package " + p.dir})
		}
	}
	return found
}

// packageLike reports whether a word in code style must be a directory: it has a slash and begins like a package of the import table.
func packageLike(word string) bool {
	first, _, deep := strings.Cut(word, "/")
	if !deep {
		return false
	}
	for dir := range importTable {
		if top, _, _ := strings.Cut(dir, "/"); top == first {
			return true
		}
	}
	return false
}
