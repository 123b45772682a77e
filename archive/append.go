package archive

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"escrow"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// writer is the appending half of a ledger. All but failed is guarded by Ledger.appending.
type writer struct {
	file       vfs.File // the last segment; nil if there is none yet
	end        escrow.Offset
	edge       spine
	commitTime time.Time
	uncut      bool // something is behind end that must be cut off first
	rolling    bool // a new segment was begun and is not finished, so nothing may go into the last one
	unsigned   bool // the last batch is not covered by a checkpoint on disk yet
	failed     atomic.Pointer[escrow.Error]
	batch      batch
}

func (w *writer) failure() error {
	if err := w.failed.Load(); err != nil {
		return err
	}
	return nil
}

// fail makes err final.
func (w *writer) fail(err *escrow.Error) error {
	w.failed.Store(err)
	return err
}

// Append adds records in order as one batch and returns the number of the first; the others follow. On return without error all of them are durable
// with one sync, and covered by a signed checkpoint. With an error of kind Invalid or Conflict nothing has happened: an entry is wrong, or a counter of
// its channel is not above the last one. With one of kind Unavailable the batch may or may not be found after the next Open, whole; until then it is
// not in the ledger. If the disk is full, Append works again as soon as there is room; after any other failure to write or sync, and after any failed
// sync, every later Append returns the same error, and the ledger must be opened again. Times older than the last record's are raised to it. The
// entries may be reused on return.
func (l *Ledger) Append(ctx context.Context, entries []Entry) (escrow.Seq, error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	return l.append(ctx, entries)
}

// AppendAt is Append if the ledger has exactly size records, and otherwise does nothing and returns an error of kind Conflict. It is for records whose
// content depends on their number.
func (l *Ledger) AppendAt(ctx context.Context, size escrow.TreeSize, entries []Entry) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if have := l.now().size; have != size {
		return escrow.Errorf("archive.Append", escrow.Conflict, "the ledger has %d records, not %d: something else was appended", have, size)
	}
	_, err := l.append(ctx, entries)
	return err
}

func (l *Ledger) append(ctx context.Context, entries []Entry) (escrow.Seq, error) {
	s := l.now()
	first := escrow.Seq(s.size)
	if err := ctx.Err(); err != nil {
		return 0, unavailable("archive.Append", "%w", err)
	}
	if err := l.checkBatch(entries); err != nil || len(entries) == 0 {
		return first, err
	}
	if err := l.ready(); err != nil {
		return 0, err
	}
	b := &l.writer.batch
	b.build(l, s, entries)
	if err := l.roll(first, len(b.frames)); err != nil {
		return 0, err
	}
	b.place(l, first)
	if err := l.derived.write(uint64(first), b.hashes, b.rowBytes); err != nil {
		return 0, l.diskError("writing derived files", err)
	}
	if err := l.writeFrames(b.frames); err != nil {
		return 0, err
	}
	l.commit(s, b)
	return first, nil
}

// checkBatch checks the entries before anything is done.
func (l *Ledger) checkBatch(entries []Entry) error {
	if l.readOnly {
		return escrow.Errorf("archive.Append", escrow.Denied, "the ledger is open for reading only")
	}
	if len(entries) > MaxBatchRecords {
		return invalid("a batch has at most %d records, this one has %d", MaxBatchRecords, len(entries))
	}
	counters := map[[16]byte]uint64{}
	total := 0
	for i := range entries {
		e := &entries[i]
		if err := e.Header.check(); err != nil {
			return escrow.Errorf("archive.Append", escrow.Invalid, "entry %d of the batch: %w", i, err)
		}
		if len(e.Blob) > segment.MaxBlobBytes {
			return invalid("entry %d of the batch has %d bytes, at most %d are possible", i, len(e.Blob), segment.MaxBlobBytes)
		}
		if total += len(e.Blob); total > MaxBatchBytes {
			return invalid("a batch has at most %d bytes", MaxBatchBytes)
		}
		if err := l.checkCounter(e.Header.Stream, counters); err != nil {
			return err
		}
	}
	return nil
}

