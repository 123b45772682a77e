package natslog_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// external stands in for somebody else's NATS server, over TCP.
type external struct{ ns *server.Server }

func startExternal(t testing.TB, change ...func(*server.Options)) *external {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true,
		Username: "ops", Password: "pw",
	}
	for _, f := range change {
		f(opts)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(20 * time.Second) {
		t.Fatal("the external server does not start")
	}
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	return &external{ns}
}

func (e *external) url(user, password string) string {
	u, err := url.Parse(e.ns.ClientURL())
	if err != nil {
		return ""
	}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

func containsFold(s, sub string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(sub))
}
