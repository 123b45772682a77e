package gcpkms_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/gcpkms"
	"escrow/crypto/rootstore/provider"
	"escrow/crypto/rootstore/provider/providertest"
	"escrow/crypto/rootstore/storetest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type world struct {
	fake        *fakeKMS
	line        *providertest.Line
	url         string
	credentials string
}

// serviceKey is a key no account has; making one takes a moment.
var serviceKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
})

func newWorld(t *testing.T) *world {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("assertion") == "" {
			http.Error(w, "no assertion", http.StatusBadRequest)
			return
		}
		ok(w, map[string]any{"access_token": "granted", "token_type": "Bearer", "expires_in": 3600})
	}))
	t.Cleanup(tokens.Close)
	w := &world{fake: newFakeKMS(start), credentials: filepath.Join(t.TempDir(), "service.json")}
	account, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "example", "private_key_id": "1",
		"private_key": string(serviceKey()), "client_email": "escrow@example.iam.gserviceaccount.com", "token_uri": tokens.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.credentials, account, 0o600); err != nil {
		t.Fatal(err)
	}
	w.line, w.url = providertest.Listen(t, w.fake)
	return w
}

func (w *world) account() gcpkms.Account {
	return gcpkms.Account{CredentialsFile: w.credentials, Endpoint: w.url, Calls: provider.Calls{Pauses: []time.Duration{0, 0}}}
}

func (w *world) open(t *testing.T, name string) *provider.Store {
	t.Helper()
	s, err := gcpkms.Open(t.Context(), gcpkms.Config{Name: name, KeyRing: ring, Account: w.account()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rootstore.Store { return newWorld(t).open(t, "escrow-mail-acme") })
}

func TestProvider(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Account {
		w := newWorld(t)
		return providertest.Account{
			Line: w.line,
			Open: func(t *testing.T, name string) rootstore.Store { return w.open(t, name) },
			Restore: func(_ *testing.T, name string, epoch uint64) {
				w.fake.restore(name+"-E"+strconv.FormatUint(epoch, 10), true)
			},
		}
	})
}

func wantKind(t *testing.T, what string, err error, kind escrow.Kind) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("%s: %v, want kind %v", what, err, kind)
	}
}

func TestWaitingPeriod(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	due := start.Add(24 * time.Hour)
	e, r := providertest.Look(t, s, 1)
	if e.Wait != 24*time.Hour || r.State != rootstore.Pending || !r.Due.Equal(due) {
		t.Errorf("at once: wait %v, %+v", e.Wait, r)
	}
	w.fake.pass(20 * time.Hour)
	if err := s.Destroy(t.Context(), 1); err != nil { // again: the date stays
		t.Fatal(err)
	}
	if _, r := providertest.Look(t, s, 1); !r.Due.Equal(due) {
		t.Errorf("destroyed twice, it is due on %v, want %v", r.Due, due)
	}
	_, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "while it waits", err, escrow.Erased)
	w.fake.pass(4 * time.Hour)
	_, err = s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "afterwards", err, escrow.Erased)
	if _, r := providertest.Look(t, w.open(t, "escrow"), 1); r.State != rootstore.Destroyed || !strings.Contains(r.Detail, "destroyEventTime 2026-03-02T12:00:00Z") {
		t.Errorf("afterwards, in a new process: %+v", r) // Google remembers
	}
}

// What Google takes by default, or an organisation forces, is reported whatever the configuration says, so that the settings check refuses it.
func TestLongestWaitIsReported(t *testing.T) {
	w := newWorld(t)
	s, _ := providertest.Two(t, w.open(t, "escrow"))
	for duration, want := range map[string]time.Duration{"2592000s": 30 * 24 * time.Hour, "": 30 * 24 * time.Hour, "172800s": 48 * time.Hour, "86400s": 24 * time.Hour} {
		w.fake.alter("escrow-E1", func(k *fakeKey) { k.DestroyScheduledDuration = duration })
		if e, _ := providertest.Look(t, s, 1); e.Wait != want {
			t.Errorf("with destroyScheduledDuration %q the wait is %v, want %v", duration, e.Wait, want)
		}
	}
	longer, err := gcpkms.Open(t.Context(), gcpkms.Config{Name: "escrow-new", KeyRing: ring, Account: w.account(), DestroyHours: 720})
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := providertest.Look(t, longer, 1); e.Wait != 720*time.Hour {
		t.Errorf("before there is a root the wait is %v, want what is configured", e.Wait)
	}
}

