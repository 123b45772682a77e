package archive

import (
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
)

// Snapshot is where a ledger is and how far it reached at one moment. What it names is durable and does not change while the ledger grows.
type Snapshot struct {
	Size       escrow.TreeSize
	Checkpoint []byte // newest signed one; covers Size records, or fewer if the last could not be signed yet
	Segments   []SegmentFile
}

// SegmentFile is a file of records, or the first part of one that is still being written.
type SegmentFile struct {
	Name  string // path of the file, with the directory of the ledger
	Inner string // the same within the directory of the ledger, with slashes
	Bytes int64  // how much of it belongs to the snapshot
}

// Snapshot returns the ledger as it is now, for copying it while it grows. The error is of kind Unavailable: a segment could not be looked at.
func (l *Ledger) Snapshot() (Snapshot, error) {
	s := l.now()
	snap := Snapshot{Size: s.size, Checkpoint: s.signed}
	firsts := l.segments.all()
	for i, first := range firsts {
		if uint64(first) >= uint64(s.size) {
			break
		}
		name := l.segments.name(first)
		bytes := int64(s.end)
		if i+1 < len(firsts) && uint64(firsts[i+1]) < uint64(s.size) { // a full one
			info, err := l.fsys.Stat(name)
			if err != nil {
				return Snapshot{}, unavailable("archive.Snapshot", "%w", err)
			}
			bytes = info.Size()
		}
		snap.Segments = append(snap.Segments, SegmentFile{Name: name, Inner: segmentsDir + "/" + filepath.Base(name), Bytes: bytes})
	}
	return snap, nil
}

// InnerCheckpoint is the path of the checkpoint within the directory of a ledger. With the segments it is all that a copy of a ledger needs.
const InnerCheckpoint = checkpointFile

// Extends checks that the ledger continues the one a checkpoint was signed of: that it has all its records, in their order and unaltered. It computes a
// consistency proof (RFC 6962, section 2.1.2) and verifies it, so it does not believe the derived files. The checkpoint is returned as soon as its
// signature is right. Error kinds: Corrupt, this is no checkpoint; Forged, it is signed by somebody else, or of another history, or of more records than
// the ledger has, which can be told from the size returned. Errors of ConsistencyProof are returned as they are.
func (l *Ledger) Extends(signed []byte) (Checkpoint, error) {
	cp, err := OpenCheckpoint(signed, l.cfg.Verifier)
	if err != nil {
		return cp, err
	}
	s := l.now()
	if cp.Size > s.size {
		return cp, escrow.Errorf("archive.Extends", escrow.Forged, "a checkpoint of %d records was signed, and the ledger has %d: records %d to %d are missing",
			cp.Size, s.size, s.size, cp.Size-1)
	}
	if cp.Size == 0 && cp.Root == emptyRoot() {
		return cp, nil
	}
	continues := cp.Size == s.size && cp.Root == s.root
	if cp.Size > 0 && cp.Size < s.size {
		proof, err := l.ConsistencyProof(cp.Size, s.size)
		if err != nil {
			return cp, err
		}
		continues = tlog.CheckTree(proof, int64(s.size), s.root, int64(cp.Size), cp.Root) == nil
	}
	if !continues {
		return cp, escrow.Errorf("archive.Extends", escrow.Forged, "the first %d records are not those the checkpoint was signed of: it is of another history", cp.Size)
	}
	return cp, nil
}
