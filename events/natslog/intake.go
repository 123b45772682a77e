package natslog

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"escrow"
	"escrow/events"
)

// IntakeConfig configures the intake. Now is required.
type IntakeConfig struct {
	Now func() time.Time
	// Counters are the highest counters per channel tag in ledger and log, per tenant; the intake goes on from there, or from the watermark if that
	// is higher.
	Counters map[escrow.Tenant]map[[16]byte]uint64
	// Pending are deduplication tags of entries in the log that are not in the ledger yet, with their sequences. Retries of those are told to come
	// back, because their content cannot be compared.
	Pending map[escrow.Tenant]map[[16]byte]uint64
	// Marks are the watermark files. Run does not close them.
	Marks map[escrow.Tenant]*Mark
	// Importers are the publishers that may send the header Escrow-Import; "" stands for those on the archive's own account.
	Importers []string

	MaxPayload      int           // default escrow.MaxPayload; imports have escrow.MaxImport
	MaxWaiting      int           // messages per tenant; default DefaultMaxWaiting
	MaxWaitingBytes int64         // over all tenants; default DefaultMaxWaitingBytes
	CommitTimeout   time.Duration // default DefaultCommitTimeout
	Logger          *slog.Logger  // default: discard
}

// Intake answers what platforms publish. Its methods are safe for concurrent use.
type Intake struct {
	conn   *Conn
	gate   Gate
	cfg    IntakeConfig
	shards map[escrow.Tenant]*shard
	who    publishers
	stats  counts
	bytes  atomic.Int64 // payload bytes waiting
	open   atomic.Bool
}

// NewIntake returns an intake for the tenants whose logs are given. Run starts it. conn is best another connection than that of the logs, so that
// answers and stores do not wait for each other.
func NewIntake(conn *Conn, logs map[escrow.Tenant]*Log, gate Gate, cfg IntakeConfig) (*Intake, error) {
	const op = "natslog.NewIntake"
	if cfg.Now == nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "no clock is configured")
	}
	i := &Intake{conn: conn, gate: gate, cfg: cfg.withDefaults(), shards: make(map[escrow.Tenant]*shard, len(logs))}
	for t, l := range logs {
		counters := maxCounters(cfg.Counters[t], cfg.Marks[t])
		i.shards[t] = &shard{
			intake: i, log: l, mark: cfg.Marks[t], book: newBook(counters, cfg.Pending[t]),
			queue: make(chan *nats.Msg, i.cfg.MaxWaiting), ready: make(chan *group, 1), done: make(chan *group, 1),
		}
	}
	return i, nil
}

