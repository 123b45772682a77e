package rules_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// checkWrapping: an error inside an error is wrapped with %w, so that its kind survives, unless the line says // opaque: and why. And nobody
// decides by the text of an error.
func checkWrapping(p *pkg) []finding {
	var found []finding
	for _, f := range p.code() {
		ast.Inspect(f.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || f.comment(call.Pos(), "opaque: ") || f.comment(call.End(), "opaque: ") {
				return true
			}
			if makesError(p, call) && formatsError(call) {
				found = append(found, f.finding(call.Pos(), "an error is formatted without %%w; wrap it, or say why not in a comment // opaque:"))
			}
			if target, name := f.qualified(call.Fun); target == "strings" && len(call.Args) > 0 && errorText(call.Args[0]) {
				found = append(found, f.finding(call.Pos(), "strings.%s on the text of an error; use its kind, or say why not in a comment // opaque:", name))
			}
			return true
		})
	}
	return found
}

// makesError reports whether call is fmt.Errorf, another Errorf, or a function of the package itself that may pass its arguments on to one. In a
// command such functions make the last text a user sees.
func makesError(p *pkg, call *ast.CallExpr) bool {
	switch fun := call.Fun.(type) {
	case *ast.SelectorExpr:
		return strings.HasSuffix(fun.Sel.Name, "Errorf")
	case *ast.Ident:
		return !p.command() && fun.Name != "panic" && !strings.Contains(strings.ToLower(fun.Name), "print")
	}
	return false
}

// formatsError reports whether the first format string among the arguments formats an error with a verb other than %w.
func formatsError(call *ast.CallExpr) bool {
	for i, arg := range call.Args {
		format, ok := literal(arg)
		if !ok || !strings.Contains(format, "%") {
			continue
		}
		for j, verb := range verbs(format) {
			if at := i + 1 + j; at < len(call.Args) && verb != 'w' && isError(call.Args[at]) {
				return true
			}
		}
		return false
	}
	return false
}

// literal returns the value of a string literal or of a sum of them.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		return x + y, okX && okY
	}
	return "", false
}

var verb = regexp.MustCompile(`%[-+# 0]*[0-9]*(?:\.[0-9]+)?([a-zA-Z%])`)

func verbs(format string) []byte {
	var out []byte
	for _, m := range verb.FindAllStringSubmatch(format, -1) {
		if m[1] != "%" {
			out = append(out, m[1][0])
		}
	}
	return out
}

var errorName = regexp.MustCompile(`^(err|err[0-9A-Z]\w*|\w+Err|Err|Err[A-Z]\w*)$`)

// isError guesses from names; the rules know no types.
func isError(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return errorName.MatchString(e.Name)
	case *ast.SelectorExpr:
		return errorName.MatchString(e.Sel.Name) && !strings.HasSuffix(e.Sel.Name, "Code")
	case *ast.CallExpr:
		sel, ok := e.Fun.(*ast.SelectorExpr)
		return ok && (errorText(e) || errorName.MatchString(sel.Sel.Name) || sel.Sel.Name == "Join" && isPackage(sel.X, "errors") ||
			sel.Sel.Name == "Cause" && isPackage(sel.X, "context"))
	}
	return false
}

func isPackage(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// errorText reports whether e is x.Error().
func errorText(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) > 0 {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Error"
}
