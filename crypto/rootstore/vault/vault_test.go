package vault_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
	"escrow/crypto/rootstore/provider/providertest"
	"escrow/crypto/rootstore/storetest"
	"escrow/crypto/rootstore/vault"
	"escrow/internal/vfs"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a fake Vault with the line to it and a clock.
type world struct {
	fake    *fakeVault
	line    *providertest.Line
	address string
	now     time.Time
	files   *vfs.Mem
}

func newWorld(t *testing.T) *world {
	w := &world{fake: newFakeVault(), now: start, files: vfs.NewMem()}
	w.line, w.address = providertest.Listen(t, w.fake)
	w.write(t, "/token", "hvs.test\n")
	return w
}

func (w *world) write(t *testing.T, name, content string) {
	t.Helper()
	f, err := w.files.OpenFile(name, 0x241, 0o600) // write, create, truncate
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

func (w *world) server() vault.Server {
	return vault.Server{Address: w.address, TokenFile: "/token", FS: w.files, Calls: provider.Calls{Pauses: []time.Duration{0, 0}}}
}

func (w *world) open(t *testing.T, name string, snapshotDays int) *provider.Store {
	t.Helper()
	s, err := vault.Open(vault.Config{Name: name, Server: w.server(), SnapshotDays: &snapshotDays, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	for name, days := range map[string]int{"without snapshots": 0, "with snapshots": 7} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) rootstore.Store { return newWorld(t).open(t, "escrow-mail-acme", days) })
		})
	}
}

func TestProvider(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Account {
		w := newWorld(t)
		return providertest.Account{
			Line:    w.line,
			Open:    func(t *testing.T, name string) rootstore.Store { return w.open(t, name, 0) },
			Restore: func(t *testing.T, name string, epoch uint64) { w.fake.restore(name + "." + string(rune('0'+epoch))) },
		}
	})
}

func evidence(t *testing.T, s rootstore.Store) rootstore.Evidence {
	t.Helper()
	e, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A deleted key is in Vault's snapshots for as long as there are snapshots.
func TestSnapshotsCountAsWaiting(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow", 7)
	for epoch := range uint64(2) {
		if err := s.Create(t.Context(), epoch+1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	due := start.Add(7 * 24 * time.Hour)
	if e := evidence(t, s); e.Wait != 7*24*time.Hour || e.Roots[0].State != rootstore.Pending || !e.Roots[0].Due.Equal(due) {
		t.Errorf("at once: %+v", e)
	}
	w.now = start.Add(6 * 24 * time.Hour)
	if err := s.Destroy(t.Context(), 1); err != nil { // again, later: the wait does not begin anew
		t.Fatal(err)
	}
	if r, _ := evidence(t, s).Of(1); r.State != rootstore.Pending || !r.Due.Equal(due) {
		t.Errorf("after six days: %+v", r)
	}
	w.now = due
	if r, _ := evidence(t, s).Of(1); r.State != rootstore.Destroyed || !r.Due.IsZero() {
		t.Errorf("after seven days: %+v", r)
	}
}

// What an auditor must see of a living root.
func TestEvidenceWarns(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow", 0)
	if err := s.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if r, _ := evidence(t, s).Of(1); strings.Contains(r.Detail, "WARNING") {
		t.Errorf("an ordinary root: %+v", r)
	}
	w.fake.change("escrow.1", func(k *fakeKey) { k.exportable = true })
	if r, _ := evidence(t, s).Of(1); !strings.Contains(r.Detail, "WARNING: somebody made it exportable") {
		t.Errorf("an exportable root: %+v", r)
	}
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.fake.restore("escrow.1")
	if r, _ := evidence(t, s).Of(1); r.State != rootstore.Live || !strings.Contains(r.Detail, "is there again") {
		t.Errorf("a restored root: %+v", r)
	}
}

// Vault makes a key that is missing when something is encrypted under it. A destroyed root must not come to life so.
func TestWrapMakesNoKey(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow", 0)
	if err := s.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	before := w.fake.names()
	for _, epoch := range []uint64{1, 9} {
		if _, err := s.Wrap(t.Context(), epoch, []byte("key"), nil); err == nil {
			t.Errorf("wrapped under epoch %d", epoch)
		}
	}
	if after := w.fake.names(); !slices.Equal(before, after) {
		t.Errorf("wrapping made keys: %q, before %q", after, before)
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*testing.T, *world)
		want  string // part of the text
	}{
		{"wrong token", func(t *testing.T, w *world) { w.write(t, "/token", "hvs.other") }, "policy lacks this path"},
		{"no token", func(t *testing.T, w *world) { w.write(t, "/token", " \n") }, "token_file: /token is empty"},
		{"no token file", func(t *testing.T, w *world) {
			if err := w.files.Remove("/token"); err != nil {
				t.Fatal(err)
			}
		}, "token_file"},
		{"sealed", func(_ *testing.T, w *world) { w.fake.sealed = true }, "vault may be sealed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open(t, "escrow", 0)
			if err := s.Create(t.Context(), 1, 1); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, w)
			_, unwrapErr := s.Unwrap(t.Context(), 1, []byte("vault:v1:AAAA"), nil)
			_, evidenceErr := s.Evidence(t.Context())
			for _, err := range []error{unwrapErr, evidenceErr, s.Create(t.Context(), 2, 1), s.Destroy(t.Context(), 1)} {
				if err == nil || escrow.KindOf(err) != escrow.Unavailable || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want kind unavailable with %q", err, test.want)
				}
				if err != nil && strings.Contains(err.Error(), "hvs.") {
					t.Errorf("the error shows the token: %v", err)
				}
			}
		})
	}
}

