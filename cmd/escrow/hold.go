package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

const holdHelp = `A hold keeps exactly its messages readable, whatever falls due or is erased, until it is released. Everything else of a person is erased
on time. A hold placed after the keys were destroyed comes too late; one placed before is served first.`

func (a *app) holdCommand() *cobra.Command {
	c := &cobra.Command{Use: "hold", Short: "Keep messages from erasure and expiry", Long: holdHelp}
	c.AddCommand(a.holdPlace(), a.holdRelease(), a.holdList())
	return group(c)
}

func (a *app) holdPlace() *cobra.Command {
	var by signing
	var query string
	var messages []string
	c := &cobra.Command{Use: "place MATTER", Short: "Place a hold", Args: args(1, 1, "a reference of the matter"),
		Long: `Holds the messages named, or those a query finds now; messages that come later are not held. The matter is a reference such as 2026-17: it stays
in the ledger for ever, so it must not name anybody.`}
	by.flags(c)
	c.Flags().StringVar(&query, "query", "", "hold every message this query finds (docs/search.md)")
	c.Flags().StringSliceVar(&messages, "message", nil, "hold this message; repeat for several")
	c.RunE = func(c *cobra.Command, names []string) error {
		if (query == "") == (len(messages) == 0) {
			return usage("say which messages: --query or --message, one of the two")
		}
		order := server.ActOrder{Act: server.ActPlaceHold, Matter: names[0], Query: query}
		for _, m := range messages {
			seq, err := parseSeq(m)
			if err != nil {
				return err
			}
			order.Messages = append(order.Messages, seq)
		}
		return a.sign(c.Context(), order, by, func(w io.Writer, answer server.ActAnswer) error {
			_, err := fmt.Fprintf(w, "hold %d keeps %d messages for %s, from record %d on\n", *answer.Hold, answer.Messages, names[0], answer.Event)
			return err
		})
	}
	return c
}

func (a *app) holdRelease() *cobra.Command {
	var by signing
	c := &cobra.Command{Use: "release HOLD", Short: "Release a hold", Args: args(1, 1, "the number of a hold"),
		Long: "What only the hold kept readable becomes unreadable at once; what is still due for other reasons is carried out."}
	by.flags(c)
	c.RunE = func(c *cobra.Command, numbers []string) error {
		n, err := strconv.ParseUint(numbers[0], 10, 32)
		if err != nil {
			return usage("%q is not the number of a hold; escrow hold list prints them", numbers[0])
		}
		hold := uint32(n)
		return a.sign(c.Context(), server.ActOrder{Act: server.ActReleaseHold, Hold: &hold}, by, func(w io.Writer, answer server.ActAnswer) error {
			_, err := fmt.Fprintf(w, "hold %d is released by record %d\n", hold, answer.Event)
			return err
		})
	}
	return c
}

func (a *app) holdList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the holds", Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Holds(c.Context(), server.HoldsRequest{Tenant: escrow.Tenant(a.tenant)})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printHolds(w, answer.Holds) })
		})
	}
	return c
}

func printHolds(w io.Writer, holds []server.Hold) error {
	for _, h := range holds {
		state := "in force"
		if h.Released != nil {
			state = "released " + h.Released.Format(time.RFC3339)
		}
		if _, err := fmt.Fprintf(w, "%-6d %-24s %6d messages, placed %s by %s, %s\n", h.Hold, h.Matter, h.Messages, h.Placed.Format(time.RFC3339), h.By, state); err != nil {
			return err
		}
	}
	if len(holds) == 0 {
		_, err := fmt.Fprintln(w, "no holds")
		return err
	}
	return nil
}
