package rules_test

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// emptyWords name no thing: a package or file called so becomes a drawer for everything.
var emptyWords = []string{"util", "utils", "common", "type", "types", "model", "models", "manager", "managers", "service", "services", "impl",
	"helper", "helpers", "base", "misc", "shared", "interfaces", "constants"}

func checkPackageNames(p *pkg) []finding {
	var found []finding
	if slices.Contains(emptyWords, path.Base(p.dir)) {
		found = append(found, finding{path: p.dir, text: "a package is named by what it provides, not " + path.Base(p.dir)})
	}
	for _, f := range p.files {
		name := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test")
		if slices.Contains(emptyWords, name) {
			found = append(found, finding{path: f.path, text: "a file is named by the noun it is about, not " + name})
		}
		if name := strings.TrimSuffix(f.tree.Name.Name, "_test"); name != "main" && p.dir != "." && name != strings.ReplaceAll(path.Base(p.dir), "-", "") {
			found = append(found, f.finding(f.tree.Name.Pos(), "package %s in directory %s", name, path.Base(p.dir)))
		}
	}
	return found
}

var (
	getter      = regexp.MustCompile(`^Get[A-Z]`)
	hungarian   = regexp.MustCompile(`^I[A-Z][a-z]`)
	emptySuffix = regexp.MustCompile(`[a-z](Manager|Service|Impl|Helper|Helpers|Util|Utils)$`)
)

func checkIdentifiers(p *pkg) []finding {
	var found []finding
	for _, f := range p.code() {
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if getter.MatchString(n.Name.Name) {
					found = append(found, f.finding(n.Pos(), "%s: a getter is named by what it returns", n.Name.Name))
				}
			case *ast.TypeSpec:
				found = append(found, checkTypeName(f, n)...)
			}
			return true
		})
	}
	return found
}

func checkTypeName(f *source, spec *ast.TypeSpec) []finding {
	var found []finding
	name := spec.Name.Name
	if emptySuffix.MatchString(name) {
		found = append(found, f.finding(spec.Pos(), "type %s: the last word says nothing", name))
	}
	itf, ok := spec.Type.(*ast.InterfaceType)
	if !ok {
		return found
	}
	if hungarian.MatchString(name) {
		found = append(found, f.finding(spec.Pos(), "interface %s: no I in front", name))
	}
	for _, m := range itf.Methods.List {
		for _, n := range m.Names {
			if getter.MatchString(n.Name) {
				found = append(found, f.finding(m.Pos(), "%s: a getter is named by what it returns", n.Name))
			}
		}
	}
	return found
}

// namesPlaintext finds mentions of the types that hold content.
func namesPlaintext(f *source) []finding {
	var found []finding
	ast.Inspect(f.tree, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if target, name := f.qualified(sel); target == module && slices.Contains(plaintextTypes, name) {
			found = append(found, f.finding(sel.Pos(), "the archive must not know escrow.%s: it sees no plaintext", name))
		}
		return true
	})
	return found
}
