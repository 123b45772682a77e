package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest"
)

// intakeNode is the part of a node that takes messages in.
type intakeNode struct {
	server  *natslog.Server // nil with an external NATS
	conn    *natslog.Conn   // of the intake and of imports
	logConn *natslog.Conn   // of the logs
	logs    map[escrow.Tenant]*natslog.Log
	marks   map[escrow.Tenant]*natslog.Mark
	intake  *natslog.Intake
	seals   map[escrow.Tenant]*ingest.Sealer
}

// openLog starts or reaches NATS, opens the logs, and seals what is in them before anything new is taken.
func (n *node) openLog(ctx context.Context, opt nodeOptions) error {
	in := &intakeNode{logs: map[escrow.Tenant]*natslog.Log{}, marks: map[escrow.Tenant]*natslog.Mark{}, seals: map[escrow.Tenant]*ingest.Sealer{}}
	n.intake = in
	if err := n.connect(ctx, opt); err != nil {
		return err
	}
	gate := &ingest.Gate{Tenants: map[escrow.Tenant]*ingest.Entrance{}}
	cfg := natslog.IntakeConfig{Now: n.app.now, Counters: map[escrow.Tenant]map[[16]byte]uint64{}, Marks: in.marks, Importers: n.importers(), Logger: n.log}
	for _, t := range n.living() {
		if err := n.openTenantLog(ctx, t); err != nil {
			return escrow.Errorf("escrow", escrow.KindOf(err), "tenant %s: %w", t.Name, err)
		}
		cfg.Counters[t.Name] = t.Ledger.Streams()
		gate.Tenants[t.Name] = n.entrance(t)
	}
	intake, err := natslog.NewIntake(in.conn, in.logs, gate, cfg)
	if err != nil {
		return err
	}
	in.intake = intake
	n.api.NATS = in.url(n.cfg)
	if in.server != nil {
		n.api.Platforms = &platformFile{app: n.app, apply: in.server.SetPlatforms}
	}
	return nil
}

// importers may publish imports, which are larger: the operator's platform, and what runs within this process. On an external server nobody can be told apart.
func (n *node) importers() []string {
	if n.intake.server == nil {
		return []string{localPlatform}
	}
	return []string{"", localPlatform}
}

// connect starts the embedded NATS server, or reaches the configured one. The logs have a connection of their own, so that sealing and taking in do not wait
// for each other.
func (n *node) connect(ctx context.Context, opt nodeOptions) (err error) {
	dial := n.dial
	if n.cfg.NATS.URL == "" {
		if err := n.startServer(ctx, opt); err != nil {
			return err
		}
		dial = n.intake.server.Connect
	}
	for _, conn := range []**natslog.Conn{&n.intake.conn, &n.intake.logConn} {
		if *conn, err = dial(ctx); err != nil {
			return err
		}
		n.onClose((*conn).Close)
	}
	return nil
}

func (n *node) dial(ctx context.Context) (*natslog.Conn, error) {
	c := n.cfg.NATS
	return natslog.Dial(ctx, natslog.DialConfig{URL: c.URL, NKeySeedFile: c.NKey, CredsFile: c.Creds, CAFile: c.CA, Logger: n.log})
}

func (n *node) startServer(ctx context.Context, opt nodeOptions) error {
	platforms, err := n.app.loadPlatforms()
	if err != nil {
		return err
	}
	cfg := natslog.ServerConfig{StoreDir: n.app.path("nats"), Host: n.cfg.NATS.Host, Port: n.cfg.NATS.Port, Platforms: platforms, Logger: n.log}
	if opt.port != 0 {
		cfg.Port = opt.port
	}
	if opt.private {
		cfg.Port, cfg.Platforms = -1, nil
	}
	if n.intake.server, err = natslog.StartServer(ctx, cfg); err != nil {
		return err
	}
	n.onClose(n.intake.server.Close)
	return nil
}

// url is where platforms connect.
func (in *intakeNode) url(c config) string {
	if in.server != nil {
		return in.server.URL()
	}
	return c.NATS.URL
}

