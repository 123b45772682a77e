package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/crypto/sign"
	"escrow/events/chronicle"
	"escrow/index/bleveindex"
	"escrow/ingest"
	"escrow/retention/disposal"
	"escrow/server"

	"golang.org/x/mod/sumdb/note"
)

// nodeOptions says how much of an archive to open.
type nodeOptions struct {
	log     bool         // with log, intake and sealer: it can take messages in
	private bool         // the embedded NATS server takes any free port and its own platforms only
	port    int          // of the embedded NATS server, 0 for the configured one
	logger  *slog.Logger // nil: the command's
}

// node is an open archive. This file is where its parts are put together.
type node struct {
	app     *app
	cfg     config
	log     *slog.Logger
	api     *server.Archive
	tenants []*tenantNode
	intake  *intakeNode // nil without log
	closers []func() error

	stop  context.CancelFunc
	parts sync.WaitGroup
	fault *fault
}

// tenantNode is the part of a node that belongs to one tenant.
type tenantNode struct {
	*server.Tenant
	sealer   *seal.Sealer
	recorder *ingest.Recorder
	signer   *sign.Signer
}

// fault remembers the first error that stopped a background part.
type fault struct {
	once sync.Once
	done chan struct{}
	err  error
}

func (f *fault) set(err error) {
	f.once.Do(func() { f.err = err; close(f.done) })
}

// openNode opens the data directory for this process alone, completes what a crash interrupted, and starts what opt asks for.
func (a *app) openNode(ctx context.Context, opt nodeOptions) (*node, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	n := &node{app: a, cfg: cfg, log: opt.logger, fault: &fault{done: make(chan struct{})}}
	if n.log == nil {
		n.log = a.logger()
	}
	lock, err := a.lock()
	if err != nil {
		return nil, err
	}
	n.onClose(lock.Close)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	n.api = &server.Archive{Tenants: map[escrow.Tenant]*server.Tenant{}, Version: version(), Now: a.now, Logger: n.log, Platforms: &platformFile{app: a}}
	err = n.openTenants(ctx)
	if err == nil && opt.log {
		err = n.openLog(ctx, opt)
	}
	if err == nil {
		err = n.start(ctx, background)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) onClose(f func() error) { n.closers = append(n.closers, f) }

// close stops the background parts, then closes everything in the reverse order of opening. It may be called twice.
func (n *node) close() error {
	n.stop()
	n.parts.Wait()
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	return errors.Join(errs...)
}

// background runs a part of the node until the node closes. A part that fails takes the node with it.
func (n *node) background(ctx context.Context, name string, run func(context.Context) error) {
	n.parts.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("stopped for good", "part", name, "err", err)
			n.fault.set(err)
		}
	})
}

// failed is closed when a background part has failed.
func (n *node) failed() <-chan struct{} { return n.fault.done }

// failure is why, nil as long as nothing failed.
func (n *node) failure() error {
	select {
	case <-n.fault.done:
		return n.fault.err
	default:
		return nil
	}
}

func (n *node) openTenants(ctx context.Context) error {
	for name, cfg := range n.cfg.Tenants {
		t, err := n.openTenant(ctx, name, cfg)
		if err != nil {
			return escrow.Errorf("escrow", escrow.KindOf(err), "tenant %s: %w", name, err)
		}
		n.tenants = append(n.tenants, t)
		n.api.Tenants[name] = t.Tenant
	}
	return nil
}