// A restored version is disabled, which is not an end: whoever restored it can enable it.
func TestRestoredVersion(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.fake.restore("escrow-E1", false)
	if _, r := providertest.Look(t, s, 1); r.State != rootstore.Live || !strings.Contains(r.Detail, "DISABLED") {
		t.Errorf("evidence: %+v", r)
	}
	_, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "disabled", err, escrow.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "enable it again") {
		t.Errorf("the error does not say how to mend it: %v", err)
	}
}

// A destroyed root is refused at once, also while Google would still use it.
func TestStateIsReadBeforeUse(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	w.fake.slow = true
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "unwrapping", err, escrow.Erased)
	_, err = s.Wrap(t.Context(), 1, []byte("rho"), nil)
	wantKind(t, "wrapping", err, escrow.Erased)
}

// Destroying takes every version, also one somebody made by rotating; and the rotation is visible before.
func TestRotatedRoot(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	w.fake.alter("escrow-E1", func(k *fakeKey) { k.rotate() })
	if _, r := providertest.Look(t, s, 1); !strings.Contains(r.Detail, "WARNING: somebody rotated the key") {
		t.Errorf("evidence: %+v", r)
	}
	if _, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a")); err != nil {
		t.Error(err)
	}
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, v := range w.fake.keys["escrow-E1"].versions {
		if v.State != "DESTROY_SCHEDULED" {
			t.Errorf("%s is %s", v.Name, v.State)
		}
	}
}

func TestChangedLabel(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	w.fake.alter("escrow-E2", func(k *fakeKey) { k.Labels = nil })
	if _, err := s.Evidence(t.Context()); err == nil || !strings.Contains(err.Error(), "somebody changed it") {
		t.Errorf("a label is gone: %v", err)
	}
	if _, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a")); err != nil {
		t.Errorf("a label is gone: %v", err)
	}
}

func TestDenied(t *testing.T) {
	for permission, call := range map[string]func(rootstore.Store) error{
		"POST":                      func(s rootstore.Store) error { return s.Create(t.Context(), 3, 30) },
		"PATCH":                     func(s rootstore.Store) error { return s.Create(t.Context(), 2, 30) },
		"GET":                       func(s rootstore.Store) error { _, err := s.Evidence(t.Context()); return err },
		"encrypt":                   func(s rootstore.Store) error { _, err := s.Wrap(t.Context(), 1, []byte("rho"), nil); return err },
		"GET/cryptoKeyVersions":     func(s rootstore.Store) error { return s.Destroy(t.Context(), 1) },
		"destroy/cryptoKeyVersions": func(s rootstore.Store) error { return s.Destroy(t.Context(), 1) },
	} {
		w := newWorld(t)
		s, _ := providertest.Two(t, w.open(t, "escrow"))
		w.fake.denied = permission
		err := call(s)
		wantKind(t, permission, err, escrow.Unavailable)
		if err != nil && !strings.Contains(err.Error(), "docs/roots.md") {
			t.Errorf("%s: the error does not say how to mend it: %v", permission, err)
		}
	}
}

