package bench

import (
	"context"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/seal"
	"escrow/crypto/sign"
	"escrow/ingest"
)

// tenantName is the tenant everything belongs to.
const tenantName escrow.Tenant = "bench"

// tenant is an archive as the service opens one, without log and index.
type tenant struct {
	dir       string
	keys      *keystate.State
	ledger    *archive.Ledger
	directory *directory.Directory
	sealer    *seal.Sealer
	opener    *ingest.Opener
	recorder  *ingest.Recorder
}

// found makes a new tenant in a directory of its own.
func (b *bench) found(ctx context.Context, name string) (*tenant, error) {
	t := &tenant{dir: filepath.Join(b.cfg.Dir, name)}
	for _, sub := range []string{"keys", "ledger"} {
		if err := b.cfg.FS.MkdirAll(t.path(sub), 0o700); err != nil {
			return nil, diskError(err)
		}
	}
	keyset, err := sign.NewKeyset(b.cfg.Rand)
	if err != nil {
		return nil, err
	}
	roots, err := file.Open(b.cfg.FS, t.path("keys/roots"), file.Config{Rand: b.cfg.Rand})
	if err != nil {
		return nil, err
	}
	cfg := keystate.Config{Roots: []rootstore.Store{roots}, Rand: b.cfg.Rand, Now: b.cfg.Now}
	if t.keys, err = keystate.Create(ctx, b.cfg.FS, t.path("keys"), cfg, keyset); err != nil {
		return nil, err
	}
	b.onClose(t.keys.Close)
	err = t.keys.Update(func(tx *keystate.Tx) error {
		tx.AddTree(keytree.KindRetention, 0)
		return nil
	})
	if err != nil {
		return nil, err
	}
	signer, err := sign.NewSigner("bench.example/"+name, keyset)
	if err != nil {
		return nil, err
	}
	if t.ledger, err = archive.Open(ctx, b.cfg.FS, t.path("ledger"), archive.Config{Signer: signer, Now: b.cfg.Now}); err != nil {
		return nil, err
	}
	b.onClose(t.ledger.Close)
	return t, b.equip(t)
}

// equip gives a tenant what seals and opens records.
func (b *bench) equip(t *tenant) (err error) {
	if t.directory, err = directory.Open(b.cfg.FS, t.path("keys"), t.keys.Secret("directory"), t.keys); err != nil {
		return err
	}
	if t.sealer, err = seal.New(b.cfg.Rand); err != nil {
		return err
	}
	t.opener = &ingest.Opener{Tenant: tenantName, Keys: t.keys, Sealer: t.sealer}
	t.recorder = &ingest.Recorder{Tenant: tenantName, Region: "eu", Keys: t.keys, Directory: t.directory, Sealer: t.sealer, Rand: b.cfg.Rand}
	return nil
}

func (t *tenant) path(name string) string { return filepath.Join(t.dir, name) }

// entrance is what the gate knows of the tenant.
func (t *tenant) entrance() *ingest.Entrance {
	return &ingest.Entrance{Keys: t.keys, Sealer: t.sealer, Ledger: t.ledger, Opener: t.opener, Recorder: t.recorder,
		OnceKey: t.keys.Secret("once"), TagKey: t.keys.Secret("tag")}
}

// archive seals envelopes as the next records, on all cores, and makes them durable, as the service's sealer does.
func (t *tenant) archive(ctx context.Context, envelopes []ingest.Envelope, from int) error {
	first := escrow.Seq(t.ledger.Size())
	entries := make([]archive.Entry, len(envelopes))
	origin := ingest.Origin{Log: [16]byte{1}, Channel: [16]byte{2}}
	err := each(ctx, len(envelopes), func(i int) (err error) {
		o := origin
		o.Seq, o.Counter = uint64(from+i+1), uint64(from+i+1)
		entries[i], err = t.recorder.Record(first+escrow.Seq(i), envelopes[i], o)
		return err
	})
	if err != nil {
		return err
	}
	_, err = t.ledger.Append(ctx, entries)
	return err
}

// each calls f for 0 … n-1 on all cores and returns the first error.
func each(ctx context.Context, n int, f func(i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		group.Go(func() error {
			for i := w; i < n; i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
