package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/events"
	"escrow/server"

	"github.com/spf13/cobra"
)

const eraseHelp = `Erases a person, a conversation, a message or everything for ever (GDPR Art. 17), in steps that two officers answer for:

  escrow erase preview --person email:ana@example.org              what would happen; nothing is recorded
  escrow erase request --person email:ana@example.org --as dpo     asks, and prints the number of the request
  escrow erase approve 1234 --as legal                             another officer agrees: from now on nobody is shown it (reversible)
  escrow erase run                                                 after the cooling-off time: keys destroyed, index purged, certificate made
  escrow erase certificate 1234 --out erasure.json                 the proof, checked anywhere by: escrow erase check

A running server does "run" by itself when the time has come. Proofs of everything else stay valid.`

func (a *app) eraseCommand() *cobra.Command {
	c := &cobra.Command{Use: "erase", Short: "Erase a person, a conversation, a message or everything", Long: eraseHelp}
	c.AddCommand(a.erasePreview(), a.eraseRequest(), a.eraseApprove(), a.eraseWithdraw(), a.eraseRun(), a.eraseStatus(), a.eraseCertificate(), a.eraseCheck())
	return group(c)
}

// targetFlags are the flags that name what to erase.
type targetFlags struct {
	person                         []string
	conversation, channel, message string
	everything                     bool
}

func (t *targetFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&t.person, "person", nil, "identity of the person, such as email:ana@example.org; repeat for all of them")
	f.StringVar(&t.conversation, "conversation", "", "conversation")
	f.StringVar(&t.message, "message", "", "id of the message")
	f.StringVar(&t.channel, "channel", "", `channel of the conversation, or of a "user:" identity`)
	f.BoolVar(&t.everything, "everything", false, "the whole tenant: no message will ever be readable again")
}

func (t *targetFlags) target() (server.Target, error) {
	target := server.Target{Conversation: t.conversation, Channel: escrow.Channel(t.channel), Everything: t.everything}
	for _, id := range t.person {
		target.Person = append(target.Person, escrow.Identity(id))
	}
	if t.message != "" {
		seq, err := parseSeq(t.message)
		if err != nil {
			return target, err
		}
		target.Message = &seq
	}
	return target, nil
}

func (a *app) erasePreview() *cobra.Command {
	var flags targetFlags
	c := &cobra.Command{Use: "preview", Short: "Say what an erasure would do; record nothing", Args: args(0, 0, "flags only")}
	flags.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		target, err := flags.target()
		if err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Preview(c.Context(), server.PreviewRequest{Tenant: escrow.Tenant(a.tenant), Target: target})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printPreview(w, answer.Scope, answer.Preview) })
		})
	}
	return c
}

// printPreview says in words what an erasure does.
func printPreview(w io.Writer, scope string, n events.Counts) error {
	fmt.Fprintf(w, "erasing %s makes %d messages unreadable and takes the identity out of %d others\n", targetName(scope), n.Dies, n.LosesIdentity)
	if n.DiesOfOthers > 0 {
		fmt.Fprintf(w, "of those that become unreadable, %d were written by somebody else and go by the rule of their channel (docs/publishing.md, Rules of a channel)\n", n.DiesOfOthers)
	}
	if n.Stays > 0 {
		fmt.Fprintf(w, "%d messages stay for others who take part in them, without name and address of the person%s\n", n.Stays, because(n.Why))
	}
	if n.Held > 0 {
		fmt.Fprintf(w, "%d messages stay readable under a hold until it is released\n", n.Held)
	}
	return nil
}

// targetName is how a scope is spoken of.
func targetName(scope string) string {
	if scope == events.ScopeTenant {
		return "everything"
	}
	return "this " + scope
}

// because lists the rules by which messages stay.
func because(why map[string]uint64) string {
	var reasons []string
	for rule, n := range why {
		reasons = append(reasons, fmt.Sprintf("%s: %d", rule, n))
	}
	if len(reasons) == 0 {
		return ""
	}
	slices.Sort(reasons)
	return " (" + strings.Join(reasons, ", ") + ")"
}