// openTenant opens keys, ledger, directory and index of one tenant, in this order, and completes interrupted erasures before anything can be read.
func (n *node) openTenant(ctx context.Context, name escrow.Tenant, cfg *tenantConfig) (*tenantNode, error) {
	a, origin := n.app, n.cfg.origin(name)
	keyCfg, err := a.keyConfig(name)
	if err != nil {
		return nil, err
	}
	keys, err := keystate.Open(ctx, a.fs, a.keysDir(name), keyCfg)
	if escrow.KindOf(err) == escrow.NotFound {
		return nil, escrow.Errorf("escrow", escrow.Corrupt, "the keys are missing, and without them nothing can be read; restore %s from a backup: %w", a.keysDir(name), err)
	}
	if err != nil {
		return nil, err
	}
	n.onClose(keys.Close)
	signer, err := sign.NewSigner(origin, keys.SigningKey())
	if err != nil {
		return nil, err
	}
	ledger, err := archive.Open(ctx, a.fs, a.ledgerDir(name), a.ledgerConfig(n.cfg, name, signer))
	if err != nil {
		return nil, err
	}
	n.onClose(ledger.Close)
	if had := keys.Required(); ledger.Size() < had {
		return nil, escrow.Errorf("escrow", escrow.Forged, "the ledger has %d records and had at least %d when its keys were last written: it was rolled back to an older copy; restore the newest one", ledger.Size(), had)
	}
	n.onClose(func() error { return keepSize(keys, ledger) })
	if err := renewStale(keys); err != nil {
		return nil, err
	}
	sealer, err := seal.New(a.rand)
	if err != nil {
		return nil, err
	}
	t := &tenantNode{signer: signer, sealer: sealer, Tenant: &server.Tenant{
		Name: name, Origin: origin, Ledger: ledger, Verifier: signer.Verifier(), VKey: signer.VKey(), Keys: keys, Schedule: cfg.schedule,
	}}
	if err := n.addTrees(t); err != nil {
		return nil, err
	}
	if err := n.openDirectory(ctx, t); err != nil {
		return nil, err
	}
	t.Opener = &ingest.Opener{Tenant: name, Keys: keys, Sealer: t.sealer}
	if err := n.openIndex(ctx, t); err != nil {
		return nil, err
	}
	t.recorder = &ingest.Recorder{Tenant: name, Region: n.cfg.Region, Keys: keys, Directory: t.Directory, Sealer: t.sealer,
		Schedule: cfg.schedule, Channels: cfg.Channels, Rand: a.rand}
	return t, nil
}

// renewStale gives a key state that is an older copy, or whose last change was interrupted, new keys for the index.
func renewStale(keys *keystate.State) error {
	if !keys.Stale() {
		return nil
	}
	return keys.Update(func(tx *keystate.Tx) error {
		tx.RenewIndexTree()
		return nil
	})
}

// keepSize writes the size of the ledger into the key state, by which a ledger restored alone from an older copy is noticed.
func keepSize(keys *keystate.State, ledger *archive.Ledger) error {
	size := ledger.Size()
	if size == keys.Signed() || keys.Stale() {
		return nil
	}
	return keys.Update(func(tx *keystate.Tx) error {
		tx.SetSigned(size)
		return nil
	})
}

func (a *app) ledgerConfig(cfg config, t escrow.Tenant, signer note.Signer) archive.Config {
	return archive.Config{Origin: cfg.origin(t), Signer: signer, Now: a.now, Logger: a.logger()}
}