// checkCounter keeps what an auditor relies on: the counter of a channel never repeats and never goes back.
func (l *Ledger) checkCounter(s Stream, counters map[[16]byte]uint64) error {
	if s == (Stream{}) {
		return nil
	}
	last, ok := counters[s.Tag]
	if !ok {
		last, _ = l.Stream(s.Tag)
	}
	if s.Counter <= last {
		return escrow.Errorf("archive.Append", escrow.Conflict, "counter %d of a channel is not above the last one, %d", s.Counter, last)
	}
	counters[s.Tag] = s.Counter
	return nil
}

// ready finishes what an earlier Append had to leave.
func (l *Ledger) ready() error {
	if err := l.writer.failure(); err != nil {
		return err
	}
	if l.writer.uncut {
		if err := l.cutBack(); err != nil {
			return err
		}
	}
	if l.writer.unsigned {
		s := l.now()
		if err := l.signState(&s); err != nil {
			return l.explain("signing the batch before", err)
		}
		l.writer.unsigned = false
		l.publish(s)
	}
	return nil
}

// diskError makes an error of writing: final, unless the disk is full.
func (l *Ledger) diskError(what string, err error) error {
	e := l.explain(what, err)
	if isFull(err) {
		return e
	}
	return l.writer.fail(e)
}

