package natslog

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
)

// minServerVersion is the first release whose sync_interval always keeps what it promises through compaction and atomic batches.
var minServerVersion = [2]int{2, 15}

// Conn is a connection of the archive to NATS. It reconnects by itself, for ever. It is safe for concurrent use.
type Conn struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	server  *Server // nil unless embedded
	trusted bool    // Nats-Request-Info is set by the server and cannot be forged
	dropped atomic.Uint64
	log     *slog.Logger

	mu    sync.Mutex
	epoch context.Context // ends when the present connection is lost, and with it all answers under way
	end   context.CancelFunc
}

// DialConfig says how to reach a NATS server that is not ours. It must run with sync_interval always, or R3 streams with the same, and let nobody
// but the archive's user publish to or manage the archive's subjects and streams.
type DialConfig struct {
	URL          string // nats:// or tls://, several separated by commas; may contain user and password
	NKeySeedFile string // or
	CredsFile    string
	CAFile       string // PEM; default: the system's roots
	Name         string // shown in the server's monitoring; default "escrow"
	// TrustRequestInfo says that platforms publish from other accounts through service imports with share: true, so that the header
	// Nats-Request-Info names them. Without it publishers are anonymous, because anyone could send that header.
	TrustRequestInfo bool
	Logger           *slog.Logger // default: discard
}

// Dial connects to an external server. Errors are of kind Invalid for files that cannot be used, Denied if the credentials are refused, and
// Unavailable if no server answers or it is too old.
func Dial(ctx context.Context, cfg DialConfig) (*Conn, error) {
	const op = "natslog.Dial"
	opts, err := credentials(cfg.NKeySeedFile, cfg.CredsFile, cfg.CAFile)
	if err != nil {
		return nil, err
	}
	c := &Conn{trusted: cfg.TrustRequestInfo, log: cfg.Logger}
	if cfg.Name == "" {
		cfg.Name = "escrow"
	}
	if err := c.connect(ctx, op, cfg.URL, append(opts, nats.Name(cfg.Name))); err != nil {
		return nil, err
	}
	if !newEnough(c.nc.ConnectedServerVersion()) {
		version := c.nc.ConnectedServerVersion()
		c.nc.Close()
		return nil, escrow.Errorf(op, escrow.Unavailable, "nats-server %s is too old: %d.%d or later is needed", version, minServerVersion[0], minServerVersion[1])
	}
	return c, nil
}

// Connect opens a connection within the process as the archive's user. Close it before the server.
func (s *Server) Connect(ctx context.Context) (*Conn, error) {
	const op = "natslog.Connect"
	public, err := s.archive.PublicKey()
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "the archive's key: %w", err)
	}
	c := &Conn{server: s, trusted: true, log: s.cfg.Logger}
	opts := []nats.Option{nats.InProcessServer(s), nats.Name("escrow"), nats.Nkey(public, s.archive.Sign)}
	if err := c.connect(ctx, op, "", opts); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Conn) connect(ctx context.Context, op, url string, opts []nats.Option) error {
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.epoch, c.end = context.WithCancel(context.Background())
	opts = append(opts, nats.DisconnectErrHandler(c.onDisconnect), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 100*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.ErrorHandler(c.onError))
	if err := ctx.Err(); err != nil {
		return escrow.Errorf(op, escrow.Unavailable, "%w", err)
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return connectError(op, err)
	}
	c.nc = nc
	if c.js, err = jetstream.New(nc); err != nil {
		nc.Close()
		return escrow.Errorf(op, escrow.Internal, "jetstream: %w", err)
	}
	return nil
}

func connectError(op string, err error) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrPermissionViolation) {
		return escrow.Errorf(op, escrow.Denied, "the NATS server refused the credentials: %w", err)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return escrow.Errorf(op, escrow.Invalid, "a credentials or CA file cannot be read: %w", err)
	}
	return escrow.Errorf(op, escrow.Unavailable, "cannot reach the NATS server: check its address and that it runs: %w", err)
}

// onError counts what the client library had to drop and logs the rest; both without subjects.
func (c *Conn) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
		if n, err := sub.Dropped(); err == nil && n > 0 {
			c.dropped.Store(uint64(n))
		}
	}
	c.log.Warn("nats connection", slog.String("error", firstLine(err.Error())))
}

// onDisconnect ends what waits for answers that were under way: they are lost.
func (c *Conn) onDisconnect(*nats.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	c.epoch, c.end = context.WithCancel(context.Background())
}

// request returns a context for one request: it ends in time, with ctx, and when the connection is lost.
func (c *Conn) request(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	epoch := c.epoch
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	stop := context.AfterFunc(epoch, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// firstLine cuts an error text at the first quote or line end, after which the server may repeat what a client sent.
func firstLine(s string) string {
	if i := strings.IndexAny(s, "\"\r\n"); i >= 0 {
		return strings.TrimSpace(s[:i])
	}
	return s
}

// credentials turns files into connection options.
func credentials(seedFile, credsFile, caFile string) ([]nats.Option, error) {
	const op = "natslog.Dial"
	var opts []nats.Option
	if seedFile != "" {
		o, err := nats.NkeyOptionFromSeed(seedFile)
		if err != nil {
			return nil, escrow.Errorf(op, escrow.Invalid, "the nkey seed file %s cannot be used: %w", seedFile, err)
		}
		opts = append(opts, o)
	}
	if credsFile != "" {
		opts = append(opts, nats.UserCredentials(credsFile))
	}
	if caFile != "" {
		opts = append(opts, nats.RootCAs(caFile))
	}
	return opts, nil
}

func newEnough(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return major > minServerVersion[0] || major == minServerVersion[0] && minor >= minServerVersion[1]
}

// partSize is the largest message put into a stream over this connection.
func (c *Conn) partSize() int {
	return min(maxPart, int(c.nc.MaxPayload())-partSlack)
}

// repair makes an embedded server write again after an error. It does nothing for an external one.
func (c *Conn) repair(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	return c.server.repair(ctx)
}

// broken reports whether the embedded server has to be restarted before it writes again.
func (c *Conn) broken() bool { return c.server != nil && c.server.Broken() }

// Connected reports whether there is a connection at this moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Close sends what is buffered and closes the connection.
func (c *Conn) Close() error {
	defer c.nc.Close() // which ends the requests under way
	if !c.nc.IsConnected() {
		return nil
	}
	if err := c.nc.FlushTimeout(requestTimeout); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrConnectionReconnecting) {
		return escrow.Errorf("natslog.Close", escrow.Unavailable, "flush: %w", err)
	}
	return nil
}
