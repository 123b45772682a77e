package rules_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the path of this module; packages are named by their directory within it, the root package by ".".
const module = "escrow"

// finding is one place where a rule is broken.
type finding struct {
	path string // of the file, relative to the root of the module, with slashes
	line int    // from 1; 0 for the whole file
	text string // what is wrong and what to do
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

// source is one parsed Go file.
type source struct {
	path    string
	dir     string
	test    bool
	text    []byte
	fset    *token.FileSet
	tree    *ast.File
	imports map[string]string // name in the file → import path
}

// pkg is the Go files of one directory, tests included.
type pkg struct {
	dir   string
	files []*source
}

// document is any text file, Go or not.
type document struct {
	path string
	text []byte
}

// tree is the whole module.
type tree struct {
	root     string
	packages []*pkg
	docs     []document
}

// wholeTree reads the module once for all tests.
var wholeTree = sync.OnceValues(func() (*tree, error) { return readTree(filepath.Join("..", "..")) })

func loadTree(t *testing.T) *tree {
	t.Helper()
	tr, err := wholeTree()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// maxText is the size above which a file is data, not text somebody wrote.
const maxText = 1 << 20

func readTree(root string) (*tree, error) {
	tr := &tree{root: root}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, name)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skipDir(filepath.ToSlash(rel))
		case !d.Type().IsRegular() || d.Name() == "go.sum":
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > maxText {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !bytes.ContainsRune(text, 0) {
			tr.docs = append(tr.docs, document{path: filepath.ToSlash(rel), text: text})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	tr.packages, err = packagesOf(tr.docs)
	return tr, err
}

func skipDir(rel string) error {
	if rel == ".git" || strings.HasPrefix(path.Base(rel), "escrow-data") || path.Base(rel) == "fuzz" && strings.Contains(rel, "testdata/") {
		return filepath.SkipDir
	}
	return nil
}

// packagesOf parses the Go files among docs. As for the go command, files below a testdata directory belong to no package; only the top one may
// be one itself, to embed what is in it.
func packagesOf(docs []document) ([]*pkg, error) {
	byDir := map[string]*pkg{}
	for _, doc := range docs {
		dir := path.Dir(doc.path)
		if !strings.HasSuffix(doc.path, ".go") || dir != "testdata" && slices.Contains(strings.Split(dir, "/"), "testdata") {
			continue
		}
		src, err := parse(doc.path, doc.text)
		if err != nil {
			return nil, err
		}
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
		}
		byDir[dir].files = append(byDir[dir].files, src)
	}
	var all []*pkg
	for _, p := range byDir {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return all, nil
}

func parse(name string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	src := &source{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), text: text, fset: fset, tree: file, imports: map[string]string{}}
	for _, spec := range file.Imports {
		target := importPath(spec)
		local := localName(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		src.imports[local] = target
	}
	return src, nil
}

func importPath(spec *ast.ImportSpec) string { return strings.Trim(spec.Path.Value, `"`) }

var versionSuffix = regexp.MustCompile(`^v[0-9]+$`)

// localName guesses the name of an imported package from its path.
func localName(target string) string {
	if versionSuffix.MatchString(path.Base(target)) {
		target = path.Dir(target)
	}
	return path.Base(target)
}

func (s *source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

func (s *source) finding(pos token.Pos, format string, args ...any) finding {
	return finding{path: s.path, line: s.line(pos), text: fmt.Sprintf(format, args...)}
}

// uses calls fn for every mention of an exported name of an imported package.
func (s *source) uses(fn func(target, name string, pos token.Pos)) {
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if target, name := s.qualified(sel); target != "" {
				fn(target, name, sel.Pos())
			}
		}
		return true
	})
}

// qualified returns import path and name if e is a name of an imported package, as errors.New is, and "" otherwise.
func (s *source) qualified(e ast.Expr) (target, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || x.Obj != nil { // resolved within the file: a variable that hides the package
		return "", ""
	}
	return s.imports[x.Name], sel.Sel.Name
}

// comment reports whether the line of pos, or the one above it, has a comment that begins with the given mark.
func (s *source) comment(pos token.Pos, mark string) bool {
	line := s.line(pos)
	for _, group := range s.tree.Comments {
		for _, c := range group.List {
			if at := s.line(c.Pos()); (at == line || at == line-1) && strings.HasPrefix(c.Text, "// "+mark) {
				return true
			}
		}
	}
	return false
}

// code returns the files that are not tests.
func (p *pkg) code() []*source {
	var files []*source
	for _, f := range p.files {
		if !f.test {
			files = append(files, f)
		}
	}
	return files
}

// command reports whether p is a program, where time, environment and randomness come in and output goes out.
func (p *pkg) command() bool { return strings.HasPrefix(p.dir, "cmd/") }

// functions calls fn for every declared function of the file.
func (s *source) functions(fn func(*ast.FuncDecl)) {
	for _, d := range s.tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			fn(f)
		}
	}
}
