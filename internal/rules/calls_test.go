package rules_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// ban forbids names of a standard package, all of them if the list is empty.
type ban struct {
	target string
	names  []string
	why    string
}

func (b ban) covers(target, name string) bool {
	return b.target == target && (b.names == nil || slices.Contains(b.names, name))
}

// bannedBelow holds for everything below cmd, outside tests.
var bannedBelow = []ban{
	{"time", []string{"Now", "Since", "Until", "Sleep", "Tick"}, "the clock comes in as an argument, and waiting ends with a context"},
	{"os", []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Args", "Exit", "Stdin", "Stdout", "Stderr", "Getwd", "Chdir"},
		"only the command knows its environment"},
	{"log", nil, "use log/slog with a logger from the configuration"},
	{"log/slog", []string{"Default", "SetDefault", "Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext"},
		"the logger comes in with the configuration"},
	{"fmt", []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}, "only the command speaks to the terminal"},
	{"math/rand", nil, "randomness comes in as an argument"},
	{"math/rand/v2", nil, "randomness comes in as an argument"},
	{"flag", nil, "only the command has flags"},
	{"os/signal", nil, "only the command handles signals"},
}

// bannedEverywhere holds for tests and commands, too.
var bannedEverywhere = []ban{
	{"time", []string{"Sleep"}, "wait for what you wait for"},
	{"io/ioutil", nil, "replaced by io and os"},
	{"github.com/google/tink/go", nil, "abandoned; cannot be linked beside tink-go/v2"},
}

// systemRandomness may be read by the packages below crypto, which take it as the default of an io.Reader.
const systemRandomness = "crypto/rand"

func checkCalls(p *pkg) []finding {
	var found []finding
	for _, f := range p.files {
		bans := bannedEverywhere
		if !f.test && !p.command() {
			bans = append(slices.Clone(bannedBelow), bannedEverywhere...)
		}
		f.uses(func(target, name string, pos token.Pos) {
			if i := slices.IndexFunc(bans, func(b ban) bool { return b.covers(target, name) }); i >= 0 {
				found = append(found, f.finding(pos, "%s.%s: %s", target, name, bans[i].why))
			}
			if target == systemRandomness && !f.test && !p.command() && !strings.HasPrefix(p.dir, "crypto/") {
				found = append(found, f.finding(pos, "%s.%s: randomness comes in as an argument", target, name))
			}
		})
	}
	return found
}

// fileAccess are the names of package os that touch a file system.
var fileAccess = ban{target: "os", names: []string{"Create", "CreateTemp", "Open", "OpenFile", "OpenRoot", "OpenInRoot", "ReadFile", "WriteFile",
	"Rename", "Remove", "RemoveAll", "Mkdir", "MkdirAll", "MkdirTemp", "Truncate", "Chmod", "Chown", "Chtimes", "Link", "Symlink", "ReadDir", "Stat",
	"Lstat", "DirFS", "CopyFS", "TempDir"}}

// checkFileAccess: below cmd, all file access goes through internal/vfs, so that every operation can be made to fail in a test.
func checkFileAccess(p *pkg) []finding {
	if p.command() || p.dir == "internal/vfs" {
		return nil
	}
	var found []finding
	for _, f := range p.code() {
		f.uses(func(target, name string, pos token.Pos) {
			if fileAccess.covers(target, name) {
				found = append(found, f.finding(pos, "os.%s: use internal/vfs", name))
			}
		})
	}
	return found
}

// checkPanics: a panic says "internal error", which means impossible; everything that arrived from outside is an error.
func checkPanics(p *pkg) []finding {
	var found []finding
	for _, f := range p.code() {
		ast.Inspect(f.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" && id.Obj == nil && !hasLiteral(call, "internal error") {
				found = append(found, f.finding(call.Pos(), `panic without "internal error": return an error`))
			}
			return true
		})
	}
	return found
}

// hasLiteral reports whether a string literal somewhere in n contains s.
func hasLiteral(n ast.Node, s string) bool {
	has := false
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, s) {
			has = true
		}
		return !has
	})
	return has
}
