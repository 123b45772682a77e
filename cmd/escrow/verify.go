package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check every frame, leaf, root, signature and message of the archive", Args: args(0, 0, "no arguments"),
		Long: `Walks the whole ledger: every frame, leaf, root and signature. Then proves every message present, matching the commitments in its
leaf, or lawfully erased. Exit code 3 if anything is wrong.

A checkpoint kept elsewhere (escrow status --json prints the newest, escrow backup too) says what the ledger was then. --checkpoint compares: the ledger
must still have all of it.`}
	files := c.Flags().StringArray("checkpoint", nil, "file with a signed checkpoint that was kept elsewhere; may be repeated")
	c.RunE = func(c *cobra.Command, _ []string) error {
		kept, err := a.keptCheckpoints(*files)
		if err != nil {
			return err
		}
		var answer server.VerifyAnswer
		err = a.with(c.Context(), func(api server.API) (err error) {
			answer, err = api.Verify(c.Context(), server.VerifyRequest{Tenant: escrow.Tenant(a.tenant), Kept: kept})
			return err
		})
		if kind := escrow.KindOf(err); kind == escrow.Corrupt || kind == escrow.Forged { // so damaged that it does not open: that is the finding
			answer = server.VerifyAnswer{Findings: []server.Finding{{Place: "archive", Kind: kind.String(), Text: err.Error()}}}
		} else if err != nil {
			return err
		}
		if err := a.print(answer, func(w io.Writer) error { return printVerification(w, answer) }); err != nil {
			return err
		}
		if !answer.OK {
			return &exitError{exitVerify, fmt.Sprintf("verification found %d faults", len(answer.Findings)+answer.More)}
		}
		return nil
	}
	return c
}

// shownFindings is how many findings are printed as text; --json has up to a thousand.
const shownFindings = 20

func printVerification(w io.Writer, v server.VerifyAnswer) error {
	for _, f := range v.Findings[:min(len(v.Findings), shownFindings)] {
		fmt.Fprintf(w, "%s: %s: %s\n", f.Place, f.Kind, oneLine(f.Text))
	}
	if more := len(v.Findings) + v.More - shownFindings; more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
	fmt.Fprintf(w, "%d records, root %s\n", v.Size, v.Root)
	fmt.Fprintf(w, "%d messages: %d present (%d of them with erased participants), %d erased, %d missing\n",
		v.Messages, v.Present, v.Redacted, v.Erased, v.Messages-v.Present-v.Erased)
	fmt.Fprintf(w, "%d events, %d log incidents\n", v.Events, v.Incidents)
	if v.Kept > 0 {
		fmt.Fprintf(w, "the ledger continues %d checkpoints kept elsewhere\n", v.Kept)
	}
	verdict := "everything verifies"
	if !v.OK {
		verdict = fmt.Sprintf("%d FAULTS", len(v.Findings)+v.More)
	}
	_, err := fmt.Fprintf(w, "%s (%.1f MB in %.1f s)\n", verdict, float64(v.Bytes)/1e6, float64(v.Millis)/1e3)
	return err
}

func (a *app) reindexCommand() *cobra.Command {
	c := &cobra.Command{Use: "reindex", Short: "Build the search index anew from the ledger", Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Reindex(c.Context(), server.ReindexRequest{Tenant: escrow.Tenant(a.tenant)})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "the index reflects %d records, built in %.1f s\n", answer.Position, float64(answer.Millis)/1e3)
				return err
			})
		})
	}
	return c
}

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print version, Go version and formats", Args: args(0, 0, "no arguments")}
	c.RunE = func(*cobra.Command, []string) error {
		v := struct {
			Version string `json:"version"`
			Go      string `json:"go"`
			Format  int    `json:"data_format"`
		}{version(), runtime.Version(), dataFormat}
		return a.print(v, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "escrow %s, %s, data format %d\n", v.Version, v.Go, v.Format)
			return err
		})
	}
	return c
}

// version is the module version, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return "development"
}
