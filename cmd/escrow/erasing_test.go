package main

import (
	"context"
	"path/filepath"
	"testing"

	"escrow"
	"escrow/server"
)

// atOnce are settings under which an erasure waits for nothing.
func atOnce() settings { return settings{region: defaultRegion, port: -1} }

// found makes an archive under settings in a new directory.
func found(t *testing.T, s settings) *app {
	t.Helper()
	a := testApp(filepath.Join(t.TempDir(), "data"))
	if _, err := a.initArchive(context.Background(), defaultTenant, s); err != nil {
		t.Fatal(err)
	}
	return a
}

// office is the two officers of an archive, whose keys are among its credentials, and the archive.
type office struct {
	app *app
	api server.API
}

// newOffice brings in the officers dpo and legal.
func newOffice(ctx context.Context, a *app, api server.API) (*office, error) {
	o := &office{a, api}
	for _, name := range []string{demoOfficer, demoApprover} {
		key, err := a.makeOfficerKey(name)
		if err != nil {
			return nil, err
		}
		if _, err := a.introduce(ctx, api, addedOfficer{Officer: name, Key: key, File: a.officerPath(name)}, signing{}); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// act does what an officer signs.
func (o *office) act(ctx context.Context, officer string, order server.ActOrder) (server.ActDraft, server.ActAnswer, error) {
	signer, err := o.app.signer(signing{as: officer})
	if err != nil {
		return server.ActDraft{}, server.ActAnswer{}, err
	}
	draft, err := o.app.draft(ctx, o.api, order, signer)
	if err != nil {
		return draft, server.ActAnswer{}, err
	}
	answer, err := o.app.submit(ctx, o.api, draft, signer)
	return draft, answer, err
}

// approve has an erasure requested by one officer and approved by the other.
func (o *office) approve(ctx context.Context, target server.Target) (server.ActDraft, escrow.Seq, error) {
	draft, asked, err := o.act(ctx, demoOfficer, server.ActOrder{Act: server.ActRequest, Target: &target})
	if err != nil {
		return draft, 0, err
	}
	_, _, err = o.act(ctx, demoApprover, server.ActOrder{Act: server.ActApprove, Request: &asked.Event})
	return draft, asked.Event, err
}

// erase is approve, carried out.
func (o *office) erase(ctx context.Context, target server.Target) (server.ActDraft, server.Case, error) {
	draft, request, err := o.approve(ctx, target)
	if err != nil {
		return draft, server.Case{}, err
	}
	answer, err := o.api.Advance(ctx, server.AdvanceRequest{})
	if err == nil && len(answer.Problems) > 0 {
		err = escrow.Errorf("test", escrow.Unavailable, "%s", answer.Problems[0])
	}
	if err != nil {
		return draft, server.Case{}, err
	}
	cases, err := o.api.Cases(ctx, server.CasesRequest{Request: &request})
	if err != nil {
		return draft, server.Case{}, err
	}
	return draft, cases.Cases[0], nil
}

func person(ids ...escrow.Identity) server.Target { return server.Target{Person: ids} }

// record returns the record of a step of a case.
func record(c server.Case, name string) escrow.Seq {
	for _, s := range c.Steps {
		if s.Step == name {
			return s.Event
		}
	}
	return 0
}
