package rules_test

import (
	"go/ast"
	"go/token"
	"slices"
)

// constructors make values nothing changes afterwards: tables, patterns, errors to compare with.
var constructors = map[string][]string{
	"errors":        {"New"},
	"fmt":           {"Errorf"},
	module:          {"Errorf"},
	"regexp":        {"MustCompile"},
	"hash/crc32":    {"MakeTable"},
	"hash/crc64":    {"MakeTable"},
	"strings":       {"NewReplacer"},
	"text/template": {"Must"},
	"html/template": {"Must"},
	"time":          {"Date", "Unix"},
	"net/netip":     {"MustParsePrefix", "MustParseAddr"},
	"crypto/sha256": {"Sum256"},
	"sync":          {"OnceValue", "OnceValues"}, // a constant computed when first needed
}

// checkVariables: no init functions and no state in packages. A package variable is a table, a compiled pattern, an embedded file, an error to
// compare with, or the assertion that a type implements an interface, and nothing ever assigns to it.
func checkVariables(p *pkg) []finding {
	var found []finding
	names := map[string]bool{}
	for _, f := range p.code() {
		f.functions(func(fn *ast.FuncDecl) {
			if fn.Name.Name == "init" && fn.Recv == nil {
				found = append(found, f.finding(fn.Pos(), "func init: the caller must be able to see what happens"))
			}
		})
		for _, spec := range packageVariables(f) {
			found = append(found, checkVariable(f, spec)...)
			for _, name := range spec.Names {
				names[name.Name] = true
			}
		}
	}
	for _, f := range p.code() {
		found = append(found, checkAssignments(f, names)...)
	}
	return found
}

func packageVariables(f *source) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, d := range f.tree.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			if !embedded(gen, v) {
				specs = append(specs, v)
			}
		}
	}
	return specs
}

func embedded(gen *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{gen.Doc, spec.Doc} {
		if group != nil && slices.ContainsFunc(group.List, func(c *ast.Comment) bool { return len(c.Text) > 10 && c.Text[:10] == "//go:embed" }) {
			return true
		}
	}
	return false
}

func checkVariable(f *source, spec *ast.ValueSpec) []finding {
	if len(spec.Names) == 1 && spec.Names[0].Name == "_" {
		return nil
	}
	if array, ok := spec.Type.(*ast.ArrayType); ok && array.Len != nil && len(spec.Values) == 0 {
		return nil // a block of zeros; assignments to it are found below
	}
	if len(spec.Values) == 0 {
		return []finding{f.finding(spec.Pos(), "package variable %s has no value: it can only be state", spec.Names[0].Name)}
	}
	var found []finding
	for _, v := range spec.Values {
		if !constant(f, v) {
			found = append(found, f.finding(spec.Pos(), "package variable %s is neither a table nor a known constant", spec.Names[0].Name))
		}
	}
	return found
}

// constant reports whether an initialiser makes a table or one of the values that constructors make.
func constant(f *source, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		target, _ := f.qualified(e.Type)
		return target != "sync" && target != "sync/atomic"
	case *ast.UnaryExpr:
		return e.Op == token.AND && constant(f, e.X)
	case *ast.SelectorExpr: // binary.BigEndian, base32.StdEncoding.WithPadding
		target, _ := f.qualified(e)
		return target != ""
	case *ast.CallExpr:
		if target, name := f.qualified(e.Fun); slices.Contains(constructors[target], name) {
			return true
		}
		if _, ok := e.Fun.(*ast.ArrayType); ok { // []byte("…")
			return true
		}
		sel, ok := e.Fun.(*ast.SelectorExpr) // a method of a constant
		return ok && constant(f, sel.X)
	}
	return false
}

// checkAssignments finds assignments to package variables or into them.
func checkAssignments(f *source, names map[string]bool) []finding {
	var found []finding
	assigned := func(e ast.Expr) {
		if id := base(e); id != nil && names[id.Name] && atPackageLevel(f, id) {
			found = append(found, f.finding(e.Pos(), "assigns to the package variable %s", id.Name))
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				return true
			}
			for _, e := range n.Lhs {
				assigned(e)
			}
		case *ast.IncDecStmt:
			assigned(n.X)
		}
		return true
	})
	return found
}

// base returns x of x, x.f, x[i] and *x.
func base(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return base(e.X)
	case *ast.IndexExpr:
		return base(e.X)
	case *ast.StarExpr:
		return base(e.X)
	case *ast.ParenExpr:
		return base(e.X)
	}
	return nil
}

// atPackageLevel reports whether the parser left id unresolved (declared in another file) or found it in the package scope of this one.
func atPackageLevel(f *source, id *ast.Ident) bool {
	return id.Obj == nil || f.tree.Scope.Lookup(id.Name) == id.Obj
}
