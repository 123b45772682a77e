package archive

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive/segment"
)

// VerifyOptions says how to verify.
type VerifyOptions struct {
	// Progress is called from time to time with the bytes of segments read and to be read; may be nil.
	Progress func(done, total int64)
}

// Report is the result of Verify.
type Report struct {
	Size     escrow.TreeSize // records looked at
	Bytes    int64           // of segments
	Batches  int64
	Signed   escrow.TreeSize // what the newest checkpoint covers, 0 if there is none
	Findings []Finding       // at most 1000, in the order found
	Count    int64           // of findings, also those not listed
}

// Sound says whether nothing was found.
func (r *Report) Sound() bool { return r.Count == 0 }

// Finding is something wrong with a ledger.
type Finding struct {
	Place Place
	Kind  escrow.Kind // Corrupt: damaged; Forged: well-formed and contradicting
	Text  string
}

// String returns place and text as a sentence.
func (f Finding) String() string { return f.Place.String() + ": " + f.Text }

// Place is where something is wrong: a file, and where they apply an offset in bytes and a record.
type Place struct {
	File   string // name within the ledger's directory
	Offset escrow.Offset
	Seq    *escrow.Seq
}

// String returns the place in words.
func (p Place) String() string {
	if p.Seq == nil {
		return fmt.Sprintf("%s, offset %d", p.File, p.Offset)
	}
	return fmt.Sprintf("%s, offset %d, record %d", p.File, p.Offset, *p.Seq)
}

// Verify checks everything, trusting nothing but the verifier's key: the header of every segment, the checksum of every frame, the digest of every
// blob, the leaf of every record, the root in every commit frame, the order of times and counters, the signature of the checkpoint and its root, and
// that the derived files say the same. It goes on after a finding. It covers the ledger as it is at the call; appending may go on. The error is
// ctx's, or of kind Unavailable if something could not be read.
func (l *Ledger) Verify(ctx context.Context, opts VerifyOptions) (Report, error) {
	v := verifier{l: l, state: l.now(), opts: opts, counters: map[[16]byte]uint64{}}
	v.leaves = leafReader{d: l.derived, size: v.state.size}
	v.openCheckpoint()
	firsts := l.segments.all()
	if err := v.measure(firsts); err != nil {
		return v.report, err
	}
	for i, first := range firsts {
		if uint64(first) >= uint64(v.state.size) {
			break
		}
		next, end := v.state.size, v.state.end
		if i+1 < len(firsts) && uint64(firsts[i+1]) <= uint64(next) { // what may be behind the end of the last is not looked at
			next, end = escrow.TreeSize(firsts[i+1]), wholeSegment
		}
		if err := v.segment(ctx, first, end, next); err != nil {
			return v.report, err
		}
	}
	v.finish()
	return v.report, nil
}

// verifier is one run of Verify.
type verifier struct {
	l      *Ledger
	state  state
	opts   VerifyOptions
	report Report
	total  int64
	done   int64 // bytes of the segments before the present one

	signed     Checkpoint
	signedSeen bool // the tree had the size of the checkpoint
	edge       spine
	lost       bool // a leaf is not known, so no root from here on can be checked
	time       int64
	commitTime time.Time
	counters   map[[16]byte]uint64
	leaves     leafReader
	leaf       []byte
	scratch    []byte
	rows       []byte // rows read ahead
	rowsFrom   escrow.Seq
}

func (v *verifier) find(p Place, kind escrow.Kind, format string, args ...any) {
	v.report.Count++
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, Finding{Place: p, Kind: kind, Text: fmt.Errorf(format, args...).Error()})
	}
}

func inSegment(first escrow.Seq, at escrow.Offset, seq escrow.Seq) Place {
	return Place{File: segmentsDir + "/" + segment.Name(first), Offset: at, Seq: &seq}
}

