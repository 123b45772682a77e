package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
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
	if err == nil {
		err = cfg.Erasure.terms().Check() // together with what the root stores report it is checked again
	}
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
	n.api = &server.Archive{Tenants: map[escrow.Tenant]*server.Tenant{}, Version: version(), Now: a.now, Logger: n.log, Platforms: &platformFile{app: a},
		Home: a.home(cfg)}
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

// openTenant opens keys, ledger and pipeline of one tenant, has every erasure in the ledger repeated on the keys, and only then opens what reads. Of a
// tenant that was erased as a whole nothing else is opened.
func (n *node) openTenant(ctx context.Context, name escrow.Tenant, cfg *tenantConfig) (*tenantNode, error) {
	t, err := n.openKeys(ctx, name)
	if err != nil {
		return nil, err
	}
	t.Schedule = cfg.schedule
	if err := n.openLedger(ctx, t); err != nil {
		return nil, err
	}
	if err := n.openGate(ctx, t); err != nil {
		return nil, err
	}
	t.Opener = &ingest.Opener{Tenant: name, Keys: t.Keys, Sealer: t.sealer, Guard: t.Disposal}
	if t.Keys.Terminated() {
		return t, n.endTenant(ctx, t)
	}
	if err := n.addTrees(t); err != nil {
		return nil, err
	}
	if err := ingest.ReplayDirectory(ctx, t.Ledger, t.Opener, t.Directory); err != nil {
		return nil, err
	}
	n.onClose(func() error { return saveDirectory(t) })
	if err := n.openIndex(ctx, t); err != nil {
		return nil, err
	}
	t.recorder = &ingest.Recorder{Tenant: name, Region: n.cfg.Region, Keys: t.Keys, Directory: t.Directory, Sealer: t.sealer,
		Schedule: cfg.schedule, Channels: cfg.Channels, Rand: n.app.rand}
	return t, nil
}

// openKeys reaches the root stores and opens the key state under them.
func (n *node) openKeys(ctx context.Context, name escrow.Tenant) (*tenantNode, error) {
	a := n.app
	cfg, err := a.keysConfig(ctx, n.cfg, place{name, name})
	if err != nil {
		return nil, err
	}
	keys, err := keystate.Open(ctx, a.fs, a.keysDir(name), cfg)
	if escrow.KindOf(err) == escrow.NotFound {
		return nil, escrow.Errorf("escrow", escrow.Corrupt, "the keys are missing, and without them nothing can be read; restore %s from a backup: %w", a.keysDir(name), err)
	}
	if err != nil {
		return nil, err
	}
	n.onClose(keys.Close)
	origin := n.cfg.origin(name)
	signer, err := sign.NewSigner(origin, keys.SigningKey())
	if err != nil {
		return nil, err
	}
	sealer, err := seal.New(a.rand)
	if err != nil {
		return nil, err
	}
	return &tenantNode{sealer: sealer, Tenant: &server.Tenant{
		Name: name, Origin: origin, Signer: signer, Keys: keys,
	}}, nil
}

func (n *node) openLedger(ctx context.Context, t *tenantNode) (err error) {
	t.Ledger, err = archive.Open(ctx, n.app.fs, n.app.ledgerDir(t.Name), n.app.ledgerConfig(n.cfg, t.Name, t.Signer))
	if err == nil {
		n.onClose(t.Ledger.Close)
	}
	return err
}

// openGate opens the pipeline and goes through its gate.
func (n *node) openGate(ctx context.Context, t *tenantNode) (err error) {
	if t.Directory, err = n.loadDirectory(t); err != nil {
		return err
	}
	t.Disposal, err = disposal.Open(ctx, disposal.Config{
		Ledger: t.Ledger, Keys: t.Keys, Directory: t.Directory, Sealer: t.sealer, Terms: n.cfg.Erasure.terms(), Now: n.app.now, Logger: n.log,
		Chronicle: n.chronicle(t),
		Sealed:    func(ctx context.Context) (bool, error) { return n.sealed(ctx, t) }, Certify: t.Certify,
	})
	if err != nil {
		return err
	}
	n.onClose(t.Disposal.KeepSize)
	n.onClose(t.Disposal.Close)
	return t.Disposal.Gate(ctx)
}

