package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// destroyer is the one package that takes keys, roots and links away.
const destroyer = "retention/disposal"

// destroying are the methods that do, by package and type. They are named here once, and a method that is renamed is noticed.
var destroying = map[string]map[string][]string{
	"crypto/keystate":  {"Tx": {"Puncture", "PunctureRange", "DropAll", "RenewIndexTree"}, "State": {"DestroyRoots"}},
	"crypto/rootstore": {"Store": {"Destroy"}},
	"crypto/directory": {"Directory": {"Forget"}},
}

// allowedToDestroy are the functions outside the pipeline that may, or whole packages of tests, with the reason.
var allowedToDestroy = map[string]string{
	"crypto/keystate State.destroyRoot":      "DestroyRoots, which only the pipeline calls, does it in every store",
	"crypto/keystate Tx.RenewIndexTree":      "which only the pipeline calls",
	"ingest forget":                          "repeats orders of the ledger on a directory that is built anew",
	"crypto/rootstore/storetest":             "the tests every root store must pass",
	"crypto/rootstore/provider/providertest": "the tests every provider of roots must pass",
}

// mayDestroy reports whether a function may.
func mayDestroy(dir, function string) bool {
	return dir == destroyer || allowedToDestroy[dir] != "" || allowedToDestroy[dir+" "+function] != ""
}

// moduleTypes type-checks the packages of the module without tests. Other modules and the standard library are taken as empty: what they have is not asked for.
type moduleTypes struct {
	fset     *token.FileSet
	packages map[string]*pkg // by import path
	done     map[string]*types.Package
	uses     map[string]*types.Info
}

func newModuleTypes(packages []*pkg) *moduleTypes {
	m := &moduleTypes{fset: token.NewFileSet(), packages: map[string]*pkg{}, done: map[string]*types.Package{}, uses: map[string]*types.Info{}}
	for _, p := range packages {
		m.packages[path.Join(module, p.dir)] = p
	}
	return m
}

// Import implements types.Importer.
func (m *moduleTypes) Import(target string) (*types.Package, error) {
	if done := m.done[target]; done != nil {
		return done, nil
	}
	p := m.packages[target]
	if p == nil {
		empty := types.NewPackage(target, localName(target))
		empty.MarkComplete()
		m.done[target] = empty
		return empty, nil
	}
	var files []*ast.File
	for _, f := range p.code() {
		tree, err := parser.ParseFile(m.fset, f.path, f.text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, tree)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: m, Error: func(error) {}, FakeImportC: true} // errors are of what is left out
	checked, _ := config.Check(target, m.fset, files, info)
	m.done[target], m.uses[target] = checked, info
	return checked, nil
}

// destroys returns what a use of an object destroys, as "crypto/keystate Tx.Puncture", or "". A method of a store counts as that of the interface.
func (m *moduleTypes) destroys(use types.Object) string {
	fn, ok := use.(*types.Func)
	if !ok || fn.Signature().Recv() == nil {
		return ""
	}
	receiver := fn.Signature().Recv().Type()
	for dir, byType := range destroying {
		declared := m.done[path.Join(module, dir)]
		if declared == nil {
			continue
		}
		for name, methods := range byType {
			object := declared.Scope().Lookup(name)
			if object == nil || !slices.Contains(methods, fn.Name()) {
				continue
			}
			is := types.Unalias(deref(receiver)) == types.Unalias(object.Type())
			if contract, ok := object.Type().Underlying().(*types.Interface); ok {
				is = is || implements(receiver, contract)
			}
			if is {
				return dir + " " + name + "." + fn.Name()
			}
		}
	}
	return ""
}

