package natslog

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"escrow"
	"escrow/internal/vfs"
)

// ServerConfig configures the embedded NATS server. Only StoreDir is required.
type ServerConfig struct {
	StoreDir  string      // JetStream's directory; created if missing. One server at a time.
	Host      string      // default 127.0.0.1
	Port      int         // default 4222; -1 takes a free one
	TLS       *tls.Config // required unless Host is loopback
	Platforms []Platform
	// MaxPayload bounds one publish in bytes, headers included; default escrow.MaxImport and some slack.
	MaxPayload int
	// MaxStore bounds JetStream's files in bytes; default unlimited, because the log watches free space itself.
	MaxStore int64
	// FS is used to look through JetStream's files before the server opens them; default vfs.OS().
	FS     vfs.FS
	Logger *slog.Logger // default: discard. No content, subject or client name is ever logged.
}

// Server is a NATS server within this process, with JetStream that fsyncs before it acknowledges. It is safe for concurrent use.
type Server struct {
	cfg     ServerConfig
	archive nkeys.KeyPair // of the archive's user, who may connect only from within this process; never leaves memory
	log     *serverLog

	mu        sync.Mutex // guards what follows
	ns        *server.Server
	platforms []Platform
	closed    bool
}

const (
	defaultHost = "127.0.0.1"
	defaultPort = 4222
	// unlimitedStore is more than any file system holds.
	unlimitedStore = 1 << 50
)

// StartServer starts the embedded server and returns when it accepts connections. Errors are of kind Invalid for a wrong configuration and
// Unavailable, with what to do about it, if the port is taken or the store cannot be recovered in time; Corrupt if it is damaged in a way the server
// does not survive.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	const op = "natslog.StartServer"
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Port != -1 {
		if err := checkPort(cfg.Host, cfg.Port); err != nil {
			return nil, err
		}
	}
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "create the archive's key: %w", err)
	}
	s := &Server{cfg: cfg, archive: key, log: &serverLog{log: cfg.Logger}, platforms: cfg.Platforms}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	s.cfg.Port = s.ns.Addr().(*net.TCPAddr).Port
	return s, nil
}

func (c ServerConfig) withDefaults() ServerConfig {
	if c.Host == "" {
		c.Host = defaultHost
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = escrow.MaxImport + serverSlack
	}
	if c.MaxStore == 0 {
		c.MaxStore = unlimitedStore
	}
	if c.FS == nil {
		c.FS = vfs.OS()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c ServerConfig) check() error {
	const op = "natslog.StartServer"
	switch ip := net.ParseIP(c.Host); {
	case c.StoreDir == "":
		return escrow.Errorf(op, escrow.Invalid, "no store directory is configured")
	case c.TLS == nil && c.Host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return escrow.Errorf(op, escrow.Invalid, "listening on %s, beyond this machine, needs a TLS certificate", c.Host)
	case c.MaxPayload < minPart+partSlack || c.MaxPayload > serverMaxPending/2:
		return escrow.Errorf(op, escrow.Invalid, "max payload %d is not between %d and %d bytes", c.MaxPayload, minPart+partSlack, serverMaxPending/2)
	}
	return checkPlatforms(c.Platforms)
}

func checkPort(host string, port int) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return escrow.Errorf("natslog.StartServer", escrow.Unavailable,
			"cannot listen on %s: stop what uses that address or choose another port: %w", addr, err)
	}
	return nil
}

// options builds the server's options for the present platforms.
func (s *Server) options() (*server.Options, error) {
	const op = "natslog.StartServer"
	public, err := s.archive.PublicKey()
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "the archive's key: %w", err)
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(accountsConfig(s.platforms, public)); err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "configure accounts: %w", err)
	}
	if err := addMappings(opts, s.platforms); err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "configure accounts: %w", err)
	}
	opts.ServerName, opts.Host, opts.Port = "escrow", s.cfg.Host, s.cfg.Port
	opts.NoSigs, opts.DisableShortFirstPing = true, true
	opts.MaxPayload, opts.MaxPending = int32(s.cfg.MaxPayload), serverMaxPending
	opts.JetStream, opts.StoreDir, opts.SyncAlways = true, s.cfg.StoreDir, true
	opts.JetStreamMaxMemory, opts.JetStreamMaxStore = 256<<20, s.cfg.MaxStore
	opts.JetStreamLimits.MaxBatchSize = maxBatchMsgs
	opts.StreamMaxBufferedSize = serverMaxBuffered
	if s.cfg.TLS != nil {
		opts.TLS, opts.TLSConfig, opts.TLSTimeout = true, s.cfg.TLS, 5
	}
	return opts, nil
}

