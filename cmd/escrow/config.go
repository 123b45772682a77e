package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"escrow"
	"escrow/archive/backup"
	"escrow/ingest"
	"escrow/internal/vfs"
	"escrow/retention"
	"escrow/retention/disposal"
)

// config is DIR/escrow.json. It holds no secret.
type config struct {
	Format  int                             `json:"format"` // of the data directory; this version reads 1
	Archive string                          `json:"archive"`
	Region  string                          `json:"region"`
	NATS    natsConfig                      `json:"nats"`
	Erasure erasureConfig                   `json:"erasure"`
	Roots   []*provided                     `json:"roots,omitempty"` // root stores, up to three; none: a file beside each tenant's keys
	Tenants map[escrow.Tenant]*tenantConfig `json:"tenants"`
}

// natsConfig says where the log lives: embedded by default, any other NATS by URL.
type natsConfig struct {
	Host  string `json:"host,omitempty"`  // of the embedded server; "" means 127.0.0.1
	Port  int    `json:"port,omitempty"`  // of the embedded server; 0 means 4222, -1 any free one
	URL   string `json:"url,omitempty"`   // of an external server; "" means embedded
	Creds string `json:"creds,omitempty"` // credentials file for URL
	NKey  string `json:"nkey,omitempty"`  // nkey seed file for URL
	CA    string `json:"ca,omitempty"`    // certificate authority file for URL
}

// erasureConfig says how long each wait of an erasure takes. Together with the root stores it must keep the promise of a month (GDPR Art. 12(3)).
type erasureConfig struct {
	CoolingOffHours *int `json:"cooling_off_hours,omitempty"` // between approval and destruction; nil: 72
	KeepRootsDays   *int `json:"keep_roots_days,omitempty"`   // for which a retired root still opens older copies of the keys; nil: 7
}

const (
	defaultCoolingOffHours = 72
	defaultKeepRootsDays   = 7
)

// terms are the waits that are configured; those of the root stores are not among them.
func (e erasureConfig) terms() disposal.Terms {
	hours, days := defaultCoolingOffHours, defaultKeepRootsDays
	if e.CoolingOffHours != nil {
		hours = *e.CoolingOffHours
	}
	if e.KeepRootsDays != nil {
		days = *e.KeepRootsDays
	}
	return disposal.Terms{CoolingOff: time.Duration(hours) * time.Hour, KeepRoots: time.Duration(days) * 24 * time.Hour}
}

// check says whether the numbers make sense alone; whether their sum does is known with the root stores.
func (e erasureConfig) check() error {
	for what, n := range map[string]*int{"cooling_off_hours": e.CoolingOffHours, "keep_roots_days": e.KeepRootsDays} {
		if n != nil && (*n < 0 || *n > maxWait) {
			return escrow.Errorf("escrow", escrow.Invalid, "erasure: %s is %d, it must be 0 to %d", what, *n, maxWait)
		}
	}
	return nil
}

// maxWait keeps a typing error from being multiplied beyond what a duration holds.
const maxWait = 10_000

// tenantConfig is what the controller fixed for a tenant.
type tenantConfig struct {
	Channels  map[escrow.Channel]ingest.ChannelRule `json:"channels,omitempty"`
	Retention json.RawMessage                       `json:"retention,omitempty"` // schedule, see docs
	KEK       *provided                             `json:"kek,omitempty"`       // key above the roots, which the tenant may hold itself
	schedule  retention.Schedule
}

const (
	dataFormat     = 1
	maxConfigBytes = 1 << 20
	defaultTenant  = escrow.Tenant("main")
	defaultRegion  = "local"
)

// path returns a path inside the data directory.
func (a *app) path(elem ...string) string { return filepath.Join(append([]string{a.dir}, elem...)...) }

