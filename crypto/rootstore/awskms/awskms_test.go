package awskms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/awskms"
	"escrow/crypto/rootstore/provider"
	"escrow/crypto/rootstore/provider/providertest"
	"escrow/crypto/rootstore/storetest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

type world struct {
	fake *fakeKMS
	line *providertest.Line
	url  string
}

func newWorld(t *testing.T) *world {
	environment(t)
	w := &world{fake: newFakeKMS(start)}
	w.line, w.url = providertest.Listen(t, w.fake)
	return w
}

// environment gives the standard chain of credentials what it finds first, and nothing of the machine the test runs on.
func environment(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "not-a-secret-of-anybody", "AWS_SESSION_TOKEN": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": t.TempDir() + "/config", "AWS_ENDPOINT_URL": "",
		"AWS_ENDPOINT_URL_KMS": "", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
}

func (w *world) account() awskms.Account {
	return awskms.Account{Region: "eu-central-1", Endpoint: w.url, Calls: provider.Calls{Pauses: []time.Duration{0, 0}}}
}

func (w *world) open(t *testing.T, name string) *provider.Store {
	t.Helper()
	s, err := awskms.Open(awskms.Config{Name: name, Account: w.account()})
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
				w.fake.cancel(fmt.Sprintf("alias/%s/%d/", name, epoch), true)
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

// Between Destroy and the end of the material lies KMS's waiting period, and the evidence says until when.
func TestWaitingPeriod(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	due := start.Add(7 * day)
	e, r := providertest.Look(t, s, 1)
	if e.Wait != 8*day || r.State != rootstore.Pending || !r.Due.Equal(due) { // a day more than the window: KMS may take as long
		t.Errorf("at once: wait %v, %+v", e.Wait, r)
	}
	w.fake.pass(3 * day)
	if err := s.Destroy(t.Context(), 1); err != nil { // again: the date stays
		t.Fatal(err)
	}
	if _, r := providertest.Look(t, s, 1); !r.Due.Equal(due) {
		t.Errorf("destroyed twice, it is due on %v, want %v", r.Due, due)
	}
	_, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "while it waits", err, escrow.Erased)
	w.fake.pass(4 * day)
	_, err = s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "afterwards", err, escrow.Erased)
	if _, r := providertest.Look(t, s, 1); r.State != rootstore.Destroyed {
		t.Errorf("afterwards: %+v", r)
	}
	again := w.open(t, "escrow") // a new process does not know the number of the key any more
	if e, r := providertest.Look(t, again, 1); r.Epoch != 0 || e.Newest != 2 {
		t.Errorf("a new process: %+v", e)
	}
	_, err = again.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "in a new process", err, escrow.Erased)
}

// Cancelling a deletion leaves the key disabled, which is not an end: whoever cancelled can enable it.
func TestCancelledDeletion(t *testing.T) {
	w := newWorld(t)
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	if err := s.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.fake.cancel("alias/escrow/1/", false)
	if _, r := providertest.Look(t, s, 1); r.State != rootstore.Live || !strings.Contains(r.Detail, "Disabled") {
		t.Errorf("evidence: %+v", r)
	}
	_, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a"))
	wantKind(t, "disabled", err, escrow.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "enable it again") {
		t.Errorf("the error does not say how to mend it: %v", err)
	}
}

func TestLongestWaitingPeriodIsReported(t *testing.T) {
	w := newWorld(t)
	s, err := awskms.Open(awskms.Config{Name: "escrow", Account: w.account(), PendingDays: 30})
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := providertest.Look(t, s, 1); e.Wait != 31*day {
		t.Errorf("wait %v", e.Wait)
	}
}

// KMS shows a new key only after a moment.
func TestNewKeyIsNotVisibleYet(t *testing.T) {
	w := newWorld(t)
	w.fake.lag = 2
	s, wrapped := providertest.Two(t, w.open(t, "escrow"))
	if _, err := s.Unwrap(t.Context(), 1, wrapped, []byte("a")); err != nil {
		t.Error(err)
	}
}

// An interrupted Create leaves a key without an alias; the next one uses it, if it is the same process.
func TestNoSecondKeyAfterInterruption(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow")
	w.line.Disturb(func(request int) providertest.Break {
		if request < 4 { // ListAliases twice, CreateKey, DescribeKey
			return providertest.Whole
		}
		return providertest.Refused
	})
	wantKind(t, "interrupted", s.Create(t.Context(), 1, 1), escrow.Unavailable)
	w.line.Disturb(nil)
	if err := s.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if n := w.fake.count(); n != 1 {
		t.Errorf("there are %d keys", n)
	}
}

// CreateKey is not idempotent, so an attempt whose fate is not known is not repeated.
func TestCreateKeyIsCalledOnce(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow")
	w.line.Disturb(func(request int) providertest.Break {
		if request == 2 { // after ListAliases twice
			return providertest.Lost
		}
		return providertest.Whole
	})
	wantKind(t, "lost", s.Create(t.Context(), 1, 1), escrow.Unavailable)
	if n := w.fake.count(); n != 1 {
		t.Errorf("there are %d keys", n)
	}
}

// An alias that is there already was made by the attempt whose answer was lost.
func TestAliasWhoseAnswerWasLost(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, "escrow")
	w.line.Disturb(func(request int) providertest.Break {
		if request == 4 { // after ListAliases twice, CreateKey, DescribeKey
			return providertest.Lost
		}
		return providertest.Whole
	})
	if err := s.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if e, r := providertest.Look(t, s, 1); e.Newest != 1 || e.Size != 1 || r.State != rootstore.Live || w.fake.count() != 1 {
		t.Errorf("evidence: %+v, %d keys", e, w.fake.count())
	}
}

