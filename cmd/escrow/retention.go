package main

import (
	"fmt"
	"io"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

func (a *app) retentionCommand() *cobra.Command {
	c := &cobra.Command{Use: "retention", Short: "How long messages are kept, and the end of their days"}
	c.AddCommand(a.retentionShow(), a.retentionRun())
	return group(c)
}

func (a *app) retentionShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "The classes, and up to which day their keys are gone", Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Retention(c.Context(), server.RetentionRequest{Tenant: escrow.Tenant(a.tenant)})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printRetention(w, answer) })
		})
	}
	return c
}

func printRetention(w io.Writer, answer server.RetentionAnswer) error {
	for _, k := range answer.Classes {
		expired := "nothing expired yet"
		if k.Expired != "" {
			expired = "expired up to " + k.Expired
		}
		if _, err := fmt.Fprintf(w, "%-20s %6d days  %s\n", k.Name, k.Days, expired); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) retentionRun() *cobra.Command {
	req := server.AdvanceRequest{}
	c := &cobra.Command{Use: "run", Short: "Expire the days that are over", Args: args(0, 0, "flags only"),
		Long: `Destroys the keys of the retention days that are over, and carries out whatever else is due, as escrow erase run does. A running server does
the same by itself. If the clock is more than a week ahead of the last record, nothing expires: a clock set wrong must not destroy anything. Look at the
clock, then say so.`}
	c.Flags().BoolVar(&req.ClockIsRight, "clock-is-right", false, "somebody looked at the clock: so much time has passed since the last record")
	c.RunE = func(c *cobra.Command, _ []string) error { return a.advance(c.Context(), req) }
	return c
}