func deref(t types.Type) types.Type {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// implements reports whether a type, or an interface of somebody's own, has the methods by which a root store is known.
func implements(t types.Type, contract *types.Interface) bool {
	for _, name := range []string{"Create", "Wrap", "Unwrap", "Destroy"} {
		object, _, _ := types.LookupFieldOrMethod(t, true, nil, name)
		if _, ok := object.(*types.Func); !ok {
			return types.Implements(t, contract)
		}
	}
	return true
}

// checkDestroyers finds every use of a destroying method, called or only named, outside the pipeline.
func checkDestroyers(packages []*pkg) []finding {
	m := newModuleTypes(packages)
	for _, target := range slices.Sorted(maps.Keys(m.packages)) {
		if _, err := m.Import(target); err != nil {
			return []finding{{path: target, text: err.Error()}}
		}
	}
	var found []finding
	for target, info := range m.uses {
		dir := strings.TrimPrefix(strings.TrimPrefix(target, module), "/")
		for ident, use := range info.Uses {
			what := m.destroys(use)
			if what == "" || mayDestroy(dir, m.function(target, ident.Pos())) {
				continue
			}
			at := m.fset.Position(ident.Pos())
			found = append(found, finding{path: at.Filename, line: at.Line, text: what + ": only " + destroyer + " destroys; give it an order"})
		}
	}
	return found
}

// function returns the name of the declared function around a position, with its receiver.
func (m *moduleTypes) function(target string, pos token.Pos) string {
	for ident, def := range m.uses[target].Defs {
		fn, ok := def.(*types.Func)
		if !ok || fn.Scope() == nil || !fn.Scope().Contains(pos) {
			continue
		}
		if recv := fn.Signature().Recv(); recv != nil {
			if named, ok := types.Unalias(deref(recv.Type())).(*types.Named); ok {
				return named.Obj().Name() + "." + ident.Name
			}
		}
		return ident.Name
	}
	return ""
}

// TestOnlyThePipelineDestroys says in types what disposal says in words: nobody else takes a key, a root or a link away.
func TestOnlyThePipelineDestroys(t *testing.T) {
	packages := loadTree(t).packages
	for _, f := range checkDestroyers(packages) {
		t.Error(f)
	}
	m := newModuleTypes(packages)
	for dir, byType := range destroying {
		p, err := m.Import(path.Join(module, filepath.ToSlash(dir)))
		if err != nil {
			t.Fatal(err)
		}
		for name, methods := range byType {
			object := p.Scope().Lookup(name)
			for _, method := range methods {
				if object == nil {
					t.Errorf("%s has no type %s any more; correct the table", dir, name)
					continue
				}
				if found, _, _ := types.LookupFieldOrMethod(object.Type(), true, p, method); found == nil {
					t.Errorf("%s.%s has no method %s any more; correct the table", dir, name, method)
				}
			}
		}
	}
}

const plantedKeys = `package keystate; type Tx struct{}; func (*Tx) Puncture(...int) int; func (*Tx) PunctureRange(); func (*Tx) DropAll(); func (*Tx) SetApplied()
type State struct{}; func (*State) Update(func(*Tx) error) error; func (*State) DestroyRoots() error`

const plantedStore = `package rootstore; type Store interface { Create(); Wrap(); Unwrap(); Destroy(); Evidence() }`

func TestDestroyersCatches(t *testing.T) {
	const use = `package server; import "escrow/crypto/keystate"; `
	for _, tt := range []planted{
		{"reading", "server/a.go", use + `func f(s *keystate.State) { s.Update(func(tx *keystate.Tx) error { tx.SetApplied(); return nil }) }`, ""},
		{"a puncture", "server/a.go", use + `func f(s *keystate.State) { s.Update(func(tx *keystate.Tx) error { tx.Puncture(1); return nil }) }`, "Tx.Puncture"},
		{"a puncture by name", "server/a.go", use + `var f = (*keystate.Tx).DropAll`, "Tx.DropAll"},
		{"through a type of one's own", "server/a.go", use + `type mine struct { *keystate.Tx }; func f(m mine) { m.PunctureRange() }`, "Tx.PunctureRange"},
		{"through an inferred variable", "server/a.go", use + `func f(a struct { Keys *keystate.State }) { s := a.Keys; s.DestroyRoots() }`, "State.DestroyRoots"},
		{"a root", "server/a.go", `package server; import "escrow/crypto/rootstore"; func f(s rootstore.Store) { s.Destroy() }`, "Store.Destroy"},
		{"a root through another interface", "server/a.go", `package server; type roots interface { Create(); Wrap(); Unwrap(); Destroy(); Evidence() }; func f(s roots) { s.Destroy() }`, "Store.Destroy"},
		{"something else that is destroyed", "server/a.go", `package server; type window struct{}; func (window) Destroy() {}; func f(w window) { w.Destroy() }`, ""},
		{"another puncture", "server/a.go", `package server; type tyre struct{}; func (tyre) Puncture() {}; func f(t tyre) { t.Puncture() }`, ""},
		{"the pipeline", "retention/disposal/a.go", `package disposal; import "escrow/crypto/keystate"; func f(tx *keystate.Tx) { tx.Puncture(1) }`, ""},
		{"a test", "server/a_test.go", `package server_test; import "escrow/crypto/keystate"; func f(tx *keystate.Tx) { tx.Puncture(1) }`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packages, err := packagesOf([]document{
				{path: "crypto/keystate/a.go", text: []byte(plantedKeys)}, {path: "crypto/rootstore/a.go", text: []byte(plantedStore)}, {path: tt.file, text: []byte(tt.text)},
			})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, checkDestroyers(packages), tt.finds)
		})
	}
}
