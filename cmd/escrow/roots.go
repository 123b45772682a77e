package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/awskms"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/rootstore/gcpkms"
	"escrow/crypto/rootstore/kekfile"
	"escrow/crypto/rootstore/tpm"
	"escrow/crypto/rootstore/vault"
)

// Kinds of root stores and KEKs.
const (
	kindFile   = "file"
	kindVault  = "vault"
	kindAWS    = "awskms"
	kindGoogle = "gcpkms"
	kindTPM    = "tpm"
)

// maxRootStores is how many root stores an archive may have: each must be reachable for every erasure, each alone opens the keys.
const maxRootStores = 3

// provided is one place of keys as configured: {"kind": …} and the settings of that kind, which nothing else may be among.
type provided struct {
	kind     string
	settings any
	raw      json.RawMessage
}

// parse reads the settings into what the kind wants.
func (p *provided) parse(what string, kinds map[string]func() any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(p.raw, &members); err != nil {
		return escrow.Errorf("escrow", escrow.Invalid, "%s: %w", what, err)
	}
	if err := json.Unmarshal(members["kind"], &p.kind); err != nil || kinds[p.kind] == nil {
		return escrow.Errorf("escrow", escrow.Invalid, "%s: the kind is %s, it must be one of %s", what, members["kind"], listed(kinds))
	}
	delete(members, "kind")
	rest, err := json.Marshal(members)
	if err != nil {
		return escrow.Errorf("escrow", escrow.Internal, "%w", err)
	}
	p.settings = kinds[p.kind]()
	d := json.NewDecoder(bytes.NewReader(rest))
	d.DisallowUnknownFields()
	if err := d.Decode(p.settings); err != nil {
		return escrow.Errorf("escrow", escrow.Invalid, "%s of kind %s: %w", what, p.kind, err)
	}
	return nil
}

// UnmarshalJSON keeps the bytes for parse, which knows what they are for.
func (p *provided) UnmarshalJSON(b []byte) error {
	p.raw = bytes.Clone(b)
	return nil
}

// MarshalJSON writes what was read.
func (p provided) MarshalJSON() ([]byte, error) { return p.raw, nil }

// fileRoots are the settings of a root store in files.
type fileRoots struct {
	Path       string `json:"path,omitempty"`        // folder, best on a disk of its own; "" is in each tenant's keys
	AcceptWeak bool   `json:"accept_weak,omitempty"` // work on a file system that keeps what was overwritten
}

// rootKinds are the kinds of root stores, with what each is set by.
func rootKinds() map[string]func() any {
	return map[string]func() any{
		kindFile: func() any { return new(fileRoots) }, kindVault: func() any { return new(vault.Config) }, kindAWS: func() any { return new(awskms.Config) },
		kindGoogle: func() any { return new(gcpkms.Config) }, kindTPM: func() any { return new(tpm.Config) },
	}
}

// kekKinds are the kinds of keys a tenant may hold itself above the roots.
func kekKinds() map[string]func() any {
	return map[string]func() any{
		kindFile: func() any { return new(kekfile.Config) }, kindVault: func() any { return new(vault.KEKConfig) },
		kindAWS: func() any { return new(awskms.KEKConfig) }, kindGoogle: func() any { return new(gcpkms.KEKConfig) },
	}
}

// listed names what is known, in order.
func listed(kinds map[string]func() any) string {
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
}

// rootStores are the root stores configured, or the one there is by default.
func (c config) rootStores() []*provided {
	if len(c.Roots) > 0 {
		return c.Roots
	}
	return []*provided{{kind: kindFile, settings: new(fileRoots)}}
}

// place is where a tenant is: under its name, or still where it is founded.
type place struct {
	name escrow.Tenant
	dir  escrow.Tenant
}

// rootsPath is the file with a tenant's roots.
func (a *app) rootsPath(cfg config, at place, f *fileRoots) string {
	if f.Path == "" {
		return filepath.Join(a.keysDir(at.dir), "roots")
	}
	return filepath.Join(f.Path, cfg.rootsName(at.name))
}

// rootsName is what the file with a tenant's roots is called in a folder of its own.
func (c config) rootsName(t escrow.Tenant) string { return c.Archive + "-" + string(t) + ".roots" }

