package main

import (
	"context"
	"path/filepath"
	"syscall"
	"time"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest"
)

// intakeNode is the part of a node that takes messages in.
type intakeNode struct {
	server *natslog.Server // nil with an external NATS
	conn   *natslog.Conn
	logs   map[escrow.Tenant]*natslog.Log
	marks  map[escrow.Tenant]*natslog.Mark
	intake *natslog.Intake
	seals  map[escrow.Tenant]*ingest.Sealer
}

// openLog starts or reaches NATS, opens the logs, and seals what is in them before anything new is taken.
func (n *node) openLog(ctx context.Context, opt nodeOptions) error {
	in := &intakeNode{logs: map[escrow.Tenant]*natslog.Log{}, marks: map[escrow.Tenant]*natslog.Mark{}, seals: map[escrow.Tenant]*ingest.Sealer{}}
	n.intake = in
	if err := n.connect(ctx, opt); err != nil {
		return err
	}
	gate := &ingest.Gate{Tenants: map[escrow.Tenant]*ingest.Entrance{}}
	cfg := natslog.IntakeConfig{Now: n.app.now, Counters: map[escrow.Tenant]map[[16]byte]uint64{}, Marks: in.marks, Importers: []string{"", localPlatform}, Logger: n.log}
	for _, t := range n.tenants {
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
		n.api.Platforms = platformFile{app: n.app, apply: in.server.SetPlatforms}
	}
	return nil
}

// connect starts the embedded NATS server, or reaches the configured one.
func (n *node) connect(ctx context.Context, opt nodeOptions) (err error) {
	in, c := n.intake, n.cfg.NATS
	if c.URL != "" {
		in.conn, err = natslog.Dial(ctx, natslog.DialConfig{URL: c.URL, NKeySeedFile: c.NKey, CredsFile: c.Creds, CAFile: c.CA, Logger: n.log})
		if err == nil {
			n.onClose(in.conn.Close)
		}
		return err
	}
	platforms, err := n.app.loadPlatforms()
	if err != nil {
		return err
	}
	cfg := natslog.ServerConfig{StoreDir: n.app.path("nats"), Host: c.Host, Port: c.Port, Platforms: platforms, Logger: n.log}
	if opt.port != 0 {
		cfg.Port = opt.port
	}
	if opt.private {
		cfg.Port, cfg.Platforms = -1, nil
	}
	if in.server, err = natslog.StartServer(ctx, cfg); err != nil {
		return err
	}
	n.onClose(in.server.Close)
	if in.conn, err = in.server.Connect(ctx); err == nil {
		n.onClose(in.conn.Close)
	}
	return err
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
	log, err := natslog.OpenLog(ctx, n.intake.conn, cfg)
	if err != nil {
		return err
	}
	n.onClose(log.Close)
	mark, err := natslog.OpenMark(n.app.fs, n.app.path("tenants", string(t.Name), "mark"))
	if err != nil {
		return err
	}
	n.onClose(mark.Close)
	sealer := &ingest.Sealer{Log: log, Ledger: t.Ledger, Keys: t.Keys, Seal: t.sealer, Recorder: t.recorder, Events: t.Disposal.Chronicle, Now: n.app.now, Logger: n.log}
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
func (n *node) start(_, background context.Context) error {
	if n.intake == nil {
		return nil
	}
	n.background(background, "intake", n.intake.intake.Run)
	for _, t := range n.tenants {
		t.Intake, t.Halted, t.Live = n.intake.intake.Stats, n.failure, true
		n.background(background, "sealer", n.intake.seals[t.Name].Run)
		n.background(background, "indexer", t.Indexer.Run)
	}
	return nil
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
