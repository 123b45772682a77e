package ingest

import (
	"context"
	"iter"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/index"
)

// turns reports whether records of a kind may change what can be read of records before them.
func turns(kind archive.RecordKind) bool {
	return kind == archive.KindErase || kind == archive.KindRequest || kind == archive.KindHold
}

// settled returns when what a record says is done to the keys, and in force for readers: the indexer is one of them.
func (x *Indexer) settled(ctx context.Context, rec archive.Record) error {
	n := escrow.TreeSize(rec.Seq) + 1
	if rec.Header.Kind == archive.KindErase {
		if err := x.Erasures.WaitApplied(ctx, n); err != nil {
			return err
		}
	}
	return x.Erasures.InForce(ctx, n)
}

// turn indexes a batch that ends with a record after which others may read differently, and those others again: what cannot be read any more leaves, what
// lost somebody is written again without, and what was withheld and is not any longer comes back. Meanwhile the index stands right before that record,
// and after an error it is done once more.
func (x *Indexer) turn(ctx context.Context, rec archive.Record, batch index.Batch) error {
	e, err := chronicle.Read(rec)
	if err != nil {
		return err
	}
	if escrow.TreeSize(rec.Seq) > x.Index.Position() {
		if err := x.apply(ctx, index.Batch{Docs: batch.Docs, Position: escrow.TreeSize(rec.Seq)}); err != nil {
			return err
		}
	}
	if err := x.change(ctx, e.Fact); err != nil {
		return err
	}
	return x.apply(ctx, index.Batch{Position: batch.Position})
}

// change indexes again what a fact concerns.
func (x *Indexer) change(ctx context.Context, f events.Fact) error {
	switch f := f.(type) {
	case events.ErasureExecuted:
		return x.erase(ctx, f)
	case events.ErasureRestricted:
		request, err := x.request(f.Request)
		if err != nil {
			return err
		}
		return x.withoutPeople(ctx, request.Subjects, request.Messages)
	case events.ErasureWithdrawn:
		return x.bringBack(ctx, f.Request)
	case events.HoldPlaced:
		if !x.Erasures.Restricting() {
			return nil
		}
		return x.again(ctx, events.Seqs(f.Messages), nobody) // what is held may be read in spite of a restriction
	case events.HoldReleased:
		return x.release(ctx, f.Hold)
	}
	return nil
}

// release follows the end of a hold: what it alone kept from a restriction, or readable, may not be found any more, although its share is destroyed later,
// and nothing that was restricted only is mentioned then.
func (x *Indexer) release(ctx context.Context, hold uint32) error {
	kept, err := x.keptBy(ctx, []uint32{hold})
	if err != nil {
		return err
	}
	if err := x.again(ctx, slices.Values(kept), nobody); err != nil || !x.Erasures.Restricting() {
		return err
	}
	messages, err := x.heldBy(ctx, hold)
	if err != nil {
		return err
	}
	return x.again(ctx, events.Seqs(messages), nobody)
}

// heldBy returns the messages of a hold, as the record that placed it names them.
func (x *Indexer) heldBy(ctx context.Context, hold uint32) (messages []events.SeqRange, err error) {
	err = x.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindHold {
			return nil
		}
		e, err := chronicle.Read(rec)
		if f, ok := e.Fact.(events.HoldPlaced); ok && f.Hold == hold {
			messages = f.Messages
			return archive.ErrStop
		}
		return err
	})
	return messages, err
}

// request returns the request with this number.
func (x *Indexer) request(seq escrow.Seq) (events.ErasureRequested, error) {
	rec, err := x.Ledger.Read(seq)
	if err != nil {
		return events.ErasureRequested{}, err
	}
	e, err := chronicle.Read(rec)
	if err != nil {
		return events.ErasureRequested{}, err
	}
	f, ok := e.Fact.(events.ErasureRequested)
	if !ok {
		return f, at(seq, escrow.Errorf("ingest.Indexer", escrow.Corrupt, "a step of a request names a record that is none"))
	}
	return f, nil
}

// erase follows an order. That of a whole tenant leaves nothing to follow: its index goes as a whole.
func (x *Indexer) erase(ctx context.Context, f events.ErasureExecuted) error {
	if f.Tenant {
		return nil
	}
	if err := x.withoutPeople(ctx, f.Subjects, f.Messages); err != nil {
		return err
	}
	for _, d := range f.Days {
		seqs, err := x.Index.DueSeqs(ctx, d.Class, d.From, d.To)
		if err != nil {
			return err
		}
		if err := x.again(ctx, slices.Values(seqs), nobody); err != nil {
			return err
		}
	}
	if len(f.Holds) == 0 {
		return nil
	}
	seqs, err := x.keptBy(ctx, f.Holds)
	if err != nil {
		return err
	}
	return x.again(ctx, slices.Values(seqs), anybody)
}

