package rules_test

import "strings"

// exception allows what a rule forbids at one place. It is a last resort: it needs a reason that convinces a reviewer.
type exception struct {
	rule string
	in   string // a file, or a directory with everything below it
	text string // part of the finding
	why  string
}

// exceptions is the closed list.
var exceptions = []exception{
	{"calls", "internal/vfs/crash.go", "math/rand/v2.Rand", "the test that asks for a state after a crash passes the generator that chooses it"},
	{"files", "index/bleveindex", "os.", "Bleve owns its index directories and takes paths; what is in them is sealed by file hooks"},
	{"files", "ingest/source", "os.", "imports read what the user points at, within an os.Root, and never write"},
}

// within reports whether the file is the given one or lies below the given directory.
func within(file, in string) bool { return file == in || strings.HasPrefix(file, in+"/") }

func (e exception) covers(rule string, f finding) bool {
	return e.rule == rule && within(f.path, e.in) && strings.Contains(f.text, e.text)
}
