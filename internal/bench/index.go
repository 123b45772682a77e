package bench

import (
	"context"
	"fmt"

	"escrow"
	"escrow/archive"
	"escrow/index"
	"escrow/ingest"
)

// index compares the indexer, which opens and parses every record of the ledger, with Bleve that is handed the documents.
func (b *bench) index(ctx context.Context) ([]Row, error) {
	f, err := b.ready(ctx)
	if err != nil {
		return nil, err
	}
	ours, bare, err := b.duel(ctx,
		func(ctx context.Context, round int) (cost, error) { return b.indexOurs(ctx, f, round) },
		func(ctx context.Context, round int) (cost, error) { return b.indexBare(ctx, f, round) },
	)
	if err != nil {
		return nil, err
	}
	row := Row{Name: "index", Goal: 0.8, Detail: fmt.Sprintf("ledger to searchable and durable, batches of %d; bare: Bleve handed the documents, the same "+
		"fields, its own analysis (unicode, lower case, English stems), nothing encrypted", batch)}
	return []Row{row.rates("msg/s", float64(b.cfg.Messages), ours, bare)}, nil
}

// indexOurs builds the sealed index of the ledger anew.
func (b *bench) indexOurs(ctx context.Context, f *filled, round int) (cost, error) {
	if err := b.openIndex(ctx, f, fmt.Sprint("index-", round)); err != nil {
		return cost{}, err
	}
	return b.measure(func() error { return f.indexer.Follow(ctx, f.ledger.Size()) })
}

// indexBare builds the bare index of the same messages anew. Making the documents up is not measured.
func (b *bench) indexBare(ctx context.Context, f *filled, round int) (cost, error) {
	if err := f.closeBare(); err != nil {
		return cost{}, err
	}
	dir, err := f.barePath(round)
	if err != nil {
		return cost{}, err
	}
	if f.bare, err = newBareIndex(dir); err != nil {
		return cost{}, err
	}
	w := b.watch()
	for from := 0; from < b.cfg.Messages; from += batch {
		seqs, docs, err := f.documents(ctx, from, min(batch, b.cfg.Messages-from))
		if err != nil {
			return cost{}, err
		}
		w.start()
		if err := f.bare.apply(seqs, docs); err != nil {
			return cost{}, err
		}
		w.stop()
	}
	return w.total, nil
}

// documents returns n messages from one on as the indexer would hand them over.
func (f *filled) documents(ctx context.Context, from, n int) ([]escrow.Seq, []bareDocument, error) {
	seqs, docs := make([]escrow.Seq, n), make([]bareDocument, n)
	err := each(ctx, n, func(i int) error {
		d, err := f.document(from + i)
		seqs[i], docs[i] = d.Seq, bareOf(d)
		return err
	})
	return seqs, docs, err
}

func (f *filled) document(i int) (index.Document, error) {
	env := f.letters.envelope(i)
	m, err := ingest.Parse(env.ContentType, env.Header, env.Original)
	if err != nil {
		return index.Document{}, err
	}
	o := ingest.Opened{Seq: escrow.Seq(i), Header: archive.Header{Time: env.Received}, Envelope: env, Message: m}
	for _, p := range append([]escrow.Participant{m.From}, m.To...) {
		leaf, _ := f.directory.Lookup(p.ID.Scoped(channel))
		o.Subjects = append(o.Subjects, leaf)
	}
	return ingest.Document(o), nil
}
