package natslog

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events"
)

// PublisherConfig configures a Publisher. URL, Tenant and Channel are required.
type PublisherConfig struct {
	URL          string
	NKeySeedFile string
	CredsFile    string
	CAFile       string
	Tenant       escrow.Tenant
	Channel      escrow.Channel
	Window       int // asynchronous publishes in flight; default 1000. Publishing more waits.
	Logger       *slog.Logger
}

// defaultWindow keeps a group commit full while the one before it is answered.
const defaultWindow = 1000

// PublishMsg is one message to publish.
type PublishMsg struct {
	ID          string // Nats-Msg-Id; "" lets the archive use channel and message id
	ContentType string // default application/json
	Header      map[string][]string
	Data        []byte
}

// Ack says that a message is validated, sealed and durable.
type Ack struct {
	Stream    string
	Seq       uint64
	Duplicate bool // it was stored before
}

// Publisher publishes messages of one channel. Any JetStream client can do the same; this one only spares the details. It is safe for concurrent
// use.
type Publisher struct {
	conn    *Conn
	js      jetstream.JetStream
	subject string
}

// NewPublisher connects to the server. Errors are those of Dial.
func NewPublisher(ctx context.Context, cfg PublisherConfig) (*Publisher, error) {
	if err := errors.Join(cfg.Tenant.Check(), cfg.Channel.Check()); err != nil {
		return nil, err
	}
	if cfg.Window == 0 {
		cfg.Window = defaultWindow
	}
	conn, err := Dial(ctx, DialConfig{
		URL: cfg.URL, NKeySeedFile: cfg.NKeySeedFile, CredsFile: cfg.CredsFile, CAFile: cfg.CAFile, Name: "escrow-publisher", Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return newPublisher(conn, cfg.Tenant, cfg.Channel, cfg.Window)
}

// Publisher returns a publisher on the archive's own connection, for imports. Closing it leaves the connection open.
func (c *Conn) Publisher(t escrow.Tenant, ch escrow.Channel) (*Publisher, error) {
	if err := errors.Join(t.Check(), ch.Check()); err != nil {
		return nil, err
	}
	p, err := newPublisher(c, t, ch, defaultWindow)
	if err != nil {
		return nil, err
	}
	p.conn = nil
	return p, nil
}

func newPublisher(conn *Conn, t escrow.Tenant, ch escrow.Channel, window int) (*Publisher, error) {
	js, err := jetstream.New(conn.nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return nil, escrow.Errorf("natslog.NewPublisher", escrow.Internal, "%w", err)
	}
	return &Publisher{conn: conn, js: js, subject: events.InSubject(t, ch)}, nil
}

func (p *Publisher) message(m PublishMsg) *nats.Msg {
	msg := &nats.Msg{Subject: p.subject, Data: m.Data, Header: nats.Header{}}
	for name, values := range m.Header {
		msg.Header[name] = values
	}
	if m.ID != "" {
		msg.Header.Set(jetstream.MsgIDHeader, m.ID)
	}
	if m.ContentType != "" {
		msg.Header.Set("Content-Type", m.ContentType)
	}
	return msg
}

// Publish publishes one message and waits for the acknowledgement, until ctx ends; without a deadline for 5 s. The kind of an error says what to do:
// Unavailable means publish again, which is always safe.
func (p *Publisher) Publish(ctx context.Context, m PublishMsg) (Ack, error) {
	a, err := p.js.PublishMsg(ctx, p.message(m))
	if err != nil {
		return Ack{}, publishError(err)
	}
	return Ack{Stream: a.Stream, Seq: a.Sequence, Duplicate: a.Duplicate}, nil
}

// PublishAsync sends one message without waiting for the acknowledgement; only if the window is full, it waits up to 5 s for room. done is called
// with the acknowledgement later, from another goroutine, exactly once unless PublishAsync itself fails.
func (p *Publisher) PublishAsync(ctx context.Context, m PublishMsg, done func(Ack, error)) error {
	future, err := p.js.PublishMsgAsync(p.message(m), jetstream.WithStallWait(requestTimeout))
	if err != nil {
		return publishError(err)
	}
	go func() {
		select {
		case a := <-future.Ok():
			done(Ack{Stream: a.Stream, Seq: a.Sequence, Duplicate: a.Duplicate}, nil)
		case err := <-future.Err():
			done(Ack{}, publishError(err))
		case <-ctx.Done():
			done(Ack{}, publishError(ctx.Err()))
		}
	}()
	return nil
}

// Flush waits until every asynchronous publish is answered, or ctx ends.
func (p *Publisher) Flush(ctx context.Context) error {
	select {
	case <-p.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return publishError(ctx.Err())
	}
}

// Close waits for what is in flight and closes the connection.
func (p *Publisher) Close(ctx context.Context) error {
	err := p.Flush(ctx)
	if p.conn != nil {
		err = errors.Join(err, p.conn.Close())
	}
	return err
}

// publishError turns what a publish returns into an error of the kind the archive refused with.
func publishError(err error) error {
	const op = "natslog.Publish"
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return escrow.Errorf(op, kindOfErrCode(int(api.ErrorCode)), "%s", api.Description)
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return escrow.Errorf(op, escrow.Invalid, "the message is larger than the server takes: %w", err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return escrow.Errorf(op, escrow.Denied, "this platform may not publish there: %w", err)
	}
	return escrow.Errorf(op, escrow.Unavailable, "no acknowledgement: publish again: %w", err)
}

func kindOfErrCode(code int) escrow.Kind {
	for kind, codes := range errorCodes {
		if codes.errCode == code {
			return kind
		}
	}
	return escrow.Unavailable
}
