package natslog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events/natslog"
)

// world is a server with one platform, a log and an intake.
type world struct {
	server   *natslog.Server
	conn     *natslog.Conn
	log      *natslog.Log
	gate     *gate
	intake   *natslog.Intake
	stop     func()
	platform *nats.Conn
	js       jetstream.JetStream
}

func newWorld(t *testing.T, cfg natslog.IntakeConfig) *world {
	t.Helper()
	k := newKey(t)
	w := &world{gate: &gate{}}
	w.server = startServer(t, natslog.ServerConfig{Platforms: []natslog.Platform{{Name: "chat", NKey: k.public, Publish: []string{"escrow.in.acme.*"}}}})
	w.conn = connect(t, w.server)
	w.log = openLog(t, w.conn, natslog.LogConfig{})
	w.intake, w.stop = startIntake(t, w.conn, map[escrow.Tenant]*natslog.Log{acme: w.log}, w.gate, cfg)
	w.platform = dial(t, w.server.URL(), k)
	w.js = stream(t, w.platform)
	return w
}

func TestPublishIsAcknowledgedAndStored(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{})
	ack, err := w.js.Publish(t.Context(), "escrow.in.acme.chat", []byte("hello"), jetstream.WithMsgID("m1"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&jetstream.PubAck{Stream: "ESCROW_LOG_acme", Sequence: 1}, ack); diff != "" {
		t.Error(diff)
	}
	d := fetchAll(t, w.log, 1)[0]
	if d.Err != nil || plain(d) != "hello" || d.Entry.Counter != 1 || !d.Entry.Received.Equal(noon) || d.Entry.Tenant != acme {
		t.Errorf("stored %+v", d)
	}
	a := w.gate.seen()[0]
	if a.Publisher != "chat" || len(a.Header["Nats-Request-Info"]) != 0 || a.Channel != "chat" || a.Import {
		t.Errorf("arrived as %+v", a)
	}
}

