package rules_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// may lists what a package may import of this module, besides the vocabulary in its root: package → reason.
type may map[string]string

// importTable says who may import whom; what is not listed is forbidden, and so is a package that is not listed. Tests may import more.
var importTable = map[string]may{
	".":        {},
	"testdata": {},

	"internal/needle":  {},
	"internal/rules":   {},
	"internal/mutants": {},
	"internal/vfs":     {},
	"internal/bell":    {},

	"crypto":                                 {},
	"crypto/committing":                      {},
	"crypto/keytree":                         {},
	"crypto/sign":                            {},
	"crypto/rootstore":                       {},
	"crypto/rootstore/storetest":             {"crypto/rootstore": "what it tests"},
	"crypto/rootstore/provider":              {"crypto/rootstore": "implements a store on keys at a provider", "internal/vfs": "reads token and certificate files"},
	"crypto/rootstore/provider/providertest": {"crypto/rootstore": "what it tests"},
	"crypto/rootstore/vault": {
		"crypto/rootstore": "describes roots", "crypto/rootstore/provider": "what all providers share", "internal/vfs": "reads token and certificate files",
	},
	"crypto/rootstore/awskms":  {"crypto/rootstore": "describes roots", "crypto/rootstore/provider": "what all providers share"},
	"crypto/rootstore/gcpkms":  {"crypto/rootstore": "describes roots", "crypto/rootstore/provider": "what all providers share"},
	"crypto/rootstore/tpm":     {"crypto/rootstore": "describes roots", "crypto/rootstore/provider": "what all providers share", "crypto/committing": "wraps", "internal/vfs": "reads password files"},
	"crypto/rootstore/kekfile": {"crypto/rootstore/provider": "what all key encryption keys share", "internal/vfs": "the keyset is a file"},
	"crypto/rootstore/file": {
		"crypto/rootstore": "implements a store", "crypto/committing": "wraps", "internal/vfs": "roots lie in a file",
	},
	"crypto/keystate": {
		"internal/vfs": "the sealed state is a file", "crypto/keytree": "the state is made of key trees", "crypto/committing": "seals the state",
		"crypto/rootstore": "the state is sealed under roots of epochs",
	},
	"crypto/seal": {"crypto/keytree": "slots name leaves and take their shares", "crypto/committing": "seals facets and data keys"},
	"crypto/directory": {
		"internal/vfs": "the snapshot is a file", "crypto/seal": "the snapshot is sealed under one key", "crypto/keytree": "a share is the type of that key",
		"crypto/committing": "seals the snapshot",
	},

	"events":           {},
	"events/natslog":   {"events": "names of NATS subjects", "internal/vfs": "the mark of the last counter is a file"},
	"events/chronicle": {"events": "the facts", "archive": "entries and records"},
	"events/officers":  {"events": "the acts officers answer for", "archive": "numbers and leaves of records", "crypto/sign": "opens signed notes"},

	"archive":         {"internal/vfs": "all file access", "archive/segment": "frames and files of records"},
	"archive/segment": {"internal/vfs": "all file access"},
	"archive/tiles":   {"internal/vfs": "all file access"},
	"archive/backup":  {"internal/vfs": "all file access", "archive": "snapshots of ledgers", "archive/segment": "is a rewritten segment sound"},

	"index": {},
	"index/bleveindex": {"index": "queries, documents and results are defined there", "crypto/keytree": "each index file has a share as its key",
		"internal/vfs": "its own position file"},
	"retention": {},

	"ingest": {
		"events": "erasures and incidents are appended with the messages", "events/natslog": "reads the log, implements its gate",
		"archive": "appends records", "crypto/keytree": "names the leaves of slots", "crypto/keystate": "shares", "crypto/seal": "seals facets",
		"crypto/directory": "subjects of identities", "retention": "class and due day", "index": "builds the documents to index",
		"events/chronicle": "events as ledger entries", "internal/vfs": "all file access", "internal/bell": "who searches waits for the index",
	},
	"ingest/source": {"events": "names of NATS subjects", "events/natslog": "imports are published like everything else", "ingest": "recognises formats",
		"internal/vfs": "the journal of an import is a file"},
	"retention/disposal": {
		"archive": "an event precedes every destruction", "events": "the events", "events/chronicle": "events as ledger entries", "crypto/keytree": "leaves to puncture",
		"crypto/keystate": "punctures them", "crypto/seal": "adds hold slots", "crypto/directory": "forgets identities", "retention": "what is due",
		"crypto/rootstore": "what became of roots", "events/officers": "who may order what", "internal/bell": "the index waits for the keys",
	},
	"privacy": {"archive": "an event precedes every step", "events": "the events", "events/chronicle": "events as ledger entries", "retention": "statutes and holds that forbid"},
	"privacy/certificate": {
		"archive": "records, leaves and checkpoints", "events": "what happened", "events/chronicle": "events of records", "events/officers": "checks statements again",
		"crypto/sign": "signs and opens notes", "retention": "names of days",
	},

	"server": {
		"archive": "reads", "archive/backup": "backups", "crypto/directory": "subjects", "crypto/keystate": "shares", "crypto/keytree": "names leaves", "crypto/seal": "opens facets",
		"crypto/sign": "keys to print", "crypto/rootstore": "what root stores say of themselves", "events": "events", "events/chronicle": "events as ledger entries",
		"events/officers": "drafts of what officers sign", "privacy/certificate": "certificates of erasure",
		"events/natslog": "status of the log", "index": "queries", "index/bleveindex": "searches",
		"ingest": "views of records", "ingest/source": "imports", "internal/vfs": "run files", "privacy": "cases", "retention": "schedules",
		"retention/disposal": "erasure",
	},
	"internal/bench": {
		"archive": "measures each part beside its bare counterpart", "crypto/directory": "as for the archive", "crypto/keystate": "as for the archive",
		"crypto/keytree": "as for the archive", "crypto/seal": "as for the archive", "crypto/sign": "as for the archive", "events": "as for the archive",
		"crypto/rootstore": "as for the archive", "crypto/rootstore/file": "as for the archive", "events/officers": "as for the archive",
		"events/chronicle": "as for the archive", "events/natslog": "as for the archive", "index": "as for the archive",
		"index/bleveindex": "as for the archive", "ingest": "as for the archive", "internal/vfs": "as for the archive",
		"retention": "as for the archive", "retention/disposal": "as for the archive", "server": "as for the archive",
	},
	"cmd/escrow": {
		"archive": "wiring", "archive/backup": "wiring", "archive/segment": "wiring", "crypto/directory": "wiring", "crypto/keystate": "wiring", "crypto/keytree": "wiring",
		"crypto/rootstore": "wiring", "crypto/rootstore/file": "wiring", "crypto/rootstore/vault": "wiring",
		"crypto/rootstore/awskms": "wiring", "crypto/rootstore/gcpkms": "wiring", "crypto/rootstore/tpm": "wiring", "crypto/rootstore/kekfile": "wiring", "events/officers": "signs what officers do",
		"privacy/certificate": "checks certificates without an archive",
		"crypto/seal":         "wiring", "crypto/sign": "wiring", "events": "wiring", "events/chronicle": "wiring", "events/natslog": "wiring", "index": "wiring", "index/bleveindex": "wiring",
		"ingest": "wiring", "ingest/source": "wiring", "internal/bench": "wiring", "internal/vfs": "wiring", "privacy": "wiring", "retention": "wiring",
		"retention/disposal": "wiring", "server": "wiring", "testdata": "the messages of the demo",
	},
}

