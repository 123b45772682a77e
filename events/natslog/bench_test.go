package natslog_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events/natslog"
)

// sealingGate does what must be done for every message and nothing else: a digest, a tag, AES-GCM.
type sealingGate struct{ aead cipher.AEAD }

func newSealingGate(b *testing.B) *sealingGate {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return &sealingGate{aead}
}

func (g *sealingGate) Admit(_ context.Context, a *natslog.Arrival) (natslog.Admission, error) {
	adm := natslog.Admission{Plain: a.Data, ChannelTag: chanA, Content: sha256.Sum256(a.Data)}
	copy(adm.Once[:], a.Header["Nats-Msg-Id"][0])
	return adm, nil
}

func (g *sealingGate) Seal(_ escrow.Tenant, _ uint32, aad, plain []byte) ([]byte, error) {
	return g.aead.Seal(nil, make([]byte, 12), plain, aad), nil
}

const benchBody = 300

// benchJetStream stores n messages in atomic batches of 1,000, one after the other, and returns how long that took.
func benchJetStream(b *testing.B, n int) time.Duration {
	ext := startExternal(b)
	nc := dialPlain(b, ext.url("ops", "pw"))
	if _, err := stream(b, nc).CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage, AllowAtomicPublish: true, Discard: jetstream.DiscardNew, MaxBytes: 16 << 30,
	}); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, benchBody)
	start := time.Now()
	for done := 0; done < n; done += 1000 {
		id, number := strconv.Itoa(done), []string{""}
		m := &nats.Msg{Subject: "s", Data: body, Header: nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": number}}
		for i := 1; i < 1000; i++ {
			number[0] = strconv.Itoa(i)
			if err := nc.PublishMsg(m); err != nil {
				b.Fatal(err)
			}
		}
		number[0] = "1000"
		m.Header["Nats-Batch-Commit"] = []string{"1"}
		r, err := nc.RequestMsg(m, 30*time.Second)
		if err != nil || !containsFold(string(r.Data), `"count":1000`) {
			b.Fatal(err, r)
		}
	}
	return time.Since(start)
}

// benchIntake publishes n messages over connections with a window each and waits for every acknowledgement.
func benchIntake(b *testing.B, n int, connections []*nats.Conn) time.Duration {
	const window = 2000
	body := make([]byte, benchBody)
	start := time.Now()
	var done sync.WaitGroup
	for c, nc := range connections {
		done.Go(func() {
			room := make(chan struct{}, window)
			inbox := nc.NewInbox()
			share := n / len(connections)
			acked := make(chan struct{})
			got := 0
			sub, err := nc.Subscribe(inbox, func(m *nats.Msg) {
				if !containsSeq(m.Data) {
					b.Errorf("answer %s", m.Data)
				}
				<-room
				if got++; got == share {
					close(acked)
				}
			})
			if err != nil {
				b.Error(err)
				return
			}
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				b.Error(err)
				return
			}
			id := []string{""}
			m := &nats.Msg{Subject: "escrow.in.acme.chat", Reply: inbox, Data: body, Header: nats.Header{"Nats-Msg-Id": id}}
			for i := range share {
				room <- struct{}{}
				id[0] = fmt.Sprintf("%d-%d", c, i)
				if err := nc.PublishMsg(m); err != nil {
					b.Error(err)
					return
				}
			}
			<-acked
		})
	}
	done.Wait()
	return time.Since(start)
}

func containsSeq(answer []byte) bool { return len(answer) > 10 && string(answer[:11]) == `{"stream":"` }

// BenchmarkIntake compares acknowledged messages per second of the whole intake, every acknowledgement after the fsync, with JetStream alone at the
// same durability. The platforms' connections are on the log's own account ("plain") or on accounts of their own ("accounts").
func BenchmarkIntake(b *testing.B) {
	const n, publishers = 40_000, 4
	run := func(b *testing.B, accounts bool) {
		var alone, intake time.Duration
		for b.Loop() {
			alone += benchJetStream(b, n)
			intake += benchOnce(b, n, publishers, accounts)
		}
		total := float64(n * b.N)
		b.ReportMetric(total/alone.Seconds(), "jetstream-msg/s")
		b.ReportMetric(total/intake.Seconds(), "intake-msg/s")
		b.ReportMetric(alone.Seconds()/intake.Seconds(), "ratio")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("plain", func(b *testing.B) { run(b, false) })
	b.Run("accounts", func(b *testing.B) { run(b, true) })
}

func benchOnce(b *testing.B, n, publishers int, accounts bool) time.Duration {
	var conn, second *natslog.Conn
	var connections []*nats.Conn
	if accounts {
		k := newKey(b)
		s := startServer(b, natslog.ServerConfig{Platforms: []natslog.Platform{{Name: "chat", NKey: k.public, Publish: []string{"escrow.in.acme.chat"}}}})
		conn, second = connect(b, s), connect(b, s)
		for range publishers {
			connections = append(connections, dial(b, s.URL(), k))
		}
	} else {
		ext := startExternal(b)
		conn, second = dialExternal(b, ext), dialExternal(b, ext)
		for range publishers {
			connections = append(connections, dialPlain(b, ext.url("ops", "pw")))
		}
	}
	l := openLog(b, conn, natslog.LogConfig{})
	_, stop := startIntake(b, second, map[escrow.Tenant]*natslog.Log{acme: l}, newSealingGate(b), natslog.IntakeConfig{})
	defer stop()
	return benchIntake(b, n, connections)
}

func dialExternal(b *testing.B, ext *external) *natslog.Conn {
	b.Helper()
	c, err := natslog.Dial(b.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}