func TestAsynchronousPublishesKeepOrderAndCounters(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{})
	const n = 3000
	var futures []jetstream.PubAckFuture
	for i := range n {
		f, err := w.js.PublishAsync(fmt.Sprintf("escrow.in.acme.c%d", i%3), fmt.Appendf(nil, "m%d", i), jetstream.WithMsgID(fmt.Sprint(i)), jetstream.WithStallWait(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	last := uint64(0)
	for i, f := range futures {
		select {
		case a := <-f.Ok():
			if a.Sequence == 0 || a.Sequence < last {
				t.Fatalf("message %d has sequence %d after %d", i, a.Sequence, last)
			}
			last = a.Sequence
		case err := <-f.Err():
			t.Fatal(err)
		}
	}
	for i, d := range fetchAll(t, w.log, n) {
		if d.Err != nil || plain(d) != fmt.Sprintf("m%d", i) || d.Entry.Counter != uint64(i/3+1) {
			t.Fatalf("delivery %d: %q counter %d, %v", i, plain(d), d.Entry.Counter, d.Err)
		}
	}
	if s := w.intake.Stats(); s.Accepted != n || s.LastCommit != noon {
		t.Errorf("stats %+v", s)
	}
}

func TestDuplicatesAndConflicts(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{})
	publish := func(channel, id, text string) (*jetstream.PubAck, error) {
		return w.js.Publish(t.Context(), "escrow.in.acme."+channel, []byte(text), jetstream.WithMsgID(id))
	}
	first, err := publish("chat", "1", "a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := publish("chat", "1", "a")
	if err != nil || !second.Duplicate || second.Sequence != first.Sequence {
		t.Errorf("again: %+v, %v", second, err)
	}
	_, err = publish("chat", "1", "b")
	wantAPIError(t, err, 409, 20409, "id was used for another message")
	if a, err := publish("mail", "1", "b"); err != nil || a.Duplicate {
		t.Errorf("other channel: %+v, %v", a, err)
	}
	// After the ledger has it, the gate answers.
	once := tag("acme", "chat", "1")
	w.gate.mu.Lock()
	w.gate.known = map[[16]byte]uint64{once: 77}
	w.gate.mu.Unlock()
	w.intake.Sealed(acme, [][16]byte{once})
	if a, err := publish("chat", "1", "a"); err != nil || !a.Duplicate || a.Sequence != 77 {
		t.Errorf("known: %+v, %v", a, err)
	}
	if s := w.intake.Stats(); s.Accepted != 2 || s.Duplicates != 2 || s.Refused["conflict"] != 1 {
		t.Errorf("stats %+v", s)
	}
	fetchAll(t, w.log, 2)
}

func wantAPIError(t *testing.T, err error, code, errCode int, text string) {
	t.Helper()
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		t.Fatalf("error %v is no API error", err)
	}
	if api.Code != code || int(api.ErrorCode) != errCode || !containsFold(api.Description, text) {
		t.Errorf("refused with %d/%d %q, want %d/%d %q", api.Code, api.ErrorCode, api.Description, code, errCode, text)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, natslog.IntakeConfig{MaxPayload: 1000})
	w.gate.refuse = func(a *natslog.Arrival) error {
		switch string(a.Data) {
		case "invalid":
			return escrow.Errorf("gate", escrow.Invalid, "field from: is missing: add it")
		case "erased":
			return escrow.Errorf("gate", escrow.Erased, "this message was erased")
		case "denied":
			return escrow.Errorf("gate", escrow.Denied, "consent was withdrawn")
		case "bug":
			return errors.New("secret detail")
		}
		return nil
	}
	header := func(name, value string) nats.Header { return nats.Header{name: {value}} }
	for name, c := range map[string]struct {
		subject, data string
		header        nats.Header
		code          int
		text          string
	}{
		"gate says invalid":     {data: "invalid", code: 400, text: "field from: is missing: add it"},
		"gate says erased":      {data: "erased", code: 410, text: "was erased"},
		"gate says denied":      {data: "denied", code: 403, text: "consent"},
		"gate fails":            {data: "bug", code: 500, text: "internal error: see the archive's log"},
		"empty":                 {data: "", code: 400, text: "payload is empty"},
		"too large":             {data: string(make([]byte, 1001)), code: 400, text: "1001 bytes, the limit is 1000"},
		"rollup":                {data: "x", header: header("Nats-Rollup", "all"), code: 400, text: "header Nats-Rollup is not supported"},
		"ttl":                   {data: "x", header: header("Nats-TTL", "1s"), code: 400, text: "retention rules"},
		"expected last":         {data: "x", header: header("Nats-Expected-Last-Sequence", "0"), code: 400, text: "not supported"},
		"expected last subject": {data: "x", header: header("Nats-Expected-Last-Subject-Sequence", "0"), code: 400, text: "not supported"},
		"expected last id":      {data: "x", header: header("Nats-Expected-Last-Msg-Id", "0"), code: 400, text: "not supported"},
		"batch":                 {data: "x", header: header("Nats-Batch-Id", "b"), code: 400, text: "asynchronously"},
		"schedule":              {data: "x", header: header("Nats-Schedule", "@every 1s"), code: 400, text: "not supported"},
		"counter":               {data: "x", header: header("Nats-Incr", "1"), code: 400, text: "not supported"},
		"case":                  {data: "x", header: header("nats-rollup", "all"), code: 400, text: "not supported"},
		"other stream":          {data: "x", header: header("Nats-Expected-Stream", "ORDERS"), code: 409, text: "ESCROW_LOG_acme"},
		"import":                {data: "x", header: header("Escrow-Import", "1"), code: 403, text: "may not import"},
		"other tenant":          {subject: "escrow.in.globex.chat", data: "x", code: 403, text: "may not publish to escrow.in.globex.chat"},
		"too few tokens":        {subject: "escrow.in.acme", data: "x", code: 403, text: "may not publish to escrow.in.acme"},
		"too many tokens":       {subject: "escrow.in.acme.a.b", data: "x", code: 403, text: "may not publish to escrow.in.acme.a.b"},
		"upper case":            {subject: "escrow.in.acme.Chat", data: "x", code: 400, text: "channel"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.subject == "" {
				c.subject = "escrow.in.acme.chat"
			}
			_, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: c.subject, Data: []byte(c.data), Header: c.header})
			wantAPIError(t, err, c.code, 20000+c.code, c.text)
		})
	}
	ok := &nats.Msg{Subject: "escrow.in.acme.chat", Data: []byte("x"), Header: header("Nats-Expected-Stream", "ESCROW_LOG_acme")}
	if _, err := w.js.PublishMsg(t.Context(), ok); err != nil {
		t.Error(err)
	}
	fetchAll(t, w.log, 1)
}

