package natslog_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events/natslog"
	"escrow/internal/vfs"
)

// Beyond the bounds publishers are told to come back; what was acknowledged is stored, nothing else is.
func TestFloodIsRefusedNotDropped(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{MaxWaiting: 100})
	hold := make(chan struct{})
	w.gate.mu.Lock()
	w.gate.hold = hold
	w.gate.mu.Unlock()
	const n = 3000
	var futures []jetstream.PubAckFuture
	for i := range n {
		f, err := w.js.PublishAsync("escrow.in.acme.chat", fmt.Appendf(nil, "m%d", i))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	waitFor(t, "refusals", func() bool { return w.intake.Stats().Refused["unavailable"] > 0 })
	close(hold)
	acked := 0
	for _, f := range futures {
		select {
		case <-f.Ok():
			acked++
		case err := <-f.Err():
			wantAPIError(t, err, 503, 20503, "busy")
		}
	}
	if acked == 0 || acked == n {
		t.Errorf("%d of %d acknowledged", acked, n)
	}
	for i, d := range fetchAll(t, w.log, acked) {
		if d.Entry.Counter != uint64(i+1) {
			t.Fatalf("counter %d at %d", d.Entry.Counter, i)
		}
	}
	if s := w.intake.Stats(); s.Accepted != uint64(acked) || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestWaitingBytesAreBounded(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{MaxWaitingBytes: 1 << 20})
	hold := make(chan struct{})
	w.gate.mu.Lock()
	w.gate.hold = hold
	w.gate.mu.Unlock()
	var futures []jetstream.PubAckFuture
	for range 50 {
		f, err := w.js.PublishAsync("escrow.in.acme.chat", make([]byte, 100<<10))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	waitFor(t, "refusals", func() bool { return w.intake.Stats().Refused["unavailable"] > 0 })
	close(hold)
	acked := 0
	for _, f := range futures {
		select {
		case <-f.Ok():
			acked++
		case err := <-f.Err():
			wantAPIError(t, err, 503, 20503, "busy")
		}
	}
	fetchAll(t, w.log, acked)
}

func TestLargeImport(t *testing.T) {
	k := newKey(t)
	s := startServer(t, natslog.ServerConfig{Platforms: []natslog.Platform{{Name: "local", NKey: k.public, Publish: []string{"escrow.in.*.*"}}}})
	c := connect(t, s)
	l := openLog(t, c, natslog.LogConfig{})
	startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: l}, &gate{}, natslog.IntakeConfig{Importers: []string{"local"}, CommitTimeout: 20 * time.Second})
	data := make([]byte, 50<<20)
	if _, err := rand.Read(data[:1<<20]); err != nil {
		t.Fatal(err)
	}
	js := stream(t, dial(t, s.URL(), k))
	msg := &nats.Msg{Subject: "escrow.in.acme.mail", Data: data}
	_, err := js.PublishMsg(t.Context(), msg)
	wantAPIError(t, err, 400, 20400, "the limit is 8388608")
	msg.Header = nats.Header{natslog.ImportHeader: {"1"}}
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if d := fetchAll(t, l, 1)[0]; d.Err != nil || !bytes.Equal(d.Entry.Sealed[8:], data) {
		t.Errorf("delivered %d bytes, %v", len(d.Data), d.Err)
	}
	// Beyond what the server takes, the client library itself refuses.
	if _, err := js.Publish(t.Context(), "escrow.in.acme.mail", make([]byte, escrow.MaxImport+2<<20)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Error(err)
	}
}

