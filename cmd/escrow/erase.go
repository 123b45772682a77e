package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

const eraseHelp = `Erases a person, a conversation or one message for ever (GDPR Art. 17): the key shares are destroyed, the search index is purged of
every word, and an event in the ledger says so. Proofs of everything else stay valid.

  escrow erase --person email:ana@example.org --case 2026/17
  escrow erase --conversation support-4711 --channel chat
  escrow erase --message 17

First a preview is printed. On a terminal you are asked; elsewhere nothing happens without --yes, and the exit code is 6.`

func (a *app) eraseCommand() *cobra.Command {
	var conversation, channel, message string
	var person []string
	var yes bool
	req := server.EraseRequest{}
	c := &cobra.Command{Use: "erase", Short: "Erase a person, a conversation or one message", Long: eraseHelp, Args: args(0, 0, "flags only")}
	f := c.Flags()
	f.StringSliceVar(&person, "person", nil, "identity of the person, such as email:ana@example.org; repeat for all of them")
	f.StringVar(&conversation, "conversation", "", "conversation")
	f.StringVar(&message, "message", "", "id of the message")
	f.StringVar(&channel, "channel", "", `channel of the conversation, or of a "user:" identity`)
	f.StringVar(&req.Basis, "basis", "", `legal basis, a short code (default "art17-1")`)
	f.StringVar(&req.Case, "case", "", "reference of the case; no personal data, it stays in the ledger")
	f.BoolVar(&yes, "yes", false, "erase without asking")
	f.BoolVar(&req.DryRun, "dry-run", false, "only say what would be erased")
	c.RunE = func(c *cobra.Command, _ []string) error {
		req.Tenant, req.Conversation, req.Channel = escrow.Tenant(a.tenant), conversation, escrow.Channel(channel)
		for _, id := range person {
			req.Person = append(req.Person, escrow.Identity(id))
		}
		if message != "" {
			seq, err := parseSeq(message)
			if err != nil {
				return err
			}
			req.Message = &seq
		}
		return a.with(c.Context(), func(api server.API) error { return a.erase(c, api, req, yes) })
	}
	return c
}

func (a *app) erase(c *cobra.Command, api server.API, req server.EraseRequest, yes bool) error {
	if req.DryRun || !yes {
		preview := req
		preview.DryRun = true
		answer, err := api.Erase(c.Context(), preview)
		if err != nil {
			return err
		}
		if err := a.print(answer, func(w io.Writer) error { return printErasure(w, answer) }); err != nil {
			return err
		}
		if req.DryRun {
			return nil
		}
		if !a.confirmed() {
			return &exitError{exitBlocked, "nothing was erased; repeat with --yes to erase"}
		}
	}
	answer, err := api.Erase(c.Context(), req)
	if err != nil {
		return err
	}
	return a.print(answer, func(w io.Writer) error { return printErasure(w, answer) })
}

// confirmed asks on a terminal.
func (a *app) confirmed() bool {
	if !terminal(a.in) || a.json {
		return false
	}
	fmt.Fprint(a.err, "This cannot be undone. Type erase to go on: ")
	line, _ := bufio.NewReader(io.LimitReader(a.in, 64)).ReadString('\n')
	return strings.TrimSpace(line) == "erase"
}

func printErasure(w io.Writer, e server.EraseAnswer) error {
	if !e.Executed {
		fmt.Fprintf(w, "erasing this %s makes %d messages unreadable and takes the identity out of %d others\n", e.Scope, e.Dies, e.Loses)
		if e.DiesOfOthers > 0 {
			fmt.Fprintf(w, "of those that become unreadable %d were written by others, to whom they are lost as well (rule of the channel: docs/publishing.md)\n", e.DiesOfOthers)
		}
		return nil
	}
	fmt.Fprintf(w, "erased this %s: %d messages are unreadable, %d others no longer name the person\n", e.Scope, e.Dies, e.Loses)
	fmt.Fprintf(w, "event %d in the ledger; key state at epoch %d; index: %d documents removed, %d rewritten, keys of %d files destroyed\n",
		*e.Event, e.Epoch, e.Removed, e.Redacted, e.FileKeys)
	for _, r := range e.Remaining {
		fmt.Fprintf(w, "not yet: %s\n", r)
	}
	return nil
}
