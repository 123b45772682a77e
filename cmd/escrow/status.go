package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"escrow"
	"escrow/events/natslog"
	"escrow/server"

	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "How the archive is", Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Status(c.Context(), server.StatusRequest{Tenant: escrow.Tenant(a.tenant)})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printStatus(w, answer) })
		})
	}
	return c
}

func printStatus(w io.Writer, s server.StatusAnswer) error {
	if s.Server {
		fmt.Fprintf(w, "server     running since %s, platforms connect to %s\n", s.Started.Format(time.RFC3339), s.NATS)
	} else {
		fmt.Fprintln(w, "server     not running")
	}
	for _, t := range s.Tenants {
		if err := printTenant(w, t); err != nil {
			return err
		}
	}
	return nil
}

func printTenant(w io.Writer, t server.TenantStatus) error {
	fmt.Fprintf(w, "tenant     %s (%s)\n", t.Tenant, t.Origin)
	fmt.Fprintf(w, "  ledger   %d records in %d channels, %.1f MB\n", t.Records, t.Channels, float64(t.Bytes)/1e6)
	if t.Terminated {
		_, err := fmt.Fprintf(w, "  ERASED   everything of this tenant was erased; what is left is the ledger, to be verified with\n  verifier %s\n", t.Key)
		return err
	}
	fmt.Fprintf(w, "  index    reflects %d of %d records; %d messages not fully understood\n", t.Indexed, t.Records, t.Partial)
	fmt.Fprintf(w, "  log      %d acknowledged messages wait to be sealed; %d incidents", t.Waiting, t.Incidents)
	if t.Readable != "" {
		fmt.Fprintf(w, "; sealed entries from %s on can still be opened", t.Readable)
	}
	fmt.Fprintf(w, "\n  keys     epoch %d, %d orders to destroy carried out%s\n", t.Epoch, t.Erasures, retired(t.Retired))
	for _, s := range t.Stores {
		fmt.Fprintf(w, "  roots    store %s: %d live, %d pending%s\n", s.Store, s.Live, s.Pending, problem(s.Problem))
	}
	fmt.Fprintf(w, "  erasing  %d requests open, %d people shown to nobody, %d holds in force\n", len(t.Requests), t.Restricted, t.Holds)
	for _, c := range t.Requests {
		for _, p := range c.Pending {
			fmt.Fprintf(w, "           %s\n", p)
		}
	}
	for _, c := range t.Expired {
		if c.Expired != "" {
			fmt.Fprintf(w, "  class    %s: expired up to %s\n", c.Name, c.Expired)
		}
	}
	fmt.Fprintf(w, "  verifier %s\n", t.Key)
	if in := t.Intake; in != nil {
		fmt.Fprintf(w, "  intake   %s\n", strings.TrimSpace(fmt.Sprintf("%d accepted, %d duplicates, %d refused", in.Accepted, in.Duplicates, refused(in))))
	}
	if t.Halted != "" {
		fmt.Fprintf(w, "  HALTED   %s\n", t.Halted)
	}
	return nil
}

// retired says until when copies of the keys made before can be opened.
func retired(roots []server.RetiredRoot) string {
	if len(roots) == 0 {
		return "; no earlier copy of them opens"
	}
	last := roots[len(roots)-1].Goes
	return fmt.Sprintf("; %d retired roots open earlier copies of them, the last until %s", len(roots), last.UTC().Format(time.RFC3339))
}

func problem(p string) string {
	if p == "" {
		return ""
	}
	return ", PROBLEM: " + oneLine(p)
}

// refused adds up the publishes the intake refused.
func refused(in *natslog.IntakeStats) (n uint64) {
	for _, k := range in.Refused {
		n += k
	}
	return n
}
