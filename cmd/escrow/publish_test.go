package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"escrow"
	"escrow/archive"
	"escrow/server"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startNode opens an archive that runs within the test, as "escrow serve" runs it.
func startNode(t *testing.T) (dir string, n *node) {
	t.Helper()
	dir = t.TempDir()
	a := testApp(dir)
	for _, args := range [][]string{{"init", "--nats-port", "-1", "--cooling-off-hours", "0", "--keep-roots-days", "0"}, {"platform", "add", "crm", "--channel", "chat"}} {
		if code := run(context.Background(), append(args, "--data", dir), a.stdio); code != exitOK {
			t.Fatalf("escrow %v: exit code %d", args, code)
		}
	}
	n, err := a.openNode(context.Background(), nodeOptions{log: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	})
	return dir, n
}

// platform connects an ordinary NATS client with the credentials of a platform.
func platform(t *testing.T, dir string, n *node, name string) jetstream.JetStream {
	t.Helper()
	opt, err := nats.NkeyOptionFromSeed(filepath.Join(dir, "credentials", name+".nk"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(n.api.NATS, opt, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// TestPublish publishes with the stock client whatever a platform may get wrong. Everything is answered, and only what is right is stored.
func TestPublish(t *testing.T) {
	dir, n := startNode(t)
	js := platform(t, dir, n, "crm")
	const good = `{"id":"1","from":{"id":"email:ana@example.org"},"body":{"text":"hello"}}`
	ctx := t.Context()
	ack, err := js.Publish(ctx, "escrow.in.main.chat", []byte(good))
	if err != nil || ack.Duplicate || ack.Stream == "" || ack.Sequence == 0 {
		t.Fatalf("%+v, %v", ack, err)
	}
	if ack, err = js.Publish(ctx, "escrow.in.main.chat", []byte(good)); err != nil || !ack.Duplicate {
		t.Errorf("the same again: %+v, %v", ack, err)
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	if ack, err = js.Publish(ctx, "escrow.in.main.chat", []byte(good), jetstream.WithMsgID("chat/1")); err != nil || !ack.Duplicate {
		t.Errorf("the same again, when it is in the ledger, with its default id: %+v, %v", ack, err)
	}
	for _, tt := range []struct {
		name, natsSubject string
		header            nats.Header
		data              string
		code, errCode     int
		says              []string
	}{
		{"unknown field", "escrow.in.main.chat", nil, strings.Replace(good, "body", "bdoy", 1), 400, 20400, []string{"bdoy", "metadata"}},
		{"not JSON", "escrow.in.main.chat", nil, "hello", 400, 20400, []string{"JSON"}},
		{"nothing", "escrow.in.main.chat", nil, "", 400, 20400, []string{"empty"}},
		{"bad UTF-8", "escrow.in.main.chat", nil, strings.Replace(good, "hello", "\xff", 1), 400, 20400, []string{"UTF-8"}},
		{"no id", "escrow.in.main.chat", nil, `{"from":{"id":"email:a@b.c"}}`, 400, 20400, []string{"id: is missing"}},
		{"too large", "escrow.in.main.chat", nil, strings.Repeat(" ", escrow.MaxPayload+1), 400, 20400, []string{"8388609 bytes"}},
		{"content type", "escrow.in.main.chat", nats.Header{"Content-Type": {"text/html"}}, good, 400, 20400, []string{"Content-Type", "message/rfc822"}},
		{"retention class", "escrow.in.main.chat", nil, strings.Replace(good, `"body"`, `"retention":"x","body"`, 1), 400, 20400, []string{"retention", "default"}},
		{"header of JetStream", "escrow.in.main.chat", nats.Header{"Nats-Rollup": {"all"}}, good, 400, 20400, []string{"Nats-Rollup"}},
		{"import", "escrow.in.main.chat", nats.Header{"Escrow-Import": {"1"}}, good, 403, 20403, []string{"Escrow-Import", "operator"}},
		{"same id, other content", "escrow.in.main.chat", nil, strings.Replace(good, "hello", "bye", 1), 409, 20409, []string{"other content", "refers_to"}},
		{"another's channel", "escrow.in.main.mail", nil, good, 403, 20403, []string{"may not publish to escrow.in.main.mail"}},
		{"another's tenant", "escrow.in.other.chat", nil, good, 403, 20403, []string{"may not publish"}},
		{"no channel", "escrow.in.main", nil, good, 403, 20403, []string{"may not publish"}},
		{"attachment by reference", "escrow.in.main.chat", nil, strings.Replace(good, `"body"`, `"attachments":[{"name":"a","media_type":"a/b","object":"o"}],"body"`, 1), 503, 20503,
			[]string{"attachments[0].object", "data"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := js.PublishMsg(ctx, &nats.Msg{Subject: tt.natsSubject, Header: tt.header, Data: []byte(tt.data)})
			api, ok := errors.AsType[*jetstream.APIError](err)
			if !ok {
				t.Fatalf("%v is no answer of JetStream", err)
			}
			if api.Code != tt.code || int(api.ErrorCode) != tt.errCode {
				t.Errorf("code %d, %d, want %d, %d", api.Code, api.ErrorCode, tt.code, tt.errCode)
			}
			for _, s := range tt.says {
				if !strings.Contains(api.Description, s) {
					t.Errorf("%q does not say %q", api.Description, s)
				}
			}
			if strings.Contains(api.Description, "ana@") || strings.Contains(api.Description, "ingest.") || strings.Contains(api.Description, "retention.") {
				t.Errorf("%q names a person, or code", api.Description)
			}
		})
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	messages := 0
	if err := n.tenants[0].Ledger.Scan(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind == archive.KindMessage {
			messages++
		}
		return nil
	}); err != nil || messages != 1 {
		t.Errorf("the ledger has %d messages, %v; only the good one is right", messages, err)
	}
	operator := platform(t, dir, n, "local")
	_, err = operator.Publish(ctx, "escrow.in.nobody.chat", []byte(good))
	if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.Code != 404 || !strings.Contains(api.Description, "no tenant nobody") {
		t.Errorf("unknown tenant: %v", err)
	}
	if _, err := operator.Publish(ctx, "escrow.in.main.mail", []byte(good)); err != nil {
		t.Errorf("the operator may publish everywhere: %v", err)
	}
}

// TestErasedIdIsRefused publishes again what was erased.
func TestErasedIdIsRefused(t *testing.T) {
	dir, n := startNode(t)
	js := platform(t, dir, n, "crm")
	ctx := t.Context()
	data := message("1", "hello")
	if _, err := js.Publish(ctx, "escrow.in.main.chat", data); err != nil {
		t.Fatal(err)
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	officers, err := newOffice(ctx, n.app, n.api)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := officers.erase(ctx, person("email:ana@example.org")); err != nil {
		t.Fatal(err)
	}
	_, err = js.Publish(ctx, "escrow.in.main.chat", data)
	if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.Code != 410 || int(api.ErrorCode) != 20410 {
		t.Errorf("%v", err)
	}
	if _, err := js.Publish(ctx, "escrow.in.main.chat", message("2", "she is back")); err != nil {
		t.Errorf("who was erased may write again: %v", err)
	}
}

// TestVerifyBesideErasures verifies again and again while people are erased: nothing that is lawful is ever called a fault.
func TestVerifyBesideErasures(t *testing.T) {
	dir, n := startNode(t)
	js := platform(t, dir, n, "crm")
	ctx := t.Context()
	const people = 12
	for i := range people {
		body := fmt.Appendf(nil, `{"id":"%d","from":{"id":"email:p%d@example.org"},"to":[{"id":"email:p%d@example.org"}],"body":{"text":"x"}}`, i, i, (i+1)%people)
		if _, err := js.Publish(ctx, "escrow.in.main.chat", body); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	officers, err := newOffice(ctx, n.app, n.api)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for i := range people {
			_, _, err := officers.erase(ctx, person(escrow.Identity(fmt.Sprintf("email:p%d@example.org", i))))
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		answer, err := n.api.Verify(ctx, server.VerifyRequest{})
		if err != nil || !answer.OK {
			b, _ := json.Marshal(answer.Findings)
			t.Fatalf("%v %s", err, b)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			answer, err := n.api.Verify(ctx, server.VerifyRequest{})
			if err != nil || answer.Erased != people {
				t.Errorf("%d erased, %v", answer.Erased, err)
			}
			return
		default:
		}
	}
}

// TestShowsErasure names the event with which the last way to read a message was gone.
func TestShowsErasure(t *testing.T) {
	dir := t.TempDir()
	a := testApp(dir)
	if code := run(context.Background(), []string{"init", "--data", dir, "--nats-port", "-1", "--cooling-off-hours", "0", "--keep-roots-days", "0"}, a.stdio); code != exitOK {
		t.Fatal(code)
	}
	cfg, err := a.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"channels":{"chat":{"policy":"any-of"}}}`), cfg.Tenants["main"]); err != nil {
		t.Fatal(err)
	}
	if err := a.saveConfig(cfg); err != nil {
		t.Fatal(err)
	}
	n, err := a.openNode(context.Background(), nodeOptions{log: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	ctx := t.Context()
	if _, err := platform(t, dir, n, "local").Publish(ctx, "escrow.in.main.chat", message("1", "hello")); err != nil {
		t.Fatal(err)
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	officers, err := newOffice(ctx, a, n.api)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, id := range []escrow.Identity{"email:ana@example.org", "email:bo@example.org"} {
		draft, e, err := officers.erase(ctx, person(id))
		if err != nil {
			t.Fatal(err)
		}
		r, err := n.api.Show(ctx, server.ShowRequest{ID: 2})
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, fmt.Sprintf("%d die, %s, by the last event: %v", draft.Preview.Dies, r.State, r.ErasedBy != nil && *r.ErasedBy == record(e, "ordered")))
	}
	want := []string{"0 die, present, by the last event: false", "1 die, erased, by the last event: true"}
	if d := cmp.Diff(want, states); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
