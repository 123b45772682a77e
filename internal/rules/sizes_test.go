package rules_test

import (
	"go/ast"
	"go/token"
)

// Sizes above which code is not read in one go.
const (
	maxFunctionLines = 70
	maxFileLines     = 600
	maxParameters    = 5  // not counting a context
	tableLines       = 10 // a literal longer than this, without functions in it, is a table and does not count
)

func checkSizes(p *pkg) []finding {
	var found []finding
	for _, f := range p.files {
		if n := f.line(f.tree.FileEnd); n > maxFileLines {
			found = append(found, finding{path: f.path, line: n, text: "the file is longer than 600 lines: it is about more than one thing"})
		}
		if f.test {
			continue
		}
		f.functions(func(fn *ast.FuncDecl) {
			if n := lines(f, fn); n > maxFunctionLines {
				found = append(found, f.finding(fn.Pos(), "%s has %d lines, at most %d are readable", fn.Name.Name, n, maxFunctionLines))
			}
			if n := parameters(f, fn.Type); n > maxParameters {
				found = append(found, f.finding(fn.Pos(), "%s has %d parameters, at most %d; use a struct", fn.Name.Name, n, maxParameters))
			}
		})
	}
	return found
}

// lines returns the length of a function without the tables in it.
func lines(f *source, fn *ast.FuncDecl) int {
	n := span(f, fn.Pos(), fn.End())
	ast.Inspect(fn, func(node ast.Node) bool {
		lit, ok := node.(*ast.CompositeLit)
		if !ok || span(f, lit.Pos(), lit.End()) <= tableLines || hasFunction(lit) {
			return true
		}
		n -= span(f, lit.Pos(), lit.End())
		return false
	})
	return n
}

func span(f *source, from, to token.Pos) int { return f.line(to) - f.line(from) + 1 }

func hasFunction(n ast.Node) bool {
	has := false
	ast.Inspect(n, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			has = true
		}
		return !has
	})
	return has
}

func parameters(f *source, t *ast.FuncType) int {
	n := 0
	for _, field := range t.Params.List {
		if target, name := f.qualified(field.Type); target == "context" && name == "Context" {
			continue
		}
		n += max(1, len(field.Names))
	}
	return n
}