// addTrees gives every retention class of the schedule a key tree.
func (n *node) addTrees(t *tenantNode) error {
	var missing []uint16
	for _, class := range t.Schedule.Classes() {
		_, err := t.Keys.Share(keytree.Ref{Kind: keytree.KindRetention, Tree: class.Number})
		if escrow.KindOf(err) == escrow.NotFound {
			missing = append(missing, class.Number)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return t.Keys.Update(func(tx *keystate.Tx) error {
		for _, number := range missing {
			tx.AddTree(keytree.KindRetention, number)
		}
		return nil
	})
}

// loadDirectory reads the snapshot of the directory. One that is damaged is set aside: everything in it is in the ledger, too.
func (n *node) loadDirectory(t *tenantNode) (*directory.Directory, error) {
	dir, key := n.app.keysDir(t.Name), t.Keys.Secret("directory")
	d, err := directory.Open(n.app.fs, dir, key, t.Keys)
	if kind := escrow.KindOf(err); kind != escrow.Corrupt && kind != escrow.Forged && kind != escrow.Erased {
		return d, err
	}
	n.log.Warn("the snapshot of the subject directory is damaged and is built anew from the ledger", "tenant", t.Name, "err", err)
	if err := n.app.fs.Remove(filepath.Join(dir, "directory")); err != nil {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "remove the damaged directory: %w", err)
	}
	return directory.Open(n.app.fs, dir, key, t.Keys)
}

// openDirectory loads the snapshot of the directory and brings it up to date from the ledger.
func (n *node) openDirectory(ctx context.Context, t *tenantNode) (err error) {
	if t.Directory, err = n.loadDirectory(t); err != nil {
		return err
	}
	t.Disposal = &disposal.Pipeline{Ledger: t.Ledger, Keys: t.Keys, Directory: t.Directory, Logger: n.log,
		Chronicle: chronicle.Chronicle{Source: t.Origin, Now: n.app.now, Rand: n.app.rand}}
	if err := t.Disposal.Resume(ctx); err != nil {
		return err
	}
	if err := ingest.ReplayDirectory(ctx, t.Ledger, &ingest.Opener{Tenant: t.Name, Keys: t.Keys, Sealer: t.sealer}, t.Directory); err != nil {
		return err
	}
	n.onClose(func() error { return t.Directory.Save(t.Ledger.Size()) })
	return nil
}

func (n *node) openIndex(ctx context.Context, t *tenantNode) (err error) {
	leaves, dir := t.Keys.FileLeaves(), n.app.indexDir(t.Name)
	cfg := bleveindex.Config{Rand: n.app.rand, Now: n.app.now, Logger: n.log}
	given := t.Keys.IndexLeaves()
	t.Index, err = bleveindex.Open(ctx, dir, leaves, cfg)
	switch escrow.KindOf(err) {
	case escrow.Erased, escrow.Corrupt, escrow.Forged, escrow.Outdated:
		n.log.Warn("the search index cannot be used and is built anew", "tenant", t.Name, "err", err)
		if err := bleveindex.Remove(dir); err != nil {
			return err
		}
		t.Index, err = bleveindex.Open(ctx, dir, leaves, cfg)
	}
	if err != nil {
		return err
	}
	n.onClose(t.Index.Close)
	if t.Index.Position() > t.Ledger.Size() {
		n.log.Warn("the search index is ahead of the ledger and is built anew", "tenant", t.Name)
		if _, err := t.Index.Reset(ctx); err != nil {
			return err
		}
	}
	t.Indexer = &ingest.Indexer{Ledger: t.Ledger, Opener: t.Opener, Index: t.Index, Schedule: t.Schedule, Erasures: t.Disposal, Logger: n.log}
	t.Disposal.Index = t.Indexer
	n.onClose(t.Disposal.Close)
	inUse, err := t.Index.Leaves(ctx)
	if err != nil {
		return err
	}
	if err := t.Disposal.DestroyOtherFileKeys(given, inUse); err != nil {
		return err
	}
	_, err = t.Disposal.Complete(ctx)
	return err
}

// tenant returns the tenant named, or the only one.
func (n *node) tenant(name escrow.Tenant) (*tenantNode, error) {
	for _, t := range n.tenants {
		if t.Name == name || name == "" && len(n.tenants) == 1 {
			return t, nil
		}
	}
	if name == "" {
		return nil, usage("this archive has %d tenants; name one with --tenant", len(n.tenants))
	}
	return nil, escrow.Errorf("escrow", escrow.NotFound, "there is no tenant %q in this archive", name)
}

// settle waits until what was acknowledged is in the ledger, and the index reflects it.
func (n *node) settle(ctx context.Context) error {
	for _, t := range n.tenants {
		if err := n.intake.drained(ctx, t, n); err != nil {
			return err
		}
		if err := t.Indexer.Follow(ctx, t.Ledger.Size()); err != nil {
			return err
		}
	}
	return nil
}

// settlePoll is how often settle looks whether the log is empty.
const settlePoll = 20 * time.Millisecond