// withoutPeople indexes again what belongs to subjects, and single messages.
func (x *Indexer) withoutPeople(ctx context.Context, subjects []uint32, messages []events.SeqRange) error {
	for _, leaf := range subjects {
		seqs, err := x.Index.SubjectSeqs(ctx, leaf)
		if err != nil {
			return err
		}
		gone := func(d *index.Document) bool { return !slices.Contains(d.Subjects, leaf) }
		if err := x.again(ctx, slices.Values(seqs), gone); err != nil {
			return err
		}
	}
	return x.again(ctx, events.Seqs(messages), nobody)
}

// keptBy returns the messages that holds kept readable, in order: those that got slots from them.
func (x *Indexer) keptBy(ctx context.Context, holds []uint32) ([]escrow.Seq, error) {
	var seqs []escrow.Seq
	err := x.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindHold || escrow.TreeSize(rec.Seq) >= x.Index.Position() {
			return nil
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		if f, ok := e.Fact.(events.HoldSlotsAdded); ok && slices.Contains(holds, f.Hold) {
			for _, s := range f.Slots {
				seqs = append(seqs, s.Seq)
			}
		}
		return nil
	})
	slices.Sort(seqs)
	return slices.Compact(seqs), err
}

// bringBack indexes what a withdrawn request had restricted. The index no longer knows it; the slots in the ledger do.
func (x *Indexer) bringBack(ctx context.Context, request escrow.Seq) error {
	f, err := x.request(request)
	if err != nil {
		return err
	}
	if f.Scope == events.ScopeTenant { // what arrived meanwhile was not indexed; the rest was left alone
		return x.again(ctx, events.Seqs([]events.SeqRange{{From: request, To: escrow.Seq(x.Index.Position()) - 1}}), nobody)
	}
	if err := x.again(ctx, events.Seqs(f.Messages), nobody); err != nil || len(f.Subjects) == 0 {
		return err
	}
	var seqs []escrow.Seq
	err = x.Ledger.Scan(ctx, 0, func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= x.Index.Position() {
			return archive.ErrStop
		}
		names, err := x.Opener.names(rec, f.Subjects)
		if names {
			seqs = append(seqs, rec.Seq)
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.again(ctx, slices.Values(seqs), nobody)
}

// names reports whether a key of one of the subjects is needed for some part of a record.
func (o *Opener) names(rec archive.Record, subjects []uint32) (bool, error) {
	if rec.Header.Kind != archive.KindMessage || rec.Blob == nil {
		return false, nil
	}
	sealed, err := o.sealed(rec)
	if err != nil {
		return false, err
	}
	for _, f := range sealed.Facets() {
		for _, refs := range f.Slots {
			if slices.ContainsFunc(refs, func(ref keytree.Ref) bool {
				return ref.Kind == keytree.KindSubject && slices.Contains(subjects, ref.Leaf)
			}) {
				return true, nil
			}
		}
	}
	return false, nil
}

// Which documents count as redacted when they are indexed again.
func nobody(*index.Document) bool  { return false }
func anybody(*index.Document) bool { return true }

// again opens records anew and indexes what is left of them, leaving the index's position where it was. It counts what leaves, and what stays and lost
// somebody.
func (x *Indexer) again(ctx context.Context, seqs iter.Seq[escrow.Seq], lost func(*index.Document) bool) error {
	var recs []archive.Record
	bytes := 0
	flush := func() error {
		defer func() { recs, bytes = nil, 0 }()
		return x.againSome(ctx, recs, lost)
	}
	for seq := range seqs {
		rec, err := x.Ledger.Read(seq)
		if err != nil {
			return err
		}
		recs, bytes = append(recs, rec), bytes+len(rec.Blob)
		if len(recs) == indexBatch || bytes >= indexBatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (x *Indexer) againSome(ctx context.Context, recs []archive.Record, lost func(*index.Document) bool) error {
	for len(recs) > 0 {
		opened, err := x.open(ctx, recs)
		if err != nil {
			return err
		}
		batch, redacted := index.Batch{Position: x.Index.Position()}, 0
		for i, d := range opened {
			if d == nil {
				batch.Delete = append(batch.Delete, recs[i].Seq)
				continue
			}
			batch.Docs = append(batch.Docs, *d)
			if lost(d) {
				redacted++
			}
		}
		if batch.Delete, err = x.Index.Present(ctx, batch.Delete); err != nil {
			return err
		}
		if len(batch.Delete)+len(batch.Docs) > 0 {
			if err := x.Index.Apply(ctx, batch); err != nil {
				return err
			}
		}
		x.removed, x.redacted = x.removed+len(batch.Delete), x.redacted+redacted
		recs = recs[len(opened):]
	}
	return nil
}
