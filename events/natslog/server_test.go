package natslog_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"escrow"
	"escrow/events/natslog"
)

func TestServerConfigurationIsChecked(t *testing.T) {
	good := newKey(t).public
	platform := func(name, nkey string, publish ...string) []natslog.Platform {
		return []natslog.Platform{{Name: name, NKey: nkey, Publish: publish}}
	}
	for name, c := range map[string]struct {
		cfg  natslog.ServerConfig
		want string
	}{
		"no store":          {natslog.ServerConfig{}, "store directory"},
		"open to the world": {natslog.ServerConfig{StoreDir: "x", Host: "0.0.0.0"}, "needs a TLS certificate"},
		"name of a host":    {natslog.ServerConfig{StoreDir: "x", Host: "example.org"}, "needs a TLS certificate"},
		"tiny payload":      {natslog.ServerConfig{StoreDir: "x", MaxPayload: 1000}, "max payload"},
		"huge payload":      {natslog.ServerConfig{StoreDir: "x", MaxPayload: 1 << 30}, "max payload"},
		"platform name":     {natslog.ServerConfig{StoreDir: "x", Platforms: platform("A B", good)}, "form of a tenant's"},
		"platform key":      {natslog.ServerConfig{StoreDir: "x", Platforms: platform("a", "UABC")}, "public user key"},
		"secret key":        {natslog.ServerConfig{StoreDir: "x", Platforms: platform("a", "SUAGC3DLX7Q4V2OYCUB3T6PEC2SBOTHVGKSYMQRLQVWZOXXW3CHLR2OLC4")}, "public user key"},
		"grant of all":      {natslog.ServerConfig{StoreDir: "x", Platforms: platform("a", good, "escrow.in.>")}, "must be escrow.in"},
		"grant elsewhere":   {natslog.ServerConfig{StoreDir: "x", Platforms: platform("a", good, "$JS.API.>")}, "must be escrow.in"},
		"grant of tenants":  {natslog.ServerConfig{StoreDir: "x", Platforms: platform("a", good, "escrow.in.*.chat")}, "must be escrow.in"},
		"injection":         {natslog.ServerConfig{StoreDir: "x", Platforms: platform("a", good, `escrow.in.a."`)}, "must be escrow.in"},
		"twice":             {natslog.ServerConfig{StoreDir: "x", Platforms: append(platform("a", good), platform("b", good)...)}, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := natslog.StartServer(t.Context(), c.cfg)
			if escrow.KindOf(err) != escrow.Invalid || !containsFold(fmt.Sprint(err), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = natslog.StartServer(t.Context(), natslog.ServerConfig{StoreDir: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port})
	if escrow.KindOf(err) != escrow.Unavailable || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "choose another port") {
		t.Error(err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	s := startServer(t, natslog.ServerConfig{})
	stranger := newKey(t)
	for name, opt := range map[string]nats.Option{
		"nobody": nats.Name("x"), "password": nats.UserInfo("archive", "x"), "key": nats.Nkey(stranger.public, stranger.pair.Sign),
	} {
		if nc, err := nats.Connect(s.URL(), opt); err == nil {
			nc.Close()
			t.Errorf("%s gets in", name)
		}
	}
}

func TestSetPlatforms(t *testing.T) {
	a, b := newKey(t), newKey(t)
	s := startServer(t, natslog.ServerConfig{Platforms: []natslog.Platform{{Name: "a", NKey: a.public, Publish: []string{"escrow.in.acme.a"}}}})
	c := connect(t, s)
	l := openLog(t, c, natslog.LogConfig{})
	startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: l}, &gate{}, natslog.IntakeConfig{})
	closed := make(chan struct{}, 1)
	pa := dial(t, s.URL(), a, nats.DisconnectErrHandler(func(*nats.Conn, error) { closed <- struct{}{} }))
	publish := func(nc *nats.Conn, subject string) error {
		_, err := stream(t, nc).Publish(t.Context(), subject, []byte("x"))
		return err
	}
	if err := publish(pa, "escrow.in.acme.a"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPlatforms([]natslog.Platform{{Name: "A"}}); escrow.KindOf(err) != escrow.Invalid {
		t.Error(err)
	}
	// b comes, and a may publish elsewhere.
	if err := s.SetPlatforms([]natslog.Platform{
		{Name: "a", NKey: a.public, Publish: []string{"escrow.in.acme.other"}}, {Name: "b", NKey: b.public, Publish: []string{"escrow.in.acme.b"}},
	}); err != nil {
		t.Fatal(err)
	}
	pb := dial(t, s.URL(), b)
	if err := publish(pb, "escrow.in.acme.b"); err != nil {
		t.Error(err)
	}
	if err := publish(pa, "escrow.in.acme.other"); err != nil {
		t.Error(err)
	}
	wantAPIError(t, publish(pa, "escrow.in.acme.a"), 403, 20403, "may not publish")
	wantAPIError(t, publish(pb, "escrow.in.acme.a"), 403, 20403, "may not publish")
	// a goes.
	if err := s.SetPlatforms([]natslog.Platform{{Name: "b", NKey: b.public, Publish: []string{"escrow.in.acme.b"}}}); err != nil {
		t.Fatal(err)
	}
	<-closed
	if nc, err := nats.Connect(s.URL(), nats.Nkey(a.public, a.pair.Sign)); err == nil {
		nc.Close()
		t.Error("a platform that was removed gets in")
	}
	if err := publish(pb, "escrow.in.acme.b"); err != nil {
		t.Error(err)
	}
	commit(t, l, nil)
}

func TestTLS(t *testing.T) {
	cert, caFile := newCertificate(t)
	k := newKey(t)
	s := startServer(t, natslog.ServerConfig{Host: "0.0.0.0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
		Platforms: []natslog.Platform{{Name: "a", NKey: k.public, Publish: []string{"escrow.in.acme.a"}}}})
	c := connect(t, s)
	startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: openLog(t, c, natslog.LogConfig{})}, &gate{}, natslog.IntakeConfig{})
	url := strings.Replace(s.URL(), "0.0.0.0", "127.0.0.1", 1)
	p, err := natslog.NewPublisher(t.Context(), natslog.PublisherConfig{URL: url, NKeySeedFile: seedFile(t, k), CAFile: caFile, Tenant: acme, Channel: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), natslog.PublishMsg{Data: []byte("x")}); err != nil {
		t.Error(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := natslog.NewPublisher(t.Context(), natslog.PublisherConfig{URL: url, NKeySeedFile: seedFile(t, k), Tenant: acme, Channel: "a"}); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("an unknown certificate is trusted: %v", err)
	}
}

func seedFile(t testing.TB, k key) string {
	t.Helper()
	seed, err := k.pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(name, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// newCertificate makes a self-signed certificate for 127.0.0.1 and a file to trust it by.
func newCertificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, name
}

// Everything works the same over TCP on a server that is not ours.
func TestExternalServer(t *testing.T) {
	nkey := newKey(t)
	for name, c := range map[string]struct {
		change func(*server.Options)
		dial   func(url string) natslog.DialConfig
	}{
		"user and password": {func(*server.Options) {}, func(url string) natslog.DialConfig {
			return natslog.DialConfig{URL: strings.Replace(url, "nats://", "nats://ops:pw@", 1)}
		}},
		"nkey": {func(o *server.Options) {
			o.Username, o.Password = "", ""
			o.Nkeys = []*server.NkeyUser{{Nkey: nkey.public}}
		}, func(url string) natslog.DialConfig {
			return natslog.DialConfig{URL: url, NKeySeedFile: seedFile(t, nkey)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ext := startExternal(t, c.change)
			cfg := c.dial(ext.url("", ""))
			conn, err := natslog.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			l := openLog(t, conn, natslog.LogConfig{})
			_, stop := startIntake(t, conn, map[escrow.Tenant]*natslog.Log{acme: l}, &gate{}, natslog.IntakeConfig{})
			p, err := conn.Publisher(acme, "chat")
			if err != nil {
				t.Fatal(err)
			}
			if a, err := p.Publish(t.Context(), natslog.PublishMsg{ID: "1", Data: []byte("x")}); err != nil || a != (natslog.Ack{Stream: "ESCROW_LOG_acme", Seq: 1}) {
				t.Errorf("%+v, %v", a, err)
			}
			stop()
			commit(t, l, entries(2, 1500, short))
			got := fetchAll(t, l, 1501)
			if err := l.Ack(t.Context(), got[1500].Seq); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	ext := startExternal(t)
	for name, c := range map[string]struct {
		cfg  natslog.DialConfig
		want escrow.Kind
	}{
		"nobody there":   {natslog.DialConfig{URL: "nats://127.0.0.1:1"}, escrow.Unavailable},
		"wrong password": {natslog.DialConfig{URL: ext.url("ops", "wrong")}, escrow.Denied},
		"no seed file":   {natslog.DialConfig{URL: ext.url("", ""), NKeySeedFile: "/does/not/exist"}, escrow.Invalid},
		"no creds file":  {natslog.DialConfig{URL: ext.url("", ""), CredsFile: "/does/not/exist"}, escrow.Invalid},
		"no CA file":     {natslog.DialConfig{URL: ext.url("ops", "pw"), CAFile: "/does/not/exist"}, escrow.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := natslog.Dial(t.Context(), c.cfg); err == nil || escrow.KindOf(err) != c.want {
				t.Errorf("%v, want kind %v", err, c.want)
			}
		})
	}
}

func TestExternalServerWithoutJetStream(t *testing.T) {
	ext := startExternal(t, func(o *server.Options) { o.JetStream = false })
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := natslog.OpenLog(t.Context(), c, natslog.LogConfig{Tenant: acme}); escrow.KindOf(err) != escrow.Unavailable {
		t.Error(err)
	}
}

// The server's own log lines hold neither subjects nor contents.
func TestServerLogHoldsNoContent(t *testing.T) {
	logger, lines := newLogger()
	k := newKey(t)
	s := startServer(t, natslog.ServerConfig{Logger: logger, Platforms: []natslog.Platform{{Name: "a", NKey: k.public}}})
	nc := dial(t, s.URL(), k, nats.Name("geheim"))
	if err := nc.Publish("geheim.subject", []byte("geheim")); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.SubscribeSync("geheim.more"); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if out := lines.String(); strings.Contains(out, "geheim") || out == "" {
		t.Errorf("log: %s", out)
	}
}

func TestClosedServer(t *testing.T) {
	s := startServer(t, natslog.ServerConfig{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPlatforms(nil); escrow.KindOf(err) != escrow.Unavailable {
		t.Error(err)
	}
	if err := s.Restart(t.Context()); escrow.KindOf(err) != escrow.Unavailable {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Connect(ctx); err == nil {
		t.Error("connected")
	}
}

func TestPublisher(t *testing.T) {
	k := newKey(t)
	s := startServer(t, natslog.ServerConfig{Platforms: []natslog.Platform{{Name: "a", NKey: k.public, Publish: []string{"escrow.in.acme.chat"}}}})
	c := connect(t, s)
	l := openLog(t, c, natslog.LogConfig{})
	g := &gate{refuse: func(a *natslog.Arrival) error {
		if string(a.Data) == "bad" {
			return escrow.Errorf("gate", escrow.Invalid, "field from: is missing")
		}
		return nil
	}}
	startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: l}, g, natslog.IntakeConfig{})
	p, err := natslog.NewPublisher(t.Context(), natslog.PublisherConfig{URL: s.URL(), NKeySeedFile: seedFile(t, k), Tenant: acme, Channel: "chat", Window: 50})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), natslog.PublishMsg{Data: []byte("bad")}); escrow.KindOf(err) != escrow.Invalid || !containsFold(err.Error(), "field from") {
		t.Error(err)
	}
	const n = 500
	acks := make(chan error, n)
	for i := range n {
		msg := natslog.PublishMsg{ID: fmt.Sprint(i / 2), ContentType: "text/x", Header: map[string][]string{"Escrow-Tags": {"a"}}, Data: fmt.Appendf(nil, "m%d", i/2)}
		if err := p.PublishAsync(t.Context(), msg, func(a natslog.Ack, err error) {
			if err == nil && a.Seq == 0 {
				err = fmt.Errorf("ack %+v", a)
			}
			acks <- err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-acks; err != nil {
			t.Error(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	fetchAll(t, l, n/2)
	if a := g.seen()[1]; nats.Header(a.Header).Get("Content-Type") != "text/x" || nats.Header(a.Header).Get("Escrow-Tags") != "a" {
		t.Errorf("headers %v", a.Header)
	}
	if _, err := natslog.NewPublisher(t.Context(), natslog.PublisherConfig{URL: s.URL(), Tenant: "A B", Channel: "c"}); escrow.KindOf(err) != escrow.Invalid {
		t.Error(err)
	}
}
