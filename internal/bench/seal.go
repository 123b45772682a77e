package bench

import (
	"context"
	"fmt"

	"escrow/ingest"
)

// seal measures sealing into the ledger, for ordinary and for large messages.
func (b *bench) seal(ctx context.Context) ([]Row, error) {
	small, err := b.sealSmall(ctx)
	if err != nil {
		return nil, err
	}
	large, err := b.sealLarge(ctx)
	if err != nil {
		return nil, err
	}
	return []Row{small, large}, nil
}

// sealSmall compares records of ordinary messages with the parts they are made of.
func (b *bench) sealSmall(ctx context.Context) (Row, error) {
	n := b.cfg.Messages
	bare, err := b.newParts(ctx)
	if err != nil {
		return Row{}, err
	}
	ours, alone, err := b.duel(ctx,
		func(ctx context.Context, round int) (cost, error) {
			l := letters{words: b.words, name: fmt.Sprint("s", round), size: smallBytes, total: n}
			return b.sealAll(ctx, l, n, batch)
		},
		func(ctx context.Context, round int) (cost, error) {
			return b.measure(func() error { return bare.run(ctx, n) })
		},
	)
	if err != nil {
		return Row{}, err
	}
	row := Row{Name: "seal 300 B", Goal: 0.7, Detail: fmt.Sprintf("ledger, batches of %d; bare: zstd, HKDF, key trees, AES-GCM and SHA-256 of the same bytes, "+
		"and the same writes", batch)}
	return row.rates("msg/s", float64(n), ours, alone), bare.close()
}

// sealLarge compares records of large messages with writing their bytes.
func (b *bench) sealLarge(ctx context.Context) (Row, error) {
	n := min(max(b.cfg.Messages/500/largeBatch, 1), 8) * largeBatch
	bytes := 0
	ours, alone, err := b.duel(ctx,
		func(ctx context.Context, round int) (cost, error) {
			l := letters{words: b.words, name: fmt.Sprint("m", round), size: largeBytes, total: n}
			bytes = n * len(l.letter(0))
			return b.sealAll(ctx, l, n, largeBatch)
		},
		func(ctx context.Context, round int) (cost, error) { return b.writeAll(n) },
	)
	if err != nil {
		return Row{}, err
	}
	row := Row{Name: "seal 1 MiB", Goal: 0.5, Detail: fmt.Sprintf("ledger, %d messages in batches of %d; bare: write and sync of the same bytes", n, largeBatch)}
	return row.rates("MB/s", float64(bytes)/1e6, ours, alone), nil
}

// sealAll seals n messages into a new ledger and returns how long that took, without making them up.
func (b *bench) sealAll(ctx context.Context, l letters, n, atOnce int) (took cost, err error) {
	opened := len(b.closed)
	t, err := b.found(ctx, "seal-"+l.name)
	if err != nil {
		return cost{}, err
	}
	took, err = b.fill(ctx, t, l, n, atOnce)
	if closing := b.closeFrom(opened); err == nil {
		err = closing
	}
	return took, err
}

// fill seals n messages into the ledger of a tenant.
func (b *bench) fill(ctx context.Context, t *tenant, l letters, n, atOnce int) (cost, error) {
	w := b.watch()
	for from := 0; from < n; from += atOnce {
		envelopes := make([]ingest.Envelope, min(atOnce, n-from))
		for i := range envelopes {
			envelopes[i] = l.envelope(from + i)
		}
		w.start()
		if err := t.archive(ctx, envelopes, from); err != nil {
			return cost{}, err
		}
		w.stop()
	}
	return w.total, nil
}
