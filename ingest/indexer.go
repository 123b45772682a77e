package ingest

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/index"
	"escrow/internal/bell"
	"escrow/retention"
)

// Indexer tails the ledger and keeps the search index in step with it, erasures included. The index is a projection: losing it loses nothing.
// Methods may be called concurrently; one of them works at a time.
type Indexer struct {
	Ledger   *archive.Ledger
	Opener   *Opener
	Index    SearchIndex
	Schedule retention.Schedule
	Erasures Erasures
	Logger   *slog.Logger

	mu                sync.Mutex // one step at a time; guards removed and redacted
	removed, redacted int        // since the last Reach

	moved bell.Bell // rung when the position changes
	trouble
}

// SearchIndex is what the indexer needs of an index; *bleveindex.Index is one.
type SearchIndex interface {
	Position() escrow.TreeSize
	Apply(ctx context.Context, b index.Batch) error
	SubjectSeqs(ctx context.Context, leaf uint32) ([]escrow.Seq, error)
	Purge(ctx context.Context) (dead []uint32, err error)
	Reset(ctx context.Context) (dead []uint32, err error)
}

// Erasures tells when an erasure read in the ledger has been applied to the keys; *disposal.Pipeline does.
type Erasures interface {
	WaitApplied(ctx context.Context, n escrow.TreeSize) error
}

// Bounds of one step of the indexer.
const (
	// indexBatch documents are applied at once: below it Bleve writes too many small segments.
	indexBatch = 1000
	// indexBatchBytes of original bytes, or of sealed ones, end a batch early, so that large mails do not pile up in memory.
	indexBatchBytes = 8 << 20
	// indexGroup records are opened before their sizes are looked at.
	indexGroup = 64
)

// Run follows the ledger until ctx ends. While the disk is full it tries again; a record or an index that cannot be read ends it, and Trouble says so:
// searches are incomplete from then on, and say so too, while messages are still taken in.
func (x *Indexer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := x.Ledger.Wait(ctx, x.Index.Position()+1)
		if err == nil {
			err = x.Follow(ctx, x.Ledger.Size())
		}
		if ctx.Err() != nil {
			break
		}
		x.note(x.Logger, "indexer", x.Opener.Tenant, err)
		if err == nil {
			continue
		}
		if escrow.KindOf(err) != escrow.Unavailable {
			break
		}
		pause(ctx)
	}
	return nil
}

// Wait returns when the index reflects the first n records, or ctx ends. It leaves the work to Run.
func (x *Indexer) Wait(ctx context.Context, n escrow.TreeSize) error {
	for {
		moved := x.moved.Next()
		if x.Index.Position() >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return escrow.Errorf("ingest.Wait", escrow.Unavailable, "the index is behind: %w", ctx.Err())
		case <-moved:
		}
	}
}

