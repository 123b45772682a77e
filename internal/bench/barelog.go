package bench

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
)

// bareLog is JetStream by itself, configured to be as durable as the archive's log.
type bareLog struct {
	nc      *nats.Conn
	batches int
}

const (
	bareStream  = "BARE"
	bareSubject = "bare"
)

func (b *bench) newBareLog(ctx context.Context) (*bareLog, error) {
	const op = "bench.BareLog"
	s, err := server.NewServer(&server.Options{
		ServerName: "bare", Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(b.cfg.Dir, "bare-nats"), SyncAlways: true,
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 1 << 50, MaxPending: 256 << 20,
	})
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "%w", err)
	}
	go s.Start()
	b.onClose(func() error { s.Shutdown(); s.WaitForShutdown(); return nil })
	if !s.ReadyForConnections(stall) {
		return nil, escrow.Errorf(op, escrow.Unavailable, "the bare NATS server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "%w", err)
	}
	b.onClose(func() error { nc.Close(); return nil })
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "%w", err)
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: bareStream, Subjects: []string{bareSubject}, Storage: jetstream.FileStorage, AllowAtomicPublish: true, Duplicates: time.Second,
	})
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "%w", err)
	}
	return &bareLog{nc: nc}, nil
}

// publish publishes payloads in atomic batches and returns when the last is acknowledged. While one batch is committed, the next is on its way.
func (l *bareLog) publish(ctx context.Context, payloads [][]byte) error {
	replies := make(chan *nats.Msg, len(payloads)/batch+1)
	inbox := l.nc.NewRespInbox()
	sub, err := l.nc.ChanSubscribe(inbox, replies)
	if err != nil {
		return bareError(err)
	}
	waiting := 0
	for from := 0; from < len(payloads) && err == nil; from += batch {
		if waiting == 2 {
			err = l.committed(ctx, replies)
			waiting--
		}
		if err == nil {
			err = l.send(payloads[from:min(from+batch, len(payloads))], inbox)
			waiting++
		}
	}
	for ; waiting > 0 && err == nil; waiting-- {
		err = l.committed(ctx, replies)
	}
	if e := sub.Unsubscribe(); err == nil && e != nil {
		err = bareError(e)
	}
	return err
}

// send publishes one batch; the answer to its last message comes to the inbox.
func (l *bareLog) send(payloads [][]byte, inbox string) error {
	l.batches++
	id, number := []string{"batch-" + strconv.Itoa(l.batches)}, []string{""}
	m := &nats.Msg{Subject: bareSubject, Header: nats.Header{"Nats-Batch-Id": id, "Nats-Batch-Sequence": number}}
	for i, p := range payloads {
		number[0], m.Data = strconv.Itoa(i+1), p
		if i == len(payloads)-1 {
			m.Header["Nats-Batch-Commit"], m.Reply = []string{"1"}, inbox
		}
		if err := l.nc.PublishMsg(m); err != nil {
			return bareError(err)
		}
	}
	return nil
}

// committed waits for the acknowledgement of a batch.
func (l *bareLog) committed(ctx context.Context, replies <-chan *nats.Msg) error {
	var ack struct {
		Seq   uint64          `json:"seq"`
		Error json.RawMessage `json:"error"`
	}
	select {
	case m := <-replies:
		if err := json.Unmarshal(m.Data, &ack); err != nil || ack.Seq == 0 || ack.Error != nil {
			return escrow.Errorf("bench.BareLog", escrow.Unavailable, "JetStream refused a batch: %s", ack.Error)
		}
		return nil
	case <-ctx.Done():
		return escrow.Errorf("bench.BareLog", escrow.Unavailable, "stopped: %w", ctx.Err())
	case <-time.After(stall):
		return escrow.Errorf("bench.BareLog", escrow.Unavailable, "JetStream does not answer")
	}
}

func bareError(err error) error { return escrow.Errorf("bench.BareLog", escrow.Unavailable, "%w", err) }