// keyName is how the names of all keys of a tenant begin at a provider.
func (c config) keyName(configured string, t escrow.Tenant) string {
	if configured == "" {
		configured = "escrow-" + c.Archive
	}
	return configured + "-" + string(t)
}

// openStores reaches the root stores of a tenant.
func (a *app) openStores(ctx context.Context, cfg config, at place) ([]rootstore.Store, error) {
	var stores []rootstore.Store
	for _, r := range cfg.rootStores() {
		s, err := a.openStore(ctx, cfg, at, r)
		if err != nil && escrow.KindOf(err) == escrow.Unavailable && len(cfg.rootStores()) > 1 { // another may open the keys; to change them all are needed
			s, err = absent{escrow.Errorf("escrow", escrow.Unavailable, "root store %s: %w", r.kind, err)}, nil
		}
		if err != nil {
			return nil, escrow.Errorf("escrow", escrow.KindOf(err), "root store %s: %w", r.kind, err)
		}
		stores = append(stores, s)
	}
	return stores, nil
}

// absent is a root store that is not there: a disk that is not mounted, say. Each method says why.
type absent struct{ err error }

// Create implements rootstore.Store.
func (s absent) Create(context.Context, uint64, escrow.TreeSize) error { return s.err }

// Wrap implements rootstore.Store.
func (s absent) Wrap(context.Context, uint64, []byte, []byte) ([]byte, error) { return nil, s.err }

// Unwrap implements rootstore.Store.
func (s absent) Unwrap(context.Context, uint64, []byte, []byte) ([]byte, error) { return nil, s.err }

// Destroy implements rootstore.Store.
func (s absent) Destroy(context.Context, uint64) error { return s.err }

// Evidence implements rootstore.Store.
func (s absent) Evidence(context.Context) (rootstore.Evidence, error) {
	return rootstore.Evidence{}, s.err
}

func (a *app) openStore(ctx context.Context, cfg config, at place, r *provided) (rootstore.Store, error) {
	switch s := r.settings.(type) {
	case *fileRoots:
		return file.Open(a.fs, a.rootsPath(cfg, at, s), file.Config{Rand: a.rand, AcceptWeak: s.AcceptWeak, FileSystem: fileSystem})
	case *vault.Config:
		c := *s
		c.Name, c.Now = cfg.keyName(c.Name, at.name), a.now
		return vault.Open(c)
	case *awskms.Config:
		c := *s
		c.Name = cfg.keyName(c.Name, at.name)
		return awskms.Open(c)
	case *gcpkms.Config:
		c := *s
		c.Name = cfg.keyName(c.Name, at.name)
		return gcpkms.Open(ctx, c)
	case *tpm.Config:
		c := *s
		c.Name, c.FS, c.Rand = cfg.keyName(c.Name, at.name), a.fs, a.rand
		return tpm.Open(c)
	}
	return nil, escrow.Errorf("escrow", escrow.Internal, "no root store of this kind")
}

// keysConfig is what opening or creating a tenant's key state needs.
func (a *app) keysConfig(ctx context.Context, cfg config, at place) (keystate.Config, error) {
	stores, err := a.openStores(ctx, cfg, at)
	if err != nil {
		return keystate.Config{}, err
	}
	kek, err := openKEK(ctx, cfg.Tenants[at.name])
	if err != nil {
		return keystate.Config{}, err
	}
	return keystate.Config{Roots: stores, KEK: kek, Rand: a.rand, Now: a.now}, nil
}

// openKEK reaches the key of the tenant above the roots; nil if none is configured.
func openKEK(ctx context.Context, t *tenantConfig) (keystate.KEK, error) {
	if t.KEK == nil {
		return nil, nil
	}
	switch s := t.KEK.settings.(type) {
	case *kekfile.Config:
		return kekfile.Open(*s)
	case *vault.KEKConfig:
		return vault.KEK(*s)
	case *awskms.KEKConfig:
		return awskms.KEK(*s)
	case *gcpkms.KEKConfig:
		return gcpkms.KEK(ctx, *s)
	}
	return nil, escrow.Errorf("escrow", escrow.Internal, "no key of this kind")
}