func (c IntakeConfig) withDefaults() IntakeConfig {
	if c.MaxPayload == 0 {
		c.MaxPayload = escrow.MaxPayload
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = DefaultMaxWaiting
	}
	if c.MaxWaitingBytes == 0 {
		c.MaxWaitingBytes = DefaultMaxWaitingBytes
	}
	if c.CommitTimeout == 0 {
		c.CommitTimeout = DefaultCommitTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func maxCounters(known map[[16]byte]uint64, mark *Mark) map[[16]byte]uint64 {
	out := map[[16]byte]uint64{}
	if mark != nil {
		out = mark.Counters()
	}
	for tag, counter := range known {
		out[tag] = max(out[tag], counter)
	}
	return out
}

// queueGroup lets several intakes share the subjects; each tenant must still be served by one only, which the guarded stores enforce.
const queueGroup = "escrow-intake"

// Run serves until ctx ends; then it stops listening, commits and answers what has arrived, and returns nil. Errors are of kind Unavailable.
func (i *Intake) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	for _, s := range i.shards {
		running.Go(func() { s.prepare(work) })
		running.Go(func() { s.commit(work) })
		running.Go(s.answers)
	}
	err := i.listen(ctx)
	for _, s := range i.shards {
		close(s.queue)
	}
	timer := time.AfterFunc(drainTimeout, cancel)
	defer timer.Stop()
	running.Wait()
	return err
}

// listen subscribes, waits for ctx to end, and then until nothing is handed over any more.
func (i *Intake) listen(ctx context.Context) error {
	const op = "natslog.Run"
	subs := make([]*nats.Subscription, 0, 2)
	ended := make(chan struct{}, cap(subs))
	for _, natsSubject := range []string{events.InAll, refusedAll} {
		sub, err := i.conn.nc.QueueSubscribe(natsSubject, queueGroup, i.receive)
		if err != nil {
			return errors.Join(escrow.Errorf(op, escrow.Unavailable, "subscribe: %w", err), drain(subs, ended))
		}
		sub.SetClosedHandler(func(string) { ended <- struct{}{} })
		subs = append(subs, sub)
		if err := sub.SetPendingLimits(-1, int(max(2*i.cfg.MaxWaitingBytes, maxUnread))); err != nil {
			return errors.Join(escrow.Errorf(op, escrow.Unavailable, "subscribe: %w", err), drain(subs, ended))
		}
	}
	if err := i.conn.nc.FlushTimeout(requestTimeout); err != nil {
		return errors.Join(escrow.Errorf(op, escrow.Unavailable, "subscribe: %w", err), drain(subs, ended))
	}
	i.open.Store(true)
	defer i.open.Store(false)
	<-ctx.Done()
	return drain(subs, ended)
}

// Listening reports whether the server hands over what platforms publish.
func (i *Intake) Listening() bool { return i.open.Load() && i.conn.Connected() }

// drain ends subscriptions after what has arrived was handed over.
func drain(subs []*nats.Subscription, ended <-chan struct{}) error {
	timeout := time.After(drainTimeout)
	for _, sub := range subs {
		if err := sub.Drain(); err != nil { // the connection is closed, so nothing comes any more
			continue
		}
		select {
		case <-ended:
		case <-timeout:
			return escrow.Errorf("natslog.Run", escrow.Unavailable, "the connection does not give up its messages in time")
		}
	}
	return nil
}

// receive takes one message off the connection. It must be quick: it decides on the subject alone and never waits.
func (i *Intake) receive(m *nats.Msg) {
	const op = "natslog.Intake"
	if strings.HasPrefix(m.Subject, refusedPrefix) {
		i.refuse(m, "", i.publisher(m), escrow.Errorf(op, escrow.Denied, "this platform may not publish to escrow.in.%s: ask the archive's operator", m.Subject[len(refusedPrefix):]))
		return
	}
	tenant, _, err := events.ParseInSubject(m.Subject)
	if err != nil {
		i.refuse(m, "", i.publisher(m), err)
		return
	}
	s := i.shards[tenant]
	if s == nil {
		i.refuse(m, "", i.publisher(m), escrow.Errorf(op, escrow.NotFound, "there is no tenant %s here: check the subject", tenant))
		return
	}
	size := int64(m.Size())
	if i.bytes.Add(size) > i.cfg.MaxWaitingBytes && len(s.queue) > 0 {
		i.busy(m, s, size)
		return
	}
	select {
	case s.queue <- m:
	default:
		i.busy(m, s, size)
	}
}

func (i *Intake) busy(m *nats.Msg, s *shard, size int64) {
	i.bytes.Add(-size)
	i.refuse(m, s.log.name, i.publisher(m), escrow.Errorf("natslog.Intake", escrow.Unavailable, "the archive is busy: publish again, with fewer messages in flight"))
}

// refuse answers with an error, or logs it if there is nowhere to answer.
func (i *Intake) refuse(m *nats.Msg, stream, publisher string, err error) {
	kind := escrow.KindOf(err)
	i.stats.refuse(kind, m.Reply != "")
	if m.Reply == "" {
		i.cfg.Logger.Warn("a publish without reply subject was refused", slog.String("kind", kind.String()), slog.String("publisher", publisher))
		return
	}
	if kind == escrow.Internal {
		i.cfg.Logger.Error("a publish was refused", slog.Any("error", err))
	}
	i.respond(m, errorJSON(stream, err))
}

func (i *Intake) respond(m *nats.Msg, answer []byte) {
	if m.Reply == "" {
		return
	}
	if err := i.conn.nc.Publish(m.Reply, answer); err != nil {
		i.cfg.Logger.Warn("an answer could not be sent; the platform will publish again", slog.Any("error", err))
	}
}

// publisher names who published, if that can be trusted.
func (i *Intake) publisher(m *nats.Msg) string {
	if !i.conn.trusted {
		return ""
	}
	return i.who.name(m.Header)
}

// Sealed tells the intake that entries with these deduplication tags are in the ledger, where the gate finds them from now on.
func (i *Intake) Sealed(t escrow.Tenant, tags [][16]byte) {
	if s := i.shards[t]; s != nil {
		s.book.sealed(tags)
	}
}

// Stats returns the present counts.
func (i *Intake) Stats() IntakeStats {
	s := i.stats.copy()
	s.Dropped = i.conn.dropped.Load()
	for _, sh := range i.shards {
		s.Waiting += len(sh.queue)
	}
	return s
}

func (i *Intake) mayImport(publisher string) bool { return slices.Contains(i.cfg.Importers, publisher) }