// A commit that fails takes back its counters, so that the next message continues where the last stored one ended.
func TestFailedSealLeavesNoGap(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{})
	publish := func(id string) error {
		_, err := w.js.Publish(t.Context(), "escrow.in.acme.chat", []byte(id), jetstream.WithMsgID(id))
		return err
	}
	if err := publish("1"); err != nil {
		t.Fatal(err)
	}
	w.gate.mu.Lock()
	w.gate.sealErr = escrow.Errorf("keys", escrow.Unavailable, "the key of the day is not there")
	w.gate.mu.Unlock()
	wantAPIError(t, publish("2"), 503, 20503, "key of the day")
	wantAPIError(t, publish("3"), 503, 20503, "key of the day")
	w.gate.mu.Lock()
	w.gate.sealErr = nil
	w.gate.mu.Unlock()
	for _, id := range []string{"3", "2"} {
		if err := publish(id); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range fetchAll(t, w.log, 3) {
		if d.Entry.Counter != uint64(i+1) || plain(d) != []string{"1", "3", "2"}[i] {
			t.Errorf("%d: counter %d %q", i, d.Entry.Counter, plain(d))
		}
	}
}

// The server is stopped and started while platforms publish with retries: everything acknowledged is stored once, in dense counters.
func TestServerRestartUnderPublishers(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{})
	const n = 400
	var acked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // what was lost with the server's memory gets no answer
				a, err := w.js.Publish(ctx, "escrow.in.acme.chat", fmt.Appendf(nil, "m%d", i), jetstream.WithMsgID(fmt.Sprint(i)))
				cancel()
				if err == nil {
					if a.Sequence != uint64(i+1) {
						t.Errorf("message %d has sequence %d", i, a.Sequence)
					}
					acked.Add(1)
					break
				}
			}
		}
	}()
	for _, at := range []int64{50, 200} {
		waitFor(t, "publishes", func() bool { return acked.Load() >= at })
		if err := w.server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	for i, d := range fetchAll(t, w.log, n) {
		if d.Entry.Counter != uint64(i+1) || plain(d) != fmt.Sprintf("m%d", i) {
			t.Fatalf("%d: counter %d %q", i, d.Entry.Counter, plain(d))
		}
	}
}

// The archive dies after the commit and before the acknowledgement: the next one starts from what is in the log, and the retry is recognised.
func TestArchiveRestartBetweenCommitAndAck(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{})
	publish := func() (*jetstream.PubAck, error) {
		return w.js.Publish(t.Context(), "escrow.in.acme.chat", []byte("x"), jetstream.WithMsgID("1"))
	}
	if _, err := publish(); err != nil {
		t.Fatal(err)
	}
	w.stop()
	l := openLog(t, w.conn, natslog.LogConfig{})
	d := fetchAll(t, l, 1)[0] // what a sealer that starts finds in the log
	next, _ := startIntake(t, w.conn, map[escrow.Tenant]*natslog.Log{acme: l}, w.gate, natslog.IntakeConfig{
		Counters: map[escrow.Tenant]map[[16]byte]uint64{acme: {d.Entry.Channel: d.Entry.Counter}},
		Pending:  map[escrow.Tenant]map[[16]byte]uint64{acme: {d.Entry.Once: d.Seq}},
	})
	_, err := publish()
	wantAPIError(t, err, 503, 20503, "being filed")
	w.gate.mu.Lock()
	w.gate.known = map[[16]byte]uint64{d.Entry.Once: 0}
	w.gate.mu.Unlock()
	next.Sealed(acme, [][16]byte{d.Entry.Once})
	if a, err := publish(); err != nil || !a.Duplicate {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := w.js.Publish(t.Context(), "escrow.in.acme.chat", []byte("y"), jetstream.WithMsgID("2")); err != nil {
		t.Fatal(err)
	}
	if d := fetchAll(t, l, 1)[0]; d.Entry.Counter != 2 {
		t.Errorf("counter %d", d.Entry.Counter)
	}
}