// layers is the order of the module, lowest first. A package is in the layer of its longest listed prefix.
var layers = []struct {
	name     string
	packages []string
}{
	{"vocabulary", []string{".", "testdata", "internal/rules", "internal/needle", "internal/mutants"}},
	{"files and keys", []string{"internal/vfs", "internal/bell", "crypto"}},
	{"log and ledger", []string{"events", "archive"}},
	{"index and policy", []string{"index", "retention"}},
	{"workflows", []string{"ingest", "privacy", "retention/disposal"}},
	{"service", []string{"server", "internal/bench"}},
	{"programs", []string{"cmd"}},
}

// layer returns the number of the layer of dir, or -1.
func layer(dir string) int {
	best, length := -1, 0
	for i, l := range layers {
		for _, prefix := range l.packages {
			if (dir == prefix || strings.HasPrefix(dir, prefix+"/")) && len(prefix) > length {
				best, length = i, len(prefix)
			}
		}
	}
	return best
}

// internal returns the directory of a package of this module, or false.
func internal(target string) (dir string, ok bool) {
	if target == module {
		return ".", true
	}
	return strings.CutPrefix(target, module+"/")
}

func checkImports(p *pkg) []finding {
	allowed, known := importTable[p.dir]
	if !known {
		return []finding{{path: p.files[0].path, text: "package " + p.dir + " is not in the import table; add it with its imports and reasons"}}
	}
	var found []finding
	for _, f := range p.code() {
		for _, spec := range f.tree.Imports {
			dir, ok := internal(importPath(spec))
			if !ok || dir == "." {
				continue
			}
			if _, ok := allowed[dir]; !ok {
				found = append(found, f.finding(spec.Pos(), "%s may not import %s; see the import table", p.dir, dir))
			}
		}
	}
	return found
}