// openCheckpoint reads the checkpoint from disk again. It may meanwhile cover more than this run.
func (v *verifier) openCheckpoint() {
	place := Place{File: checkpointFile}
	signed, cp, err := v.l.readCheckpoint()
	switch {
	case err != nil:
		v.find(place, escrow.KindOf(err), "%w", err)
		return
	case signed == nil && v.state.size > 0:
		v.find(place, escrow.Corrupt, "there is no signed checkpoint of %d records", v.state.size)
		return
	case cp.Size > v.state.size && v.state.signed != nil: // appended meanwhile
		if cp, err = OpenCheckpoint(v.state.signed, v.l.cfg.Verifier); err != nil {
			v.find(place, escrow.KindOf(err), "%w", err)
			return
		}
	}
	v.signed = cp
	v.report.Signed = cp.Size
	if cp.Size > v.state.size {
		v.find(place, escrow.Forged, "a checkpoint of %d records was signed, the ledger has %d", cp.Size, v.state.size)
	}
	v.atCommit(place)
}

// measure adds up the sizes of the segments.
func (v *verifier) measure(firsts []escrow.Seq) error {
	for _, first := range firsts {
		info, err := v.l.fsys.Stat(v.l.segments.name(first))
		if err != nil {
			return unavailable("archive.Verify", "%w", err)
		}
		v.total += info.Size()
	}
	return nil
}

// segment verifies one segment up to an offset, which must hold the records up to next.
func (v *verifier) segment(ctx context.Context, first escrow.Seq, end escrow.Offset, next escrow.TreeSize) error {
	size, err := v.l.segments.header(first)
	if err != nil && escrow.KindOf(err) == escrow.Unavailable {
		return err
	}
	if err != nil {
		v.find(inSegment(first, 0, first), escrow.KindOf(err), "%w", err)
	}
	if uint64(first) != v.edge.size {
		v.find(inSegment(first, 0, first), escrow.Corrupt, "the segment before it ends with record %d", int64(v.edge.size)-1)
		v.lost = true
		v.edge.size = uint64(first)
	}
	f, err := v.l.segments.acquire(first)
	if err != nil {
		return err
	}
	defer v.l.segments.release(f)
	end = min(end, size)
	w := walk{v: v, first: first, f: f, end: end, next: next, scan: segment.NewScanner(f, segment.HeaderBytes, end)}
	err = w.run(ctx)
	v.done += int64(end)
	v.report.Bytes += int64(end)
	return err
}

// walk is the way through one segment.
type walk struct {
	v     *verifier
	first escrow.Seq
	f     *openSegment
	end   escrow.Offset
	next  escrow.TreeSize // of the records in the segment
	scan  *segment.Scanner
	batch escrow.Seq // first record of the present batch
}

func (w *walk) run(ctx context.Context) error {
	w.batch = w.first
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := w.scan.Offset()
		if n%1024 == 0 && w.v.opts.Progress != nil {
			w.v.opts.Progress(w.v.done+int64(at), w.v.total)
		}
		frame, err := w.scan.Next()
		switch {
		case err == io.EOF:
			w.finish(at)
			return nil
		case err != nil && escrow.KindOf(err) == escrow.Corrupt:
			err = w.resume(at, err)
		case err == nil && frame.Type == segment.TypeRecord:
			err = w.record(at, frame)
		case err == nil:
			w.commit(at, frame)
		}
		if err != nil {
			return err
		}
	}
}

func (w *walk) seq() escrow.Seq { return escrow.Seq(w.v.edge.size) }

func (w *walk) finish(at escrow.Offset) {
	switch seq := w.seq(); {
	case uint64(seq) < uint64(w.next):
		w.v.find(inSegment(w.first, at, seq), escrow.Corrupt, "records %d to %d are missing", seq, w.next-1)
		w.v.missing(uint64(w.next) - uint64(seq))
	case seq != w.batch:
		w.v.find(inSegment(w.first, at, seq), escrow.Corrupt, "the commit frame of records %d to %d is missing", w.batch, seq-1)
	}
}

