package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"escrow"
	"escrow/archive/segment"

	"golang.org/x/mod/sumdb/tlog"
)

// tail is where the ledger ends.
type tail struct {
	size    escrow.TreeSize // records in complete batches
	commit  segment.Commit  // that ends the last one; zero if there is none
	none    bool            // there is no segment
	first   escrow.Seq      // of the last segment
	batch   escrow.Offset   // where the last batch in it begins; end if there is none in it
	end     escrow.Offset   // behind the last complete batch
	file    escrow.Offset   // size of the file: beyond end, something is torn
	remove  []escrow.Seq    // segments whose creation was not completed
	trouble error           // what is wrong behind end
}

func (t *tail) root() tlog.Hash {
	if t.size == 0 {
		return emptyRoot()
	}
	return t.commit.Root
}

func (t *tail) rolledBack(signed escrow.TreeSize) error {
	why := "records were cut off, or an older copy was put in its place"
	if t.trouble != nil {
		why = t.trouble.Error()
	}
	return escrow.Errorf("archive.Open", escrow.Forged, "the ledger has %d records, and a checkpoint of %d was signed: %s", t.size, signed, why)
}

// recoverTail finds the last complete batch. It changes nothing on disk. Damage in front of a batch that cannot be the last is of kind Corrupt.
func (s *segments) recoverTail() (tail, error) {
	var t tail
	for {
		firsts := s.all()
		if len(firsts) == 0 {
			t.none = true
			return t, nil
		}
		t.first = firsts[len(firsts)-1]
		file, err := s.header(t.first)
		if err == nil {
			t.file = file
			return t, s.scanTail(&t, firsts)
		}
		if escrow.KindOf(err) != escrow.Corrupt || file > segment.HeaderBytes {
			return t, err
		}
		// Its header was being written when the power was cut: nothing was ever put into it.
		first, err := s.dropLast()
		if err != nil {
			return t, unavailable("archive.Open", "closing a segment: %w", err)
		}
		t.remove = append(t.remove, first)
	}
}

func (s *segments) scanTail(t *tail, firsts []escrow.Seq) error {
	f, err := s.acquire(t.first)
	if err != nil {
		return err
	}
	defer s.release(f)
	t.size, t.batch, t.end = escrow.TreeSize(t.first), segment.HeaderBytes, segment.HeaderBytes
	scan := segment.NewScanner(f, segment.HeaderBytes, t.file)
	at, next, err := t.batches(scan)
	if err != nil && escrow.KindOf(err) != escrow.Corrupt {
		return err
	}
	if err != nil {
		t.trouble = damage(t.first, at, next, err)
		later := func(c segment.Commit) bool { return uint64(c.First) > uint64(t.size) }
		if _, found, err := segment.FindCommit(f, at, t.file, later); err != nil || found {
			return errors.Join(err, t.trouble)
		}
	}
	if t.end == segment.HeaderBytes && t.size > 0 {
		return s.previousCommit(t, firsts)
	}
	return nil
}

// batches reads complete batches into t until the end, or to an error and where it is.
func (t *tail) batches(scan *segment.Scanner) (escrow.Offset, escrow.Seq, error) {
	next := escrow.Seq(t.size)
	for {
		at := scan.Offset()
		frame, err := scan.Next()
		if err == io.EOF {
			if t.end < t.file {
				return at, next, fmt.Errorf("%w", escrow.Errorf("archive.Open", escrow.Corrupt, "the last batch is incomplete"))
			}
			return at, next, nil
		}
		if err != nil {
			return at, next, err
		}
		if frame.Type == segment.TypeRecord {
			next++
			continue
		}
		c, err := frame.Commit()
		if err != nil {
			return at, next, err
		}
		if uint64(c.First) != uint64(t.size) || uint64(c.Size) != uint64(next) {
			return at, next, escrow.Errorf("archive.Open", escrow.Corrupt, "a commit frame of records %d to %d is not in its place", c.First, c.Size-1)
		}
		t.batch, t.end, t.size, t.commit = t.end, scan.Offset(), c.Size, c
	}
}

// previousCommit reads the commit frame at the end of the last segment but one.
func (s *segments) previousCommit(t *tail, firsts []escrow.Seq) error {
	if len(firsts) < 2 {
		return escrow.Errorf("archive.Open", escrow.Corrupt, "segments are missing: the first one there is begins with record %d", t.first)
	}
	first := firsts[len(firsts)-2]
	f, err := s.acquire(first)
	if err != nil {
		return err
	}
	defer s.release(f)
	info, err := f.Stat()
	if err != nil {
		return unavailable("archive.Open", "reading a segment: %w", err)
	}
	at := escrow.Offset(info.Size()) - segment.CommitBytes
	frame, err := segment.NewScanner(f, max(at, 0), escrow.Offset(info.Size())).Next()
	if err == nil {
		t.commit, err = frame.Commit()
	}
	if err == nil && t.commit.Size != t.size {
		err = escrow.Errorf("archive.Open", escrow.Corrupt, "it ends with record %d", t.commit.Size-1)
	}
	if err != nil {
		return damage(first, at, t.first-1, err)
	}
	return nil
}

// damage says where something is wrong.
func damage(first escrow.Seq, at escrow.Offset, seq escrow.Seq, err error) error {
	kind := escrow.KindOf(err)
	return &escrow.Error{Op: "archive.Open", Kind: kind, Record: &seq, Err: fmt.Errorf("segment %s, offset %d: %w", segment.Name(first), at, err)}
}

// settleTail cuts off what is torn and makes the rest durable. The last batch, or the header of a segment without any, is written once more unless it
// is signed: a sync of it may have failed, after which the system shows what the disk does not have.
func (l *Ledger) settleTail(t tail) error {
	for _, first := range t.remove {
		if err := l.fsys.Remove(l.segments.name(first)); err != nil {
			return err
		}
	}
	if l.state.signed == nil { // the directory may be new
		if err := errors.Join(l.fsys.SyncDir(filepath.Dir(l.dir)), l.fsys.SyncDir(l.dir)); err != nil {
			return err
		}
	}
	if t.none {
		return l.fsys.SyncDir(l.path(segmentsDir))
	}
	f, err := l.fsys.OpenFile(l.segments.name(t.first), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	l.writer.file = f
	l.writer.end = t.end
	if t.file > t.end {
		if err := f.Truncate(int64(t.end)); err != nil {
			return err
		}
	}
	if t.end == segment.HeaderBytes {
		err = rewrite(f, 0, t.end)
	} else if l.state.signedSize < t.size {
		err = rewrite(f, t.batch, t.end)
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return l.fsys.SyncDir(l.path(segmentsDir))
}

// rewrite writes a part of a file over itself.
func rewrite(f interface {
	io.ReaderAt
	io.WriterAt
}, at, end escrow.Offset) error {
	buf := make([]byte, min(1<<20, int64(end-at)))
	for at < end {
		n := min(int64(len(buf)), int64(end-at))
		if _, err := f.ReadAt(buf[:n], int64(at)); err != nil {
			return err
		}
		if _, err := f.WriteAt(buf[:n], int64(at)); err != nil {
			return err
		}
		at += escrow.Offset(n)
	}
	return nil
}
