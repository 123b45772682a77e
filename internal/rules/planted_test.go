package rules_test

import (
	"strings"
	"testing"
)

// planted is a small module with one thing wrong in it, or nothing.
type planted struct {
	name  string
	file  string // path; the rule sees the package this file is in
	text  string
	finds string // part of the only finding; "" if there must be none
}

// plant parses one file as a package of its own.
func plant(t *testing.T, file, text string) *pkg {
	t.Helper()
	packages, err := packagesOf([]document{{path: file, text: []byte(text)}})
	if err != nil || len(packages) != 1 {
		t.Fatalf("the planted source is no package: %v", err)
	}
	return packages[0]
}

// run checks that a rule finds what is planted, where it is planted, and nothing else.
func run(t *testing.T, check func(*pkg) []finding, tests []planted) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, check(plant(t, tt.file, tt.text)), tt.finds)
		})
	}
}

func expect(t *testing.T, found []finding, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) > 0:
		t.Errorf("found %v, want nothing", found)
	case want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), want)):
		t.Errorf("found %v, want just %q", found, want)
	}
}

func TestImportsCatches(t *testing.T) {
	run(t, checkImports, []planted{
		{"the vocabulary is free", "archive/a.go", `package archive; import "escrow"; var _ escrow.Seq`, ""},
		{"a listed edge", "archive/a.go", `package archive; import "escrow/internal/vfs"; var _ vfs.FS`, ""},
		{"policy reads the ledger", "retention/a.go", `package retention; import "escrow/archive"`, "retention/a.go:1: retention may not import archive"},
		{"an edge up", "events/a.go", `package events; import "escrow/server"`, "events may not import server"},
		{"a sibling", "events/a.go", `package events; import "escrow/archive"`, "events may not import archive"},
		{"the archive takes a key", "archive/segment/a.go", `package segment; import k "escrow/crypto/keytree"`, "may not import crypto/keytree"},
		{"a test may", "retention/a_test.go", `package retention_test; import "escrow/archive"`, ""},
		{"an unknown package", "storage/a.go", `package storage`, "storage is not in the import table"},
		{"an unknown import", "server/a.go", `package server; import "escrow/storage"`, "server may not import storage"},
	})
}

func TestLibrariesCatches(t *testing.T) {
	run(t, checkLibraries, []planted{
		{"the owner", "events/natslog/a.go", `package natslog; import "github.com/nats-io/nats.go/jetstream"`, ""},
		{"a pattern", "crypto/seal/a.go", `package seal; import "github.com/tink-crypto/tink-go/v2/aead"`, ""},
		{"NATS elsewhere", "ingest/a.go", `package ingest; import "github.com/nats-io/nats.go"`, "ingest does not own github.com/nats-io/nats.go"},
		{"Tink in the archive", "archive/a.go", `package archive; import "github.com/tink-crypto/tink-go/v2/tink"`, "does not own"},
		{"Bleve in the command", "cmd/escrow/a.go", `package main; import "github.com/blevesearch/bleve/v2"`, "does not own"},
		{"a compressor in the ledger", "archive/segment/a.go", `package segment; import "github.com/klauspost/compress/zstd"`, "does not own"},
		{"test library in code", "events/a.go", `package events; import "github.com/google/go-cmp/cmp"`, "does not own"},
		{"test library in a test", "events/a_test.go", `package events_test; import "github.com/google/go-cmp/cmp"`, ""},
		{"testscript in a test", "cmd/escrow/a_test.go", `package main_test; import "github.com/rogpeppe/go-internal/testscript"`, ""},
		{"a test goes further", "ingest/a_test.go", `package ingest_test; import "github.com/nats-io/nats.go"`, ""},
		{"an assertion library in a test", "events/a_test.go", `package events_test; import "github.com/stretchr/testify/assert"`, "not in the list of libraries"},
		{"unknown library", "server/a.go", `package server; import "example.org/router"`, "example.org/router is not in the list"},
		{"a longer name is another library", "events/natslog/a.go", `package natslog; import "github.com/nats-io/nats.goofy"`, "not in the list"},
		{"the abandoned Tink", "crypto/seal/a.go", `package seal; import "github.com/google/tink/go/aead"`, "not in the list"},
		{"standard library", "events/a.go", `package events; import "encoding/json"`, ""},
	})
}