func TestNoRing(t *testing.T) {
	w := newWorld(t)
	s, err := gcpkms.Open(t.Context(), gcpkms.Config{Name: "escrow", KeyRing: ring + "-other", Account: w.account()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Unwrap(t.Context(), 1, []byte("wrapped"), nil)
	wantKind(t, "no ring", err, escrow.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "make it first") {
		t.Errorf("error: %v", err)
	}
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	good := `{"name":"escrow-mail-acme","key_ring":"` + ring + `","credentials_file":"` + w.credentials + `","destroy_hours":24}`
	for _, test := range []struct{ name, json, want string }{
		{"good", good, ""},
		{"hsm", strings.Replace(good, `{`, `{"protection":"hsm",`, 1), ""},
		{"no name", strings.Replace(good, "escrow-mail-acme", "", 1), "name of a root store"},
		{"a name too long for Google", strings.Replace(good, "acme", strings.Repeat("a", 40), 1), "at most 41 fit"},
		{"a ring that is a key", strings.Replace(good, "keyRings/escrow", "keyRings/escrow/cryptoKeys/x", 1), "key_ring is"},
		{"too short", strings.Replace(good, ":24}", ":23}", 1), "Google allows 24 to 2880"},
		{"too long", strings.Replace(good, ":24}", ":2881}", 1), "Google allows 24 to 2880"},
		{"external keys", strings.Replace(good, `{`, `{"protection":"external",`, 1), "must be software or hsm"},
		{"plain http", strings.Replace(good, `{`, `{"endpoint":"http://kms.example.org",`, 1), "must begin with https://"},
		{"no such file", strings.Replace(good, w.credentials, "/nowhere.json", 1), "credentials of Google"},
		{"endless timeout", strings.Replace(good, `{`, `{"timeout_seconds":3600,`, 1), "timeout_seconds"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var cfg gcpkms.Config
			decoder := json.NewDecoder(strings.NewReader(test.json))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&cfg); err != nil {
				t.Fatal(err)
			}
			_, err := gcpkms.Open(t.Context(), cfg)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || escrow.KindOf(err) != escrow.Invalid || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want kind invalid with %q", err, test.want)
			}
		})
	}
}

func TestKEK(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"customer", "other"} {
		k := &fakeKey{Name: ring + "/cryptoKeys/" + id, Purpose: "ENCRYPT_DECRYPT", DestroyScheduledDuration: "86400s"}
		k.rotate()
		w.fake.keys[id] = k
	}
	open := func(id string) tink.AEAD {
		k, err := gcpkms.KEK(t.Context(), gcpkms.KEKConfig{Key: ring + "/cryptoKeys/" + id, Account: w.account()})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open("customer")
	sealed, err := k.Encrypt([]byte("rho"), []byte("state"))
	if err != nil {
		t.Fatal(err)
	}
	w.fake.alter("customer", func(k *fakeKey) { k.rotate() }) // a customer may
	if plain, err := open("customer").Decrypt(sealed, []byte("state")); err != nil || string(plain) != "rho" {
		t.Errorf("Decrypt after a rotation: %v", err)
	}
	state := func(s string) func() {
		return func() { w.fake.alter("customer", func(k *fakeKey) { k.Primary.State = s }) }
	}
	for _, test := range []struct {
		name  string
		spoil func()
		kek   tink.AEAD
		aad   string
		want  escrow.Kind
	}{
		{"other associated data", func() {}, k, "other", escrow.Forged},
		{"another key", func() {}, open("other"), "state", escrow.Forged},
		{"down", func() { w.line.Disturb(func(int) providertest.Break { return providertest.Cut }) }, k, "state", escrow.Unavailable},
		{"disabled by its holder", func() { w.line.Disturb(nil); state("DISABLED")() }, k, "state", escrow.Denied},
		{"only the version that encrypted is destroyed", func() {
			state("ENABLED")()
			w.fake.alter("customer", func(k *fakeKey) { k.versions[0].State = "DESTROYED" })
		}, k, "state", escrow.Erased},
		{"destroyed", state("DESTROYED"), k, "state", escrow.Erased},
	} {
		test.spoil()
		_, err := test.kek.Decrypt(sealed, []byte(test.aad))
		wantKind(t, test.name, err, test.want)
	}
	_, err = gcpkms.KEK(t.Context(), gcpkms.KEKConfig{Key: ring, Account: w.account()})
	wantKind(t, "a ring as a key", err, escrow.Invalid)
}
