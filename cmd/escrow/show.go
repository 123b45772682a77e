package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

func (a *app) showCommand() *cobra.Command {
	var original bool
	c := &cobra.Command{Use: "show ID", Short: "Show one record: message, event or what is left of it", Args: args(1, 1, "the id of a record"),
		Long: "Shows one record. IDs are those printed by search. A record that was erased says so and by which event; the exit code is 4 then. " +
			"One whose erasure is approved is shown to nobody; the exit code is 5."}
	c.Flags().BoolVar(&original, "original", false, "write the original bytes, exactly as they arrived, and nothing else")
	c.RunE = func(c *cobra.Command, ids []string) error {
		seq, err := parseSeq(ids[0])
		if err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Show(c.Context(), server.ShowRequest{Tenant: escrow.Tenant(a.tenant), ID: seq, Original: original})
			if err != nil {
				return err
			}
			if original && !a.json {
				return a.writeOriginal(answer)
			}
			if err := a.print(answer, func(w io.Writer) error { return printRecord(w, answer) }); err != nil {
				return err
			}
			switch answer.State {
			case "erased":
				return &exitError{code: exitNotFound}
			case "restricted":
				return &exitError{code: exitDenied}
			}
			return nil
		})
	}
	return c
}

// writeOriginal writes nothing but the bytes, or nothing at all.
func (a *app) writeOriginal(answer server.ShowAnswer) error {
	switch {
	case answer.State == "erased":
		return escrow.Errorf("escrow", escrow.Erased, "record %d was erased; its original bytes can no longer be read by anybody", answer.ID)
	case answer.State == "restricted":
		return escrow.Errorf("escrow", escrow.Denied, "record %d is shown to nobody: its erasure is approved; escrow erase status says when it is carried out", answer.ID)
	case answer.Message == nil:
		return escrow.Errorf("escrow", escrow.NotFound, "record %d is an event of the archive (%s) and has no original bytes", answer.ID, answer.Kind)
	}
	_, err := a.out.Write(answer.Message.Original)
	return err
}

func parseSeq(s string) (escrow.Seq, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, usage("%q is not the id of a record; ids are the numbers that search prints", s)
	}
	return escrow.Seq(n), nil
}

func printRecord(w io.Writer, r server.ShowAnswer) error {
	fmt.Fprintf(w, "record    %d (%s, %s)\narchived  %s\n", r.ID, r.Kind, r.State, r.Archived.Format(time.RFC3339))
	switch {
	case r.State == "erased" && r.ErasedBy != nil:
		fmt.Fprintf(w, "erased    by event %d; the content can no longer be read by anybody\n", *r.ErasedBy)
	case r.State == "erased":
		fmt.Fprintln(w, "erased    its retention period is over; the content can no longer be read by anybody")
	case r.State == "restricted":
		fmt.Fprintln(w, "restricted  its erasure is approved; it is shown to nobody, and erase status says when it is carried out")
	case r.Message != nil:
		printMessage(w, r)
	default:
		b, err := json.MarshalIndent(r.Event, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s\n", b)
	}
	_, err := fmt.Fprintf(w, "\nleaf\n  %s\n", strings.ReplaceAll(strings.TrimSpace(r.Leaf), "\n", "\n  "))
	return err
}

func printMessage(w io.Writer, r server.ShowAnswer) {
	m := r.Message
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-9s %s\n", name, oneLine(value))
		}
	}
	line("kept to", r.KeptTo)
	line("channel", string(m.Channel))
	if m.Sent != nil {
		line("sent", m.Sent.Format(time.RFC3339))
	}
	if m.Type != string(escrow.TypeMessage) {
		line("type", m.Type+" of "+m.RefersTo)
	}
	line("from", who(m.From))
	for _, p := range m.To {
		line("to", who(p))
	}
	line("talk", m.Conversation)
	line("title", m.Title)
	line("tags", strings.Join(m.Tags, ", "))
	for _, at := range m.Attachments {
		line("file", fmt.Sprintf("%s (%s, %d bytes)", at.Name, at.MediaType, at.Bytes))
		line("spoken", at.Transcript)
	}
	line("partial", strings.Join(r.Defects, "; "))
	if r.Gone > 0 {
		line("erased", fmt.Sprintf("%d of the people named", r.Gone))
	}
	if r.Withheld > 0 {
		line("withheld", fmt.Sprintf("%d of the people named, whose erasure is approved", r.Withheld))
	}
	fmt.Fprintf(w, "\n%s\n", strings.TrimRight(clean(m.Text), "\n"))
}

func (a *app) proofCommand() *cobra.Command {
	c := &cobra.Command{Use: "proof ID", Short: "Print the inclusion proof of a record", Args: args(1, 1, "the id of a record"),
		Long: `Prints the leaf and its inclusion proof (C2SP tlog-proof) against the signed checkpoint. The leaf's hash is
SHA-256 of a zero byte and the leaf text. Compare the verifier key with one you got elsewhere.`}
	c.RunE = func(c *cobra.Command, ids []string) error {
		seq, err := parseSeq(ids[0])
		if err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Proof(c.Context(), server.ProofRequest{Tenant: escrow.Tenant(a.tenant), ID: seq})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "leaf\n%s\nproof\n%s\nverifier key\n%s\n", answer.Leaf, answer.Proof, answer.Key)
				return err
			})
		})
	}
	return c
}

func (a *app) subjectCommand() *cobra.Command {
	c := &cobra.Command{Use: "subject", Short: "What the archive holds about a person"}
	var channel string
	show := &cobra.Command{Use: "show IDENTITY", Short: "Show a person: identities, messages, channels", Args: args(1, 1, "an identity such as email:ana@example.org")}
	show.Flags().StringVar(&channel, "channel", "", `channel of a "user:" identity`)
	show.RunE = func(c *cobra.Command, ids []string) error {
		req := server.SubjectRequest{Tenant: escrow.Tenant(a.tenant), Identity: escrow.Identity(ids[0]), Channel: escrow.Channel(channel)}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Subject(c.Context(), req)
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printSubject(w, answer) })
		})
	}
	c.AddCommand(show)
	return group(c)
}

func printSubject(w io.Writer, s server.SubjectAnswer) error {
	fmt.Fprintf(w, "subject     %d\n", s.Subject)
	for _, id := range s.Identities {
		fmt.Fprintf(w, "identity    %s\n", oneLine(string(id)))
	}
	for _, name := range s.Names {
		fmt.Fprintf(w, "name        %s\n", oneLine(name))
	}
	fmt.Fprintf(w, "messages    %d, %d written by this person\n", s.Messages, s.Authored)
	for name, n := range s.Channels {
		fmt.Fprintf(w, "channel     %s (%d)\n", name, n)
	}
	if s.First != nil {
		fmt.Fprintf(w, "archived    %s to %s\n", s.First.Format(time.DateOnly), s.Last.Format(time.DateOnly))
	}
	if !s.Complete {
		fmt.Fprintln(w, "the index is behind; there may be more")
	}
	_, err := fmt.Fprintf(w, "latest      %v\n", s.Recent)
	return err
}