func TestMark(t *testing.T) {
	fsys := vfs.NewMem()
	m, err := natslog.OpenMark(fsys, "tenants/acme/mark")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, natslog.IntakeConfig{Marks: map[escrow.Tenant]*natslog.Mark{acme: m}})
	for i := range 5 {
		if _, err := w.js.Publish(t.Context(), fmt.Sprintf("escrow.in.acme.c%d", i%2), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	want := map[[16]byte]uint64{tag("acme", "c0"): 3, tag("acme", "c1"): 2}
	got, bad, err := natslog.ReadMark(fsys, "tenants/acme/mark") // before it is closed: written before the acknowledgement
	if diff := cmp.Diff(want, got); diff != "" || bad != 0 || err != nil {
		t.Error(diff, bad, err)
	}
	w.stop()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := vfs.ReadFile(fsys, "tenants/acme/mark", 1<<20)
	if err != nil || len(data) != 64 {
		t.Fatal(len(data), err)
	}
	for i := range len(data) {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if err := vfs.WriteFileAtomic(fsys, "bad", append(bad, 1, 2, 3), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, n, err := natslog.ReadMark(fsys, "bad"); err != nil || n != 2 || len(got) != 1 {
			t.Fatalf("flip at %d: %d counters, %d bad, %v", i, len(got), n, err)
		}
	}
	// A log that lost its end is continued above the watermark, so that the loss shows as a gap.
	if m, err = natslog.OpenMark(fsys, "tenants/acme/mark"); err != nil {
		t.Fatal(err)
	}
	again := newWorld(t, natslog.IntakeConfig{Marks: map[escrow.Tenant]*natslog.Mark{acme: m}})
	if _, err := again.js.Publish(t.Context(), "escrow.in.acme.c0", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if d := fetchAll(t, again.log, 1)[0]; d.Entry.Counter != 4 {
		t.Errorf("counter %d", d.Entry.Counter)
	}
	if got, bad, err := natslog.ReadMark(fsys, "none"); len(got) != 0 || bad != 0 || err != nil {
		t.Error(got, bad, err)
	}
}

// On a full disk the intake says no at once, loses nothing, and goes on by itself when there is room again. First with the watermark in front, then
// without it, so that JetStream meets the full disk and has to be restarted.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	for name, minFree := range map[string]uint64{"watermark": 6 << 20, "jetstream meets it": 1} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
				t.Skipf("cannot mount a small file system: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			diskFull(t, dir, minFree)
		})
	}
}

func diskFull(t *testing.T, dir string, minFree uint64) {
	k := newKey(t)
	s := startServer(t, natslog.ServerConfig{StoreDir: dir, Platforms: []natslog.Platform{{Name: "a", NKey: k.public, Publish: []string{"escrow.in.acme.chat"}}}})
	c := connect(t, s)
	l := openLog(t, c, natslog.LogConfig{MinFree: minFree, Free: func() (uint64, error) {
		var st syscall.Statfs_t
		err := syscall.Statfs(dir, &st)
		return st.Bavail * uint64(st.Bsize), err
	}})
	intake, _ := startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: l}, &gate{}, natslog.IntakeConfig{CommitTimeout: 2 * time.Second})
	js := stream(t, dial(t, s.URL(), k))
	text := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", 300<<10)) }
	ballast := dir + "/ballast"
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func(i int) error {
		_, err := js.Publish(t.Context(), "escrow.in.acme.chat", []byte(text(i)), jetstream.WithMsgID(fmt.Sprint(i)))
		return err
	}
	i := 0
	var err error
	for ; err == nil && i < 200; i++ {
		err = publish(i)
	}
	if err == nil {
		t.Fatal("the disk is not full")
	}
	if minFree > 1 {
		wantAPIError(t, err, 503, 20503, "disk is full")
	}
	i-- // the refused one is tried again
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the archive to recover", func() bool { return publish(i) == nil })
	for more := i + 1; more < i+10; more++ {
		if err := publish(more); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for n, d := range fetchAll(t, l, i+10) {
		if d.Err != nil || d.Entry.Counter != uint64(n+1) || seen[plain(d)] {
			t.Fatalf("delivery %d: counter %d, %v", n, d.Entry.Counter, d.Err)
		}
		seen[plain(d)] = true
	}
	t.Logf("%d stored before the disk was full; %+v", i, intake.Stats())
}
