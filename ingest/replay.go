package ingest

import (
	"context"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/events"
	"escrow/events/chronicle"
)

const (
	// replayBatch records are opened at once.
	replayBatch = 1000
	// replaySave is how many records replayed make a new snapshot worth it, so that one crash after the other does not make every start slower.
	replaySave = 10_000
)

// ReplayDirectory brings the subject directory up to date with the ledger: the identities in records that came after its snapshot are learned from their
// facets. What was erased stays unknown, and its number is never given out again.
func ReplayDirectory(ctx context.Context, ledger *archive.Ledger, o *Opener, d *directory.Directory) error {
	from, size := d.Position(), ledger.Size()
	if from > size {
		return escrow.Errorf("ingest.ReplayDirectory", escrow.Forged,
			"the directory reflects %d records and the ledger has %d: one of them was restored from another time", from, size)
	}
	for at := from; at < size; {
		recs, err := readBatch(ctx, ledger, escrow.Seq(at))
		if err != nil {
			return err
		}
		if err := learn(ctx, recs, o, d); err != nil {
			return err
		}
		at += escrow.TreeSize(len(recs))
	}
	if size-from < replaySave {
		return nil
	}
	return d.Save(size)
}

func readBatch(ctx context.Context, ledger *archive.Ledger, from escrow.Seq) ([]archive.Record, error) {
	var recs []archive.Record
	err := ledger.Scan(ctx, from, func(rec archive.Record) error {
		recs = append(recs, rec)
		if len(recs) == replayBatch {
			return archive.ErrStop
		}
		return nil
	})
	return recs, err
}

// learn adds the identities of records, in order, to the directory.
func learn(ctx context.Context, recs []archive.Record, o *Opener, d *directory.Directory) error {
	found := make([][]Identity, len(recs))
	highest := make([]uint32, len(recs))
	err := eachParallel(ctx, len(recs), func(i int) (err error) {
		found[i], highest[i], err = o.Identities(recs[i])
		return err
	})
	if err != nil {
		return err
	}
	for i := range recs {
		switch recs[i].Header.Kind {
		case archive.KindMessage:
			d.Used(highest[i])
		case archive.KindErase: // a snapshot from before it, restored from a backup, still has the person
			if err := forget(recs[i], d); err != nil {
				return err
			}
		}
		for _, id := range found[i] {
			if err := d.Learn(id.Scope, id.Leaf); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget repeats in the directory what an erasure did there.
func forget(rec archive.Record, d *directory.Directory) error {
	e, err := chronicle.Read(rec)
	if err != nil {
		return err
	}
	if f, ok := e.Fact.(events.ErasureExecuted); ok && len(f.Subjects) > 0 {
		d.Forget(f.Subjects...)
	}
	return nil
}
