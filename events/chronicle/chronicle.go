// Package chronicle turns facts into ledger entries. It stands between events, which knows no ledger, and archive, which knows no events; both the
// sealer and the disposal pipeline write through it.
package chronicle

import (
	"encoding/hex"
	"io"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
)

// Chronicle makes event records for one ledger. It is safe for concurrent use if Rand is.
type Chronicle struct {
	Source string // origin of the ledger
	Now    func() time.Time
	Rand   io.Reader
}

// Kind returns the kind of record a fact is kept in.
func Kind(f events.Fact) archive.RecordKind {
	switch f.(type) {
	case events.ArchiveFounded:
		return archive.KindFounded
	case events.LogIncident, events.RecordsLost:
		return archive.KindIncident
	case events.OfficerAdded, events.OfficerRemoved:
		return archive.KindPolicy
	case events.ErasureRequested, events.ErasureApproved, events.ErasureRestricted, events.ErasureWithdrawn, events.ErasureCertified:
		return archive.KindRequest
	case events.HoldPlaced, events.HoldReleased, events.HoldSlotsAdded:
		return archive.KindHold
	case events.ErasureExecuted:
		return archive.KindErase
	case events.IndexPurged:
		return archive.KindPurge
	case events.EpochCommitted, events.RootsDestroyed:
		return archive.KindKeyEpoch
	}
	return archive.KindNote
}

// Entry returns the ledger entry of a fact that happens now.
func (c Chronicle) Entry(f events.Fact) (archive.Entry, error) {
	var id [16]byte
	if _, err := io.ReadFull(c.Rand, id[:]); err != nil {
		return archive.Entry{}, escrow.Errorf("chronicle.Entry", escrow.Internal, "read randomness: %w", err)
	}
	now := c.Now().UTC()
	blob, err := events.Marshal(events.Event{ID: hex.EncodeToString(id[:]), Source: c.Source, Time: now, Fact: f})
	if err != nil {
		return archive.Entry{}, err
	}
	return archive.Entry{Header: archive.Header{Kind: Kind(f), Time: now}, Blob: blob}, nil
}

// Read returns the event in a record, or an error of kind Corrupt.
func Read(rec archive.Record) (events.Event, error) {
	e, err := events.Parse(rec.Blob)
	if err != nil {
		return e, &escrow.Error{Op: "chronicle.Read", Kind: escrow.KindOf(err), Record: &rec.Seq, Err: err}
	}
	return e, nil
}
