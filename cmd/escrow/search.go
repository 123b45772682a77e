package main

import (
	"fmt"
	"io"
	"strings"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

const searchHelp = `Finds messages. Words are combined with AND; "a phrase", OR, NOT or -word, ( ), pre*, word~1 and these fields narrow a search:
from: to: with: in: channel: type: title: body: file: tag: lang: before: after: during: has: id:

  escrow search 'invoice from:ana@example.org after:2026-01 has:attachment'

Words are found in all their inflected forms, in twelve languages. Every answer says how many messages match and whether the index
was complete; exit code 9 says it was behind.`

func (a *app) searchCommand() *cobra.Command {
	req := server.SearchRequest{}
	c := &cobra.Command{Use: "search QUERY…", Short: "Find messages", Long: searchHelp, Args: args(1, -1, "a query")}
	c.Flags().IntVar(&req.Limit, "limit", 20, "hits to print")
	c.Flags().IntVar(&req.Offset, "offset", 0, "hits to skip")
	c.Flags().BoolVar(&req.Newest, "newest", false, "newest first instead of best first")
	c.RunE = func(c *cobra.Command, words []string) error {
		if req.Limit < 1 || req.Limit > server.MaxPage {
			return usage("--limit must be 1 to %d", server.MaxPage)
		}
		req.Tenant, req.Query = escrow.Tenant(a.tenant), strings.Join(words, " ")
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Search(c.Context(), req)
			if err != nil {
				return err
			}
			if err := a.print(answer, func(w io.Writer) error { return a.printHits(w, answer) }); err != nil {
				return err
			}
			if !answer.Complete {
				return &exitError{exitBehind, fmt.Sprintf("the index reflects %d of %d records; ask again in a moment", answer.Position, answer.AsOf)}
			}
			return nil
		})
	}
	return c
}

func (a *app) printHits(w io.Writer, answer server.SearchAnswer) error {
	bold, plain := "[", "]"
	if terminal(w) {
		bold, plain = "\x1b[1m", "\x1b[0m"
	}
	for _, h := range answer.Hits {
		when := h.Received
		if h.Sent != nil {
			when = *h.Sent
		}
		fmt.Fprintf(w, "%-8d %s  %-12s %s", h.ID, when.UTC().Format("2006-01-02 15:04"), h.Channel, oneLine(who(h.From)))
		if h.Title != "" {
			fmt.Fprintf(w, "  %s", oneLine(h.Title))
		}
		fmt.Fprintf(w, "\n         %s\n", marked(h.Snippet, h.Marks, bold, plain))
		if len(h.Partial) > 0 {
			fmt.Fprintf(w, "         not fully understood: %s\n", oneLine(strings.Join(h.Partial, "; ")))
		}
	}
	fmt.Fprintf(w, "%d found for %s in %d ms; index at %d of %d records", answer.Count, oneLine(answer.Query), answer.Millis, answer.Position, answer.AsOf)
	if answer.Partial > 0 {
		fmt.Fprintf(w, " (%d messages in it were not fully understood)", answer.Partial)
	}
	if answer.Restricted {
		fmt.Fprint(w, "; what an approved erasure concerns is left out")
	}
	_, err := fmt.Fprintln(w)
	return err
}

// who names a participant in one line.
func who(p escrow.Participant) string {
	switch {
	case p.ID.Scheme() == "erased":
		return "[erased person]"
	case p.Name != "":
		return p.Name + " <" + address(p.ID) + ">"
	}
	return address(p.ID)
}

// address is an identity without the scheme where it shows by itself.
func address(id escrow.Identity) string {
	if s := id.Scheme(); s == "email" || s == "tel" {
		return id.Value()
	}
	return string(id)
}

// marked returns the snippet in one line with the marks around what matched.
func marked(s string, marks [][2]int, on, off string) string {
	var b strings.Builder
	last := 0
	for _, m := range marks {
		if m[0] < last || m[1] > len(s) || m[1] < m[0] {
			continue
		}
		b.WriteString(flat(s[last:m[0]]))
		b.WriteString(on + flat(s[m[0]:m[1]]) + off)
		last = m[1]
	}
	b.WriteString(flat(s[last:]))
	return strings.TrimSpace(b.String())
}

// flat is oneLine that keeps a space at either end.
func flat(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, clean(s))
}