// On the archive's own account, as on an external server without accounts, every subject below escrow.in reaches the intake.
func TestWrongSubjectsAreAnswered(t *testing.T) {
	ext := startExternal(t)
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: openLog(t, c, natslog.LogConfig{})}, &gate{}, natslog.IntakeConfig{})
	nc, err := nats.Connect(ext.url("ops", "pw"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for subject, want := range map[string]string{
		"escrow.in.x":        "publish to escrow.in.<tenant>.<channel>",
		"escrow.in.a.b.c":    "publish to escrow.in.<tenant>.<channel>",
		"escrow.in.acme.A":   "channel",
		"escrow.in.globex.a": "no tenant globex",
	} {
		_, err := stream(t, nc).Publish(t.Context(), subject, []byte("x"))
		var api *jetstream.APIError
		if !errors.As(err, &api) || !containsFold(api.Description, want) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

func TestRefusalWithoutReplyIsCountedAndLogged(t *testing.T) {
	logger, lines := newLogger()
	w := newWorld(t, natslog.IntakeConfig{Logger: logger})
	for _, subject := range []string{"escrow.in.globex.secret-channel", "escrow.in.acme.chat"} {
		if err := w.platform.PublishMsg(&nats.Msg{Subject: subject, Data: []byte("top secret"), Header: nats.Header{"Nats-TTL": {"1s"}}}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the refusals", func() bool { return w.intake.Stats().Unanswered == 2 })
	if err := w.platform.Publish("escrow.in.acme.chat", []byte("fine")); err != nil {
		t.Fatal(err)
	}
	if got := plain(fetchAll(t, w.log, 1)[0]); got != "fine" {
		t.Errorf("stored %q", got)
	}
	if s := lines.String(); !containsFold(s, "publisher=chat") || containsFold(s, "secret") {
		t.Errorf("log: %s", s)
	}
}

func TestPlatformsAreIsolated(t *testing.T) {
	chat, mail, local := newKey(t), newKey(t), newKey(t)
	s := startServer(t, natslog.ServerConfig{Platforms: []natslog.Platform{
		{Name: "chat", NKey: chat.public, Publish: []string{"escrow.in.acme.chat"}},
		{Name: "mail", NKey: mail.public, Publish: []string{"escrow.in.acme.mail", "escrow.in.acme.mail"}},
		{Name: "local", NKey: local.public, Publish: []string{"escrow.in.acme.chat", "escrow.in.*.*"}},
	}})
	c := connect(t, s)
	l := openLog(t, c, natslog.LogConfig{})
	g := &gate{}
	startIntake(t, c, map[escrow.Tenant]*natslog.Log{acme: l}, g, natslog.IntakeConfig{Importers: []string{"local"}})
	a, b, o := dial(t, s.URL(), chat), dial(t, s.URL(), mail), dial(t, s.URL(), local)

	spy, err := b.SubscribeSync("escrow.in.>")
	if err != nil {
		t.Fatal(err)
	}
	inboxes, err := b.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	// The same id from two platforms in two channels is two messages.
	for nc, subject := range map[*nats.Conn]string{a: "escrow.in.acme.chat", b: "escrow.in.acme.mail", o: "escrow.in.acme.other"} {
		if ack, err := stream(t, nc).Publish(t.Context(), subject, []byte("x"), jetstream.WithMsgID("1")); err != nil || ack.Duplicate {
			t.Errorf("%s: %+v, %v", subject, ack, err)
		}
	}
	fetchAll(t, l, 3)
	names := map[string]string{}
	for _, a := range g.seen() {
		names[string(a.Channel)] = a.Publisher
	}
	if diff := cmp.Diff(map[string]string{"chat": "chat", "mail": "mail", "other": "local"}, names); diff != "" {
		t.Error(diff)
	}
	if _, err := spy.NextMsg(50 * time.Millisecond); err == nil {
		t.Error("a platform sees what is published")
	}
	for m, err := inboxes.NextMsg(50 * time.Millisecond); err == nil; m, err = inboxes.NextMsg(50 * time.Millisecond) {
		if containsFold(string(m.Data), `"seq":1,`) {
			t.Errorf("a platform sees another's reply: %s", m.Data)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := stream(t, a).AccountInfo(ctx); err == nil {
		t.Error("a platform reaches the JetStream API")
	}
	if _, err := a.RequestWithContext(ctx, "_escrow.log.acme", []byte("x")); err == nil {
		t.Error("a platform writes to the log")
	}
	forged := &nats.Msg{Subject: "escrow.in.acme.mail", Data: []byte("y"), Header: nats.Header{"Nats-Request-Info": {`{"acc":"PLATFORM_local"}`}, "Escrow-Import": {"1"}}}
	_, err = stream(t, b).PublishMsg(t.Context(), forged)
	wantAPIError(t, err, 403, 20403, "may not import")
	forged.Header = nats.Header{"Escrow-Import": {"1"}}
	if _, err = stream(t, o).PublishMsg(t.Context(), forged); err != nil {
		t.Error(err)
	}
}
