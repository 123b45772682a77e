package vfs_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow/internal/vfs"
)

var errInjected = errors.New("injected")

// outcomes returns what content says a file may hold after a power cut now.
func outcomes(t *testing.T, m *vfs.Mem, name string) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		got := content(t, m.CrashClone(rng), name)
		if strings.Contains(got, "not exist") {
			got = "missing"
		}
		seen[got] = true
	}
	return seen
}

func TestSyncedFileInSyncedDirectorySurvives(t *testing.T) {
	m := vfs.NewMem()
	if err := vfs.WriteFileAtomic(m, "f", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"one": true}, outcomes(t, m, "f")); diff != "" {
		t.Error(diff)
	}
}

func TestNameWithoutSyncDirMayBeLost(t *testing.T) {
	m := vfs.NewMem()
	f, err := m.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("one"))
	f.Sync()
	if diff := cmp.Diff(map[string]bool{"one": true, "missing": true}, outcomes(t, m, "f")); diff != "" {
		t.Error(diff)
	}
}

func TestNameInLostDirectoryIsLost(t *testing.T) {
	m := vfs.NewMem()
	if err := m.MkdirAll("d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFileAtomic(m, "d/f", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"one": true, "missing": true}, outcomes(t, m, "d/f")); diff != "" {
		t.Error(diff)
	}
}

func TestUnsyncedWriteMayBeLostKeptOrZero(t *testing.T) {
	m := vfs.NewMem()
	if err := vfs.WriteFileAtomic(m, "f", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := m.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("two"), 3)
	want := map[string]bool{"one": true, "onetwo": true, "one\x00\x00\x00": true}
	if diff := cmp.Diff(want, outcomes(t, m, "f")); diff != "" {
		t.Error(diff)
	}
}

func TestLongWriteTearsAtSectors(t *testing.T) {
	m := vfs.NewMem()
	if err := vfs.WriteFileAtomic(m, "f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := m.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte(strings.Repeat("x", 3*512)), 0)
	var torn, holes bool
	for got := range outcomes(t, m, "f") {
		if len(got)%512 != 0 || strings.Count(got, "x")%512 != 0 {
			t.Fatalf("a sector was torn: %d bytes", len(got))
		}
		torn = torn || got == strings.Repeat("x", 512)
		holes = holes || strings.HasPrefix(got, strings.Repeat("\x00", 512)+"x")
	}
	if !torn || !holes {
		t.Errorf("torn seen: %v, hole seen: %v, want both", torn, holes)
	}
}

func TestFailedSyncLosesWritesForEver(t *testing.T) {
	m := vfs.NewMem()
	if err := vfs.WriteFileAtomic(m, "f", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	faulty := vfs.NewFaulty(m)
	f, err := faulty.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("two"), 0)
	faulty.Fail(vfs.Plan{At: faulty.Ops() + 1, Err: errInjected})
	if err := f.Sync(); !errors.Is(err, errInjected) {
		t.Fatalf("sync: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Fatalf("second sync: %v", err)
	}
	if got := content(t, m, "f"); got != "two" {
		t.Errorf("programs see %q", got)
	}
	if diff := cmp.Diff(map[string]bool{"one": true}, outcomes(t, m, "f")); diff != "" {
		t.Errorf("on disk: %s", diff)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name string
		plan vfs.Plan
		want string
	}{
		{"lost", vfs.Plan{At: 2, Fault: vfs.Lost, Err: errInjected}, "cdef"},
		{"short", vfs.Plan{At: 2, Fault: vfs.Short, Err: errInjected}, "acdef"},
		{"done", vfs.Plan{At: 2, Fault: vfs.Done, Err: errInjected}, "abcdef"},
		{"sticky", vfs.Plan{At: 3, Fault: vfs.Lost, Err: errInjected, Sticky: true}, "ab"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := vfs.NewMem()
			faulty := vfs.NewFaulty(m)
			faulty.Fail(test.plan)
			f, err := faulty.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			failed := 0
			for _, part := range []string{"ab", "cd", "ef"} {
				if _, err := f.Write([]byte(part)); errors.Is(err, errInjected) {
					failed++
				}
			}
			if want := map[bool]int{true: 2, false: 1}[test.plan.Sticky]; failed != want {
				t.Errorf("%d writes failed, want %d", failed, want)
			}
			if got := content(t, m, "f"); got != test.want {
				t.Errorf("content %q, want %q", got, test.want)
			}
		})
	}
}

func TestTraceNamesEveryOperation(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem())
	if err := vfs.WriteFileAtomic(faulty, "f", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, op := range faulty.Trace() {
		got = append(got, op.String())
	}
	want := []string{"create f.tmp", "write f.tmp at -1, 3 bytes", "sync f.tmp", "close f.tmp", "rename f.tmp to f", "syncdir ."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
