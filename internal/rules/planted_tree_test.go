package rules_test

import (
	"strings"
	"testing"
)

// page is one planted file of a module that exists only here.
type page struct{ path, text string }

func plantTree(t *testing.T, pages []page) *tree {
	t.Helper()
	tr := &tree{}
	for _, p := range pages {
		tr.docs = append(tr.docs, document{path: p.path, text: []byte(p.text)})
	}
	var err error
	if tr.packages, err = packagesOf(tr.docs); err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestTreeRulesCatch(t *testing.T) {
	const key = "package vfs\nimport \"escrow/crypto/keytree\"\n"
	tests := []struct {
		name  string
		check func(*tree) []finding
		pages []page
		finds string
	}{
		{"a blind archive", checkBlindArchive, []page{
			{"archive/a.go", `package archive; import ("escrow"; "escrow/internal/vfs"; "golang.org/x/mod/sumdb/tlog"); var _ escrow.Seq`},
			{"internal/vfs/a.go", `package vfs; import "escrow"`},
			{"message.go", `package escrow; type Message struct{}`},
		}, ""},
		{"the archive imports a key", checkBlindArchive, []page{{"archive/a.go", `package archive; import "escrow/crypto/seal"`}},
			"archive/a.go:1: the archive must not reach escrow/crypto/seal"},
		{"the archive reaches a key", checkBlindArchive, []page{
			{"archive/segment/a.go", `package segment; import "escrow/internal/vfs"`}, {"internal/vfs/a.go", key}}, "internal/vfs/a.go:2"},
		{"its tests may", checkBlindArchive, []page{{"archive/a_test.go", `package archive_test; import "escrow/crypto/seal"`}}, ""},
		{"the archive imports NATS", checkBlindArchive, []page{{"archive/a.go", `package archive; import "github.com/nats-io/nats.go"`}}, "must not reach"},
		{"the archive imports Bleve", checkBlindArchive, []page{{"archive/a.go", `package archive; import "github.com/blevesearch/bleve/v2"`}}, "must not reach"},
		{"the archive imports Tink", checkBlindArchive, []page{{"archive/a.go", `package archive; import "github.com/tink-crypto/tink-go/v2/aead"`}}, "must not reach"},
		{"the archive names a message", checkBlindArchive, []page{
			{"archive/a.go", `package archive; import "escrow"; func f(m escrow.Message) {}`}}, "must not know escrow.Message"},

		{"unfinished code", checkMarks, []page{{"index/a.go", "package index\n\n// TO" + "DO: sort"}}, "index/a.go:3"},
		{"unfinished page", checkMarks, []page{{"docs/a.md", "FIX" + "ME"}}, "docs/a.md:1"},
		{"a word that contains it", checkMarks, []page{{"docs/a.md", "mastodon, TO" + "DOS"}}, ""},

		{"a path of a machine", checkMachinePaths, []page{{"docs/a.md", "see /ho" + "me/ana/x"}}, "a path of one machine"},
		{"a temporary path", checkMachinePaths, []page{{"index/a_test.go", "package index\nvar dir = \"/tm" + "p/x\""}}, "index/a_test.go:2"},
		{"part of an address", checkMachinePaths, []page{{"docs/a.md", "https://example.org/ho" + "me/x a/wo" + "rk/x ./tm" + "p/x"}}, ""},

		{"live links", checkLinks, []page{{"docs/a.md", "[b](b.md#part) [up](../README.md) [c](adr/) [x](https://example.org/y) [here](#part)"},
			{"docs/b.md", ""}, {"docs/adr/0001.md", ""}, {"README.md", ""}}, ""},
		{"a dead link", checkLinks, []page{{"docs/a.md", "text\n[b](b.md)"}}, "docs/a.md:2: dead link b.md"},
		{"a link out of the repository", checkLinks, []page{{"a.md", "[b](../b.md)"}}, "dead link ../b.md"},
		{"code refers to a page", checkLinks, []page{{"index/a.go", "// Package index is described in docs/search.md.\npackage index"}, {"docs/search.md", ""}}, ""},
		{"code refers to no page", checkLinks, []page{{"index/a.go", "// Package index is described in docs/format/search.md.\npackage index"}},
			"index/a.go:1: refers to docs/format/search.md"},
		{"an example in code", checkLinks, []page{{"docs/a.md", "```\n[b](b.md)\n```"}}, ""},

		{"the packages are named", checkArchitecture, []page{{"ARCHITECTURE.md", "`index/bleveindex` and `index`, not `go test`"},
			{"index/a.go", "package index"}, {"index/bleveindex/a.go", "package bleveindex"}}, ""},
		{"no architecture page", checkArchitecture, nil, "is missing"},
		{"a package that is not there", checkArchitecture, []page{{"ARCHITECTURE.md", "`index/faissindex`"}}, "there is no package index/faissindex"},
		{"a package not named", checkArchitecture, []page{{"ARCHITECTURE.md", "nothing"}, {"index/a.go", "package index"}}, "does not name the package index"},

		{"every library has its line", checkDependencies, []page{{"docs/dependencies.md", "| `github.com/google/go-cmp` |"},
			{"index/a_test.go", `package index_test; import "github.com/google/go-cmp/cmp"`}}, ""},
		{"a library without its line", checkDependencies, []page{{"docs/dependencies.md", "github.com/google"},
			{"index/a_test.go", `package index_test; import "github.com/google/go-cmp/cmp"`}}, "github.com/google/go-cmp has no line"},
		{"no page", checkDependencies, nil, "is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.check(plantTree(t, tt.pages)), tt.finds) })
	}
}

func TestExceptions(t *testing.T) {
	e := exception{rule: "files", in: "ingest/source", text: "os.Open", why: "reads"}
	tests := []struct {
		name string
		rule string
		f    finding
		want bool
	}{
		{"covered", "files", finding{path: "ingest/source/mbox.go", text: "os.Open: use"}, true},
		{"another rule", "calls", finding{path: "ingest/source/mbox.go", text: "os.Open: use"}, false},
		{"another text", "files", finding{path: "ingest/source/mbox.go", text: "os.Create: use"}, false},
		{"another directory", "files", finding{path: "ingest/sources/mbox.go", text: "os.Open: use"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := e.covers(tt.rule, tt.f); got != tt.want {
				t.Errorf("covers = %v, want %v", got, tt.want)
			}
		})
	}
	for _, e := range exceptions {
		if strings.TrimSpace(e.why) == "" || e.in == "" || e.text == "" {
			t.Errorf("the exception %+v is not complete", e)
		}
	}
}

// The tests above would pass on an empty module; this one says that the module was read.
func TestTreeWasRead(t *testing.T) {
	tr := loadTree(t)
	dirs := map[string]bool{}
	for _, p := range tr.packages {
		dirs[p.dir] = true
	}
	for _, dir := range []string{".", "internal/rules", "retention"} {
		if !dirs[dir] {
			t.Errorf("package %s was not read", dir)
		}
	}
}
