package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/internal/vfs"
	"escrow/retention"
	"escrow/server"

	"github.com/spf13/cobra"
)

const initHelp = `Creates an archive in the data directory: configuration, keys, an empty ledger and the credentials of the platform "local",
which may publish to every channel. In an archive that exists, --tenant adds a tenant.

The roots of the keys lie in a file of their own; best give them a disk of their own with --roots, which no backup takes along. Other root stores (Vault,
AWS, Google Cloud, TPM), and a key the tenant holds itself, are given with --settings: docs/roots.md.`

// settings are what an archive is founded with; later they are changed in its configuration.
type settings struct {
	region     string
	port       int
	roots      string
	acceptWeak bool
	coolingOff int
	keepRoots  int
	file       string // prepared settings
	given      func(flag string) bool
}

// prepared is what may be written down before an archive or a tenant is made: {"roots": […], "kek": {…}}, as in escrow.json.
type prepared struct {
	Roots []*provided `json:"roots,omitempty"` // of the archive
	KEK   *provided   `json:"kek,omitempty"`   // of the tenant that is made
}

// loadPrepared reads the file of --settings.
func (a *app) loadPrepared(s settings) (p prepared, err error) {
	if s.file == "" {
		return p, nil
	}
	b, err := vfs.ReadFile(a.fs, s.file, maxConfigBytes)
	if err != nil {
		return p, escrow.Errorf("escrow", escrow.Invalid, "read the settings: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, escrow.Errorf("escrow", escrow.Invalid, "%s: %w", s.file, err)
	}
	if len(p.Roots) > 0 && s.given != nil && (s.given("roots") || s.given("accept-weak-roots")) {
		return p, usage("--settings and --roots both say where the roots are")
	}
	return p, nil
}

func (a *app) initCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{Use: "init", Short: "Create an archive, or a further tenant in it", Args: args(0, 0, "no arguments"), Long: initHelp}
	f := c.Flags()
	s.given = f.Changed
	f.StringVar(&s.region, "region", defaultRegion, "residency region, written into every record")
	f.IntVar(&s.port, "nats-port", 0, "port of the embedded NATS server (default 4222; -1 for any free one)")
	f.StringVar(&s.roots, "roots", "", "folder for the roots of the keys, best on a disk of its own (default: beside the keys)")
	f.BoolVar(&s.acceptWeak, "accept-weak-roots", false, "accept a file system for the roots that keeps what was overwritten")
	f.IntVar(&s.coolingOff, "cooling-off-hours", defaultCoolingOffHours, "hours between the approval of an erasure and the destruction of keys")
	f.StringVar(&s.file, "settings", "", "file with root stores of the archive and the key of the tenant, {\"roots\": […], \"kek\": {…}} as in escrow.json (docs/roots.md)")
	f.IntVar(&s.keepRoots, "keep-roots-days", defaultKeepRootsDays, "days for which a retired root still opens older copies of the keys")
	c.RunE = func(c *cobra.Command, _ []string) error {
		tenant := escrow.Tenant(a.tenant)
		if tenant == "" {
			tenant = defaultTenant
		}
		if err := tenant.Check(); err != nil {
			return err
		}
		made, err := a.initArchive(c.Context(), tenant, s)
		if err != nil {
			return err
		}
		return a.print(made, func(w io.Writer) error { return printMade(w, made) })
	}
	return c
}

func printMade(w io.Writer, made madeArchive) error {
	fmt.Fprintf(w, "created tenant %s in %s\nverifier key %s\nplatform credentials in %s\n", made.Tenant, made.Data, made.Key, made.Credentials)
	for _, r := range made.Roots {
		fmt.Fprintf(w, "roots of the keys: store %s; what is destroyed there is %s\n", r.Store, r.Method)
	}
	_, err := fmt.Fprintf(w, "next: escrow serve --data %s\n", made.Data)
	return err
}

// madeArchive is what init says.
type madeArchive struct {
	Tenant      escrow.Tenant        `json:"tenant"`
	Data        string               `json:"data"`
	Key         string               `json:"key"`
	Credentials string               `json:"credentials"`
	Roots       []server.StoreStatus `json:"roots"`
}

