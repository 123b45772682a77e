package natslog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events"
)

// LogConfig configures the log of one tenant.
type LogConfig struct {
	Tenant   escrow.Tenant
	MaxBytes int64 // of the stream; default DefaultMaxBytes. A full stream refuses new entries and keeps the old.
	Replicas int   // default 1; 3 in a cluster
	// Free returns the bytes free where the log is stored. If it is set, Commit refuses entries when less than MinFree would remain.
	Free    func() (uint64, error)
	MinFree uint64 // default DefaultMinFree
}

// Log is the stream of one tenant's sealed entries, from their acknowledgement until the ledger has them. One goroutine may commit while another
// fetches, acknowledges and purges.
type Log struct {
	conn    *Conn
	cfg     LogConfig
	name    string // of the stream
	subject string
	stream  jetstream.Stream
	replies *replies
	log     *slog.Logger

	commitMu sync.Mutex
	last     uint64   // last sequence in the stream, as far as we know
	pending  *pending // a commit whose outcome is not known yet
	batch    uint64   // number of the next batch id

	fetchMu    sync.Mutex
	inbox      *nats.Subscription
	join       joiner
	delivered  uint64 // sequence of the last message taken over, whole or part
	unacked    []unacked
	unsure     bool   // messages may have been lost between server and us
	reconnects uint64 // as of the last fetch

	createdMu sync.Mutex
	created   time.Time
}

// LogState describes a log's stream.
type LogState struct {
	First, Last uint64 // sequences; Last is First-1 if it is empty
	Msgs, Bytes uint64
	Created     time.Time
}

const consumerName = "SEAL"

// StreamName returns the name of a tenant's stream: ESCROW_LOG_<tenant>.
func StreamName(t escrow.Tenant) string { return "ESCROW_LOG_" + string(t) }

// OpenLog opens the stream of a tenant and the consumer on it, creating what is missing. What was delivered before and not acknowledged will be
// delivered again. Errors are of kind Invalid, Conflict if a stream of that name has another purpose, or Unavailable.
func OpenLog(ctx context.Context, conn *Conn, cfg LogConfig) (*Log, error) {
	const op = "natslog.OpenLog"
	if err := cfg.Tenant.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if size := conn.partSize(); size < minPart {
		return nil, escrow.Errorf(op, escrow.Invalid, "the NATS server's max_payload must be at least %d bytes", minPart+partSlack)
	}
	l := &Log{conn: conn, cfg: cfg, name: StreamName(cfg.Tenant), subject: events.LogSubject(cfg.Tenant), log: conn.log}
	if err := l.openStream(ctx); err != nil {
		return nil, err
	}
	if err := l.openConsumer(ctx); err != nil {
		return nil, err
	}
	var err error
	if l.replies, err = newReplies(conn.nc); err != nil {
		return nil, apiError(op, err)
	}
	if l.inbox, err = conn.nc.SubscribeSync(conn.nc.NewInbox()); err != nil {
		return nil, apiError(op, err)
	}
	if err := l.inbox.SetPendingLimits(-1, -1); err != nil { // bounded by what a fetch asks for
		return nil, apiError(op, err)
	}
	if err := l.Rewind(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func (c LogConfig) withDefaults() LogConfig {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.MinFree == 0 {
		c.MinFree = DefaultMinFree
	}
	return c
}

// streamConfig is the reference configuration of a log stream. Work queues write one record for every acknowledgement, so retention is by limits and
// the sealer purges; nothing may delete single messages; headers that would make messages vanish are off.
func (l *Log) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: l.name, Subjects: []string{l.subject}, Description: "sealed messages on their way into the ledger",
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: l.cfg.Replicas,
		Discard: jetstream.DiscardNew, MaxBytes: l.cfg.MaxBytes, MaxMsgSize: int32(maxPart + partSlack), Duplicates: time.Second,
		AllowAtomicPublish: true, AllowDirect: true, DenyDelete: true, Compression: jetstream.NoCompression,
		Metadata: map[string]string{"escrow.role": "log", "escrow.tenant": string(l.cfg.Tenant)},
	}
}