func TestNamesCatches(t *testing.T) {
	run(t, checkPackageNames, []planted{
		{"fine", "index/query.go", `package index`, ""},
		{"a dash in the directory", "cmd/escrow-verify/main.go", `package main`, ""},
		{"utils", "crypto/utils/a.go", `package utils`, "not utils"},
		{"a drawer of types", "index/types.go", `package index`, "not types"},
		{"tests of helpers", "index/helpers_test.go", `package index_test`, "not helpers"},
		{"another name than the directory", "index/a.go", `package search`, "package search in directory index"},
	})
	run(t, checkIdentifiers, []planted{
		{"getter", "index/a.go", "package index\nfunc (q Query) GetLimit() int { return 1 }", "index/a.go:2: GetLimit"},
		{"getter in an interface", "index/a.go", `package index; type Keys interface { GetKey() }`, "GetKey"},
		{"a word that begins like it", "index/a.go", `package index; func Gettysburg() {}`, ""},
		{"Hungarian interface", "index/a.go", `package index; type ISearcher interface{}`, "ISearcher"},
		{"a struct may begin with I", "index/a.go", `package index; type Intake struct{}; type IDs []int`, ""},
		{"manager", "index/a.go", `package index; type KeyManager struct{}`, "KeyManager"},
		{"tests are free", "index/a_test.go", `package index_test; func GetKey() {}`, ""},
	})
}

