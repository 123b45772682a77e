package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/chronicle"

	"github.com/spf13/cobra"
)

func (a *app) initCommand() *cobra.Command {
	var region string
	var port int
	c := &cobra.Command{Use: "init", Short: "Create an archive, or a further tenant in it", Args: args(0, 0, "no arguments"),
		Long: `Creates an archive in the data directory: configuration, keys, an empty ledger and the credentials of the platform "local",
which may publish to every channel. In an archive that exists, --tenant adds a tenant.`}
	c.Flags().StringVar(&region, "region", defaultRegion, "residency region, written into every record")
	c.Flags().IntVar(&port, "nats-port", 0, "port of the embedded NATS server (default 4222; -1 for any free one)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		tenant := escrow.Tenant(a.tenant)
		if tenant == "" {
			tenant = defaultTenant
		}
		if err := tenant.Check(); err != nil {
			return err
		}
		made, err := a.initArchive(c, tenant, region, port)
		if err != nil {
			return err
		}
		return a.print(made, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "created tenant %s in %s\nverifier key %s\nplatform credentials in %s\nnext: escrow serve --data %s\n",
				made.Tenant, made.Data, made.Key, made.Credentials, made.Data)
			return err
		})
	}
	return c
}

// madeArchive is what init says.
type madeArchive struct {
	Tenant      escrow.Tenant `json:"tenant"`
	Data        string        `json:"data"`
	Key         string        `json:"key"`
	Credentials string        `json:"credentials"`
}

// initArchive creates the archive if need be, and the tenant in it.
func (a *app) initArchive(c *cobra.Command, tenant escrow.Tenant, region string, port int) (madeArchive, error) {
	if err := a.fs.MkdirAll(a.dir, 0o700); err != nil {
		return madeArchive{}, escrow.Errorf("escrow", escrow.Unavailable, "create %s: %w", a.dir, err)
	}
	lock, err := a.lock()
	if err != nil {
		return madeArchive{}, err
	}
	defer lock.Close()
	cfg, err := a.loadConfig()
	if escrow.KindOf(err) == escrow.NotFound {
		cfg, err = a.newConfig(region, port)
	}
	if err != nil {
		return madeArchive{}, err
	}
	if cfg.Tenants[tenant] != nil {
		return madeArchive{}, escrow.Errorf("escrow", escrow.Conflict, "the archive in %s has the tenant %q already", a.dir, tenant)
	}
	cfg.Tenants[tenant] = &tenantConfig{}
	key, err := a.foundTenant(c, cfg, tenant)
	if err != nil {
		return madeArchive{}, err
	}
	if err := a.ensureLocalPlatform(); err != nil {
		return madeArchive{}, err
	}
	return madeArchive{Tenant: tenant, Data: a.dir, Key: key, Credentials: a.localSeedPath()}, a.saveConfig(cfg)
}

func (a *app) newConfig(region string, port int) (config, error) {
	var id [4]byte
	if _, err := io.ReadFull(a.rand, id[:]); err != nil {
		return config{}, err
	}
	return config{Format: dataFormat, Archive: hex.EncodeToString(id[:]), Region: region, NATS: natsConfig{Port: port}, Tenants: map[escrow.Tenant]*tenantConfig{}}, nil
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
func (a *app) foundTenant(c *cobra.Command, cfg config, tenant escrow.Tenant) (vkey string, err error) {
	dir := a.path("tenants", string(tenant))
	if _, err := a.fs.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return "", escrow.Errorf("escrow", escrow.Conflict, "%s exists and %s does not name it; restore the configuration, or move the folder away", dir, a.path("escrow.json"))
	}
	if err := os.RemoveAll(a.path("tenants", string(founding))); err != nil {
		return "", escrow.Errorf("escrow", escrow.Unavailable, "clear what an interrupted init left: %w", err)
	}
	if vkey, err = a.makeTenant(c, cfg, tenant); err != nil {
		return "", err
	}
	if err := a.fs.Rename(a.path("tenants", string(founding)), dir); err != nil {
		return "", escrow.Errorf("escrow", escrow.Unavailable, "give the new tenant its place: %w", err)
	}
	return vkey, a.fs.SyncDir(a.path("tenants"))
}

// makeTenant creates keys and ledger of a tenant in the founding place and writes the first record.
func (a *app) makeTenant(c *cobra.Command, cfg config, tenant escrow.Tenant) (vkey string, err error) {
	for _, d := range []string{a.keysDir(founding), a.ledgerDir(founding), a.indexDir(founding)} {
		if err := a.fs.MkdirAll(d, 0o700); err != nil {
			return "", escrow.Errorf("escrow", escrow.Unavailable, "create %s: %w", d, err)
		}
	}
	keyset, err := sign.NewKeyset(a.rand)
	if err != nil {
		return "", err
	}
	keyCfg, err := a.keyConfig(founding)
	if err != nil {
		return "", err
	}
	keys, err := keystate.Create(c.Context(), a.fs, a.keysDir(founding), keyCfg, keyset)
	if err != nil {
		return "", err
	}
	defer keys.Close()
	signer, err := sign.NewSigner(cfg.origin(tenant), keyset)
	if err != nil {
		return "", err
	}
	ledger, err := archive.Open(c.Context(), a.fs, a.ledgerDir(founding), a.ledgerConfig(cfg, tenant, signer))
	if err != nil {
		return "", err
	}
	book := chronicle.Chronicle{Source: cfg.origin(tenant), Now: a.now, Rand: a.rand}
	e, err := book.Entry(archive.KindFounded, events.ArchiveFounded{Tenant: tenant, Region: cfg.Region, Format: dataFormat})
	if err == nil {
		_, err = ledger.Append(c.Context(), []archive.Entry{e})
	}
	if cerr := ledger.Close(); err == nil {
		err = cerr
	}
	return signer.VKey(), err
}

// keyConfig says what opens the keys of a tenant: a file of roots beside them.
func (a *app) keyConfig(t escrow.Tenant) (keystate.Config, error) {
	roots, err := file.Open(a.fs, filepath.Join(a.keysDir(t), "roots"), file.Config{Rand: a.rand})
	if err != nil {
		return keystate.Config{}, err
	}
	return keystate.Config{Roots: []rootstore.Store{roots}, Rand: a.rand, Now: a.now}, nil
}

func (a *app) keysDir(t escrow.Tenant) string   { return a.path("tenants", string(t), "keys") }
func (a *app) ledgerDir(t escrow.Tenant) string { return a.path("tenants", string(t), "ledger") }
func (a *app) indexDir(t escrow.Tenant) string  { return a.path("tenants", string(t), "index") }
