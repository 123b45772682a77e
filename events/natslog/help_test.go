package natslog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"escrow"
	"escrow/events/natslog"
)

const acme escrow.Tenant = "acme"

// key is a platform's key pair.
type key struct {
	public string
	pair   nkeys.KeyPair
}

func newKey(t testing.TB) key {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key{public, pair}
}

func startServer(t testing.TB, cfg natslog.ServerConfig) *natslog.Server {
	t.Helper()
	if cfg.StoreDir == "" {
		cfg.StoreDir = t.TempDir()
	}
	if cfg.Port == 0 {
		cfg.Port = -1
	}
	s, err := natslog.StartServer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t testing.TB, s *natslog.Server) *natslog.Conn {
	t.Helper()
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the server may be gone already
	return c
}

func openLog(t testing.TB, c *natslog.Conn, cfg natslog.LogConfig) *natslog.Log {
	t.Helper()
	if cfg.Tenant == "" {
		cfg.Tenant = acme
	}
	l, err := natslog.OpenLog(t.Context(), c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial connects a platform as any NATS client would.
func dial(t testing.TB, url string, k key, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append(opts, nats.Nkey(k.public, k.pair.Sign), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// gate admits everything whose payload does not say otherwise, and "seals" by a prefix, so that tests see what was stored.
type gate struct {
	mu       sync.Mutex
	arrivals []natslog.Arrival
	known    map[[16]byte]uint64
	sealErr  error
	hold     chan struct{} // if set, Seal waits until it is closed
	refuse   func(a *natslog.Arrival) error
}

func tag(parts ...string) [16]byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return [16]byte(sum[:16])
}

func (g *gate) Admit(_ context.Context, a *natslog.Arrival) (natslog.Admission, error) {
	g.mu.Lock()
	g.arrivals = append(g.arrivals, *a)
	refuse := g.refuse
	g.mu.Unlock()
	if refuse != nil {
		if err := refuse(a); err != nil {
			return natslog.Admission{}, err
		}
	}
	adm := natslog.Admission{Plain: a.Data, ChannelTag: tag(string(a.Tenant), string(a.Channel)), Content: sha256.Sum256(a.Data)}
	if id := nats.Header(a.Header).Get("Nats-Msg-Id"); id != "" {
		adm.Once = tag(string(a.Tenant), string(a.Channel), id)
	}
	g.mu.Lock()
	adm.Seq, adm.Known = g.known[adm.Once]
	g.mu.Unlock()
	return adm, nil
}

func (g *gate) Seal(_ escrow.Tenant, _ uint32, aad, plain []byte) ([]byte, error) {
	g.mu.Lock()
	hold, err := g.hold, g.sealErr
	g.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(aad)
	return append(sum[:8:8], plain...), nil
}

func (g *gate) seen() []natslog.Arrival {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]natslog.Arrival(nil), g.arrivals...)
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// startIntake runs an intake until the test ends, or until the function returned is called.
func startIntake(t testing.TB, c *natslog.Conn, logs map[escrow.Tenant]*natslog.Log, g natslog.Gate, cfg natslog.IntakeConfig) (*natslog.Intake, func()) {
	t.Helper()
	cfg.Now = clock
	i, err := natslog.NewIntake(c, logs, g, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	waitFor(t, "the intake to listen", i.Listening)
	return i, stop
}

// waitFor polls a condition. It is for what no channel announces, such as another process's state.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// fetchAll takes n deliveries from a log.
func fetchAll(t testing.TB, l *natslog.Log, n int) []natslog.Delivery {
	t.Helper()
	var out []natslog.Delivery
	for empty := 0; len(out) < n && empty < 3; {
		more, err := l.Fetch(t.Context(), 1000, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(more) == 0 {
			empty++
		}
		out = append(out, more...)
	}
	if len(out) != n {
		t.Fatalf("fetched %d deliveries, want %d", len(out), n)
	}
	return out
}

// plain returns what a test entry holds.
func plain(d natslog.Delivery) string { return string(d.Entry.Sealed[8:]) }

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newLogger() (*slog.Logger, *logBuffer) {
	b := &logBuffer{}
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})), b
}