func (a *app) eraseRequest() *cobra.Command {
	var flags targetFlags
	var by signing
	order := server.ActOrder{Act: server.ActRequest}
	c := &cobra.Command{Use: "request", Short: "Ask for an erasure", Args: args(0, 0, "flags only"),
		Long: "Records a request and prints its number and what it will do. Nothing changes before another officer approves it."}
	flags.flags(c)
	by.flags(c)
	c.Flags().StringVar(&order.Basis, "basis", "", `legal basis, a short code (default "art17-1")`)
	c.Flags().StringVar(&order.Case, "case", "", "reference of the case; no personal data, it stays in the ledger")
	c.RunE = func(c *cobra.Command, _ []string) error {
		target, err := flags.target()
		if err != nil {
			return err
		}
		order.Target = &target
		signer, err := a.signer(by)
		if err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			draft, err := a.draft(c.Context(), api, order, signer)
			if err != nil {
				return err
			}
			answer, err := a.submit(c.Context(), api, draft, signer)
			if err != nil {
				return err
			}
			answer.Preview = draft.Preview
			return a.print(answer, func(w io.Writer) error {
				if err := printPreview(w, draft.Scope, *draft.Preview); err != nil {
					return err
				}
				_, err := fmt.Fprintf(w, "request %d; another officer approves it with: escrow erase approve %d --as NAME\n", answer.Event, answer.Event)
				return err
			})
		})
	}
	return c
}

func (a *app) eraseApprove() *cobra.Command {
	var by signing
	var yes bool
	c := &cobra.Command{Use: "approve REQUEST", Short: "Agree to an erasure, as another officer", Args: args(1, 1, "the number of a request"),
		Long: `Shows what the erasure does now and what it did when it was requested. Once approved, nobody is shown any more what it concerns; after the cooling-off
time it is carried out. Until then it can be withdrawn. On a terminal you are asked; elsewhere nothing happens without --yes, and the exit code is 6.`}
	by.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "approve without asking")
	c.RunE = func(c *cobra.Command, numbers []string) error {
		seq, err := parseRequest(numbers[0])
		if err != nil {
			return err
		}
		signer, err := a.signer(by)
		if err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			draft, err := a.draft(c.Context(), api, server.ActOrder{Act: server.ActApprove, Request: &seq}, signer)
			if err != nil {
				return err
			}
			if err := a.consent(draft, yes); err != nil {
				return err
			}
			answer, err := a.submit(c.Context(), api, draft, signer)
			if err != nil {
				return err
			}
			answer.Preview = draft.Preview
			return a.print(answer, func(w io.Writer) error { return a.printApproval(w, seq, answer) })
		})
	}
	return c
}

// consent shows what is about to be approved, and asks.
func (a *app) consent(draft server.ActDraft, yes bool) error {
	if yes && a.json {
		return nil // there is one object, the answer
	}
	err := a.print(draft, func(w io.Writer) error {
		if err := printPreview(w, draft.Scope, *draft.Preview); err != nil {
			return err
		}
		return printDifference(w, *draft.Asked, *draft.Preview)
	})
	if err != nil || yes {
		return err
	}
	if !a.confirmed("approve", "This destroys keys at the end of the cooling-off time.") {
		return &exitError{exitBlocked, "nothing was approved; repeat with --yes to approve"}
	}
	return nil
}

// printDifference says what has changed since the request.
func printDifference(w io.Writer, asked, now events.Counts) error {
	changes := 0
	for _, c := range []struct {
		what      string
		then, now uint64
	}{
		{"become unreadable", asked.Dies, now.Dies}, {"written by somebody else become unreadable", asked.DiesOfOthers, now.DiesOfOthers},
		{"lose the identity", asked.LosesIdentity, now.LosesIdentity}, {"stay", asked.Stays, now.Stays}, {"are held", asked.Held, now.Held},
	} {
		if c.then != c.now {
			fmt.Fprintf(w, "changed since the request: %d messages %s, it was %d\n", c.now, c.what, c.then)
			changes++
		}
	}
	if changes == 0 {
		_, err := fmt.Fprintln(w, "this is what was requested; nothing has changed since")
		return err
	}
	return nil
}

