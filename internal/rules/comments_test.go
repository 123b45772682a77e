package rules_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkComments: a package has one package comment, and every exported name has a doc comment, which for functions begins with the name.
func checkComments(p *pkg) []finding {
	var found []finding
	with := 0
	for _, f := range p.code() {
		if f.tree.Doc != nil {
			with++
		}
		for _, d := range f.tree.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				found = append(found, functionComment(f, d)...)
			case *ast.GenDecl:
				found = append(found, declarationComments(f, d)...)
			}
		}
	}
	if with != 1 {
		found = append(found, finding{path: p.files[0].path, text: "the package has " + count(with) + " package comments, it must have one"})
	}
	return found
}

func count(n int) string {
	if n == 0 {
		return "no"
	}
	return "several"
}

func functionComment(f *source, d *ast.FuncDecl) []finding {
	name := d.Name.Name
	switch {
	case !d.Name.IsExported() || d.Recv != nil && !receiverExported(d.Recv):
		return nil
	case d.Doc == nil:
		return []finding{f.finding(d.Pos(), "%s has no doc comment", name)}
	case !strings.HasPrefix(d.Doc.Text(), name+" ") && !strings.HasPrefix(d.Doc.Text(), name+",") && !strings.HasPrefix(d.Doc.Text(), "Deprecated:"):
		return []finding{f.finding(d.Pos(), "the doc comment of %s must begin with its name", name)}
	}
	return nil
}

func receiverExported(fields *ast.FieldList) bool {
	t := fields.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// declarationComments wants a comment on every exported type, and on every exported constant and variable or on its group.
func declarationComments(f *source, d *ast.GenDecl) []finding {
	var found []finding
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || d.Lparen != token.NoPos) {
				found = append(found, f.finding(spec.Pos(), "type %s has no doc comment", spec.Name.Name))
			}
		case *ast.ValueSpec:
			exported := slices.ContainsFunc(spec.Names, func(n *ast.Ident) bool { return n.IsExported() })
			if exported && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
				found = append(found, f.finding(spec.Pos(), "%s has no doc comment, nor has its group", spec.Names[0].Name))
			}
		}
	}
	return found
}