// openTenantLog opens the log of a tenant, and empties it into the ledger.
func (n *node) openTenantLog(ctx context.Context, t *tenantNode) error {
	cfg := natslog.LogConfig{Tenant: t.Name}
	if n.intake.server != nil {
		cfg.Free = n.app.free
	}
	log, err := natslog.OpenLog(ctx, n.intake.logConn, cfg)
	if err != nil {
		return err
	}
	n.onClose(log.Close)
	mark, err := natslog.OpenMark(n.app.fs, n.app.markPath(t.Name))
	if err != nil {
		return err
	}
	n.onClose(mark.Close)
	sealer := &ingest.Sealer{Log: log, Ledger: t.Ledger, Keys: t.Keys, Seal: t.sealer, Recorder: t.recorder, Events: n.chronicle(t), Now: n.app.now, Logger: n.log}
	n.intake.logs[t.Name], n.intake.marks[t.Name], n.intake.seals[t.Name] = log, mark, sealer
	sealer.Sealed = func(tags [][16]byte) {
		if n.intake.intake != nil { // nil while the log is emptied at the start
			n.intake.intake.Sealed(t.Name, tags)
		}
	}
	t.Waiting, t.Acknowledged = sealer.Waiting, mark.Counters
	if err := sealer.Drain(ctx); err != nil {
		return err
	}
	n.reportMissing(t, mark)
	return nil
}

// behindLog reports whether messages were acknowledged that the ledger does not have.
func (n *node) behindLog() bool { return slices.ContainsFunc(n.living(), n.behind) }

// behind is behindLog for one tenant. A watermark that cannot be read says yes: looking costs little.
func (n *node) behind(t *tenantNode) bool {
	acknowledged, bad, err := natslog.ReadMark(n.app.fs, n.app.markPath(t.Name))
	if err != nil || bad > 0 {
		return true
	}
	sealed := t.Ledger.Streams()
	for tag, counter := range acknowledged {
		if counter > sealed[tag] {
			return true
		}
	}
	return false
}

func (a *app) markPath(t escrow.Tenant) string { return a.path("tenants", string(t), "mark") }

// reportMissing compares the watermark with the ledger: what was acknowledged and is in neither log nor ledger is lost.
func (n *node) reportMissing(t *tenantNode, mark *natslog.Mark) {
	sealed := t.Ledger.Streams()
	for tag, counter := range mark.Counters() {
		if counter > sealed[tag] {
			n.log.Error("acknowledged messages are missing from the log; the next message of the channel will record it in the ledger",
				"tenant", t.Name, "from", sealed[tag]+1, "to", counter)
		}
	}
}

// entrance is what the gate needs of a tenant.
func (n *node) entrance(t *tenantNode) *ingest.Entrance {
	return &ingest.Entrance{Keys: t.Keys, Sealer: t.sealer, Ledger: t.Ledger, Opener: t.Opener, Recorder: t.recorder,
		OnceKey: t.Keys.Secret("once"), TagKey: t.Keys.Secret("tag")}
}

// start runs the background parts.
func (n *node) start(ctx, background context.Context) error {
	if n.intake == nil {
		return nil
	}
	n.background(background, "intake", n.intake.intake.Run)
	for _, t := range n.living() {
		t.Intake, t.Halted, t.Live = n.intake.intake.Stats, n.trouble(t, n.intake.seals[t.Name]), true
		n.background(background, "sealer", n.intake.seals[t.Name].Run)
		n.background(background, "indexer", t.Indexer.Run)
		n.background(background, "disposal", t.Disposal.Run)
	}
	return n.listening(ctx)
}

// listening waits until what platforms publish is handed over: before that a publish is answered by nobody, and comes again out of its order.
func (n *node) listening(ctx context.Context) error {
	tick := time.NewTicker(listenPoll)
	defer tick.Stop()
	for !n.intake.intake.Listening() {
		select {
		case <-ctx.Done():
			return escrow.Errorf("escrow", escrow.Unavailable, "stopped before the intake listened: %w", ctx.Err())
		case <-n.failed():
			return n.failure()
		case <-tick.C:
		}
	}
	return nil
}

// listenPoll is how often listening looks; it takes a millisecond or two.
const listenPoll = time.Millisecond

// trouble returns what tells why a tenant's messages are not sealed or indexed at the moment.
func (n *node) trouble(t *tenantNode, s *ingest.Sealer) func() error {
	return func() error { return errors.Join(n.failure(), s.Trouble(), t.Indexer.Trouble()) }
}

// drained waits until everything acknowledged so far is sealed.
func (in *intakeNode) drained(ctx context.Context, t *tenantNode, n *node) error {
	for {
		waiting, err := t.Waiting(ctx)
		if err != nil || waiting == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.failed():
			return n.failure()
		case <-time.After(settlePoll):
		}
	}
}

// free returns the bytes free where the data directory is.
func (a *app) free() (uint64, error) {
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return 0, err
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