func (a *app) printApproval(w io.Writer, seq escrow.Seq, answer server.ActAnswer) error {
	when := "it is carried out by a running server at once, or by: escrow erase run"
	if answer.Until.After(a.now()) {
		when = fmt.Sprintf("it is carried out after %s by a running server, or by: escrow erase run\nuntil then it can be withdrawn: escrow erase withdraw %d --as NAME",
			answer.Until.Format(time.RFC3339), seq)
	}
	_, err := fmt.Fprintf(w, "request %d is approved by record %d, and nobody is shown any more what it concerns\n%s\n", seq, answer.Event, when)
	return err
}

func parseRequest(s string) (escrow.Seq, error) {
	seq, err := parseSeq(s)
	if err != nil {
		return 0, usage("%q is not the number of a request; escrow erase status lists them", s)
	}
	return seq, nil
}

func (a *app) eraseWithdraw() *cobra.Command {
	var by signing
	c := &cobra.Command{Use: "withdraw REQUEST", Short: "Withdraw a request before it is carried out", Args: args(1, 1, "the number of a request"),
		Long: "Ends a request. What it restricted is shown again. After the keys were destroyed nothing can be withdrawn; the exit code is 6 then."}
	by.flags(c)
	c.RunE = func(c *cobra.Command, numbers []string) error {
		seq, err := parseRequest(numbers[0])
		if err != nil {
			return err
		}
		return a.sign(c.Context(), server.ActOrder{Act: server.ActWithdraw, Request: &seq}, by, func(w io.Writer, answer server.ActAnswer) error {
			_, err := fmt.Fprintf(w, "request %d is withdrawn by record %d\n", seq, answer.Event)
			return err
		})
	}
	return c
}

func (a *app) eraseRun() *cobra.Command {
	req := server.AdvanceRequest{}
	c := &cobra.Command{Use: "run", Short: "Carry out what is due now", Args: args(0, 0, "flags only"),
		Long: `Carries out every approved erasure whose cooling-off time is over, and whatever else is due: expired days, released holds, retired roots,
certificates. A running server does the same by itself. What cannot be completed is completed at the next attempt; the exit code is 7 then.`}
	c.Flags().BoolVar(&req.RootsNow, "roots-now", false, "destroy retired roots at once; copies of the keys made before can be opened by nobody from then on")
	c.RunE = func(c *cobra.Command, _ []string) error { return a.advance(c.Context(), req) }
	return c
}

// advance carries out what is due and says what was done.
func (a *app) advance(ctx context.Context, req server.AdvanceRequest) error {
	req.Tenant = escrow.Tenant(a.tenant)
	return a.with(ctx, func(api server.API) error {
		answer, err := api.Advance(ctx, req)
		if err != nil {
			return err
		}
		if err := a.print(answer, func(w io.Writer) error { return printAdvance(w, answer) }); err != nil {
			return err
		}
		if len(answer.Problems) > 0 {
			return &exitError{exitPartial, "not everything that is due could be carried out; it is tried again"}
		}
		if len(answer.Blocked) > 0 {
			return &exitError{code: exitBlocked}
		}
		return nil
	})
}

func printAdvance(w io.Writer, answer server.AdvanceAnswer) error {
	for _, s := range answer.Steps {
		printCaseStep(w, s)
	}
	if len(answer.Steps) == 0 {
		fmt.Fprintln(w, "nothing was due")
	}
	for _, p := range answer.Problems {
		fmt.Fprintf(w, "NOT DONE: %s\n", oneLine(p))
	}
	for _, p := range answer.Blocked {
		fmt.Fprintf(w, "blocked: %s\n", oneLine(p))
	}
	for _, p := range answer.Pending {
		fmt.Fprintf(w, "pending: %s\n", p)
	}
	return nil
}

func printCaseStep(w io.Writer, s server.CaseStep) {
	fmt.Fprintf(w, "%s  %-8d %-18s %s\n", s.At.UTC().Format("2006-01-02 15:04:05"), s.Event, s.Step, s.Detail)
}