// Reach is Follow that also reports how many documents erasures removed and redacted since it was last called; see disposal.Index.
func (x *Indexer) Reach(ctx context.Context, n escrow.TreeSize) (removed, redacted int, err error) {
	if err := x.Follow(ctx, n); err != nil {
		return 0, 0, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	removed, redacted, x.removed, x.redacted = x.removed, x.redacted, 0, 0
	return removed, redacted, nil
}

// Purge cleans the index files of deleted words; see disposal.Index.
func (x *Indexer) Purge(ctx context.Context) ([]uint32, error) { return x.Index.Purge(ctx) }

// Rebuild empties the index and fills it again from the ledger. It returns the leaves of the keys of the files that are no more.
func (x *Indexer) Rebuild(ctx context.Context) (dead []uint32, err error) {
	if dead, err = x.reset(ctx); err != nil {
		return dead, err
	}
	return dead, x.Follow(ctx, x.Ledger.Size())
}

func (x *Indexer) reset(ctx context.Context) ([]uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.Index.Reset(ctx)
}

// Follow returns when the index reflects the first n records, doing the work itself where nobody has.
func (x *Indexer) Follow(ctx context.Context, n escrow.TreeSize) error {
	for x.Index.Position() < n {
		if err := x.step(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// step indexes one batch, which ends before n and after the first erasure.
func (x *Indexer) step(ctx context.Context, n escrow.TreeSize) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	from := x.Index.Position()
	if from >= n {
		return nil
	}
	recs, err := x.read(ctx, escrow.Seq(from), n)
	if err != nil {
		return err
	}
	last := recs[len(recs)-1]
	erasure := last.Header.Kind == archive.KindErase
	if erasure { // before anything is opened that may die with it
		if err := x.Erasures.WaitApplied(ctx, from+escrow.TreeSize(len(recs))); err != nil {
			return err
		}
	}
	opened, err := x.open(ctx, recs)
	if err != nil {
		return err
	}
	batch := index.Batch{Position: from + escrow.TreeSize(len(opened))}
	for _, d := range opened {
		if d != nil {
			batch.Docs = append(batch.Docs, *d)
		}
	}
	if erasure && len(opened) == len(recs) {
		if err := x.erase(ctx, last, &batch); err != nil {
			return err
		}
	}
	if err := x.Index.Apply(ctx, batch); err != nil {
		return err
	}
	x.removed += len(batch.Delete)
	x.moved.Ring()
	return nil
}

// read returns the next records, at least one, ending with the first erasure among them.
func (x *Indexer) read(ctx context.Context, from escrow.Seq, n escrow.TreeSize) ([]archive.Record, error) {
	var recs []archive.Record
	bytes := 0
	err := x.Ledger.Scan(ctx, from, func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= n {
			return archive.ErrStop
		}
		recs, bytes = append(recs, rec), bytes+len(rec.Blob)
		if rec.Header.Kind == archive.KindErase || len(recs) == indexBatch || bytes >= indexBatchBytes {
			return archive.ErrStop
		}
		return nil
	})
	return recs, err
}

// open opens and parses records on all cores, some at a time, until enough text is in memory: a record of a few bytes may hold megabytes of it. It returns
// the documents of the first records, at least one, with nil for events and for messages whose body is dead.
func (x *Indexer) open(ctx context.Context, recs []archive.Record) ([]*index.Document, error) {
	var out []*index.Document
	for bytes := 0; len(out) < len(recs) && bytes < indexBatchBytes; {
		some := recs[len(out):min(len(out)+indexGroup, len(recs))]
		docs, sizes := make([]*index.Document, len(some)), make([]int, len(some))
		err := eachParallel(ctx, len(some), func(i int) (err error) {
			docs[i], sizes[i], err = x.document(some[i])
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, n := range sizes {
			bytes += n
		}
		out = append(out, docs...)
	}
	return out, nil
}

// document returns what is indexed of a record, and how many original bytes it has; nil if there is nothing to index.
func (x *Indexer) document(rec archive.Record) (*index.Document, int, error) {
	if rec.Header.Kind != archive.KindMessage {
		return nil, 0, nil
	}
	o, err := x.Opener.Open(rec)
	if escrow.KindOf(err) == escrow.Erased {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	d := Document(o, x.Schedule)
	return &d, len(o.Envelope.Original), nil
}

// erase adds to the batch what an erasure changes: documents that are dead now go, those that lost an identity are written again without it.
func (x *Indexer) erase(ctx context.Context, rec archive.Record, batch *index.Batch) error {
	e, err := chronicle.Read(rec)
	if err != nil {
		return err
	}
	f, ok := e.Fact.(events.ErasureExecuted)
	if !ok {
		return nil
	}
	for _, leaf := range f.Subjects {
		seqs, err := x.Index.SubjectSeqs(ctx, leaf)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(seqs, indexGroup) {
			if err := x.again(ctx, chunk); err != nil {
				return err
			}
		}
	}
	for seq := range events.Seqs(f.Messages) {
		batch.Delete = append(batch.Delete, seq)
	}
	return nil
}

// again opens records anew and indexes what is left of them, leaving the index's position where it was.
func (x *Indexer) again(ctx context.Context, seqs []escrow.Seq) error {
	recs := make([]archive.Record, len(seqs))
	for i, seq := range seqs {
		var err error
		if recs[i], err = x.Ledger.Read(seq); err != nil {
			return err
		}
	}
	for len(recs) > 0 {
		opened, err := x.open(ctx, recs)
		if err != nil {
			return err
		}
		batch := index.Batch{Position: x.Index.Position()}
		for i, d := range opened {
			if d == nil {
				batch.Delete = append(batch.Delete, recs[i].Seq)
				continue
			}
			batch.Docs = append(batch.Docs, *d)
		}
		if err := x.Index.Apply(ctx, batch); err != nil {
			return err
		}
		x.removed, x.redacted = x.removed+len(batch.Delete), x.redacted+len(batch.Docs)
		recs = recs[len(opened):]
	}
	return nil
}

// Document returns what the search index keeps of an opened record.
func Document(o Opened, s retention.Schedule) index.Document {
	m := o.Message
	d := index.Document{
		Seq: o.Seq, Time: o.Header.Time, Sent: m.SentAt, Channel: string(o.Envelope.Channel), Conversation: m.Conversation, Type: string(m.Type),
		ID: m.ID, Title: m.Title, Body: withoutPlaceholders(m), Tags: m.Tags, Metadata: m.Metadata,
		Subjects: append(o.Subjects, o.Mentioned...), Partial: m.Defects,
	}
	if class, err := s.Class(o.Header.Class); err == nil {
		d.Month = retention.Month(class.Due(o.Envelope.Received))
	}
	d.From = person(m.From)
	for _, to := range m.To {
		d.To = append(d.To, person(to)...)
	}
	for _, a := range m.Attachments {
		d.Files = append(d.Files, a.Name)
		if a.Transcript != "" {
			d.Transcripts = append(d.Transcripts, a.Transcript)
		}
	}
	return d
}

// person returns what is searchable about a participant: nothing if erased.
func person(p escrow.Participant) []index.Person {
	if p.ID == ErasedIdentity {
		return nil
	}
	return []index.Person{{ID: p.ID, Name: p.Name}}
}
