package mutants_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutant is a guard taken out, and the test that must notice.
type mutant struct {
	trap string // what goes wrong without the guard
	file string // of the module
	old  string // occurs once in file
	new  string
	test string // package and test, as "./crypto/seal TestSealOpen"; a subtest after a slash
}

const root = "../.."

// TestMutantsFit checks the table itself: an edit that no longer fits proves nothing, and neither does a test that is gone.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name(), func(t *testing.T) {
			if _, err := m.mutated(); err != nil {
				t.Error(err)
			}
			dir, test := m.where(t)
			if !defines(t, filepath.Join(root, dir), test) {
				t.Errorf("there is no test %s in %s", test, dir)
			}
		})
	}
}

// TestMutantsAreCaught runs the named test on each mutant.
func TestMutantsAreCaught(t *testing.T) {
	if os.Getenv("ESCROW_MUTANTS") == "" {
		t.Skip("set ESCROW_MUTANTS=1 to build and run every mutant; .ci/run does")
	}
	for _, m := range mutants {
		t.Run(m.name(), func(t *testing.T) { m.mustBeCaught(t) })
	}
}

func (m mutant) name() string { return strings.ReplaceAll(m.trap, " ", "_") }

func (m mutant) where(t *testing.T) (dir, test string) {
	t.Helper()
	dir, test, ok := strings.Cut(m.test, " ")
	if !ok {
		t.Fatalf("%q is not a package and a test", m.test)
	}
	return dir, test
}

// mutated returns the file without its guard.
func (m mutant) mutated() ([]byte, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s: the guard %q occurs %d times, want once", m.file, m.old, n)
	}
	return bytes.Replace(source, []byte(m.old), []byte(m.new), 1), nil
}

// overlay writes the mutant and the file that lays it over the build, and returns the name of the latter.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	source, err := m.mutated()
	if err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed, list := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{changed: source, list: replace} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func (m mutant) mustBeCaught(t *testing.T) {
	dir, test := m.where(t)
	pattern := "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
	// -vet=off: an edit may leave a result unused, which is not what is to be found
	cmd := exec.Command("go", "test", "-count=1", "-vet=off", "-timeout=5m", "-overlay", m.overlay(t), "-run", pattern, dir)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		t.Errorf("without its guard in %s the test %s passes:\n%s", m.file, test, out)
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		t.Errorf("the mutant of %s does not build:\n%s", m.file, out)
	case !bytes.Contains(out, []byte("--- FAIL")) && !bytes.Contains(out, []byte("panic:")):
		t.Errorf("the test %s did not run on the mutant of %s:\n%s", test, m.file, out)
	}
}

// defines reports whether a test function is declared in a directory.
func defines(t *testing.T, dir, test string) bool {
	t.Helper()
	name, _, _ := strings.Cut(test, "/")
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if declared.Match(source) {
			return true
		}
	}
	return false
}
