package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore/provider"
)

const kind = "vault"

// Config says where the roots are and what they are called.
type Config struct {
	Name string `json:"name"` // begins the names of all keys, as "escrow-mail-acme"; another archive needs another
	Server

	// SnapshotDays declares for how many days snapshots and backups of Vault are kept; deleted keys exist in them until then. It must be there, and be 0
	// only if there are none.
	SnapshotDays *int `json:"snapshot_days"`

	Now func() time.Time `json:"-"` // clock; required
}

// maxSnapshotDays is a limit for the arithmetic; anything above a month is refused by the settings of the archive in any case.
const maxSnapshotDays = 3650

// Open returns the store. It does not call Vault. Errors are of kind Invalid.
func Open(cfg Config) (*provider.Store, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	conn, err := cfg.Server.connect()
	if err != nil {
		return nil, err
	}
	t := &transit{conn: conn, name: cfg.Name, wait: time.Duration(*cfg.SnapshotDays) * 24 * time.Hour, now: cfg.Now}
	return provider.New(kind, cfg.Name, t), nil
}

func (c Config) check() error {
	const op = "vault.Open"
	if err := escrow.CheckToken("the name of a root store", c.Name); err != nil {
		return err
	}
	switch {
	case c.SnapshotDays == nil:
		return escrow.Errorf(op, escrow.Invalid, "snapshot_days is missing: for how many days are snapshots and backups of Vault kept? 0 if there are none")
	case *c.SnapshotDays < 0 || *c.SnapshotDays > maxSnapshotDays:
		return escrow.Errorf(op, escrow.Invalid, "snapshot_days is %d, must be 0 to %d", *c.SnapshotDays, maxSnapshotDays)
	case c.Now == nil:
		return escrow.Errorf(op, escrow.Invalid, "there is no clock")
	}
	return nil
}

// KEKConfig says which transit key encrypts.
type KEKConfig struct {
	Key string `json:"key"` // name of a transit key that exists and supports encryption, not derived
	Server
}

// KEK returns a key encryption key on a transit key. It does not call Vault. Errors of KEK are of kind Invalid; those of the KEK are told by
// provider.NewKEK.
func KEK(cfg KEKConfig) (tink.AEAD, error) {
	if !keyName.MatchString(cfg.Key) {
		return nil, escrow.Errorf("vault.KEK", escrow.Invalid, "key is %q, must be the name of a transit key: letters, digits, _ - and .", cfg.Key)
	}
	conn, err := cfg.Server.connect()
	if err != nil {
		return nil, err
	}
	return provider.NewKEK(kind, cfg.Key, kek{conn, cfg.Key}), nil
}

type kek struct {
	conn *connection
	name string
}

// Seal implements provider.Key.
func (k kek) Seal(ctx context.Context, plain, aad []byte) ([]byte, error) {
	return k.conn.encrypt(ctx, k.name, plain, aad)
}

// Open implements provider.Key.
func (k kek) Open(ctx context.Context, sealed, aad []byte) ([]byte, error) {
	return k.conn.decrypt(ctx, k.name, sealed, aad)
}

func (c *connection) encrypt(ctx context.Context, name string, plain, aad []byte) (sealed []byte, err error) {
	if err := c.mustExist(ctx, name); err != nil { // Vault makes a key that is missing if the token may create
		return nil, err
	}
	err = c.calls.Try(ctx, func(ctx context.Context) error {
		aead, err := c.aead(ctx, name)
		if err != nil {
			return err
		}
		sealed, err = aead.Encrypt(plain, aad)
		return meaning("encrypting", err)
	})
	return sealed, err
}

func (c *connection) decrypt(ctx context.Context, name string, sealed, aad []byte) (plain []byte, err error) {
	err = c.calls.Try(ctx, func(ctx context.Context) error {
		aead, err := c.aead(ctx, name)
		if err != nil {
			return err
		}
		plain, err = aead.Decrypt(sealed, aad)
		return meaning("decrypting", err)
	})
	if refused(err) { // 400 stands for a missing key as well as for a ciphertext that does not fit
		if err := c.mustExist(ctx, name); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", provider.ErrMisfit, err)
	}
	return plain, err
}

// mustExist returns ErrGone if there is no such key.
func (c *connection) mustExist(ctx context.Context, name string) error {
	k, err := c.key(ctx, name)
	if err == nil && k == nil {
		return fmt.Errorf("%w: vault has no transit key %s", provider.ErrGone, name)
	}
	return err
}