// resume goes on behind damage: at the frame after it if its length is still right, or else at the commit frame of its batch or of a later one.
func (w *walk) resume(at escrow.Offset, cause error) error {
	v, seq := w.v, w.seq()
	v.find(inSegment(w.first, at, seq), escrow.Corrupt, "%w", cause)
	if uint64(seq) < uint64(w.next) {
		if r, _, err := v.l.derived.row(seq); err == nil && r.offset == at && at+escrow.Offset(r.length) < w.end {
			v.missing(1)
			w.scan.Skip(at + escrow.Offset(r.length))
			return nil
		}
	}
	var found segment.Commit
	want := func(c segment.Commit) bool {
		found = c
		return c.First >= w.batch && uint64(c.Size) > uint64(w.batch) && c.Size <= w.next && uint64(c.Size) >= uint64(seq)
	}
	to, ok, err := segment.FindCommit(w.f, at+1, w.end, want)
	if err != nil {
		return err
	}
	if !ok {
		w.scan.Skip(w.end)
		return nil
	}
	if uint64(found.Size) > uint64(seq) {
		v.find(inSegment(w.first, at, seq), escrow.Corrupt, "records %d to %d cannot be read", seq, found.Size-1)
		v.missing(uint64(found.Size) - uint64(seq))
	}
	w.batch = found.First
	w.scan.Skip(to)
	return nil
}

// missing takes the leaves of unreadable records from the derived files, so that what follows can still be checked: if the next root is right, they are.
func (v *verifier) missing(n uint64) {
	for range n {
		leaf, err := v.leaves.read(escrow.Seq(v.edge.size))
		if err != nil {
			v.lost = true
		}
		v.scratch = v.edge.add(v.scratch[:0], leaf)
	}
}

func (w *walk) record(at escrow.Offset, frame segment.Frame) error {
	v, seq := w.v, w.seq()
	place := inSegment(w.first, at, seq)
	if uint64(seq) >= uint64(w.next) {
		v.find(place, escrow.Corrupt, "there are more records than belong into the segment")
		w.scan.Skip(w.end)
		return nil
	}
	meta, blob, err := frame.Record()
	var h Header
	if err == nil {
		h, err = parseBinary(meta)
	}
	if err != nil {
		v.find(place, escrow.Corrupt, "%w", err)
		v.missing(1)
		return nil
	}
	v.header(place, &h, blob)
	v.leaf = h.AppendLeaf(append(v.leaf[:0], 0))
	leaf := tlog.Hash(sha256.Sum256(v.leaf))
	v.scratch = v.edge.add(v.scratch[:0], leaf)
	r := newRow(&h, at, segment.RecordBytes(len(meta), len(blob)))
	v.compareDerived(seq, leaf, &r)
	return nil
}

func (v *verifier) header(place Place, h *Header, blob []byte) {
	rec := Record{Header: *h, Blob: blob}
	if err := rec.checkBlob(); err != nil {
		v.find(place, escrow.KindOf(err), "%w", err)
	}
	if t := h.Time.Unix(); t < v.time {
		v.find(place, escrow.Forged, "it is older than the record before it")
	} else {
		v.time = t
	}
	if h.Stream == (Stream{}) {
		return
	}
	if last := v.counters[h.Stream.Tag]; h.Stream.Counter <= last {
		v.find(place, escrow.Forged, "its counter is %d, and %d was there before in its channel", h.Stream.Counter, last)
	} else {
		v.counters[h.Stream.Tag] = h.Stream.Counter
	}
}

// compareDerived compares what was computed with the derived files.
func (v *verifier) compareDerived(seq escrow.Seq, leaf tlog.Hash, r *row) {
	place := Place{File: derivedDir + "/" + hashesFile, Offset: escrow.Offset(tlog.StoredHashIndex(0, int64(seq)) * tlog.HashSize), Seq: &seq}
	stored, err := v.leaves.readTree(seq, len(v.scratch)/tlog.HashSize)
	if err != nil || !slices.Equal(stored, v.scratch) {
		v.find(place, escrow.Corrupt, "the stored hashes are not those of the record; the file is rebuilt when the ledger is opened next")
	}
	place = Place{File: derivedDir + "/" + rowsFile, Offset: escrow.Offset(seq) * rowBytes, Seq: &seq}
	if got, ok := v.storedRow(seq, &leaf); !ok || got != *r {
		v.find(place, escrow.Corrupt, "the row is not that of the record; the file is rebuilt when the ledger is opened next")
	}
}

