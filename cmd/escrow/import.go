package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest/source"

	"github.com/spf13/cobra"
)

const importHelp = `Archives messages from files: mbox (all four variants), Maildir, single EML files, folders of EML, and JSON lines of the publishing
contract (docs/publishing.md), also compressed with gzip or zstd. The format is recognised; --format fixes it.

Every message goes through the same intake as published ones. Run an interrupted import again: what is in already counts as duplicate.
Exit code 7 says that some messages failed; the report says why.`

func (a *app) importCommand() *cobra.Command {
	var format, channel string
	c := &cobra.Command{Use: "import PATH…", Short: "Archive messages from files", Long: importHelp, Args: args(1, -1, "files or folders")}
	c.Flags().StringVar(&format, "format", "auto", "auto, mbox, mboxo, mboxrd, mboxcl, mboxcl2, maildir, eml or jsonl")
	c.Flags().StringVar(&channel, "channel", "import", "channel to archive into")
	c.RunE = func(c *cobra.Command, paths []string) error {
		if err := escrow.Channel(channel).Check(); err != nil {
			return err
		}
		walker, err := source.Open(c.Context(), paths, source.Options{Format: format})
		if err != nil {
			return err
		}
		defer walker.Close()
		report, err := a.importFrom(c.Context(), walker, escrow.Channel(channel))
		if err == nil || report.Read > 0 {
			if perr := a.print(report, func(w io.Writer) error { return report.WriteText(w) }); perr != nil {
				return perr
			}
		}
		switch {
		case err != nil && c.Context().Err() != nil:
			return &exitError{exitInterrupted, err.Error()}
		case err != nil:
			return err
		case report.Failed > 0:
			return &exitError{exitPartial, fmt.Sprintf("%d of %d messages failed", report.Failed, report.Read)}
		}
		return nil
	}
	return c
}

// importFrom publishes what the walker finds: to the server that owns the data directory, or to an intake opened here for the purpose.
func (a *app) importFrom(ctx context.Context, walker *source.Walker, channel escrow.Channel) (source.Report, error) {
	empty := source.Report{Reasons: map[string]uint64{}}
	if r, _ := a.running(ctx); r != nil {
		tenant, err := a.onlyTenant()
		if err != nil {
			return empty, err
		}
		pub, err := natslog.NewPublisher(ctx, natslog.PublisherConfig{URL: r.NATS, NKeySeedFile: a.localSeedPath(), Tenant: tenant, Channel: channel})
		if err != nil {
			return empty, err
		}
		report, err := a.runImport(ctx, walker, pub)
		if cerr := pub.Close(context.WithoutCancel(ctx)); err == nil {
			err = cerr
		}
		return report, err
	}
	n, err := a.openNode(ctx, nodeOptions{log: true, private: true})
	if err != nil {
		return empty, err
	}
	report, err := a.importInto(ctx, n, walker, channel)
	if cerr := n.close(); err == nil {
		err = cerr
	}
	return report, err
}

// importInto runs an import through the node's own intake and waits until everything is sealed and searchable.
func (a *app) importInto(ctx context.Context, n *node, walker *source.Walker, channel escrow.Channel) (source.Report, error) {
	t, err := n.tenant(escrow.Tenant(a.tenant))
	if err != nil {
		return source.Report{Reasons: map[string]uint64{}}, err
	}
	if t.Indexer == nil {
		return source.Report{Reasons: map[string]uint64{}}, escrow.Errorf("escrow", escrow.Erased, "everything of tenant %q was erased; nothing can be archived for it any more", t.Name)
	}
	pub, err := n.intake.conn.Publisher(t.Name, channel)
	if err != nil {
		return source.Report{Reasons: map[string]uint64{}}, err
	}
	report, err := a.runImport(ctx, walker, pub)
	if cerr := pub.Close(context.WithoutCancel(ctx)); err == nil {
		err = cerr
	}
	if err != nil {
		return report, err
	}
	return report, n.settle(ctx)
}

func (a *app) runImport(ctx context.Context, walker *source.Walker, pub *natslog.Publisher) (source.Report, error) {
	var progress source.Progress
	total := walker.Size(ctx)
	if terminal(a.err) {
		bar := source.NewBar(a.err, total, walker.Done)
		defer bar.Close()
		progress = bar
	} else {
		progress = source.NewLines(a.err, a.now, total, walker.Done)
	}
	return source.Run(ctx, walker.All(ctx), courier{pub}, source.Config{Progress: progress})
}

// courier marks what it publishes as imported. The intake derives the deduplication id itself, as for every publish without one, so that a mail is
// recognised whichever way it comes.
type courier struct{ *natslog.Publisher }

// PublishAsync implements source.Publisher.
func (c courier) PublishAsync(ctx context.Context, m natslog.PublishMsg, done func(natslog.Ack, error)) error {
	header := map[string][]string{natslog.ImportHeader: {"1"}}
	maps.Copy(header, m.Header)
	m.Header, m.ID = header, ""
	return c.Publisher.PublishAsync(ctx, m, done)
}

// onlyTenant is the tenant named by --tenant, or the only one.
func (a *app) onlyTenant() (escrow.Tenant, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return "", err
	}
	if a.tenant != "" {
		if cfg.Tenants[escrow.Tenant(a.tenant)] == nil {
			return "", escrow.Errorf("escrow", escrow.NotFound, "there is no tenant %q in this archive", a.tenant)
		}
		return escrow.Tenant(a.tenant), nil
	}
	names := make([]escrow.Tenant, 0, len(cfg.Tenants))
	for name := range cfg.Tenants {
		names = append(names, name)
	}
	if len(names) != 1 {
		slices.Sort(names)
		return "", usage("this archive has the tenants %v; name one with --tenant", names)
	}
	return names[0], nil
}