func TestDenied(t *testing.T) {
	for _, test := range []struct {
		operation string
		call      func(rootstore.Store) error
	}{
		{"CreateKey", func(s rootstore.Store) error { return s.Create(t.Context(), 3, 30) }},
		{"CreateAlias", func(s rootstore.Store) error { return s.Create(t.Context(), 3, 30) }},
		{"ScheduleKeyDeletion", func(s rootstore.Store) error { return s.Destroy(t.Context(), 1) }},
		{"ListAliases", func(s rootstore.Store) error { _, err := s.Evidence(t.Context()); return err }},
		{"DescribeKey", func(s rootstore.Store) error { _, err := s.Evidence(t.Context()); return err }},
		{"Encrypt", func(s rootstore.Store) error { _, err := s.Wrap(t.Context(), 1, []byte("rho"), nil); return err }},
	} {
		w := newWorld(t)
		s, _ := providertest.Two(t, w.open(t, "escrow"))
		w.fake.denied = test.operation
		err := test.call(s)
		wantKind(t, test.operation, err, escrow.Unavailable)
		if err != nil && (!strings.Contains(err.Error(), "kms:"+test.operation) || !strings.Contains(err.Error(), "docs/roots.md")) {
			t.Errorf("the error does not name the permission: %v", err)
		}
	}
}

func TestWrongCredentials(t *testing.T) {
	w := newWorld(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
	_, err := w.open(t, "escrow").Evidence(t.Context())
	wantKind(t, "wrong credentials", err, escrow.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "credentials are not valid") || strings.Contains(err.Error(), "not-a-secret") {
		t.Errorf("error: %v", err)
	}
}

func TestConfig(t *testing.T) {
	environment(t)
	good := `{"name":"escrow-mail-acme","region":"eu-central-1","pending_days":7}`
	for _, test := range []struct{ name, json, want string }{
		{"good", good, ""},
		{"the shortest", `{"name":"escrow","region":"eu-central-1"}`, ""},
		{"no name", strings.Replace(good, "escrow-mail-acme", "", 1), "name of a root store"},
		{"a name of AWS", strings.Replace(good, "escrow-mail-acme", "aws", 1), "belong to AWS"},
		{"a slash in the name", strings.Replace(good, "escrow-mail-acme", "aws/s3", 1), "name of a root store"},
		{"no region", strings.Replace(good, "eu-central-1", "", 1), "there is no region"},
		{"too short", strings.Replace(good, ":7}", ":6}", 1), "KMS allows 7 to 30"},
		{"too long", strings.Replace(good, ":7}", ":31}", 1), "KMS allows 7 to 30"},
		{"plain http", strings.Replace(good, `{`, `{"endpoint":"http://kms.example.org",`, 1), "must begin with https://"},
		{"unknown profile", strings.Replace(good, `{`, `{"profile":"nobody",`, 1), "the settings of AWS"},
		{"endless timeout", strings.Replace(good, `{`, `{"timeout_seconds":3600,`, 1), "timeout_seconds"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var cfg awskms.Config
			decoder := json.NewDecoder(strings.NewReader(test.json))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&cfg); err != nil {
				t.Fatal(err)
			}
			_, err := awskms.Open(cfg)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || escrow.KindOf(err) != escrow.Invalid || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want kind invalid with %q", err, test.want)
			}
		})
	}
	t.Setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.org")
	_, err := awskms.Open(awskms.Config{Name: "escrow", Account: awskms.Account{Region: "eu-central-1"}})
	wantKind(t, "plain http from the environment", err, escrow.Invalid)
}

func TestKEK(t *testing.T) {
	w := newWorld(t)
	made := [2]string{}
	for i := range made {
		made[i] = w.fake.createKey(request{Origin: "AWS_KMS"})["KeyMetadata"].(map[string]any)["KeyId"].(string)
	}
	open := func(id string) tink.AEAD {
		k, err := awskms.KEK(awskms.KEKConfig{Key: id, Account: w.account()})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open(made[0])
	sealed, err := k.Encrypt([]byte("rho"), []byte("state"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := open(made[0]).Decrypt(sealed, []byte("state")); err != nil || string(plain) != "rho" {
		t.Errorf("Decrypt: %v", err)
	}
	for _, test := range []struct {
		name  string
		spoil func()
		kek   tink.AEAD
		aad   string
		want  escrow.Kind
	}{
		{"other associated data", func() {}, k, "other", escrow.Forged},
		{"another key", func() {}, open(made[1]), "state", escrow.Forged},
		{"down", func() { w.line.Disturb(func(int) providertest.Break { return providertest.Cut }) }, k, "state", escrow.Unavailable},
		{"disabled by its holder", func() { w.line.Disturb(nil); w.fake.keys[made[0]].state = "Disabled" }, k, "state", escrow.Denied},
		{"scheduled for deletion", func() { w.fake.keys[made[0]].state = "PendingDeletion"; w.fake.keys[made[0]].deletion = start.Add(day) }, k, "state", escrow.Erased},
		{"deleted", func() { w.fake.pass(day) }, k, "state", escrow.Erased},
	} {
		test.spoil()
		_, err := test.kek.Decrypt(sealed, []byte(test.aad))
		wantKind(t, test.name, err, test.want)
	}
	_, err = awskms.KEK(awskms.KEKConfig{Account: w.account()})
	wantKind(t, "no key", err, escrow.Invalid)
}