// start starts a server under s.mu. Recovery of a damaged store has been seen to take for ever, so it runs beside us and is given up in time.
func (s *Server) start(ctx context.Context) error {
	const op = "natslog.StartServer"
	if err := checkBlocks(s.cfg.FS, s.cfg.StoreDir); err != nil {
		return err
	}
	opts, err := s.options()
	if err != nil {
		return err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return escrow.Errorf(op, escrow.Invalid, "configure the server: %w", err)
	}
	s.log.reset()
	ns.SetLogger(s.log, false, false)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	go ns.Start()
	for !ns.ReadyForConnections(100 * time.Millisecond) {
		if err := s.startFailure(ctx); err != nil {
			go ns.Shutdown() // which may itself wait for the recovery
			return err
		}
	}
	if !ns.JetStreamEnabled() {
		ns.Shutdown()
		return escrow.Errorf(op, escrow.Unavailable, "JetStream could not be started in %s: see the server's log", s.cfg.StoreDir)
	}
	s.ns = ns
	return nil
}

func (s *Server) startFailure(ctx context.Context) error {
	const op = "natslog.StartServer"
	if text := s.log.fatal(); text != "" {
		return escrow.Errorf(op, escrow.Unavailable, "the NATS server did not start: %s", text)
	}
	if ctx.Err() != nil {
		return escrow.Errorf(op, escrow.Unavailable,
			"the NATS server did not recover %s in time: if this repeats, the store is damaged; keep a copy and start with an empty one: %w", s.cfg.StoreDir, ctx.Err())
	}
	return nil
}

// URL returns the address clients connect to: nats://host:port, or tls://.
func (s *Server) URL() string {
	scheme := "nats://"
	if s.cfg.TLS != nil {
		scheme = "tls://"
	}
	return scheme + net.JoinHostPort(s.cfg.Host, strconv.Itoa(s.cfg.Port))
}

// SetPlatforms replaces the platforms while the server runs. Connections of platforms that are gone, or whose key changed, are closed; the others
// stay. Errors are of kind Invalid, and then nothing changed.
func (s *Server) SetPlatforms(platforms []Platform) error {
	const op = "natslog.SetPlatforms"
	if err := checkPlatforms(platforms); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return escrow.Errorf(op, escrow.Unavailable, "the server is closed")
	}
	before := s.platforms
	s.platforms = platforms
	if err := s.reload(); err != nil {
		s.platforms = before
		return escrow.Errorf(op, escrow.Internal, "reload: %w", err)
	}
	return nil
}

// reload applies the present platforms. It does so twice, because the server subscribes to the imports of an account only when it finds the account
// there already.
func (s *Server) reload() error {
	for range 2 {
		opts, err := s.options()
		if err != nil {
			return err
		}
		if err := s.ns.ReloadOptions(opts); err != nil {
			return err
		}
	}
	return nil
}

// InProcessConn opens a connection within the process, to whichever server is running: connections survive Restart by reconnecting.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	ns := s.ns
	s.mu.Unlock()
	return ns.InProcessConn()
}

// Restart stops the server and starts it again on the same port and store. Clients reconnect by themselves. After a write error, a full disk
// above all, this is the only way to make JetStream accept writes again.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return escrow.Errorf("natslog.Restart", escrow.Unavailable, "the server is closed")
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	return s.start(ctx)
}

// Broken reports whether JetStream met an error after which it refuses writes until it is restarted.
func (s *Server) Broken() bool {
	if s.log.broken.Load() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && !s.ns.JetStreamEnabled()
}

// repair restarts the server if it is broken.
func (s *Server) repair(ctx context.Context) error {
	if !s.Broken() {
		return nil
	}
	s.cfg.Logger.Warn("jetstream stopped writing after an error, restarting it")
	return s.Restart(ctx)
}

// Close stops the server after flushing its store. Connections to it are closed.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	return nil
}
