package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// Open opens the ledger in a directory for appending, creating it if there is none, and brings it to the end of its last complete batch. Everything
// in it is durable on return. Error kinds: Conflict, another process has it open; Forged, it is shorter than its checkpoint (rolled back), or
// contradicts it, or its own roots; Corrupt, bytes in the middle of it are damaged; Invalid, cfg is wrong or a newer program wrote it; Unavailable,
// it could not be read or written.
func Open(ctx context.Context, fsys vfs.FS, dir string, cfg Config) (*Ledger, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{segmentsDir, derivedDir} {
		if err := vfs.MkdirAllSync(fsys, filepath.Join(dir, sub), 0o700); err != nil {
			return nil, unavailable("archive.Open", "creating the directory: %w", err)
		}
	}
	l := newLedger(fsys, dir, cfg)
	if l.lock, err = fsys.Lock(l.path(lockFile)); err != nil {
		if escrow.KindOf(err) == escrow.Conflict {
			return nil, escrow.Errorf("archive.Open", escrow.Conflict, "the ledger in %s is in use by another process: %w", dir, err)
		}
		return nil, unavailable("archive.Open", "locking the ledger: %w", err)
	}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// OpenReadOnly opens the ledger in a directory for reading and verifying, also while another process appends to it; it then shows the ledger as it
// was at the moment of opening. Nothing is written: derived files that are missing or wrong are computed in memory. What comes after the last complete
// batch is ignored. The verifier's name is the origin. Error kinds are those of Open, and NotFound if there is no ledger.
func OpenReadOnly(ctx context.Context, fsys vfs.FS, dir string, verifier note.Verifier) (*Ledger, error) {
	if _, err := fsys.Stat(filepath.Join(dir, segmentsDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, escrow.Errorf("archive.Open", escrow.NotFound, "there is no ledger in %s", dir)
	}
	l := newLedger(fsys, dir, Config{Origin: verifier.Name(), Verifier: verifier, Logger: slog.New(slog.DiscardHandler)})
	l.readOnly = true
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

func (l *Ledger) open(ctx context.Context) error {
	// The checkpoint is read first: what it covers was in the segments before it was written.
	signed, cp, err := l.readCheckpoint()
	if err != nil {
		return err
	}
	if l.segments, err = listSegments(l.fsys, l.dir, l.cfg.Origin); err != nil {
		return err
	}
	t, err := l.segments.recoverTail()
	if err != nil {
		return err
	}
	if cp.Size > t.size {
		return t.rolledBack(cp.Size)
	}
	edge, err := l.loadDerived(ctx, t)
	if err != nil {
		return err
	}
	if err := l.checkRoots(cp, edge); err != nil {
		return err
	}
	l.state = state{size: t.size, root: edge.root(), end: t.end, signed: signed, signedSize: cp.Size}
	if t.size > 0 {
		r, _, err := l.derived.row(escrow.Seq(t.size) - 1)
		if err != nil {
			return err
		}
		l.state.last = r.at()
	}
	if l.readOnly {
		return nil
	}
	return l.startWriter(t, edge)
}

// readCheckpoint returns the checkpoint on disk; both results are zero if there is none.
func (l *Ledger) readCheckpoint() ([]byte, Checkpoint, error) {
	signed, err := vfs.ReadFile(l.fsys, l.path(checkpointFile), maxCheckpointBytes)
	if err != nil && escrow.KindOf(err) == escrow.NotFound {
		return nil, Checkpoint{}, nil
	}
	if err != nil {
		return nil, Checkpoint{}, err
	}
	if len(bytes.Trim(signed, "\x00")) == 0 {
		// It is replaced without a sync, so a power cut may leave a file without content. Only that is forgiven.
		l.cfg.Logger.Warn("the checkpoint file is empty, as after a power cut; a roll-back since the last clean stop would not be noticed here")
		return nil, Checkpoint{}, nil
	}
	cp, err := OpenCheckpoint(signed, l.cfg.Verifier)
	if err != nil {
		return nil, Checkpoint{}, escrow.Errorf("archive.Open", escrow.KindOf(err), "%s: %w", l.path(checkpointFile), err)
	}
	return signed, cp, nil
}

// checkRoots compares the tree with what was signed.
func (l *Ledger) checkRoots(cp Checkpoint, edge spine) error {
	if cp.Origin == "" {
		return nil
	}
	root, err := l.rootAt(cp.Size, state{size: escrow.TreeSize(edge.size), root: edge.root()})
	if err != nil {
		return err
	}
	if root != cp.Root {
		return escrow.Errorf("archive.Open", escrow.Forged, "the root over the first %d records is not the one that was signed: the ledger is not the "+
			"one the checkpoint is of", cp.Size)
	}
	return nil
}

// rootAt returns the root over the first size records of a state.
func (l *Ledger) rootAt(size escrow.TreeSize, s state) (tlog.Hash, error) {
	if size == s.size {
		return s.root, nil
	}
	root, err := tlog.TreeHash(int64(size), l.derived)
	if err != nil {
		return root, escrow.Errorf("archive.Prove", escrow.KindOf(err), "%w", err)
	}
	return root, nil
}

// loadDerived reads the derived files, rebuilds from the segments what is missing or wrong, and fills the tags. It fails if the segments themselves
// do not give the root of their last commit frame.
func (l *Ledger) loadDerived(ctx context.Context, t tail) (spine, error) {
	if err := l.openDerivedFiles(); err != nil {
		return spine{}, err
	}
	var starts []escrow.Seq
	note := func(seq escrow.Seq, r *row) {
		if r.offset == segment.HeaderBytes {
			starts = append(starts, seq)
		}
		l.tags.add(seq, r)
	}
	l.tags = newTags(uint64(t.size))
	edge, err := l.derived.load(ctx, uint64(t.size), note)
	if err != nil {
		return spine{}, err
	}
	whole := edge.size == uint64(t.size) && edge.root() == t.root()
	if !whole {
		l.cfg.Logger.Info("rebuilding derived files", slog.Uint64("from", edge.size), slog.Uint64("to", uint64(t.size)))
		if edge.size < uint64(t.size) {
			edge, err = l.rebuild(ctx, t, edge, note)
		} else {
			err = errWrongRoot()
		}
	}
	if err != nil && escrow.KindOf(err) == escrow.Forged { // perhaps only what was thought right in the derived files
		starts, l.tags = nil, newTags(uint64(t.size))
		edge, err = l.rebuild(ctx, t, spine{}, note)
	}
	if err != nil {
		return spine{}, err
	}
	return edge, l.checkSegments(starts)
}

func errWrongRoot() error {
	return escrow.Errorf("archive.Open", escrow.Forged, "the records do not give the root of the last commit frame")
}

func (l *Ledger) openDerivedFiles() (err error) {
	flag := readWriteCreate
	if l.readOnly {
		flag = os.O_RDONLY
	}
	l.derived, err = openDerived(l.fsys, l.dir, l.cfg.Origin, flag)
	if err != nil && l.readOnly {
		l.derived, err = memoryDerived(l.cfg.Origin), nil
	}
	if err != nil {
		return unavailable("archive.Open", "opening derived files: %w", err)
	}
	return nil
}

// rebuild computes hashes and rows from the segments for all records from the edge on.
func (l *Ledger) rebuild(ctx context.Context, t tail, edge spine, note func(escrow.Seq, *row)) (spine, error) {
	if l.readOnly {
		memory, err := l.derived.inMemory(edge.size)
		if err != nil {
			return edge, err
		}
		l.derived = memory
	}
	b := rebuilder{l: l, edge: edge, note: note}
	firsts := l.segments.all()
	for i, first := range firsts {
		end, next := t.end, t.size
		if i+1 < len(firsts) {
			end, next = wholeSegment, escrow.TreeSize(firsts[i+1])
		}
		if uint64(next) <= edge.size {
			continue
		}
		if err := b.segment(ctx, first, end, next); err != nil {
			return b.edge, err
		}
	}
	if err := b.flush(); err != nil {
		return b.edge, err
	}
	if b.edge.root() != t.root() {
		return b.edge, errWrongRoot()
	}
	return b.edge, nil
}

// startWriter removes what is torn, makes everything durable and signs it.
func (l *Ledger) startWriter(t tail, edge spine) error {
	l.writer.edge = edge
	l.writer.commitTime = t.commit.Time
	if err := l.settleTail(t); err != nil {
		return unavailable("archive.Open", "recovering the last segment: %w", err)
	}
	if l.state.signed == nil || l.state.signedSize != t.size {
		return l.signState(&l.state)
	}
	return nil
}

// wholeSecond returns t in UTC, without the fraction a leaf cannot hold.
func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
