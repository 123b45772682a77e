package bench

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"escrow"
	"escrow/archive"
	"escrow/server"
)

// verify compares the verification of the ledger with SHA-256 over its files.
func (b *bench) verify(ctx context.Context) ([]Row, error) {
	f, err := b.ready(ctx)
	if err != nil {
		return nil, err
	}
	stats, err := f.ledger.Stats()
	if err != nil {
		return nil, err
	}
	hash := func(context.Context, int) (cost, error) {
		return b.measure(func() error { return b.hashFiles(f.path("ledger/segments")) })
	}
	ours, bare, err := b.duel(ctx, func(ctx context.Context, _ int) (cost, error) { return b.verifyLedger(ctx, f) }, hash)
	if err != nil {
		return nil, err
	}
	row := Row{Name: "verify", Goal: 0.7, Detail: "ledger: every frame, leaf, root and signature; bare: SHA-256 of the same files"}
	row = row.rates("MB/s", float64(stats.Bytes)/1e6, ours, bare)
	ours, bare, err = b.duel(ctx, func(ctx context.Context, _ int) (cost, error) { return b.verifyAll(ctx, f) }, hash)
	if err != nil {
		return nil, err
	}
	all := Row{Name: "verify all", Goal: 0.7, Detail: "the same, and every message opened and held against its commitments, as escrow verify does"}
	return []Row{row, all.rates("MB/s", float64(stats.Bytes)/1e6, ours, bare)}, nil
}

func (b *bench) verifyLedger(ctx context.Context, f *filled) (cost, error) {
	return b.measure(func() error {
		report, err := f.ledger.Verify(ctx, archive.VerifyOptions{})
		if err == nil && !report.Sound() {
			err = escrow.Errorf("bench.Verify", escrow.Corrupt, "the ledger does not verify: %s", report.Findings[0])
		}
		return err
	})
}

func (b *bench) verifyAll(ctx context.Context, f *filled) (cost, error) {
	t := &server.Tenant{Name: tenantName, Origin: f.ledger.Origin(), Ledger: f.ledger, Keys: f.keys, Directory: f.directory, Opener: f.opener, Disposal: f.disposal}
	a := &server.Archive{Tenants: map[escrow.Tenant]*server.Tenant{tenantName: t}, Now: b.cfg.Now, Logger: slog.New(slog.DiscardHandler)}
	return b.measure(func() error {
		answer, err := a.Verify(ctx, server.VerifyRequest{Tenant: tenantName})
		if err == nil && (!answer.OK || int(answer.Present) != b.cfg.Messages) {
			err = escrow.Errorf("bench.Verify", escrow.Corrupt, "%d of %d messages verify", answer.Present, b.cfg.Messages)
		}
		return err
	})
}

// hashFiles hashes every file of a directory.
func (b *bench) hashFiles(dir string) error {
	entries, err := b.cfg.FS.ReadDir(dir)
	if err != nil {
		return diskError(err)
	}
	for _, e := range entries {
		if err := b.hashFile(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) hashFile(name string) error {
	f, err := b.cfg.FS.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return diskError(err)
	}
	_, err = io.CopyBuffer(sha256.New(), struct{ io.Reader }{f}, make([]byte, 1<<20))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return diskError(err)
	}
	return nil
}
