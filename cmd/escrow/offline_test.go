package main

import (
	"context"
	"testing"
	"time"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest"
	"escrow/retention/disposal"
	"escrow/server"
)

// TestCommandsSealWhatWaits leaves an acknowledged message in the log, as a crash does. A command that finds no server must take it in before it
// answers: else somebody could be erased without the messages that only come afterwards.
func TestCommandsSealWhatWaits(t *testing.T) {
	ctx := context.Background()
	a := found(t, atOnce())
	leaveInLog(t, a, message("1", "this one waits"))
	api, done, err := a.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := api.Search(ctx, server.SearchRequest{Query: "waits"})
	if err != nil || answer.Count != 1 {
		t.Errorf("%d messages found, %v", answer.Count, err)
	}
	preview, err := api.Preview(ctx, server.PreviewRequest{Target: person("email:ana@example.org")})
	if err != nil || preview.Preview.Dies != 1 {
		t.Errorf("%d messages die, %v", preview.Preview.Dies, err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

// leaveInLog puts a message into the log and acknowledges it, without sealing it.
func leaveInLog(t *testing.T, a *app, payload []byte) {
	t.Helper()
	ctx := context.Background()
	n, err := a.openNode(ctx, nodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gate := &ingest.Gate{Tenants: map[escrow.Tenant]*ingest.Entrance{defaultTenant: n.entrance(n.tenants[0])}}
	now := a.now()
	adm, err := gate.Admit(ctx, &natslog.Arrival{Tenant: defaultTenant, Channel: "chat", Data: payload, Received: now})
	if err != nil {
		t.Fatal(err)
	}
	e := natslog.Entry{Tenant: defaultTenant, Channel: adm.ChannelTag, Counter: 1, Day: uint32(now.Unix() / int64(24*time.Hour/time.Second)), Received: now, Once: adm.Once}
	if e.Sealed, err = gate.Seal(defaultTenant, e.Day, e.AppendHeader(nil), adm.Plain); err != nil {
		t.Fatal(err)
	}
	n.intake = &intakeNode{}
	if err := n.connect(ctx, nodeOptions{private: true}); err != nil {
		t.Fatal(err)
	}
	log, err := natslog.OpenLog(ctx, n.intake.logConn, natslog.LogConfig{Tenant: defaultTenant})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Commit(ctx, [][]byte{e.Append(nil)}); err != nil {
		t.Fatal(err)
	}
	mark, err := natslog.OpenMark(a.fs, a.markPath(defaultTenant))
	if err != nil {
		t.Fatal(err)
	}
	if err := mark.Raise(map[[16]byte]uint64{adm.ChannelTag: 1}); err != nil {
		t.Fatal(err)
	}
	for _, closeIt := range []func() error{mark.Close, log.Close, n.close} {
		if err := closeIt(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestErasureWaitsForTheLog orders an erasure while messages that were acknowledged before it wait to be sealed: nothing may be destroyed until they are.
func TestErasureWaitsForTheLog(t *testing.T) {
	ctx := context.Background()
	a := found(t, atOnce())
	leaveInLog(t, a, message("1", "this one waits"))
	n, err := a.openNode(ctx, nodeOptions{log: true, private: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	tenant := n.tenants[0]
	counters := tenant.Acknowledged()
	for tag := range counters {
		counters[tag]++ // one more is acknowledged, and does not arrive
	}
	tenant.Acknowledged = func() map[[16]byte]uint64 { return counters }
	waiting := uint64(1)
	tenant.Waiting = func(context.Context) (uint64, error) { return waiting, nil }
	hurried, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := n.api.Preview(hurried, server.PreviewRequest{Target: person("email:ana@example.org")}); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("a preview with a message waiting: %v; want unavailable", err)
	}
	waiting = 0 // it was lost: waiting longer helps nobody
	officers, err := newOffice(ctx, a, n.api)
	if err != nil {
		t.Fatal(err)
	}
	draft, request, err := officers.approve(ctx, person("email:ana@example.org"))
	if err != nil || draft.Preview.Dies != 1 {
		t.Fatalf("with nothing waiting: %v", err)
	}
	waiting = 1
	if sealed, err := tenant.Sealed(hurried); sealed || escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("sealed %v, %v", sealed, err)
	}
	if _, err := tenant.Disposal.Advance(ctx, disposal.Options{}); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("carried out with a message waiting: %v; want unavailable", err)
	}
	if c, err := tenant.Disposal.Case(request); err != nil || c.Executed != nil {
		t.Errorf("ordered with a message waiting: %v", err)
	}
	waiting = 0
	if _, err := n.api.Advance(ctx, server.AdvanceRequest{}); err != nil {
		t.Error(err)
	}
	if c, err := tenant.Disposal.Case(request); err != nil || c.Purged == nil {
		t.Errorf("not carried out with nothing waiting: %v", err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}
