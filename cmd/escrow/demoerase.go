package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/privacy/certificate"
	"escrow/server"
)

// The officers of the demo.
const (
	demoOfficer  = "dpo"
	demoApprover = "legal"
)

// officers brings in the two without whom nobody can be erased.
func (d *demo) officers(ctx context.Context) (string, error) {
	for _, name := range []string{demoOfficer, demoApprover} {
		key, err := d.app.makeOfficerKey(name)
		if err != nil {
			return "", err
		}
		made := addedOfficer{Officer: name, Key: key, File: d.app.officerPath(name)}
		if _, err := d.app.introduce(ctx, d.node.api, made, signing{}); err != nil {
			return "", err
		}
	}
	return "dpo and legal have signing keys of their own; nobody can be erased without both", nil
}

// act does what an officer signs.
func (d *demo) act(ctx context.Context, officer string, order server.ActOrder) (server.ActDraft, server.ActAnswer, error) {
	signer, err := d.app.signer(signing{as: officer})
	if err != nil {
		return server.ActDraft{}, server.ActAnswer{}, err
	}
	draft, err := d.app.draft(ctx, d.node.api, order, signer)
	if err != nil {
		return draft, server.ActAnswer{}, err
	}
	answer, err := d.app.submit(ctx, d.node.api, draft, signer)
	return draft, answer, err
}

// hold keeps two messages of the client for a lawsuit.
func (d *demo) hold(ctx context.Context) (string, error) {
	if err := d.chooseHeld(ctx); err != nil {
		return "", err
	}
	_, answer, err := d.act(ctx, demoApprover, server.ActOrder{Act: server.ActPlaceHold, Matter: "2026-17", Messages: d.held})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("legal holds the messages %d and %d for matter 2026-17: hold %d, record %d", d.held[0], d.held[1], *answer.Hold, answer.Event), nil
}

// chooseHeld finds two messages she wrote that have none of the words the demo looks for afterwards.
func (d *demo) chooseHeld(ctx context.Context) error {
	answer, err := d.node.api.Search(ctx, server.SearchRequest{Query: "from:" + d.manifest.Erase.Identities[0].Value(), Limit: server.MaxPage})
	if err != nil {
		return err
	}
	for _, h := range answer.Hits {
		shown, err := d.node.api.Show(ctx, server.ShowRequest{ID: h.ID, Original: true})
		if err != nil {
			return err
		}
		original := strings.ToLower(string(shown.Message.Original))
		if slices.ContainsFunc(d.manifest.Erase.Words, func(w string) bool { return strings.Contains(original, strings.ToLower(w)) }) {
			continue
		}
		if d.held = append(d.held, h.ID); len(d.held) == 2 {
			return nil
		}
	}
	return fmt.Errorf("she wrote %d messages that could be held, two are needed", len(d.held))
}

// ask requests the erasure of the client, and fails to approve it with the same key.
func (d *demo) ask(ctx context.Context) (string, error) {
	target := server.Target{Person: d.manifest.Erase.Identities}
	draft, answer, err := d.act(ctx, demoOfficer, server.ActOrder{Act: server.ActRequest, Target: &target, Case: "demo/1"})
	if err != nil {
		return "", err
	}
	d.request = answer.Event
	_, _, err = d.act(ctx, demoOfficer, server.ActOrder{Act: server.ActApprove, Request: &d.request})
	if escrow.KindOf(err) != escrow.Denied {
		return "", fmt.Errorf("who requested could approve: %w", err)
	}
	n := draft.Preview
	return fmt.Sprintf("%s asked to be forgotten; dpo requests it (%d): %d messages will die, %d others no longer name her, %d stay under the hold;\n"+
		"dpo alone cannot approve it", d.manifest.Erase.Name, d.request, n.Dies, n.LosesIdentity, n.Held), nil
}

// approve has the other officer agree, and looks whether readers notice at once.
func (d *demo) approve(ctx context.Context) (string, error) {
	start := d.app.now()
	_, answer, err := d.act(ctx, demoApprover, server.ActOrder{Act: server.ActApprove, Request: &d.request})
	if err != nil {
		return "", err
	}
	shown, err := d.node.api.Show(ctx, server.ShowRequest{ID: d.erased})
	if err != nil {
		return "", err
	}
	if shown.Message != nil {
		return "", fmt.Errorf("record %d is still shown", d.erased)
	}
	return fmt.Sprintf("legal agrees, in record %d; %v later nobody is shown it any more (the cooling-off time, 72 hours by default, is 0 here)",
		answer.Event, d.app.now().Sub(start).Round(time.Millisecond)), nil
}