func TestCallsCatches(t *testing.T) {
	run(t, checkCalls, []planted{
		{"the clock", "archive/a.go", "package archive\nimport \"time\"\nvar now = time.Now", "archive/a.go:3: time.Now"},
		{"the clock under another name", "archive/a.go", `package archive; import clock "time"; func f() { clock.Now() }`, "time.Now"},
		{"since", "archive/a.go", `package archive; import "time"; func f(t time.Time) { time.Since(t) }`, "time.Since"},
		{"the clock in the command", "cmd/escrow/a.go", `package main; import "time"; var now = time.Now`, ""},
		{"the clock in a test", "archive/a_test.go", `package archive_test; import "time"; var now = time.Now`, ""},
		{"a variable called time", "archive/a.go", `package archive; import "time"; func f(time clock) { time.Now() }; var _ time.Time`, ""},
		{"sleep in a test", "archive/a_test.go", `package archive_test; import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		{"sleep in the command", "cmd/escrow/a.go", `package main; import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		{"a timer", "events/natslog/a.go", `package natslog; import "time"; func f() { time.NewTimer(1) }`, ""},
		{"environment", "crypto/seal/a.go", `package seal; import "os"; func f() { os.Getenv("X") }`, "os.Getenv"},
		{"exit", "server/a.go", `package server; import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		{"the old logger", "server/a.go", `package server; import "log"; func f() { log.Println() }`, "log.Println"},
		{"the default logger", "server/a.go", `package server; import "log/slog"; func f() { slog.Info("x") }`, "log/slog.Info"},
		{"a logger that was passed in", "server/a.go", `package server; import "log/slog"; func f(l *slog.Logger) { l.Info("x") }`, ""},
		{"printing", "index/a.go", `package index; import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		{"printing to a writer", "index/a.go", `package index; import "fmt"; func f() { fmt.Fprintln(nil) }`, ""},
		{"dice", "crypto/seal/a.go", `package seal; import "math/rand/v2"; func f() { rand.Int() }`, "math/rand/v2.Int"},
		{"system randomness in crypto", "crypto/seal/a.go", `package seal; import "crypto/rand"; var r = rand.Reader`, ""},
		{"system randomness in the archive", "archive/a.go", `package archive; import "crypto/rand"; var r = rand.Reader`, "crypto/rand.Reader"},
	})
}

func TestFilesCatches(t *testing.T) {
	run(t, checkFileAccess, []planted{
		{"write onto the final path", "archive/a.go", `package archive; import "os"; func f() { os.WriteFile("", nil, 0) }`, "os.WriteFile: use internal/vfs"},
		{"open", "index/a.go", `package index; import "os"; func f() { os.Open("") }`, "os.Open"},
		{"the seam itself", "internal/vfs/a.go", `package vfs; import "os"; func f() { os.Open("") }`, ""},
		{"flags and errors are no access", "archive/a.go", `package archive; import "os"; var _ = os.O_RDONLY; var _ = os.ErrNotExist`, ""},
		{"the command", "cmd/escrow/a.go", `package main; import "os"; func f() { os.ReadFile("") }`, ""},
	})
}

func TestPanicsCatches(t *testing.T) {
	run(t, checkPanics, []planted{
		{"an error", "archive/a.go", `package archive; func f(err error) { panic(err) }`, "panic without"},
		{"a word", "archive/a.go", `package archive; func f() { panic("oops") }`, "panic without"},
		{"impossible", "archive/a.go", `package archive; func f() { panic("archive: internal error: negative size") }`, ""},
		{"impossible, formatted", "archive/a.go", `package archive; import "fmt"; func f() { panic(fmt.Sprintf("archive: internal error: %d", 1)) }`, ""},
	})
}

func TestVariablesCatches(t *testing.T) {
	run(t, checkVariables, []planted{
		{"init", "events/a.go", `package events; func init() {}`, "func init"},
		{"a method called init", "events/a.go", `package events; func (t T) init() {}`, ""},
		{"state", "events/a.go", "package events\n\nvar n int", "events/a.go:3: package variable n has no value"},
		{"a mutex", "events/a.go", `package events; import "sync"; var mu sync.Mutex`, "mu has no value"},
		{"a pool", "events/a.go", `package events; import "sync"; var pool = sync.Pool{}`, "neither a table"},
		{"a number", "events/a.go", `package events; var limit = 3`, "neither a table"},
		{"a call", "events/a.go", `package events; var x = load()`, "neither a table"},
		{"a cache", "events/a.go", `package events; var cache = make(map[string]int)`, "neither a table"},
		{"a pattern", "events/a.go", `package events; import "regexp"; var re = regexp.MustCompile("x")`, ""},
		{"an error to compare with", "events/a.go", `package events; import "errors"; var ErrX = errors.New("x")`, ""},
		{"a table", "events/a.go", `package events; var names = [...]string{"a"}; var byName = map[string]int{"a": 1}`, ""},
		{"a block of zeros", "events/a.go", `package events; var zeros [64]byte`, ""},
		{"a block that is written", "events/a.go", `package events; var zeros [64]byte; func f() { zeros[0] = 1 }`, "assigns to"},
		{"a slice without value", "events/a.go", `package events; var all []byte`, "all has no value"},
		{"bytes", "events/a.go", `package events; var magic = []byte("esc1")`, ""},
		{"an encoding", "events/a.go", `package events; import "encoding/base32"; var e = base32.StdEncoding.WithPadding(base32.NoPadding)`, ""},
		{"an assertion", "events/a.go", `package events; var _ I = (*T)(nil)`, ""},
		{"an embedded file", "events/a.go", "package events\n\n//go:embed a.txt\nvar text string", ""},
		{"tests may", "events/a_test.go", `package events_test; var update = flag()`, ""},
		{"a table that is changed", "events/a.go", "package events\nvar byName = map[string]int{}\nfunc f() { byName[\"a\"] = 1 }", "events/a.go:3: assigns to the package variable byName"},
		{"a counter", "events/a.go", `package events; var n = [1]int{0}; func f() { n[0]++ }`, "assigns to the package variable n"},
		{"a local of the same name", "events/a.go", `package events; var n = [1]int{0}; func f() { n := 1; n = 2; _ = n }`, ""},
		{"a parameter of the same name", "events/a.go", `package events; var n = [1]int{0}; func f(n []int) { n[0] = 2 }`, ""},
	})
}

func TestCommentsCatches(t *testing.T) {
	const doc = "// Package index searches.\npackage index\n"
	run(t, checkComments, []planted{
		{"fine", "index/a.go", doc + "// Query asks.\ntype Query struct{}\n// Limit returns the limit.\nfunc (q Query) Limit() int { return 0 }", ""},
		{"no package comment", "index/a.go", "package index", "no package comment"},
		{"a blank line after the package comment", "index/a.go", "// Package index searches.\n\npackage index", "no package comment"},
		{"function", "index/a.go", doc + "func Parse() {}", "Parse has no doc comment"},
		{"method", "index/a.go", doc + "// T is.\ntype T int\nfunc (t *T) Parse() {}", "Parse has no doc comment"},
		{"method of a generic type", "index/a.go", doc + "// T is.\ntype T[K any] int\nfunc (t *T[K]) Parse() {}", "Parse has no doc comment"},
		{"method of an unexported type", "index/a.go", doc + "type t int\nfunc (t *t) Parse() {}", ""},
		{"another name", "index/a.go", doc + "// Reads a query.\nfunc Parse() {}", "must begin with its name"},
		{"a longer name", "index/a.go", doc + "// ParseAll reads.\nfunc Parse() {}", "must begin with its name"},
		{"type", "index/a.go", doc + "type Query struct{}", "type Query has no doc comment"},
		{"type in a group", "index/a.go", doc + "// Types.\ntype (\nQuery struct{}\n)", "type Query has no doc comment"},
		{"constant", "index/a.go", doc + "const Max = 1", "Max has no doc comment"},
		{"constants of a group", "index/a.go", doc + "// Limits.\nconst (\nMax = 1\nMin = 0\n)", ""},
		{"a comment behind", "index/a.go", doc + "const (\nMax = 1 // the most\n)", ""},
		{"unexported", "index/a.go", doc + "const max = 1\ntype t int\nfunc f() {}", ""},
	})
	twice := []document{{path: "index/a.go", text: []byte(doc)}, {path: "index/b.go", text: []byte(doc)}}
	packages, err := packagesOf(twice)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, checkComments(packages[0]), "several package comments")
}

func TestSizesCatches(t *testing.T) {
	long := func(n int) string { return "package index\nfunc f() {\n" + strings.Repeat("g()\n", n-2) + "}\n" }
	table := "package index\nfunc f() {\n_ = []int{\n" + strings.Repeat("1,\n", 200) + "}\n}\n"
	closures := "package index\nfunc f() {\n_ = []func(){\n" + strings.Repeat("func() {},\n", 200) + "}\n}\n"
	run(t, checkSizes, []planted{
		{"as long as may be", "index/a.go", long(maxFunctionLines), ""},
		{"a line too long", "index/a.go", long(maxFunctionLines + 1), "f has 71 lines"},
		{"a long test", "index/a_test.go", long(200), ""},
		{"a table", "index/a.go", table, ""},
		{"a table of functions", "index/a.go", closures, "f has"},
		{"a long file", "index/a.go", "package index\n" + strings.Repeat("\n", maxFileLines), "longer than 600 lines"},
		{"a long test file", "index/a_test.go", "package index\n" + strings.Repeat("\n", maxFileLines), "longer than 600 lines"},
		{"five parameters", "index/a.go", `package index; func f(a, b, c int, d string, e ...int) {}`, ""},
		{"six parameters", "index/a.go", `package index; func f(a, b, c int, d string, e bool, g ...int) {}`, "f has 6 parameters"},
		{"a context is free", "index/a.go", `package index; import "context"; func f(ctx context.Context, a, b, c, d, e int) {}`, ""},
	})
}

func TestWrappingCatches(t *testing.T) {
	in := func(s string) string {
		return "package index\n\nimport \"fmt\"\n\nfunc f(err error) error {\n" + s + "\n}"
	}
	run(t, checkWrapping, []planted{
		{"wrapped", "index/a.go", in(`return fmt.Errorf("read: %w", err)`), ""},
		{"printed", "index/a.go", in(`return fmt.Errorf("read: %v", err)`), "index/a.go:6: an error is formatted without %w"},
		{"quoted, after others", "index/a.go", in(`return fmt.Errorf("read %s at %-3d: %q", name, n, readErr)`), "without %w"},
		{"its text", "index/a.go", in(`return fmt.Errorf("read: %s", err.Error())`), "without %w"},
		{"of a context", "index/a.go", in(`return fmt.Errorf("read: %v", ctx.Err())`), "without %w"},
		{"the typed error", "index/a.go", in(`return escrow.Errorf("index.Read", escrow.Corrupt, "read "+"it: %v", err)`), "without %w"},
		{"a function of the package", "index/a.go", in(`return invalid("read: %v", err)`), "without %w"},
		{"a usage error of a command", "cmd/escrow/a.go", in(`return usage("read: %s", err)`), ""},
		{"a wrapped error of a command", "cmd/escrow/a.go", in(`return fmt.Errorf("read: %v", err)`), "without %w"},
		{"opaque", "index/a.go", in(`return fmt.Errorf("read: %v", err) // opaque: the caller must not see the cause`), ""},
		{"opaque above", "index/a.go", in("// opaque: the caller must not see the cause\nreturn fmt.Errorf(\"read: %v\", err)"), ""},
		{"opaque without a reason", "index/a.go", in(`return fmt.Errorf("read: %v", err) // opaque`), "without %w"},
		{"no error", "index/a.go", in(`return fmt.Errorf("read: 100%% of %v", name)`), ""},
		{"the number of an error", "index/a.go", in(`return fmt.Errorf("refused (%d)", e.ErrCode)`), ""},
		{"printed to a screen", "index/a.go", in(`fmt.Printf("%v", err); return nil`), ""},
		{"in a test", "index/a_test.go", in(`return fmt.Errorf("read: %v", err)`), ""},
		{"decided by text", "index/a.go", `package index; import "strings"; func f(err error) bool { return strings.Contains(err.Error(), "x") }`, "strings.Contains on the text"},
	})
}

func TestFormatCatches(t *testing.T) {
	run(t, checkFormat, []planted{
		{"formatted", "index/a.go", "package index\n\nvar x = 1\n", ""},
		{"not formatted", "index/a.go", "package index\nvar  x = 1\n", "is not formatted"},
	})
}