// storedRow reads a row, many at a time.
func (v *verifier) storedRow(seq escrow.Seq, leaf *tlog.Hash) (row, bool) {
	if n := escrow.Seq(len(v.rows) / rowBytes); seq < v.rowsFrom || seq >= v.rowsFrom+n {
		want := min(rowChunk, int(uint64(v.state.size)-uint64(seq)))
		v.rows, v.rowsFrom = slices.Grow(v.rows[:0], want*rowBytes)[:want*rowBytes], seq
		if err := readFull(v.l.derived.rows, v.rows, int64(seq)*rowBytes); err != nil {
			v.rows = v.rows[:0]
			return row{}, false
		}
	}
	return v.l.derived.coder.parse(v.rows[(seq-v.rowsFrom)*rowBytes:], seq, leaf)
}

func (w *walk) commit(at escrow.Offset, frame segment.Frame) {
	v := w.v
	place := inSegment(w.first, at, w.seq())
	c, err := frame.Commit()
	if err != nil {
		v.find(place, escrow.Corrupt, "%w", err)
		return
	}
	if c.First != w.batch || uint64(c.Size) != v.edge.size {
		v.find(place, escrow.Corrupt, "the commit frame is of records %d to %d, the batch of %d to %d", c.First, c.Size-1, w.batch, int64(v.edge.size)-1)
	} else if !v.lost && v.edge.root() != c.Root {
		v.find(place, escrow.Forged, "the records do not give the root in the commit frame")
	}
	if c.Time.Before(v.commitTime) {
		v.find(place, escrow.Forged, "the batch is older than the one before it")
	}
	v.commitTime = c.Time
	v.report.Batches++
	w.batch = w.seq()
	v.atCommit(place)
}

// atCommit compares the root with the signed one where the sizes are the same.
func (v *verifier) atCommit(place Place) {
	if v.signed.Origin == "" || v.edge.size != uint64(v.signed.Size) {
		return
	}
	v.signedSeen = true
	if !v.lost && v.edge.root() != v.signed.Root {
		v.find(place, escrow.Forged, "the records do not give the root that was signed")
	}
}

func (v *verifier) finish() {
	v.report.Size = escrow.TreeSize(v.edge.size)
	place := Place{File: segmentsDir}
	switch {
	case v.edge.size != uint64(v.state.size):
		v.find(place, escrow.Corrupt, "records %d to %d are missing", v.edge.size, v.state.size-1)
	case v.lost:
		v.find(place, escrow.Corrupt, "leaves are missing, so the root could not be checked; open the ledger to rebuild derived files, and verify again")
	case v.edge.root() != v.state.root:
		v.find(place, escrow.Forged, "the records do not give the root the ledger was opened with")
	}
	if v.signed.Origin != "" && !v.signedSeen && v.signed.Size <= v.state.size {
		v.find(Place{File: checkpointFile}, escrow.Forged, "no batch ends with %d records, as was signed", v.signed.Size)
	}
	if v.opts.Progress != nil {
		v.opts.Progress(v.total, v.total)
	}
}

// readTree returns the hashes stored with a leaf: its own, and those of the subtrees it completes.
func (r *leafReader) readTree(seq escrow.Seq, n int) ([]byte, error) {
	if _, err := r.read(seq); err != nil {
		return nil, err
	}
	from := (tlog.StoredHashIndex(0, int64(seq)) - r.start) * tlog.HashSize
	to := from + int64(n)*tlog.HashSize
	if to > int64(len(r.buf)) { // across the edge of what was read
		b := make([]byte, n*tlog.HashSize)
		return b, readFull(r.d.hashes, b, (r.start*tlog.HashSize)+from)
	}
	return r.buf[from:to], nil
}
