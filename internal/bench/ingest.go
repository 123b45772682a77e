package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/ingest"
	"escrow/internal/vfs"
)

// ingest compares the intake, from a platform's publish to its acknowledgement, with JetStream taking the same payloads in atomic batches. Both
// acknowledge what is synced to the disk, both are reached over loopback TCP.
func (b *bench) ingest(ctx context.Context) (rows []Row, err error) {
	opened := len(b.closed)
	defer func() {
		if closing := b.closeFrom(opened); err == nil {
			err = closing
		}
	}()
	ours, err := b.newDoor(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := b.newBareLog(ctx)
	if err != nil {
		return nil, err
	}
	n := b.cfg.Messages
	mails := func(round int) letters {
		return letters{words: b.words, name: fmt.Sprint("i", round), size: smallBytes, total: n}
	}
	o, r, err := b.duel(ctx,
		func(ctx context.Context, round int) (cost, error) {
			return b.publish(ctx, mails(round), ours.publish)
		},
		func(ctx context.Context, round int) (cost, error) {
			return b.publish(ctx, mails(round), bare.publish)
		},
	)
	if err != nil {
		return nil, err
	}
	row := Row{Name: "ingest", Goal: 0.7, Detail: fmt.Sprintf("intake, %d B, one connection, %d in flight; bare: JetStream alone, sync always, "+
		"atomic batches of %d", smallBytes, window, batch)}
	return []Row{row.rates("msg/s", float64(n), o, r)}, nil
}

// publish makes payloads up in chunks and hands them to a side; only that is measured.
func (b *bench) publish(ctx context.Context, l letters, send func(context.Context, [][]byte) error) (cost, error) {
	w := b.watch()
	for from := 0; from < b.cfg.Messages; from += chunk {
		payloads := make([][]byte, min(chunk, b.cfg.Messages-from))
		for i := range payloads {
			payloads[i] = l.letter(from + i)
		}
		w.start()
		if err := send(ctx, payloads); err != nil {
			return cost{}, err
		}
		w.stop()
	}
	return w.total, nil
}

// door is the archive's intake with a platform in front of it.
type door struct {
	js      jetstream.JetStream
	failure chan error // the first publish that failed
}

// newDoor starts a server and an intake, and connects a platform.
func (b *bench) newDoor(ctx context.Context) (*door, error) {
	t, err := b.found(ctx, "ingest")
	if err != nil {
		return nil, err
	}
	seed, public, err := natslog.NewSeed()
	if err != nil {
		return nil, err
	}
	platform := natslog.Platform{Name: "bench", NKey: public, Publish: []string{events.InSubject(tenantName, channel)}}
	server, err := natslog.StartServer(ctx, natslog.ServerConfig{StoreDir: t.path("nats"), Port: -1, Platforms: []natslog.Platform{platform}})
	if err != nil {
		return nil, err
	}
	b.onClose(server.Close)
	if err := b.runIntake(ctx, t, server); err != nil {
		return nil, err
	}
	file := filepath.Join(t.dir, "platform.nk")
	if err := vfs.WriteFileAtomic(b.cfg.FS, file, seed, 0o600); err != nil {
		return nil, diskError(err)
	}
	return b.knock(server.URL(), file)
}

// runIntake runs the intake until the bench closes.
func (b *bench) runIntake(ctx context.Context, t *tenant, server *natslog.Server) error {
	conn, err := server.Connect(ctx)
	if err != nil {
		return err
	}
	b.onClose(conn.Close)
	log, err := natslog.OpenLog(ctx, conn, natslog.LogConfig{Tenant: tenantName})
	if err != nil {
		return err
	}
	b.onClose(log.Close)
	mark, err := natslog.OpenMark(b.cfg.FS, t.path("mark"))
	if err != nil {
		return err
	}
	b.onClose(mark.Close)
	gate := &ingest.Gate{Tenants: map[escrow.Tenant]*ingest.Entrance{tenantName: t.entrance()}}
	intake, err := natslog.NewIntake(conn, map[escrow.Tenant]*natslog.Log{tenantName: log}, gate, natslog.IntakeConfig{
		Now: b.cfg.Now, Marks: map[escrow.Tenant]*natslog.Mark{tenantName: mark},
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- intake.Run(running) }()
	b.onClose(func() error { stop(); return <-ended })
	return b.listening(ctx, intake)
}

// listening waits until the intake hears what platforms publish.
func (b *bench) listening(ctx context.Context, intake *natslog.Intake) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !intake.Listening() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return escrow.Errorf("bench.Ingest", escrow.Unavailable, "stopped: %w", ctx.Err())
		}
	}
	return nil
}

// knock connects as a platform does, with nothing but a NATS client.
func (b *bench) knock(url, seedFile string) (*door, error) {
	const op = "bench.Ingest"
	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "%w", err)
	}
	nc, err := nats.Connect(url, key)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "%w", err)
	}
	b.onClose(func() error { nc.Close(); return nil })
	d := &door{failure: make(chan error, 1)}
	d.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window), jetstream.WithPublishAsyncErrHandler(d.failed))
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "%w", err)
	}
	return d, nil
}

func (d *door) failed(_ jetstream.JetStream, _ *nats.Msg, err error) {
	select {
	case d.failure <- err:
	default:
	}
}

// publish publishes all payloads and returns when each is acknowledged.
func (d *door) publish(ctx context.Context, payloads [][]byte) error {
	const op = "bench.Ingest"
	to := events.InSubject(tenantName, channel)
	for _, p := range payloads {
		if _, err := d.js.PublishMsgAsync(&nats.Msg{Subject: to, Data: p}, jetstream.WithStallWait(stall)); err != nil {
			return escrow.Errorf(op, escrow.Unavailable, "publish: %w", err)
		}
	}
	select {
	case <-d.js.PublishAsyncComplete():
	case <-ctx.Done():
		return escrow.Errorf(op, escrow.Unavailable, "stopped: %w", ctx.Err())
	}
	select {
	case err := <-d.failure:
		return escrow.Errorf(op, escrow.Unavailable, "a publish failed: %w", err)
	default:
		return nil
	}
}

// stall is how long a publish may wait for room in the window: a disk that is busy takes seconds.
const stall = time.Minute
