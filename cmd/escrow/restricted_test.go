package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"escrow"
	"escrow/server"
)

// TestApprovalIsInForceAtOnce has readers ask a running service without a pause for somebody whose erasure is approved meanwhile. Whoever asks after the
// approval was answered is shown nothing, and after a withdrawal everything again.
func TestApprovalIsInForceAtOnce(t *testing.T) {
	ctx := t.Context()
	a := found(t, settings{region: defaultRegion, port: -1, coolingOff: 72, keepRoots: 7})
	n, err := a.openNode(ctx, nodeOptions{log: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	js := platform(t, a.dir, n, localPlatform)
	const messages = 100
	for i := range messages {
		if _, err := js.Publish(ctx, "escrow.in.main.chat", message(fmt.Sprint(i), "theremin lesson")); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler(n.api, "token"))
	defer web.Close()
	api := &server.Client{URL: web.URL, Token: "token", HTTP: &http.Client{}}
	officers, err := newOffice(ctx, a, api)
	if err != nil {
		t.Fatal(err)
	}

	asking, stop := context.WithCancel(ctx)
	var approved atomic.Bool
	var before, after atomic.Int64
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for asking.Err() == nil {
				late := approved.Load() // asked after the approval was answered
				if seen := sees(t, ctx, api); late && seen {
					t.Error("somebody was shown what an approved erasure concerns")
					return
				} else if late {
					after.Add(1)
				} else if seen {
					before.Add(1)
				}
			}
		})
	}
	for before.Load() < 20 && !t.Failed() {
	}
	_, request, err := officers.approve(ctx, person("email:ana@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	approved.Store(true)
	for after.Load() < 100 && !t.Failed() {
	}
	stop()
	readers.Wait()
	t.Logf("%d times seen before, %d times not shown after", before.Load(), after.Load())

	if err := n.settle(ctx); err != nil { // the index has followed, and it stays so
		t.Fatal(err)
	}
	if sees(t, ctx, api) {
		t.Error("shown when the index has followed")
	}
	if _, _, err := officers.act(ctx, demoOfficer, server.ActOrder{Act: server.ActWithdraw, Request: &request}); err != nil {
		t.Fatal(err)
	}
	if err := n.settle(ctx); err != nil {
		t.Fatal(err)
	}
	if answer, err := api.Search(ctx, server.SearchRequest{Query: "theremin"}); err != nil || answer.Count != messages {
		t.Errorf("after the withdrawal %d of %d messages are found (%v)", answer.Count, messages, err)
	}
}

// TestEverythingRestricted: when everything of a tenant waits for its end, no search and no count tells a word of it, but for what is held.
func TestEverythingRestricted(t *testing.T) {
	ctx := t.Context()
	a := found(t, settings{region: defaultRegion, port: -1, coolingOff: 72, keepRoots: 7})
	n, err := a.openNode(ctx, nodeOptions{log: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	js := platform(t, a.dir, n, localPlatform)
	for i := range 5 {
		if _, err := js.Publish(ctx, "escrow.in.main.chat", message(fmt.Sprint(i), "theremin lesson")); err != nil {
			t.Fatal(err)
		}
	}
	count := func(want uint64) {
		t.Helper()
		if err := n.settle(ctx); err != nil {
			t.Fatal(err)
		}
		answer, err := n.api.Search(ctx, server.SearchRequest{Query: "theremin", Limit: 2})
		if err != nil || answer.Count != want || len(answer.Hits) != int(min(want, 2)) {
			t.Errorf("%d counted, %d shown, want %d (%v)", answer.Count, len(answer.Hits), want, err)
		}
		person, err := n.api.Subject(ctx, server.SubjectRequest{Identity: "email:ana@example.org"})
		if err != nil || person.Messages != want || len(person.Recent) != int(want) {
			t.Errorf("%d messages and %v of the person, want %d (%v)", person.Messages, person.Recent, want, err)
		}
	}
	count(5)
	officers, err := newOffice(ctx, a, n.api)
	if err != nil {
		t.Fatal(err)
	}
	_, request, err := officers.approve(ctx, server.Target{Everything: true})
	if err != nil {
		t.Fatal(err)
	}
	count(0)
	const one = escrow.Seq(2)
	if _, _, err := officers.act(ctx, demoApprover, server.ActOrder{Act: server.ActPlaceHold, Matter: "m-1", Messages: []escrow.Seq{one}}); err != nil {
		t.Fatal(err)
	}
	count(1)
	if _, _, err := officers.act(ctx, demoOfficer, server.ActOrder{Act: server.ActWithdraw, Request: &request}); err != nil {
		t.Fatal(err)
	}
	count(5)
}

// sees reports whether a search, a look at a message, or a question about the person shows anything of Ana.
func sees(t *testing.T, ctx context.Context, api server.API) bool {
	answer, err := api.Search(ctx, server.SearchRequest{Query: "theremin"})
	if err != nil {
		t.Error(err)
	}
	const first = escrow.Seq(2)
	shown, err := api.Show(ctx, server.ShowRequest{ID: first})
	if err != nil {
		t.Error(err)
	}
	person, err := api.Subject(ctx, server.SubjectRequest{Identity: "email:ana@example.org"})
	if err != nil && escrow.KindOf(err) != escrow.Denied && escrow.KindOf(err) != escrow.NotFound {
		t.Error(err)
	}
	return answer.Count > 0 || len(answer.Hits) > 0 || shown.Message != nil || len(person.Recent) > 0 || len(person.Identities) > 0
}