// chronicle makes the event records of a tenant.
func (n *node) chronicle(t *tenantNode) chronicle.Chronicle {
	return chronicle.Chronicle{Source: t.Origin, Now: n.app.now, Rand: n.app.rand}
}

// sealed reports whether the ledger has everything that was acknowledged. Without a log open here nothing new comes, and the watermark tells what came.
func (n *node) sealed(ctx context.Context, t *tenantNode) (bool, error) {
	if t.Waiting == nil {
		return !n.behind(t), nil
	}
	return t.Sealed(ctx)
}

// endTenant removes what is left of a tenant that was erased as a whole, and destroys its last roots.
func (n *node) endTenant(ctx context.Context, t *tenantNode) error {
	t.Disposal.Attach(goneIndex{n.app.indexDir(t.Name)})
	_, err := t.Disposal.Advance(ctx, disposal.Options{})
	return err
}

// goneIndex is the index of a tenant that was erased as a whole.
type goneIndex struct{ dir string }

// Reach implements disposal.Index: there is nothing to reach.
func (goneIndex) Reach(context.Context, escrow.TreeSize) (removed, redacted int, err error) {
	return 0, 0, nil
}

// Purge implements disposal.Index.
func (x goneIndex) Purge(ctx context.Context) ([]uint32, error) { return x.Reset(ctx) }

// Reset implements disposal.Index. The keys of the files are gone with all others.
func (x goneIndex) Reset(context.Context) ([]uint32, error) { return nil, bleveindex.Remove(x.dir) }

// saveDirectory saves the subject directory, unless its keys are gone with the tenant.
func saveDirectory(t *tenantNode) error {
	if t.Keys.Terminated() {
		return nil
	}
	return t.Directory.Save(t.Ledger.Size())
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

// loadDirectory reads the snapshot of the directory. One that is damaged, or older than an erasure, is set aside: everything in it is in the ledger, too.
func (n *node) loadDirectory(t *tenantNode) (*directory.Directory, error) {
	dir, key := n.app.keysDir(t.Name), t.Keys.Secret("directory")
	d, err := directory.Open(n.app.fs, dir, key, t.Keys)
	if kind := escrow.KindOf(err); err == nil || kind != escrow.Corrupt && kind != escrow.Forged && kind != escrow.Erased {
		return d, err
	}
	if !t.Keys.Terminated() {
		n.log.Warn("the snapshot of the subject directory cannot be used and is built anew from the ledger", "tenant", t.Name, "err", err)
	}
	if err := n.app.fs.Remove(filepath.Join(dir, "directory")); err != nil {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "remove the directory that cannot be used: %w", err)
	}
	return directory.Open(n.app.fs, dir, key, t.Keys)
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
	t.Indexer = &ingest.Indexer{Ledger: t.Ledger, Opener: t.Opener, Index: t.Index, Erasures: t.Disposal, Logger: n.log}
	t.Disposal.Attach(t.Indexer)
	n.onClose(t.Disposal.Close)
	inUse, err := t.Index.Leaves(ctx)
	if err != nil {
		return err
	}
	if err := t.Disposal.DestroyOtherFileKeys(ctx, given, inUse); err != nil {
		return err
	}
	_, err = t.Disposal.Complete(ctx)
	return err
}

// living are the tenants that were not erased as a whole when they were opened.
func (n *node) living() []*tenantNode {
	return slices.DeleteFunc(slices.Clone(n.tenants), func(t *tenantNode) bool { return t.Indexer == nil })
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
	for _, t := range n.living() {
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