func TestMissingMountIsNoEmptyStore(t *testing.T) {
	w := newWorld(t)
	server := w.server()
	server.Mount = "kms/transit"
	days := 0
	s, err := vault.Open(vault.Config{Name: "escrow", Server: server, SnapshotDays: &days, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Evidence(t.Context()); err == nil || !strings.Contains(err.Error(), "is there a transit engine at this mount?") {
		t.Errorf("evidence of a mount that does not exist: %v", err)
	}
}

// A running service notices when Vault is set back behind what it has shown.
func TestVaultSetBack(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow", 0)
	for epoch := range uint64(2) {
		if err := s.Create(t.Context(), epoch+1, 1); err != nil {
			t.Fatal(err)
		}
	}
	w.fake.mu.Lock()
	delete(w.fake.keys, "escrow.made.2.1")
	w.fake.mu.Unlock()
	if _, err := s.Evidence(t.Context()); err == nil || escrow.KindOf(err) != escrow.Unavailable || !strings.Contains(err.Error(), "set back") {
		t.Errorf("evidence: %v", err)
	}
}

func TestConfig(t *testing.T) {
	good := `{"name":"escrow-mail-acme","address":"https://vault.example.org:8200","token_file":"/etc/escrow/vault.token","snapshot_days":7}`
	for _, test := range []struct{ name, json, want string }{
		{"good", good, ""},
		{"loopback", strings.Replace(good, "https://vault.example.org", "http://127.0.0.1", 1), ""},
		{"no name", strings.Replace(good, "escrow-mail-acme", "", 1), "name of a root store"},
		{"a dot in the name", strings.Replace(good, "escrow-mail-acme", "escrow.mail", 1), "name of a root store"},
		{"plain http", strings.Replace(good, "https", "http", 1), "must begin with https://"},
		{"http to a name that looks like loopback", strings.Replace(good, "https://vault", "http://localhost", 1), "must begin with https://"},
		{"password in the address", strings.Replace(good, "https://", "https://u:p@", 1), "must not contain a user"},
		{"no address", strings.Replace(good, "https://vault.example.org:8200", "", 1), "must be a URL"},
		{"snapshots not declared", strings.Replace(good, `,"snapshot_days":7`, "", 1), "snapshot_days is missing"},
		{"negative snapshots", strings.Replace(good, ":7}", ":-1}", 1), "snapshot_days is -1"},
		{"mount with a query", strings.Replace(good, `{`, `{"mount":"transit?x",`, 1), "mount is"},
		{"endless timeout", strings.Replace(good, `{`, `{"timeout_seconds":3600,`, 1), "timeout_seconds"},
		{"missing authority", strings.Replace(good, `{`, `{"ca_file":"/ca.pem",`, 1), "ca_file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := vault.Config{Now: time.Now}
			decoder := json.NewDecoder(strings.NewReader(test.json))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&cfg); err != nil {
				t.Fatal(err)
			}
			cfg.FS = vfs.NewMem()
			_, err := vault.Open(cfg)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || escrow.KindOf(err) != escrow.Invalid || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want kind invalid with %q", err, test.want)
			}
		})
	}
}

