package tpm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
	"escrow/crypto/rootstore/storetest"
	"escrow/crypto/rootstore/tpm"
	"escrow/internal/vfs"
)

func open(t *testing.T, cfg tpm.Config) *provider.Store {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "escrow"
	}
	s, err := tpm.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s rootstore.Store, epoch uint64, size escrow.TreeSize) {
	t.Helper()
	if err := s.Create(t.Context(), epoch, size); err != nil {
		t.Fatalf("Create(%d): %v", epoch, err)
	}
}

func wrap(t *testing.T, s rootstore.Store, epoch uint64) []byte {
	t.Helper()
	wrapped, err := s.Wrap(t.Context(), epoch, []byte("rho"), []byte("a"))
	if err != nil {
		t.Fatalf("Wrap(%d): %v", epoch, err)
	}
	return wrapped
}

func opens(t *testing.T, s rootstore.Store, epoch uint64, wrapped []byte) {
	t.Helper()
	if got, err := s.Unwrap(t.Context(), epoch, wrapped, []byte("a")); err != nil || string(got) != "rho" {
		t.Errorf("Unwrap(%d): %v", epoch, err)
	}
}

func wantError(t *testing.T, what string, err error, kind escrow.Kind, text string) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want kind %v with %q", what, err, kind, text)
	}
}

func evidence(t *testing.T, s rootstore.Store) rootstore.Evidence {
	t.Helper()
	e, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rootstore.Store {
		_, socket := newVirtual(t)
		return open(t, tpm.Config{Socket: socket})
	})
}