// erase carries out what is due.
func (d *demo) erase(ctx context.Context) (string, error) {
	answer, err := d.node.api.Advance(ctx, server.AdvanceRequest{})
	if err != nil {
		return "", err
	}
	if len(answer.Problems) > 0 {
		return "", fmt.Errorf("%s", answer.Problems[0])
	}
	cases, err := d.node.api.Cases(ctx, server.CasesRequest{Request: &d.request})
	if err != nil {
		return "", err
	}
	var lines []string
	for _, s := range cases.Cases[0].Steps[1:] {
		lines = append(lines, shorten(fmt.Sprintf("%-11s record %d  %s", s.Step, s.Event, s.Detail), 110))
	}
	if state := cases.Cases[0].State; state != "certified" {
		return "", fmt.Errorf("the erasure is %s\n%s", state, strings.Join(lines, "\n"))
	}
	return strings.Join(lines, "\n"), nil
}

// forgotten looks for what was erased: by search, by number, and in the dictionaries of the index, before and after it is built anew. What is held is there.
func (d *demo) forgotten(ctx context.Context) (string, error) {
	if err := d.states(ctx, "erased", d.erased); err != nil {
		return "", err
	}
	if err := d.states(ctx, "present", d.held...); err != nil {
		return "", err
	}
	for _, again := range []bool{false, true} {
		if again {
			if _, err := d.node.api.Reindex(ctx, server.ReindexRequest{}); err != nil {
				return "", err
			}
		}
		if err := d.unfindable(ctx); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("show %d says erased; none of her words is found, nor in any dictionary of the index, nor after it was rebuilt;\nwhat is held is still shown", d.erased), nil
}

// states fails unless the records are in a state.
func (d *demo) states(ctx context.Context, want string, seqs ...escrow.Seq) error {
	for _, seq := range seqs {
		shown, err := d.node.api.Show(ctx, server.ShowRequest{ID: seq})
		if err != nil {
			return err
		}
		if shown.State != want {
			return fmt.Errorf("record %d is %s, not %s", seq, shown.State, want)
		}
	}
	return nil
}

func (d *demo) unfindable(ctx context.Context) error {
	for _, word := range d.manifest.Erase.Words {
		answer, err := d.node.api.Search(ctx, server.SearchRequest{Query: word})
		if err != nil {
			return err
		}
		if answer.Count != 0 {
			return fmt.Errorf("one of her words is still found %d times", answer.Count)
		}
		stem := word[:len(word)-2]
		for _, field := range []string{"body", "title", "file"} {
			terms, err := d.node.tenants[0].Index.Terms(ctx, field, stem)
			if err != nil {
				return err
			}
			if len(terms) > 0 {
				return fmt.Errorf("a dictionary of the index still holds one of her words")
			}
		}
	}
	return nil
}

// certify checks the certificate with nothing but the log's public key.
func (d *demo) certify(ctx context.Context) (string, error) {
	answer, err := d.node.api.Certificate(ctx, server.CertificateRequest{Request: d.request})
	if err != nil {
		return "", err
	}
	report, err := certificate.Verify([]byte(answer.Certificate), answer.Key)
	if err != nil {
		return "", err
	}
	n := map[string]int{}
	for _, claim := range report.Statement.Claims {
		n[claim.Basis]++
	}
	return fmt.Sprintf("the certificate of %d bytes verifies offline: %d claims proven, %d attested", len(answer.Certificate), n[certificate.Proven], n[certificate.Attested]), nil
}

// release ends the hold, and with it what only the hold kept.
func (d *demo) release(ctx context.Context) (string, error) {
	hold := uint32(0)
	if _, _, err := d.act(ctx, demoOfficer, server.ActOrder{Act: server.ActReleaseHold, Hold: &hold}); err != nil {
		return "", err
	}
	if _, err := d.node.api.Advance(ctx, server.AdvanceRequest{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("the hold is released: the messages %d and %d are unreadable, too", d.held[0], d.held[1]), d.states(ctx, "erased", d.held...)
}
