package rules_test

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// library is an external module and the packages that own it: nobody else imports it.
type library struct {
	module string
	owners []string // patterns as in path.Match, on the directory; nil: tests only
}

var libraries = []library{
	{"github.com/nats-io/nats-server/v2", []string{"events/natslog", "internal/bench"}},
	{"github.com/nats-io/nats.go", []string{"events/natslog", "internal/bench"}},
	{"github.com/nats-io/nkeys", []string{"events/natslog"}},
	{"github.com/nats-io/jwt/v2", []string{"events/natslog"}},
	{"github.com/blevesearch/bleve/v2", []string{"index/bleveindex", "internal/bench"}},
	{"github.com/blevesearch/bleve_index_api", []string{"index/bleveindex", "internal/bench"}},
	{"github.com/blevesearch/snowballstem", []string{"index/bleveindex"}},
	{"github.com/blevesearch/zapx/v17", []string{"index/bleveindex"}},
	{"github.com/abadojack/whatlanggo", []string{"index/bleveindex"}},
	{"github.com/tink-crypto/tink-go/v2", []string{"crypto/*", "crypto/rootstore/*"}},
	{"github.com/tink-crypto/tink-go-hcvault/v2", []string{"crypto/rootstore/vault"}},
	{"github.com/tink-crypto/tink-go-awskms/v3", []string{"crypto/rootstore/awskms"}},
	{"github.com/tink-crypto/tink-go-gcpkms/v2", []string{"crypto/rootstore/gcpkms"}},
	{"github.com/hashicorp/vault/api", []string{"crypto/rootstore/vault"}},
	{"github.com/aws/aws-sdk-go-v2", []string{"crypto/rootstore/awskms"}},
	{"github.com/aws/smithy-go", []string{"crypto/rootstore/awskms"}},
	{"golang.org/x/oauth2", []string{"crypto/rootstore/gcpkms"}},
	{"google.golang.org/api", []string{"crypto/rootstore/gcpkms"}},
	{"github.com/google/go-tpm", []string{"crypto/rootstore/tpm"}},
	{"github.com/klauspost/compress", []string{"crypto/seal", "ingest/source", "archive/bundle", "internal/bench", "internal/needle"}},
	{"golang.org/x/mod", []string{"archive", "archive/*", "crypto/seal", "crypto/sign", "events/officers", "privacy/certificate", "server", "cmd/escrow"}},
	{"github.com/jhillyerd/enmime/v2", nil}, // tests only
	{"github.com/gogs/chardet", []string{"ingest"}},
	{"golang.org/x/net", []string{"ingest"}},
	{"golang.org/x/text", []string{"ingest", "index/bleveindex"}},
	{"github.com/spf13/cobra", []string{"cmd/escrow"}},
	{"github.com/schollz/progressbar/v3", []string{"cmd/escrow", "ingest/source"}},
	{"golang.org/x/term", []string{"cmd/escrow"}},
	{"golang.org/x/sync", []string{"cmd/escrow", "events/natslog", "index/bleveindex", "ingest", "server", "internal/bench"}},
	{"golang.org/x/sys", []string{"internal/vfs"}},
	{"github.com/google/go-cmp", nil},
	{"github.com/rogpeppe/go-internal", nil},
}

func (l library) owns(dir string) bool {
	return slices.ContainsFunc(l.owners, func(pattern string) bool {
		ok, err := path.Match(pattern, dir)
		return ok && err == nil
	})
}

// external reports whether an import path belongs to another module: its first element has a dot.
func external(target string) bool {
	first, _, _ := strings.Cut(target, "/")
	return strings.Contains(first, ".")
}

func libraryOf(target string) (library, bool) {
	i := slices.IndexFunc(libraries, func(l library) bool { return target == l.module || strings.HasPrefix(target, l.module+"/") })
	if i < 0 {
		return library{}, false
	}
	return libraries[i], true
}

// checkLibraries: a library is used by its owners; tests may use every library that is listed, and nothing may use one that is not.
func checkLibraries(p *pkg) []finding {
	var found []finding
	for _, f := range p.files {
		for _, spec := range f.tree.Imports {
			target := importPath(spec)
			if !external(target) {
				continue
			}
			l, known := libraryOf(target)
			switch {
			case !known:
				found = append(found, f.finding(spec.Pos(), "%s is not in the list of libraries", target))
			case !f.test && !l.owns(p.dir):
				found = append(found, f.finding(spec.Pos(), "%s does not own %s", p.dir, l.module))
			}
		}
	}
	return found
}

const dependenciesPage = "docs/dependencies.md"

// checkDependencies: every library in use has its line in the page on dependencies.
func checkDependencies(tr *tree) []finding {
	i := slices.IndexFunc(tr.docs, func(d document) bool { return d.path == dependenciesPage })
	if i < 0 {
		return []finding{{path: dependenciesPage, text: "is missing"}}
	}
	seen := map[string]bool{}
	var found []finding
	for _, p := range tr.packages {
		for _, f := range p.files {
			for _, spec := range f.tree.Imports {
				l, known := libraryOf(importPath(spec))
				if !known || seen[l.module] || bytes.Contains(tr.docs[i].text, []byte("`"+l.module+"`")) {
					continue
				}
				seen[l.module] = true
				found = append(found, finding{path: dependenciesPage, text: l.module + " has no line"})
			}
		}
	}
	return found
}