// What is remembered is in the TPM: a process that has just started knows the newest epoch and cannot open what was destroyed.
func TestRemembers(t *testing.T) {
	_, socket := newVirtual(t)
	s := open(t, tpm.Config{Socket: socket})
	create(t, s, 6, 60)
	six := wrap(t, s, 6)
	create(t, s, 7, 100)
	seven := wrap(t, s, 7)
	if err := s.Destroy(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	again := open(t, tpm.Config{Socket: socket})
	if e := evidence(t, again); e.Newest != 7 || e.Size != 100 || e.Wait != 0 || len(e.Roots) != 1 {
		t.Errorf("evidence: %+v", e)
	}
	opens(t, again, 7, seven)
	_, err := again.Unwrap(t.Context(), 6, six, []byte("a"))
	wantError(t, "a destroyed root", err, escrow.Erased, "")
	wantError(t, "making it again", again.Create(t.Context(), 6, 60), escrow.Conflict, "never come back")
}

// Archives use one range together, and none sees what is another one's.
func TestTwoArchives(t *testing.T) {
	_, socket := newVirtual(t)
	s, other := open(t, tpm.Config{Name: "escrow-a", Socket: socket}), open(t, tpm.Config{Name: "escrow-a-1", Socket: socket})
	create(t, s, 1, 10)
	create(t, other, 1, 500)
	create(t, s, 2, 20)
	wrapped := wrap(t, s, 1)
	_, err := other.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantError(t, "the other archive", err, escrow.Forged, "")
	_, err = other.Unwrap(t.Context(), 2, wrapped, []byte("a"))
	wantError(t, "an epoch of the other archive", err, escrow.NotFound, "")
	if err := other.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	opens(t, s, 1, wrapped)
	mine, theirs := evidence(t, s), evidence(t, other)
	if mine.Newest != 2 || mine.Size != 20 || len(mine.Roots) != 2 || theirs.Newest != 1 || theirs.Size != 500 || theirs.Roots[0].State != rootstore.Destroyed {
		t.Errorf("one archive has %+v, the other %+v", mine, theirs)
	}
}

func TestFull(t *testing.T) {
	_, socket := newVirtual(t)
	s := open(t, tpm.Config{Socket: socket, Slots: 3}) // the head and two roots
	create(t, s, 1, 1)
	create(t, s, 2, 1)
	one := wrap(t, s, 1)
	wantError(t, "a third root where two fit", s.Create(t.Context(), 3, 1), escrow.Unavailable, "destroy old roots now")
	opens(t, s, 1, one)
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	create(t, s, 3, 1)
	opens(t, s, 3, wrap(t, s, 3))
}

// Interrupted after any command, carried out or not: nothing is lost, what is remembered exists, and the same call then works.
func TestInterrupted(t *testing.T) {
	for _, carry := range []bool{false, true} {
		for commands, done := 0, false; !done; commands++ {
			if commands > 200 {
				t.Fatal("more than 200 commands")
			}
			t.Run(fmt.Sprint(commands, carry), func(t *testing.T) { done = interrupted(t, commands, carry) })
			done = done || t.Failed()
		}
	}
}

// interrupted cuts the line after some commands, and reports whether they were enough.
func interrupted(t *testing.T, commands int, carry bool) bool {
	v, socket := newVirtual(t)
	cfg := tpm.Config{Socket: socket}
	s := open(t, cfg)
	create(t, s, 4, 40)
	four := wrap(t, s, 4)
	v.cutAfter(commands, carry)
	err := s.Create(t.Context(), 5, 50)
	if err == nil {
		err = s.Destroy(t.Context(), 4)
	}
	v.cutAfter(-1, false)
	finish(t, v, cfg, four)
	return err == nil
}

func finish(t *testing.T, v *virtual, cfg tpm.Config, four []byte) {
	t.Helper()
	v.flush(t)
	s := open(t, cfg)
	switch e := evidence(t, s); e.Newest {
	case 4:
		opens(t, s, 4, four)
	case 5:
		opens(t, s, 5, wrap(t, s, 5))
	default:
		t.Errorf("newest %d", e.Newest)
	}
	create(t, s, 5, 50)
	if err := s.Destroy(t.Context(), 4); err != nil {
		t.Error(err)
	}
	_, err := s.Unwrap(t.Context(), 4, four, []byte("a"))
	wantError(t, "a destroyed root", err, escrow.Erased, "")
	opens(t, s, 5, wrap(t, s, 5))
}

func TestPasswords(t *testing.T) {
	_, socket := newVirtual(t)
	files := vfs.NewMem()
	for name, content := range map[string]string{"/right": "correct horse\n", "/wrong": "battery staple"} {
		f, err := files.OpenFile(name, 0x41, 0o600) // write, create
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, tpm.Config{Socket: socket, AuthFile: "/right", FS: files})
	create(t, s, 1, 1)
	wrapped := wrap(t, s, 1)
	opens(t, s, 1, wrapped)
	wrong := open(t, tpm.Config{Socket: socket, AuthFile: "/wrong", FS: files})
	_, err := wrong.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantError(t, "another password", err, escrow.Unavailable, "auth_file")
	if err != nil && strings.Contains(err.Error(), "battery") {
		t.Errorf("the error shows the password: %v", err)
	}
}

// No root crosses the bus in clear, written or read.
func TestNothingInClearOnTheBus(t *testing.T) {
	v, socket := newVirtual(t)
	root := []byte("thirty-two bytes for a root: ...")
	s := open(t, tpm.Config{Socket: socket, Rand: bytes.NewReader(root)})
	create(t, s, 1, 77)
	opens(t, s, 1, wrap(t, s, 1))
	if !v.crossed([]byte{0x01, 0x80, 0x01, 0x00}) { // the number of the index of the root: the test does see the bus
		t.Error("the number of the index did not cross the line")
	}
	for i := 0; i+4 <= len(root); i++ {
		if v.crossed(root[i : i+4]) {
			t.Fatalf("bytes %d to %d of the root crossed the line in clear", i, i+4)
		}
	}
}

func TestNoTPM(t *testing.T) {
	s := open(t, tpm.Config{Socket: t.TempDir() + "/none"})
	_, err := s.Evidence(t.Context())
	wantError(t, "no TPM", err, escrow.Unavailable, "opening the TPM")
}

func TestConfig(t *testing.T) {
	good := `{"name":"escrow-mail-acme","device":"/dev/tpmrm0","index":"0x1800100","slots":32}`
	for _, test := range []struct{ name, json, want string }{
		{"good", good, ""},
		{"no name", strings.Replace(good, "escrow-mail-acme", "", 1), "name of a root store"},
		{"shortest", `{"name":"escrow"}`, ""},
		{"no number", strings.Replace(good, "0x1800100", "first", 1), "index is"},
		{"an index of the manufacturer", strings.Replace(good, "0x1800100", "0x1c00002", 1), "must be one of the owner"},
		{"a range that leaves the owner's", strings.Replace(good, "0x1800100", "0x1bffff0", 1), "must be one of the owner"},
		{"too many slots", strings.Replace(good, ":32", ":1025", 1), "slots is 1025"},
		{"two TPMs", strings.Replace(good, `{`, `{"socket":"/run/swtpm",`, 1), "cannot both be given"},
		{"no password file", strings.Replace(good, `{`, `{"auth_file":"/none",`, 1), "auth_file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var cfg tpm.Config
			decoder := json.NewDecoder(strings.NewReader(test.json))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&cfg); err != nil {
				t.Fatal(err)
			}
			cfg.FS = vfs.NewMem()
			_, err := tpm.Open(cfg)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "":
				wantError(t, "refused", err, escrow.Invalid, test.want)
			}
		})
	}
}