// loadConfig reads and checks DIR/escrow.json.
func (a *app) loadConfig() (config, error) {
	name := a.path("escrow.json")
	b, err := vfs.ReadFile(a.fs, name, maxConfigBytes)
	if escrow.KindOf(err) == escrow.NotFound {
		return config{}, a.noArchive()
	}
	if err != nil {
		return config{}, escrow.Errorf("escrow", escrow.Unavailable, "read the configuration: %w", err)
	}
	return parseConfig(name, b)
}

// noArchive says why there is no archive in the data directory.
func (a *app) noArchive() error {
	begun, err := backup.Restoring(a.fs, a.dir)
	if err != nil {
		return err
	}
	if begun {
		return escrow.Errorf("escrow", escrow.Unavailable, "a restore into %s was begun and not completed; repeat it", a.dir)
	}
	return escrow.Errorf("escrow", escrow.NotFound, "there is no archive in %s; create one with: escrow init --data %s", a.dir, a.dir)
}

// parseConfig reads and checks a configuration.
func parseConfig(name string, b []byte) (config, error) {
	var c config
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, escrow.Errorf("escrow", escrow.Invalid, "%s: %w", name, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return c, escrow.Errorf("escrow", escrow.Invalid, "%s: there is something after the closing brace", name)
	}
	if err := c.check(); err != nil {
		return c, escrow.Errorf("escrow", escrow.Invalid, "%s: %w", name, err)
	}
	return c, nil
}

func (c *config) check() error {
	if c.Format != dataFormat {
		return escrow.Errorf("escrow", escrow.Invalid, "format is %d, this version of escrow reads %d", c.Format, dataFormat)
	}
	if err := c.Erasure.check(); err != nil {
		return err
	}
	if len(c.Roots) > maxRootStores {
		return escrow.Errorf("escrow", escrow.Invalid, "there are %d root stores, at most %d are allowed", len(c.Roots), maxRootStores)
	}
	for i, r := range c.Roots {
		if r == nil {
			return escrow.Errorf("escrow", escrow.Invalid, "root store %d: null where an object must be", i+1)
		}
		if err := r.parse(fmt.Sprintf("root store %d", i+1), rootKinds()); err != nil {
			return err
		}
	}
	if len(c.Tenants) == 0 {
		return escrow.Errorf("escrow", escrow.Invalid, "there is no tenant")
	}
	for name, t := range c.Tenants {
		if err := name.Check(); err != nil {
			return err
		}
		if t == nil {
			return escrow.Errorf("escrow", escrow.Invalid, "tenant %s: null where an object must be", name)
		}
		if err := t.check(); err != nil {
			return escrow.Errorf("escrow", escrow.Invalid, "tenant %s: %w", name, err)
		}
	}
	return nil
}

func (t *tenantConfig) check() (err error) {
	if t.KEK != nil {
		if err := t.KEK.parse("kek", kekKinds()); err != nil {
			return err
		}
	}
	if len(t.Retention) > 0 {
		if t.schedule, err = retention.ParseSchedule(t.Retention); err != nil {
			return err
		}
	}
	for name, rule := range t.Channels {
		if err := name.Check(); err != nil {
			return err
		}
		switch rule.Policy {
		case "", ingest.PolicyPrincipal, ingest.PolicyAllOf, ingest.PolicyAnyOf:
		default:
			return escrow.Errorf("escrow", escrow.Invalid, "channel %s: policy %q is not principal, all-of or any-of", name, rule.Policy)
		}
		if rule.Class == "" {
			continue
		}
		if _, err := t.schedule.Class(rule.Class); err != nil {
			return escrow.Errorf("escrow", escrow.Invalid, "channel %s: %w", name, err)
		}
	}
	return nil
}

// saveConfig writes DIR/escrow.json.
func (a *app) saveConfig(c config) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return escrow.Errorf("escrow", escrow.Internal, "%w", err)
	}
	return vfs.WriteFileAtomic(a.fs, a.path("escrow.json"), append(b, '\n'), 0o600)
}

// origin names a tenant's ledger in checkpoints: it is unique, and says nothing about the tenant but its name.
func (c config) origin(t escrow.Tenant) string { return "escrow/" + c.Archive + "/" + string(t) }