// initArchive creates the archive if need be, and the tenant in it.
func (a *app) initArchive(ctx context.Context, tenant escrow.Tenant, s settings) (madeArchive, error) {
	if err := a.fs.MkdirAll(a.dir, 0o700); err != nil {
		return madeArchive{}, escrow.Errorf("escrow", escrow.Unavailable, "create %s: %w", a.dir, err)
	}
	lock, err := a.lock()
	if err != nil {
		return madeArchive{}, err
	}
	defer lock.Close()
	given, err := a.loadPrepared(s)
	if err != nil {
		return madeArchive{}, err
	}
	cfg, err := a.loadConfig()
	switch {
	case escrow.KindOf(err) == escrow.NotFound:
		cfg, err = a.newConfig(s, given.Roots)
	case err == nil:
		err = s.onlyAtFirst(given)
	}
	if err != nil {
		return madeArchive{}, err
	}
	if cfg.Tenants[tenant] != nil {
		return madeArchive{}, escrow.Errorf("escrow", escrow.Conflict, "the archive in %s has the tenant %q already", a.dir, tenant)
	}
	cfg.Tenants[tenant] = &tenantConfig{KEK: given.KEK}
	if err := cfg.check(); err != nil {
		return madeArchive{}, err
	}
	made := madeArchive{Tenant: tenant, Data: a.dir, Credentials: a.localSeedPath()}
	if err := a.foundTenant(ctx, cfg, &made); err != nil {
		return madeArchive{}, err
	}
	if err := a.ensureLocalPlatform(); err != nil {
		return madeArchive{}, err
	}
	return made, a.saveConfig(cfg)
}

// onlyAtFirst refuses settings of the archive where there is one.
func (s settings) onlyAtFirst(given prepared) error {
	if len(given.Roots) > 0 {
		return usage("root stores are a setting of the whole archive, which exists; the settings of a further tenant are its kek")
	}
	for _, flag := range []string{"region", "nats-port", "roots", "accept-weak-roots", "cooling-off-hours", "keep-roots-days"} {
		if s.given != nil && s.given(flag) {
			return usage("--%s is a setting of the whole archive, which exists; change it in escrow.json", flag)
		}
	}
	return nil
}

func (a *app) newConfig(s settings, roots []*provided) (config, error) {
	var id [4]byte
	if _, err := io.ReadFull(a.rand, id[:]); err != nil {
		return config{}, escrow.Errorf("escrow", escrow.Internal, "read randomness: %w", err)
	}
	cfg := config{Format: dataFormat, Archive: hex.EncodeToString(id[:]), Region: s.region, NATS: natsConfig{Port: s.port}, Tenants: map[escrow.Tenant]*tenantConfig{},
		Erasure: erasureConfig{CoolingOffHours: &s.coolingOff, KeepRootsDays: &s.keepRoots}}
	if cfg.Roots = roots; len(roots) == 0 {
		if err := a.setRoots(&cfg, s); err != nil {
			return config{}, err
		}
	}
	if err := cfg.Erasure.check(); err != nil {
		return config{}, err
	}
	return cfg, cfg.Erasure.terms().Check()
}

// setRoots configures a root store in files, and makes its folder.
func (a *app) setRoots(cfg *config, s settings) error {
	roots := fileRoots{AcceptWeak: s.acceptWeak}
	if s.roots != "" {
		abs, err := filepath.Abs(s.roots)
		if err != nil {
			return escrow.Errorf("escrow", escrow.Invalid, "--roots: %w", err)
		}
		roots.Path = abs
		if err := a.fs.MkdirAll(abs, 0o700); err != nil {
			return escrow.Errorf("escrow", escrow.Unavailable, "create the folder for the roots: %w", err)
		}
	}
	b, err := json.Marshal(struct {
		Kind string `json:"kind"`
		fileRoots
	}{kindFile, roots})
	if err != nil {
		return escrow.Errorf("escrow", escrow.Internal, "%w", err)
	}
	cfg.Roots = []*provided{{raw: b}}
	return nil
}

