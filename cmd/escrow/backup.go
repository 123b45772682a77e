package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"escrow"
	"escrow/archive/backup"
	"escrow/internal/vfs"
	"escrow/server"

	"github.com/spf13/cobra"
)

const backupHelp = `Makes a backup of the whole archive, or brings one up to date, also while the service runs. It has two parts, for two places:

  --to       the archive: sealed records, checkpoints, configuration, public keys. It opens nothing and may be kept for years.
  --keys-to  the sealed keys. They are worth nothing once the root they are sealed under is destroyed, which happens by itself: so make a backup
             every day, and more often than the cooling-off time of erasures.

Neither has the roots, which belong in no backup, nor the search index, which is built anew. Only what is new is copied; an interrupted backup leaves the
one before as it was. Keep the checkpoint it prints elsewhere. Everything about it: docs/backup.md.`

func (a *app) backupCommand() *cobra.Command {
	var req server.BackupRequest
	c := &cobra.Command{Use: "backup --to DIR [--keys-to DIR]", Short: "Copy the archive to another place", Long: backupHelp, Args: args(0, 0, "flags only")}
	f := c.Flags()
	f.StringVar(&req.To, "to", "", "directory for the archive")
	f.StringVar(&req.KeysTo, "keys-to", "", "directory for the sealed keys, apart from the archive")
	f.BoolVar(&req.Check, "check", false, "read everything that earlier backups copied, too, and mend what is damaged")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if req.To == "" {
			return usage("--to is missing (see %s --help)", c.CommandPath())
		}
		if err := absolute(&req.To, &req.KeysTo); err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := a.backup(c.Context(), api, req)
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printBackup(w, req, answer) })
		})
	}
	return c
}

// absolute makes paths mean the same to a server, which runs in another directory.
func absolute(paths ...*string) error {
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return escrow.Errorf("escrow", escrow.Invalid, "%w", err)
		}
		*p = abs
	}
	return nil
}

// backup asks for a backup and says how far it is.
func (a *app) backup(ctx context.Context, api server.API, req server.BackupRequest) (server.BackupAnswer, error) {
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.watchBackup(watching, api)
	}()
	answer, err := api.Backup(ctx, req)
	stop()
	<-done
	return answer, err
}

// progressEvery is how often a long copy says how far it is.
const progressEvery = 5 * time.Second

// watchBackup writes lines to standard error until ctx ends. What it cannot find out is not worth an error.
func (a *app) watchBackup(ctx context.Context, api server.API) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p, err := api.BackupProgress(ctx, struct{}{}); err == nil && p.Total > 0 {
			fmt.Fprintf(a.err, "%.1f of %.1f MB\n", float64(p.Done)/1e6, float64(p.Total)/1e6)
		}
	}
}

func printBackup(w io.Writer, req server.BackupRequest, b server.BackupAnswer) error {
	fmt.Fprintf(w, "backup %d of %s: %.1f MB in %s, %.1f MB of them new, written and read back in %.1f s\n", b.Number, b.Time.Format(time.RFC3339),
		float64(b.Bytes)/1e6, req.To, float64(b.Copied)/1e6, float64(b.Millis)/1e3)
	for _, name := range b.Repaired {
		fmt.Fprintf(w, "mended     %s\n", name)
	}
	for _, t := range b.Tenants {
		keys := "no keys: without them nothing in it can be opened; use --keys-to"
		if t.Epoch != nil {
			keys = fmt.Sprintf("keys under the root of epoch %d in %s", *t.Epoch, req.KeysTo)
		}
		fmt.Fprintf(w, "tenant     %s: %d records, %s\n", t.Tenant, t.Records, keys)
	}
	_, err := fmt.Fprintf(w, "manifest   sha256 %s\n", b.Digest)
	for _, t := range b.Tenants {
		_, err = fmt.Fprintf(w, "checkpoint to be kept elsewhere:\n%s", t.Checkpoint)
	}
	return err
}

// home is where the archive lies. Credentials, the log and everything that can be computed again are not among its files.
func (a *app) home(cfg config) server.Home {
	return server.Home{FS: a.fs, Dir: a.dir, Archive: cfg.Archive, Files: []string{backup.ConfigFile, platformsFile}}
}

// maxCheckpointFile bounds a file with a checkpoint: that of many witnesses.
const maxCheckpointFile = 64 << 10

// keptCheckpoints reads checkpoints that were kept elsewhere.
func (a *app) keptCheckpoints(files []string) ([]string, error) {
	var kept []string
	for _, name := range files {
		b, err := vfs.ReadFile(a.fs, name, maxCheckpointFile)
		if err != nil {
			return nil, escrow.Errorf("escrow", escrow.KindOf(err), "read the checkpoint: %w", err)
		}
		if !strings.Contains(string(b), "\n— ") { // only what has a signature is worth comparing, or repeating in an error
			return nil, escrow.Errorf("escrow", escrow.Invalid, "%s holds no signed checkpoint; escrow backup prints one of five lines, escrow status --json has it, too", name)
		}
		kept = append(kept, string(b))
	}
	return kept, nil
}