// TLS is checked: a server whose authority is not known is not spoken to, and with its authority in ca_file it is.
func TestTLS(t *testing.T) {
	w := newWorld(t)
	secure := httptest.NewTLSServer(http.HandlerFunc(w.fake.ServeHTTP))
	t.Cleanup(secure.Close)
	w.address = secure.URL
	t.Setenv("VAULT_SKIP_VERIFY", "true") // must not matter
	s := w.open(t, "escrow", 0)
	if _, err := s.Evidence(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	w.write(t, "/ca.pem", string(pemOf(secure.Certificate().Raw)))
	server := w.server()
	server.CAFile = "/ca.pem"
	days := 0
	trusting, err := vault.Open(vault.Config{Name: "escrow", Server: server, SnapshotDays: &days, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	evidence(t, trusting)
}

func TestKEK(t *testing.T) {
	w := newWorld(t)
	w.fake.create("customer")
	w.fake.create("other")
	open := func(name string) interface {
		Encrypt(plain, aad []byte) ([]byte, error)
		Decrypt(sealed, aad []byte) ([]byte, error)
	} {
		k, err := vault.KEK(vault.KEKConfig{Key: name, Server: w.server()})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open("customer")
	sealed, err := k.Encrypt([]byte("rho"), []byte("state"))
	if err != nil || bytes.Contains(sealed, []byte("rho")) {
		t.Fatalf("Encrypt: %v", err)
	}
	if plain, err := open("customer").Decrypt(sealed, []byte("state")); err != nil || string(plain) != "rho" {
		t.Errorf("Decrypt: %v", err)
	}
	wantKind := func(what string, kind escrow.Kind, err error) {
		t.Helper()
		if err == nil || escrow.KindOf(err) != kind {
			t.Errorf("%s: %v, want kind %v", what, err, kind)
		}
	}
	_, err = k.Decrypt(sealed, []byte("other"))
	wantKind("other associated data", escrow.Forged, err)
	_, err = open("other").Decrypt(sealed, []byte("state"))
	wantKind("another key", escrow.Forged, err)
	_, err = k.Decrypt(nil, nil)
	wantKind("nothing", escrow.Forged, err)
	w.line.Disturb(func(int) providertest.Break { return providertest.Refused })
	_, err = k.Decrypt(sealed, []byte("state"))
	wantKind("vault is down", escrow.Unavailable, err)
	w.line.Disturb(nil)
	w.fake.change("customer", func(k *fakeKey) { k.deletable = true })
	w.fake.mu.Lock()
	delete(w.fake.keys, "customer")
	w.fake.mu.Unlock()
	_, err = k.Decrypt(sealed, []byte("state"))
	wantKind("the customer deleted the key", escrow.Erased, err)
	_, err = k.Encrypt([]byte("rho"), nil)
	wantKind("encrypting under it", escrow.Erased, err)
	_, err = vault.KEK(vault.KEKConfig{Key: "../sys", Server: w.server()})
	wantKind("a path as a name", escrow.Invalid, err)
}

// Vault ignores associated data for some keys; what is wrapped is bound to it all the same.
func TestAssociatedDataIsBoundInside(t *testing.T) {
	w := newWorld(t)
	w.line, w.address = providertest.Listen(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.fake.ServeHTTP(rw, withoutAssociatedData(r))
	}))
	storetest.Run(t, func(t *testing.T) rootstore.Store {
		return w.open(t, "escrow-"+strings.ToLower(strings.ReplaceAll(t.Name()[len(t.Name())-4:], " ", "-")), 0)
	})
}
