package ingest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"escrow"
	"escrow/archive"
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
	Present(ctx context.Context, seqs []escrow.Seq) ([]escrow.Seq, error)
	SubjectSeqs(ctx context.Context, leaf uint32) ([]escrow.Seq, error)
	DueSeqs(ctx context.Context, class uint16, from, to uint32) ([]escrow.Seq, error)
	Purge(ctx context.Context) (dead []uint32, err error)
	Reset(ctx context.Context) (dead []uint32, err error)
}

// Erasures tells what erasures read in the ledger have come to; *disposal.Pipeline does.
type Erasures interface {
	// WaitApplied returns when the keys have applied every erasure among the first n records.
	WaitApplied(ctx context.Context, n escrow.TreeSize) error
	// InForce returns when the guard of readers knows every restriction and hold among the first n records.
	InForce(ctx context.Context, n escrow.TreeSize) error
	// Restricting reports whether anything is restricted now.
	Restricting() bool
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
	if dead, err = x.Reset(ctx); err != nil {
		return dead, err
	}
	return dead, x.Follow(ctx, x.Ledger.Size())
}

// Reset empties the index; see disposal.Index. It is filled again by whoever follows the ledger.
func (x *Indexer) Reset(ctx context.Context) ([]uint32, error) {
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

// step indexes one batch, which ends before n and after the first record that changes what may be read of others.
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
	if turns(last.Header.Kind) { // before anything is opened that it concerns
		if err := x.settled(ctx, last); err != nil {
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
	if turns(last.Header.Kind) && len(opened) == len(recs) {
		return x.turn(ctx, last, batch)
	}
	return x.apply(ctx, batch)
}

func (x *Indexer) apply(ctx context.Context, batch index.Batch) error {
	if err := x.Index.Apply(ctx, batch); err != nil {
		return err
	}
	x.moved.Ring()
	return nil
}

// read returns the next records, at least one, ending with the first one among them after which others may read differently.
func (x *Indexer) read(ctx context.Context, from escrow.Seq, n escrow.TreeSize) ([]archive.Record, error) {
	var recs []archive.Record
	bytes := 0
	err := x.Ledger.Scan(ctx, from, func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= n {
			return archive.ErrStop
		}
		recs, bytes = append(recs, rec), bytes+len(rec.Blob)
		if turns(rec.Header.Kind) || len(recs) == indexBatch || bytes >= indexBatchBytes {
			return archive.ErrStop
		}
		return nil
	})
	return recs, err
}

// open opens and parses records on all cores, some at a time, until enough text is in memory: a record of a few bytes may hold megabytes of it. It returns
// the documents of the first records, at least one, with nil for events and for messages whose body is dead or restricted.
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
	if kind := escrow.KindOf(err); err != nil && (kind == escrow.Erased || kind == escrow.Denied) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	d := Document(o)
	return &d, len(o.Envelope.Original), nil
}

// Document returns what the search index keeps of an opened record.
func Document(o Opened) index.Document {
	m := o.Message
	d := index.Document{
		Seq: o.Seq, Time: o.Header.Time, Sent: m.SentAt, Channel: string(o.Envelope.Channel), Conversation: m.Conversation, Type: string(m.Type),
		ID: m.ID, Title: m.Title, Body: withoutPlaceholders(m), Tags: m.Tags, Metadata: m.Metadata,
		Subjects: append(o.Subjects, o.Mentioned...), Partial: m.Defects,
	}
	d.Month, d.Due = retention.Month(retention.Day(o.Due.Leaf)), index.Due{Class: o.Due.Tree, Day: o.Due.Leaf}
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
	if o.Erased+o.Cut > 0 {
		withoutThePlaceholder(&d)
	}
	return d
}

// withoutThePlaceholder takes out of a document what stands where somebody was: nobody is found by having been erased.
func withoutThePlaceholder(d *index.Document) {
	clean := func(s string) string { return strings.ReplaceAll(s, Placeholder, "…") }
	for _, whole := range []*string{&d.ID, &d.Conversation, &d.Body} { // a conversation "…" would join those of several people
		if *whole == Placeholder {
			*whole = ""
		}
	}
	d.Title = clean(d.Title)
	for _, list := range []*[]string{&d.Tags, &d.Files, &d.Transcripts} {
		cleaned := make([]string, len(*list))
		for i, s := range *list {
			cleaned[i] = clean(s)
		}
		*list = cleaned
	}
	metadata := make(map[string]string, len(d.Metadata))
	for _, key := range slices.Sorted(maps.Keys(d.Metadata)) {
		k := clean(key)
		metadata[k] = strings.TrimSpace(metadata[k] + "\n" + clean(d.Metadata[key])) // a key of that name may be there
	}
	d.Metadata = metadata
}

// person returns what is searchable about a participant: nothing if erased.
func person(p escrow.Participant) []index.Person {
	if p.ID == ErasedIdentity {
		return nil
	}
	return []index.Person{{ID: p.ID, Name: p.Name}}
}
