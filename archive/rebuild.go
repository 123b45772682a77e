package archive

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"

	"escrow"
	"escrow/archive/segment"

	"golang.org/x/mod/sumdb/tlog"
)

// rebuilder computes derived files from segments.
type rebuilder struct {
	l    *Ledger
	edge spine // what is known; records before its size are skipped
	note func(escrow.Seq, *row)

	hashes, rows []byte // not yet written
	leaf         []byte
}

// wholeSegment is behind the end of every segment.
const wholeSegment = escrow.Offset(math.MaxInt64)

// segment goes through one segment up to an offset, which must hold the records up to next.
func (b *rebuilder) segment(ctx context.Context, first escrow.Seq, end escrow.Offset, next escrow.TreeSize) error {
	size, err := b.l.segments.header(first)
	if err != nil {
		return err
	}
	end = min(end, size)
	f, err := b.l.segments.acquire(first)
	if err != nil {
		return err
	}
	defer b.l.segments.release(f)
	scan := segment.NewScanner(f, segment.HeaderBytes, end)
	for seq := first; ; {
		at := scan.Offset()
		frame, err := scan.Next()
		if err == io.EOF {
			if uint64(seq) != uint64(next) {
				return escrow.Errorf("archive.Open", escrow.Corrupt, "records %d to %d are missing behind segment %s", seq, next-1, segment.Name(first))
			}
			return nil
		}
		if err == nil && frame.Type == segment.TypeRecord {
			err = b.record(seq, at, frame)
			seq++
		} else if err == nil {
			err = b.commit(seq, frame)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return damage(first, at, seq, err)
		}
	}
}

func (b *rebuilder) record(seq escrow.Seq, at escrow.Offset, frame segment.Frame) error {
	if uint64(seq) < b.edge.size {
		return nil
	}
	meta, blob, err := frame.Record()
	if err != nil {
		return err
	}
	h, err := parseBinary(meta)
	if err != nil {
		return err
	}
	b.leaf = h.AppendLeaf(b.leaf[:0])
	leaf := tlog.RecordHash(b.leaf)
	r := newRow(&h, at, segment.RecordBytes(len(meta), len(blob)))
	b.rows = b.l.derived.coder.append(b.rows, seq, &leaf, &r)
	b.hashes = b.edge.add(b.hashes, leaf)
	b.note(seq, &r)
	if len(b.rows) >= rowChunk*rowBytes {
		return b.flush()
	}
	return nil
}

func (b *rebuilder) commit(seq escrow.Seq, frame segment.Frame) error {
	c, err := frame.Commit()
	if err != nil {
		return err
	}
	if uint64(c.Size) != uint64(seq) {
		return escrow.Errorf("archive.Open", escrow.Corrupt, "a commit frame of records %d to %d is not in its place", c.First, c.Size-1)
	}
	if uint64(c.Size) == b.edge.size && b.edge.root() != c.Root {
		return escrow.Errorf("archive.Open", escrow.Forged, "the records do not give the root in the commit frame")
	}
	return nil
}

func (b *rebuilder) flush() error {
	first := b.edge.size - uint64(len(b.rows)/rowBytes)
	if err := b.l.derived.write(first, b.hashes, b.rows); err != nil {
		return unavailable("archive.Open", "writing derived files: %w", err)
	}
	b.hashes, b.rows = b.hashes[:0], b.rows[:0]
	return nil
}

// checkSegments compares the segment files with the rows: each begins where it must, and ends with the record and commit frame it must. Where
// everything else was taken from derived files, this is what notices a segment missing, cut short or exchanged.
func (l *Ledger) checkSegments(starts []escrow.Seq) error {
	firsts := l.segments.all()
	if n := len(firsts); n > len(starts) && n > 0 { // the last one may have no record yet
		firsts = firsts[:n-1]
	}
	if !slices.Equal(firsts, starts) {
		return escrow.Errorf("archive.Open", escrow.Corrupt, "segments are missing, or there are too many: %d are there, %d are needed", len(firsts), len(starts))
	}
	for i := range max(len(firsts), 1) - 1 {
		size, err := l.segments.header(firsts[i])
		if err != nil {
			return err
		}
		last := firsts[i+1] - 1
		r, _, err := l.derived.row(last)
		if err != nil {
			return err
		}
		if want := r.offset + escrow.Offset(r.length) + segment.CommitBytes; size != want {
			return damage(firsts[i], want, last, escrow.Errorf("archive.Open", escrow.Corrupt, "the segment has %d bytes and should have %d", size, want))
		}
	}
	return nil
}

// inMemory copies the derived data of the first size records to memory, and closes the files.
func (d *derived) inMemory(size uint64) (*derived, error) {
	m := &derived{hashes: &memoryStore{}, rows: &memoryStore{}, coder: d.coder}
	hashes, rows := make([]byte, storedHashes(size)*tlog.HashSize), make([]byte, size*rowBytes)
	err := readFull(d.hashes, hashes, 0)
	if err == nil {
		err = readFull(d.rows, rows, 0)
	}
	if err == nil {
		err = m.write(0, hashes, rows)
	}
	return m, errors.Join(err, d.close())
}
