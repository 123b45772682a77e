package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"escrow"
	"escrow/events/officers"
	"escrow/server"

	"golang.org/x/mod/sumdb/note"
)

// draft lets the archive write down what an officer wants done. It records nothing.
func (a *app) draft(ctx context.Context, api server.API, order server.ActOrder, signer note.Signer) (server.ActDraft, error) {
	order.Tenant, order.Officer = escrow.Tenant(a.tenant), signer.Name()
	return api.Draft(ctx, order)
}

// submit signs a draft here and hands it in: the archive never sees the key. What is signed must be about the fact that was shown.
func (a *app) submit(ctx context.Context, api server.API, draft server.ActDraft, signer note.Signer) (server.ActAnswer, error) {
	if err := draft.Check(); err != nil {
		return server.ActAnswer{}, err
	}
	statement, err := officers.Sign(draft.Text, signer)
	if err != nil {
		return server.ActAnswer{}, err
	}
	return api.Submit(ctx, server.SignedAct{Order: draft.Order, Fact: draft.Fact, Statement: statement})
}

// sign does an act that shows nothing before it is done.
func (a *app) sign(ctx context.Context, order server.ActOrder, by signing, text func(io.Writer, server.ActAnswer) error) error {
	signer, err := a.signer(by)
	if err != nil {
		return err
	}
	return a.with(ctx, func(api server.API) error {
		draft, err := a.draft(ctx, api, order, signer)
		if err != nil {
			return err
		}
		answer, err := a.submit(ctx, api, draft, signer)
		if err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) error { return text(w, answer) })
	})
}

// confirmed asks on a terminal for a word.
func (a *app) confirmed(word, question string) bool {
	if !terminal(a.in) || a.json {
		return false
	}
	fmt.Fprintf(a.err, "%s Type %s to go on: ", question, word)
	line, _ := bufio.NewReader(io.LimitReader(a.in, 64)).ReadString('\n')
	return strings.TrimSpace(line) == word
}
