package natslog_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"escrow/events/natslog"
)

// fleet is what keeps a log: one NATS server or three.
type fleet struct {
	conn      *natslog.Conn
	client    *nats.Conn // of somebody who may do everything; nil for the embedded server
	dirs      []string   // of each server
	replicas  int
	encrypted bool
	stop      func()
	change    func(*server.Options)
}

func embedded(t *testing.T) *fleet {
	dir := t.TempDir()
	s := startServer(t, natslog.ServerConfig{StoreDir: dir})
	return &fleet{conn: connect(t, s), dirs: []string{dir}, replicas: 1, stop: func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}}
}

// cluster starts n servers in this process, as an operator would who has machines for them.
func cluster(t *testing.T, n int, change func(*server.Options)) *fleet {
	t.Helper()
	f := &fleet{replicas: n, change: change}
	ports := freePorts(t, n)
	var servers []*server.Server
	for i := range n {
		e := startExternal(t, func(o *server.Options) {
			f.dirs, o.MaxPayload = append(f.dirs, o.StoreDir), 8<<20
			if change != nil {
				change(o)
				f.encrypted = true
			}
			if n > 1 {
				o.ServerName = fmt.Sprint("server", i)
				o.Cluster = server.ClusterOpts{Name: "fleet", Host: "127.0.0.1", Port: ports[i]}
				for _, p := range ports {
					o.Routes = append(o.Routes, server.RoutesFromStr(fmt.Sprintf("nats://127.0.0.1:%d", p))...)
				}
			}
		})
		servers = append(servers, e.ns)
	}
	if n > 1 {
		waitFor(t, "the servers to elect a leader", func() bool {
			return slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader) && !slices.ContainsFunc(servers, func(s *server.Server) bool { return !s.JetStreamIsCurrent() })
		})
	}
	url := strings.Replace(servers[0].ClientURL(), "nats://", "nats://ops:pw@", 1)
	conn, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may be gone already
	f.conn = conn
	if f.client, err = nats.Connect(url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	f.stop = func() {
		for _, s := range servers {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	return f
}

// freePorts returns ports nobody listens on at the moment.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// TestReplicasDeliverEverything: with replicas the end of a request overtakes the messages it is the end of.
func TestReplicasDeliverEverything(t *testing.T) {
	f := cluster(t, 3, nil)
	log := openLog(t, f.conn, natslog.LogConfig{Replicas: 3})
	var entries [][]byte
	for n := range 40 {
		e := natslog.Entry{Tenant: acme, Counter: uint64(n) + 1, Received: noon, Sealed: make([]byte, 400<<10)}
		entries = append(entries, e.Append(nil))
	}
	if _, err := log.Commit(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	for n, d := range fetchAll(t, log, len(entries)) {
		if d.Err != nil || d.Entry.Counter != uint64(n)+1 {
			t.Errorf("delivery %d is counter %d, %v", n, d.Entry.Counter, d.Err)
		}
	}
}