// The table itself: no edge leads up, every edge has a reason, and it has no circles (the compiler would refuse those, but later).
func TestImportTable(t *testing.T) {
	for from, allowed := range importTable {
		if layer(from) < 0 {
			t.Errorf("%s is in no layer", from)
		}
		for to, why := range allowed {
			switch _, known := importTable[to]; {
			case !known:
				t.Errorf("%s → %s: the table does not know %s", from, to, to)
			case layer(to) > layer(from):
				t.Errorf("%s → %s leads up", from, to)
			case why == "":
				t.Errorf("%s → %s has no reason", from, to)
			}
		}
	}
	for from := range importTable {
		if slices.Contains(reachable(from, func(dir string) []string { return slices.Collect(maps.Keys(importTable[dir])) }), from) {
			t.Errorf("%s reaches itself", from)
		}
	}
}

// reachable returns what can be reached from a package in one step or more.
func reachable(from string, next func(string) []string) []string {
	seen := map[string]bool{}
	queue := next(from)
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if !seen[dir] {
			seen[dir] = true
			queue = append(queue, next(dir)...)
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// plaintextTypes are the types of the vocabulary that hold what people wrote or who they are.
var plaintextTypes = []string{"Message", "Participant", "Identity", "Attachment"}

// checkBlindArchive states what auditors are told: the archive holds no key and sees no plaintext. Neither it nor anything it reaches imports a
// package of crypto, an index or a parser, nor the libraries of theirs, and it never names a type that holds content.
func checkBlindArchive(tr *tree) []finding {
	byDir := map[string]*pkg{}
	for _, p := range tr.packages {
		byDir[p.dir] = p
	}
	var found []finding
	for _, p := range tr.packages {
		if p.dir != "archive" && !strings.HasPrefix(p.dir, "archive/") {
			continue
		}
		within := append(reachable(p.dir, func(dir string) []string { return internalImports(byDir[dir]) }), p.dir)
		for _, dir := range within {
			found = append(found, blindness(dir, byDir[dir])...)
		}
	}
	return found
}

func blindness(dir string, p *pkg) []finding {
	if p == nil {
		return nil
	}
	var found []finding
	for _, f := range p.code() {
		for _, spec := range f.tree.Imports {
			if sees(importPath(spec)) {
				found = append(found, f.finding(spec.Pos(), "the archive must not reach %s: it holds no key and sees no plaintext", importPath(spec)))
			}
		}
		if dir != "." {
			found = append(found, namesPlaintext(f)...)
		}
	}
	return found
}

// sees reports whether an import would give the archive keys or content.
func sees(target string) bool {
	for _, prefix := range []string{module + "/crypto", module + "/index", module + "/ingest", module + "/server", "github.com/nats-io/",
		"github.com/blevesearch/", "github.com/tink-crypto/", "github.com/jhillyerd/"} {
		if target == prefix || strings.HasPrefix(target, strings.TrimSuffix(prefix, "/")+"/") {
			return true
		}
	}
	return false
}

func internalImports(p *pkg) []string {
	if p == nil {
		return nil
	}
	var dirs []string
	for _, f := range p.code() {
		for _, spec := range f.tree.Imports {
			if dir, ok := internal(importPath(spec)); ok {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}