// lock takes the data directory for this process. Its error says who has it.
func (a *app) lock() (io.Closer, error) {
	l, err := a.fs.Lock(a.path("LOCK"))
	if escrow.KindOf(err) == escrow.Conflict {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "%s is in use by another escrow process; stop it or wait until it is done, or until it serves: %w", a.dir, err)
	}
	return l, err
}

// founding is where a tenant is made before it gets its name, which no tenant can have.
const founding escrow.Tenant = ".founding"

// foundTenant creates keys and ledger of a tenant, complete before they get their place. It never touches what is at that place: an archive whose
// configuration was lost is still an archive.
func (a *app) foundTenant(ctx context.Context, cfg config, made *madeArchive) error {
	dir := a.path("tenants", string(made.Tenant))
	if _, err := a.fs.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return escrow.Errorf("escrow", escrow.Conflict, "%s exists and %s does not name it; restore the configuration, or move the folder away", dir, a.path("escrow.json"))
	}
	if err := os.RemoveAll(a.path("tenants", string(founding))); err != nil {
		return escrow.Errorf("escrow", escrow.Unavailable, "clear what an interrupted init left: %w", err)
	}
	if err := a.makeTenant(ctx, cfg, made); err != nil {
		return err
	}
	if err := a.fs.Rename(a.path("tenants", string(founding)), dir); err != nil {
		return escrow.Errorf("escrow", escrow.Unavailable, "give the new tenant its place: %w", err)
	}
	return a.fs.SyncDir(a.path("tenants"))
}

// makeTenant creates keys and ledger of a tenant in the founding place and writes the first record.
func (a *app) makeTenant(ctx context.Context, cfg config, made *madeArchive) error {
	for _, d := range []string{a.keysDir(founding), a.ledgerDir(founding), a.indexDir(founding)} {
		if err := a.fs.MkdirAll(d, 0o700); err != nil {
			return escrow.Errorf("escrow", escrow.Unavailable, "create %s: %w", d, err)
		}
	}
	keyset, err := a.makeKeys(ctx, cfg, made)
	if err != nil {
		return err
	}
	signer, err := sign.NewSigner(cfg.origin(made.Tenant), keyset)
	if err != nil {
		return err
	}
	made.Key = signer.VKey()
	ledger, err := archive.Open(ctx, a.fs, a.ledgerDir(founding), a.ledgerConfig(cfg, made.Tenant, signer))
	if err != nil {
		return err
	}
	book := chronicle.Chronicle{Source: cfg.origin(made.Tenant), Now: a.now, Rand: a.rand}
	e, err := book.Entry(events.ArchiveFounded{Tenant: made.Tenant, Region: cfg.Region, Format: dataFormat})
	if err == nil {
		_, err = ledger.Append(ctx, []archive.Entry{e})
	}
	if cerr := ledger.Close(); err == nil {
		err = cerr
	}
	return err
}

// makeKeys creates the key state of a tenant with the tree of the class everybody has, and returns the keyset that signs its ledger.
func (a *app) makeKeys(ctx context.Context, cfg config, made *madeArchive) ([]byte, error) {
	keyset, err := sign.NewKeyset(a.rand)
	if err != nil {
		return nil, err
	}
	kcfg, err := a.keysConfig(ctx, cfg, place{made.Tenant, founding})
	if err != nil {
		return nil, err
	}
	keys, err := keystate.Create(ctx, a.fs, a.keysDir(founding), kcfg, keyset)
	if err != nil {
		return nil, err
	}
	err = keys.Update(func(tx *keystate.Tx) error {
		tx.AddTree(keytree.KindRetention, retention.DefaultClass().Number)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	evidence, err := keys.Evidence(ctx)
	for _, e := range evidence {
		made.Roots = append(made.Roots, server.NewStoreStatus(e))
	}
	return keyset, errors.Join(err, keys.Close())
}

func (a *app) keysDir(t escrow.Tenant) string   { return a.path("tenants", string(t), "keys") }
func (a *app) ledgerDir(t escrow.Tenant) string { return a.path("tenants", string(t), "ledger") }
func (a *app) indexDir(t escrow.Tenant) string  { return a.path("tenants", string(t), "index") }