func (l *Ledger) explain(what string, err error) *escrow.Error {
	if isFull(err) {
		return unavailable("archive.Append", "%s: the disk is full; nothing was lost, and records are taken again as soon as there is room in %s: %w",
			what, l.dir, err)
	}
	return unavailable("archive.Append", "%s failed; no more records are taken until the ledger is opened again, for what is on disk is not known: %w",
		what, err)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// writeFrames makes a batch durable: one write, one sync.
func (l *Ledger) writeFrames(frames []byte) error {
	w := &l.writer
	if _, err := w.file.WriteAt(frames, int64(w.end)); err != nil {
		w.uncut = true
		e := l.diskError("writing a batch", err)
		if isFull(err) {
			if err := l.cutBack(); err != nil {
				return err
			}
		}
		return e
	}
	if err := w.file.Sync(); err != nil {
		// Never tried again: the system may have dropped what it could not write, and a second sync would say that all is well.
		return w.fail(unavailable("archive.Append", "syncing a batch failed; no more records are taken until the ledger is opened again: %w", err))
	}
	return nil
}

// cutBack removes the part of a batch that was written, durably, so that nothing stale can ever follow a later batch.
func (l *Ledger) cutBack() error {
	w := &l.writer
	if err := w.file.Truncate(int64(w.end)); err != nil {
		return l.diskError("cutting off an incomplete batch", err)
	}
	if err := w.file.Sync(); err != nil {
		return w.fail(unavailable("archive.Append", "syncing a segment failed; no more records are taken until the ledger is opened again: %w", err))
	}
	w.uncut = false
	return nil
}

// roll begins a new segment if there is none, or if the batch does not fit into the last one. The file and its name are durable before anything is
// put into it.
func (l *Ledger) roll(first escrow.Seq, batch int) error {
	w := &l.writer
	if w.file != nil && !w.rolling && (w.end == segment.HeaderBytes || int64(w.end)+int64(batch) <= l.cfg.SegmentBytes) {
		return nil
	}
	w.rolling = true
	f, err := l.createSegment(first)
	if err != nil {
		return err
	}
	old := w.file
	w.file, w.end, w.rolling = f, segment.HeaderBytes, false
	l.segments.add(first)
	if old == nil {
		return nil
	}
	if err := old.Close(); err != nil {
		return l.diskError("closing a full segment", err)
	}
	return nil
}

// createSegment creates a segment file, durably. A file that an earlier attempt left, without records, is used.
func (l *Ledger) createSegment(first escrow.Seq) (vfs.File, error) {
	f, err := l.fsys.OpenFile(l.segments.name(first), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, l.diskError("creating a segment", err)
	}
	if err := l.initSegment(f, first); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (l *Ledger) initSegment(f vfs.File, first escrow.Seq) error {
	info, err := f.Stat()
	if err != nil {
		return l.diskError("creating a segment", err)
	}
	if info.Size() > segment.HeaderBytes {
		return l.writer.fail(escrow.Errorf("archive.Append", escrow.Corrupt, "segment %s is there already", segment.Name(first)))
	}
	header := segment.Header{Origin: l.segments.origin, First: first}.Append(nil)
	if _, err := f.WriteAt(header, 0); err != nil {
		return l.diskError("creating a segment", err)
	}
	err = f.Sync()
	if err == nil {
		err = l.fsys.SyncDir(l.path(segmentsDir))
	}
	if err != nil {
		return l.writer.fail(unavailable("archive.Append", "syncing a new segment failed; no more records are taken until the ledger is opened again: %w", err))
	}
	return nil
}

// commit makes a durable batch part of the ledger and signs it. From here on nothing can make Append fail: a checkpoint that cannot be signed or
// written now is made up for by the next Append, before it does anything else, or by Close.
func (l *Ledger) commit(s state, b *batch) {
	w := &l.writer
	w.end += escrow.Offset(len(b.frames))
	w.edge, w.commitTime = b.edge, b.commitTime
	s.size, s.root, s.last, s.end = escrow.TreeSize(b.edge.size), b.root, b.last, w.end
	var tagged sync.WaitGroup
	tagged.Go(func() { l.addTags(b) }) // meanwhile; nobody sees them before the state says that the records are there
	if err := l.signState(&s); err != nil {
		w.unsigned = true
		l.cfg.Logger.Error("checkpoint not written; the next append tries again first", slog.Uint64("size", uint64(s.size)), slog.Any("error", err))
	}
	tagged.Wait()
	l.publish(s)
	b.shrink()
}

func (l *Ledger) addTags(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.rows {
		l.tags.add(b.first+escrow.Seq(i), &b.rows[i])
	}
}

// publish shows a new state to readers and wakes those who wait for it.
func (l *Ledger) publish(s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.grown)
	l.grown = make(chan struct{})
}

// signState signs the root of a state and writes the checkpoint.
func (l *Ledger) signState(s *state) error {
	signed, err := signCheckpoint(Checkpoint{Origin: l.cfg.Origin, Size: s.size, Root: s.root}, l.cfg.Signer)
	if err != nil {
		return unavailable("archive.Sign", "signing the checkpoint of %d records: %w", s.size, err)
	}
	s.signed, s.signedSize = signed, s.size
	return l.writeCheckpoint(signed, false)
}

// writeCheckpoint replaces the checkpoint file, so that a reader finds the old or the new one whole. It is synced only when durable is true: a power cut
// may bring an older one back, which is still true.
func (l *Ledger) writeCheckpoint(signed []byte, durable bool) error {
	name := l.path(checkpointFile)
	if durable {
		return vfs.WriteFileAtomic(l.fsys, name, signed, 0o600)
	}
	tmp := name + ".tmp"
	f, err := l.createFresh(tmp)
	if err != nil {
		return unavailable("archive.Checkpoint", "%w", err)
	}
	_, err = f.Write(signed)
	if err = errors.Join(err, f.Close()); err == nil {
		err = l.fsys.Rename(tmp, name)
	}
	if err != nil {
		return unavailable("archive.Checkpoint", "%w", err)
	}
	return nil
}

// createFresh creates a file that was never there before. What an attempt that failed left is removed and not written over: after a power cut its
// content could be found under the final name, since nothing is synced.
func (l *Ledger) createFresh(name string) (vfs.File, error) {
	const flag = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := l.fsys.OpenFile(name, flag, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := l.fsys.Remove(name); err != nil {
		return nil, err
	}
	return l.fsys.OpenFile(name, flag, 0o600)
}

// settleCheckpoint makes the newest checkpoint durable.
func (l *Ledger) settleCheckpoint() error {
	s := l.now()
	if l.readOnly {
		return nil
	}
	if l.writer.unsigned {
		if err := l.signState(&s); err != nil {
			return err
		}
	}
	return l.writeCheckpoint(s.signed, true)
}
