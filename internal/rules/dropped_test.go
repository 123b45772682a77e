package rules_test

import (
	"go/ast"
	"slices"
	"testing"
)

// durable are the methods whose error says that something is not on disk. Who drops it tells a lie later.
var durable = []string{"Sync", "SyncDir", "Rename", "Truncate", "Write", "WriteAt", "Flush"}

// inMemory are the names under which values go whose Write never fails: hashes and buffers.
var inMemory = []string{"h", "hash", "mac", "sum", "b", "buf", "sb", "out", "digest"}

// checkDropped: the error of an operation that makes something durable is never dropped, neither in silence nor into a blank.
func checkDropped(p *pkg) []finding {
	var found []finding
	dropped := func(f *source, e ast.Expr) {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains(durable, sel.Sel.Name) || sel.Sel.Name == "Write" && writesMemory(sel.X) {
			return
		}
		found = append(found, f.finding(call.Pos(), "the error of %s is dropped", sel.Sel.Name))
	}
	for _, f := range p.code() {
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ExprStmt:
				dropped(f, n.X)
			case *ast.DeferStmt:
				dropped(f, n.Call)
			case *ast.AssignStmt:
				if len(n.Rhs) == 1 && !slices.ContainsFunc(n.Lhs, func(e ast.Expr) bool { return !blank(e) }) {
					dropped(f, n.Rhs[0])
				}
			}
			return true
		})
	}
	return found
}

func blank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

// writesMemory guesses from the name.
func writesMemory(e ast.Expr) bool {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		e = sel.Sel
	}
	id, ok := e.(*ast.Ident)
	return ok && slices.Contains(inMemory, id.Name)
}

func TestDroppedCatches(t *testing.T) {
	in := func(s string) string { return "package archive\n\nfunc f(f file) {\n" + s + "\n}" }
	run(t, checkDropped, []planted{
		{"sync in silence", "archive/a.go", in("f.Sync()"), "archive/a.go:4: the error of Sync"},
		{"sync into a blank", "archive/a.go", in("_ = f.Sync()"), "the error of Sync"},
		{"write into blanks", "archive/a.go", in("_, _ = f.WriteAt(nil, 0)"), "the error of WriteAt"},
		{"deferred", "archive/a.go", in("defer fsys.SyncDir(dir)"), "the error of SyncDir"},
		{"kept", "archive/a.go", in("err := f.Sync(); _ = err"), ""},
		{"returned", "archive/a.go", in("return f.Sync()"), ""},
		{"a count that is not needed", "archive/a.go", in("_, err := f.Write(nil)"), ""},
		{"a hash", "archive/a.go", in("h.Write(nil); s.hash.Write(nil)"), ""},
		{"closing after another error", "archive/a.go", in("f.Close()"), ""},
		{"in a test", "archive/a_test.go", in("f.Sync()"), ""},
	})
}