// openStream creates the stream or adopts the one that is there, whose limits it updates. It never changes a stream that is not a log of ours.
func (l *Log) openStream(ctx context.Context) error {
	const op = "natslog.OpenLog"
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	stream, err := l.conn.js.Stream(ctx, l.name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = l.conn.js.CreateStream(ctx, l.streamConfig())
	case err == nil && stream.CachedInfo().Config.Metadata["escrow.tenant"] != string(l.cfg.Tenant):
		return escrow.Errorf(op, escrow.Conflict, "the stream %s exists and is not a log of this archive: rename or remove it", l.name)
	case err == nil:
		stream, err = l.conn.js.UpdateStream(ctx, l.streamConfig())
	}
	if err != nil {
		return apiError(op, err)
	}
	info := stream.CachedInfo()
	l.stream, l.last = stream, info.State.LastSeq
	l.setCreated(info.Created)
	return nil
}

func (l *Log) openConsumer(ctx context.Context) error {
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	_, err := l.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: consumerName, Description: "the sealer", AckPolicy: jetstream.AckAllPolicy, AckWait: 10 * time.Minute,
		MaxDeliver: -1, MaxAckPending: maxAckPending, MaxWaiting: 8,
	})
	return apiError("natslog.OpenLog", err)
}

func (l *Log) setCreated(t time.Time) {
	l.createdMu.Lock()
	l.created = t
	l.createdMu.Unlock()
}

// Created returns the time the stream was created: with the name, what makes sequences unique.
func (l *Log) Created() time.Time {
	l.createdMu.Lock()
	defer l.createdMu.Unlock()
	return l.created
}

// Tag identifies the stream in ledger records: the first half of the SHA-256 over its name, a zero byte and its time of creation.
func (l *Log) Tag() [16]byte {
	b := append([]byte(l.name), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Created().UnixNano()))
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// Tenant returns the tenant whose log this is.
func (l *Log) Tenant() escrow.Tenant { return l.cfg.Tenant }

// Name returns the name of the stream.
func (l *Log) Name() string { return l.name }

// State asks for the stream's state. Errors are of kind NotFound if the stream is gone, or Unavailable.
func (l *Log) State(ctx context.Context) (LogState, error) {
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	info, err := l.stream.Info(ctx)
	if err != nil {
		return LogState{}, apiError("natslog.State", err)
	}
	s := info.State
	return LogState{First: s.FirstSeq, Last: s.LastSeq, Msgs: s.Msgs, Bytes: s.Bytes, Created: info.Created}, nil
}

// Purge removes the messages up to and including a sequence. Only what is durable in the ledger may be purged.
func (l *Log) Purge(ctx context.Context, upTo uint64) error {
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	return apiError("natslog.Purge", l.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)))
}

// Close ends the subscriptions of the log. The stream stays.
func (l *Log) Close() error {
	err := errors.Join(l.inbox.Unsubscribe(), l.replies.close())
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return apiError("natslog.Close", err)
	}
	return nil
}

// apiError turns an error of the JetStream client into one of ours; nil stays nil.
func apiError(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return escrow.Errorf(op, escrow.NotFound, "%w", err)
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return escrow.Errorf(op, escrow.Unavailable, "the NATS server or account has no JetStream: enable it: %w", err)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return escrow.Errorf(op, kindOfCode(api.Code), "JetStream: %s (%d)", api.Description, api.ErrorCode)
	}
	return escrow.Errorf(op, escrow.Unavailable, "JetStream does not answer: %w", err)
}

func kindOfCode(code int) escrow.Kind {
	switch code {
	case 400:
		return escrow.Invalid
	case 404:
		return escrow.NotFound
	case 401, 403:
		return escrow.Denied
	}
	return escrow.Unavailable
}

// checkSpace refuses what would leave less than MinFree on the disk. Batches are staged before they are stored, so they count twice.
func (l *Log) checkSpace(bytes int) error {
	const op = "natslog.Commit"
	if l.cfg.Free == nil {
		return nil
	}
	free, err := l.cfg.Free()
	if err != nil {
		return escrow.Errorf(op, escrow.Unavailable, "cannot find out how much disk space is left: %w", err)
	}
	if need := l.cfg.MinFree + 2*uint64(bytes); free < need {
		return escrow.Errorf(op, escrow.Unavailable, "the archive's disk is full: %d MiB free, %s needed: make room, then publish again", free>>20, mib(need))
	}
	return nil
}

func mib(n uint64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
