package provider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
	"escrow/crypto/rootstore/storetest"
	"escrow/internal/vfs"
)

// memory is a provider that keeps keys in a map and, as some do, ignores associated data.
type memory struct {
	mu     sync.Mutex
	keys   map[uint64][]byte // nil once destroyed
	newest uint64
	size   escrow.TreeSize
	lag    bool // it shows nothing
}

func (m *memory) Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys[epoch] == nil {
		m.keys[epoch] = bytes.Repeat([]byte{byte(epoch)}, 32)
	}
	m.newest, m.size = epoch, size
	return ctx.Err()
}

func (m *memory) key(ctx context.Context, epoch uint64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys[epoch] == nil {
		return nil, fmt.Errorf("%w: no such key", provider.ErrGone)
	}
	return m.keys[epoch], ctx.Err()
}

func (m *memory) Seal(ctx context.Context, epoch uint64, plain, _ []byte) ([]byte, error) {
	key, err := m.key(ctx, epoch)
	if err != nil {
		return nil, err
	}
	return committing.Encrypt(key, plain, nil)
}

func (m *memory) Open(ctx context.Context, epoch uint64, sealed, _ []byte) ([]byte, error) {
	key, err := m.key(ctx, epoch)
	if err != nil {
		return nil, err
	}
	plain, err := committing.Decrypt(key, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", provider.ErrMisfit, err)
	}
	return plain, nil
}

func (m *memory) End(ctx context.Context, epoch uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.keys[epoch]; there && ctx.Err() == nil {
		m.keys[epoch] = nil
	}
	return ctx.Err()
}

func (m *memory) Look(ctx context.Context) (rootstore.Evidence, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lag {
		return rootstore.Evidence{}, nil
	}
	e := rootstore.Evidence{Method: "forgotten", Newest: m.newest, Size: m.size}
	for epoch, key := range maps.All(m.keys) {
		state := rootstore.Live
		if key == nil {
			state = rootstore.Destroyed
		}
		e.Roots = append(e.Roots, rootstore.Root{Epoch: epoch, State: state})
	}
	return e, ctx.Err()
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) rootstore.Store {
		return provider.New("memory", "escrow", &memory{keys: map[uint64][]byte{}})
	})
}

// What is wrapped belongs to the name of the store, though both use the same keys here.
func TestBoundToName(t *testing.T) {
	keys := &memory{keys: map[uint64][]byte{}}
	s, other := provider.New("memory", "escrow-a", keys), provider.New("memory", "escrow-b", keys)
	if err := s.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	wrapped, err := s.Wrap(t.Context(), 1, []byte("rho"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unwrap(t.Context(), 1, wrapped, nil); err == nil || escrow.KindOf(err) != escrow.Forged {
		t.Errorf("under another name: %v, want kind forged", err)
	}
}

func TestSetBack(t *testing.T) {
	keys := &memory{keys: map[uint64][]byte{}}
	s := provider.New("memory", "escrow", keys)
	if err := s.Create(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	keys.lag = true
	if _, err := s.Evidence(t.Context()); err == nil || escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("a list that is shorter than before: %v, want kind unavailable", err)
	}
	if err := s.Create(t.Context(), 1, 1); err == nil {
		t.Error("a root was made again for an epoch that the provider had shown")
	}
}

func TestEpochZero(t *testing.T) {
	s := provider.New("memory", "escrow", &memory{keys: map[uint64][]byte{}})
	if err := s.Create(t.Context(), 0, 1); err == nil || escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("epoch 0: %v, want kind invalid", err)
	}
}

func TestTry(t *testing.T) {
	busy, other := fmt.Errorf("%w: 503", provider.ErrBusy), errors.New("403")
	for _, test := range []struct {
		name  string
		fails []error
		calls int
		want  error
	}{
		{"at once", nil, 1, nil},
		{"busy once", []error{busy}, 2, nil},
		{"busy twice", []error{busy, busy}, 3, nil},
		{"busy for long", []error{busy, busy, busy, busy, busy}, 3, provider.ErrBusy},
		{"not repeated", []error{other, busy}, 1, other},
		{"busy, then refused", []error{busy, other}, 2, other},
	} {
		calls := 0
		err := provider.Calls{Pauses: []time.Duration{0, 0}}.Try(t.Context(), func(context.Context) error {
			calls++
			if calls <= len(test.fails) {
				return test.fails[calls-1]
			}
			return nil
		})
		if calls != test.calls || !errors.Is(err, test.want) {
			t.Errorf("%s: %d calls, %v; want %d, %v", test.name, calls, err, test.calls, test.want)
		}
	}
}

// A pause ends with the context, and no call is made after it.
func TestTryEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := provider.Calls{Pauses: []time.Duration{time.Hour}}.Try(ctx, func(context.Context) error {
		calls++
		cancel()
		return provider.ErrBusy
	})
	if calls != 1 || !errors.Is(err, provider.ErrBusy) {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := (provider.Calls{}).Once(ctx, func(context.Context) error { calls++; return nil }); calls != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %d calls, %v", calls, err)
	}
}

func TestCheckURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://vault.example.org:8200": true, "https://10.0.0.1": true, "http://127.0.0.1:8200": true, "http://[::1]:8200": true, "http://localhost:8200": true,
		"http://vault.example.org": false, "http://10.0.0.1": false, "http://localhost.example.org": false, "http://127.0.0.1.example.org": false,
		"ftp://127.0.0.1": false, "vault.example.org:8200": false, "https://": false, "": false, "https://user:password@vault.example.org": false,
	} {
		err := provider.CheckURL("test", url)
		if ok != (err == nil) || err != nil && escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "password@") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestReadFile(t *testing.T) {
	files := vfs.NewMem()
	for name, content := range map[string]string{"/token": "t\n", "/empty": " \n", "/large": strings.Repeat("x", 64<<10+1)} {
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
	for name, want := range map[string]string{"/token": "", "/empty": "is empty", "/large": "is larger than", "/none": "token_file"} {
		content, err := provider.ReadFile(files, "test", "token_file", name)
		if want == "" && (err != nil || string(content) != "t\n") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
}
