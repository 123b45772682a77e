package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive/segment"
)

// Read returns a record, checked against its checksum, the digest in its header, and the hash of its leaf in the tree. The record belongs to the
// caller. Error kinds: NotFound, there is no such record yet; Corrupt, the bytes are damaged; Forged, they are sound and not what was appended;
// Unavailable.
func (l *Ledger) Read(seq escrow.Seq) (Record, error) {
	f, leaf, err := l.frame(seq)
	if err != nil {
		return Record{}, err
	}
	rec, err := openRecord(seq, f, leaf)
	if err != nil {
		return Record{}, recordError("archive.Read", seq, err)
	}
	if err := rec.checkBlob(); err != nil {
		return Record{}, recordError("archive.Read", seq, err)
	}
	return rec, nil
}

// Header returns the header of a record, checked as by Read except for the digest of the blob. Errors are those of Read.
func (l *Ledger) Header(seq escrow.Seq) (Header, error) {
	f, leaf, err := l.frame(seq)
	if err != nil {
		return Header{}, err
	}
	rec, err := openRecord(seq, f, leaf)
	if err != nil {
		return Header{}, recordError("archive.Header", seq, err)
	}
	return rec.Header, nil
}

// frame reads the frame of a record into fresh memory, and the hash its leaf must have.
func (l *Ledger) frame(seq escrow.Seq) (segment.Frame, tlog.Hash, error) {
	if size := l.Size(); uint64(seq) >= uint64(size) {
		return segment.Frame{}, tlog.Hash{}, recordError("archive.Read", seq, escrow.Errorf("archive.Read", escrow.NotFound, "the ledger has %d records", size))
	}
	r, leaf, err := l.derived.row(seq)
	if err != nil {
		return segment.Frame{}, leaf, err
	}
	first, _ := l.segments.span(seq)
	file, err := l.segments.acquire(first)
	if err != nil {
		return segment.Frame{}, leaf, err
	}
	defer l.segments.release(file)
	b := make([]byte, r.length)
	if _, err := file.ReadAt(b, int64(r.offset)); errors.Is(err, io.EOF) {
		return segment.Frame{}, leaf, damage(first, r.offset, seq, escrow.Errorf("archive.Read", escrow.Corrupt, "the segment ends too early"))
	} else if err != nil {
		return segment.Frame{}, leaf, damage(first, r.offset, seq, unavailable("archive.Read", "%w", err))
	}
	f, n, err := segment.ParseFrame(b)
	if err == nil && n != len(b) {
		err = escrow.Errorf("archive.Read", escrow.Corrupt, "the frame has %d bytes and should have %d", n, len(b))
	}
	if err != nil {
		return segment.Frame{}, leaf, damage(first, r.offset, seq, err)
	}
	return f, leaf, nil
}

// openRecord reads a record frame and checks its leaf. The blob shares memory with the frame.
func openRecord(seq escrow.Seq, f segment.Frame, leaf tlog.Hash) (Record, error) {
	meta, blob, err := f.Record()
	if err != nil {
		return Record{}, err
	}
	h, err := parseBinary(meta)
	if err != nil {
		return Record{}, err
	}
	if h.LeafHash() != leaf {
		return Record{}, escrow.Errorf("archive.Read", escrow.Forged, "its header is not the leaf in the tree")
	}
	return Record{Seq: seq, Header: h, Blob: blob}, nil
}

// checkBlob compares the blob with its digest, which the leaf hash covers.
func (r *Record) checkBlob() error {
	if uint64(len(r.Blob)) != r.Header.Sealed.Len || sha256.Sum256(r.Blob) != r.Header.Sealed.SHA256 {
		return escrow.Errorf("archive.Read", escrow.Forged, "its bytes do not have the digest in its leaf")
	}
	return nil
}

func recordError(op string, seq escrow.Seq, err error) error {
	return &escrow.Error{Op: op, Kind: escrow.KindOf(err), Record: &seq, Err: err}
}

// ErrStop is what a function given to Scan returns to end it early.
var ErrStop = errors.New("stop scanning")

// Scan calls fn for every record from a number on, in order, up to the size of the ledger at the call, checked as by Read. It needs memory for one record
// and reads the disk in sequence. The record belongs to fn. It returns nil if fn returned ErrStop, any other error of fn as it is, ctx's, or those of Read.
func (l *Ledger) Scan(ctx context.Context, from escrow.Seq, fn func(Record) error) error {
	s := l.now()
	for uint64(from) < uint64(s.size) {
		next, err := l.scanSegment(ctx, s, from, fn)
		if errors.Is(err, ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
		from = next
	}
	return ctx.Err()
}

// scanSegment scans from a record to the end of its segment.
func (l *Ledger) scanSegment(ctx context.Context, s state, from escrow.Seq, fn func(Record) error) (escrow.Seq, error) {
	r, _, err := l.derived.row(from)
	if err != nil {
		return from, err
	}
	first, after := l.segments.span(from)
	after = min(after, escrow.Seq(s.size))
	last, _, err := l.derived.row(after - 1)
	if err != nil {
		return from, err
	}
	file, err := l.segments.acquire(first)
	if err != nil {
		return from, err
	}
	defer l.segments.release(file)
	scan := segment.NewScanner(file, r.offset, last.offset+escrow.Offset(last.length))
	leaves := leafReader{d: l.derived, size: s.size}
	for seq := from; seq < after; {
		at := scan.Offset()
		f, err := scan.Next()
		if err == io.EOF {
			err = escrow.Errorf("archive.Scan", escrow.Corrupt, "the segment ends too early")
		}
		if err != nil {
			return seq, damage(first, at, seq, err)
		}
		if f.Type != segment.TypeRecord {
			continue
		}
		if err := ctx.Err(); err != nil {
			return seq, err
		}
		if err := l.scanRecord(&leaves, seq, f, fn); err != nil {
			return seq, err
		}
		seq++
	}
	return after, nil
}

func (l *Ledger) scanRecord(leaves *leafReader, seq escrow.Seq, f segment.Frame, fn func(Record) error) error {
	leaf, err := leaves.read(seq)
	if err != nil {
		return err
	}
	rec, err := openRecord(seq, f, leaf)
	if err == nil {
		err = rec.checkBlob()
	}
	if err != nil {
		return recordError("archive.Scan", seq, err)
	}
	rec.Blob = slices.Clone(rec.Blob)
	return fn(rec)
}

// leafReader reads leaf hashes in order, many at a time.
type leafReader struct {
	d     *derived
	size  escrow.TreeSize
	buf   []byte
	start int64 // index of the first hash in buf
}

func (r *leafReader) read(seq escrow.Seq) (leaf tlog.Hash, err error) {
	at := tlog.StoredHashIndex(0, int64(seq))
	if at < r.start || at >= r.start+int64(len(r.buf)/tlog.HashSize) {
		n := min(rowChunk, storedHashes(uint64(r.size))-at)
		r.buf, r.start = slices.Grow(r.buf[:0], int(n)*tlog.HashSize)[:n*tlog.HashSize], at
		if err := readFull(r.d.hashes, r.buf, at*tlog.HashSize); err != nil {
			r.buf = r.buf[:0]
			return leaf, err
		}
	}
	copy(leaf[:], r.buf[(at-r.start)*tlog.HashSize:])
	return leaf, nil
}

// Prove returns the proof that a record is in the tree of the first size records (RFC 6962, section 2.1.1), checked. The error is of kind NotFound
// if there are not so many records, Corrupt if derived files are damaged.
func (l *Ledger) Prove(seq escrow.Seq, size escrow.TreeSize) (tlog.RecordProof, error) {
	s := l.now()
	if size > s.size || uint64(seq) >= uint64(size) {
		return nil, recordError("archive.Prove", seq, escrow.Errorf("archive.Prove", escrow.NotFound, "a tree of %d records does not have it, or is not there yet", size))
	}
	proof, err := tlog.ProveRecord(int64(size), int64(seq), l.derived)
	if err != nil {
		return nil, recordError("archive.Prove", seq, err)
	}
	root, err := l.rootAt(size, s)
	if err != nil {
		return nil, err
	}
	leaf, err := l.derived.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(seq))})
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(proof, int64(size), root, int64(seq), leaf[0]); err != nil {
		return nil, recordError("archive.Prove", seq, errDerivedDamaged(err))
	}
	return proof, nil
}

func errDerivedDamaged(err error) error {
	return escrow.Errorf("archive.Prove", escrow.Corrupt, "the derived files are damaged; they are rebuilt when the ledger is opened next: %w", err)
}

// InclusionProof returns a C2SP tlog-proof of a record, with the newest checkpoint; VerifyProof and other tools verify it with the leaf alone. Errors
// are those of Prove, and Unavailable while the record is not covered by a signed checkpoint.
func (l *Ledger) InclusionProof(seq escrow.Seq) ([]byte, error) {
	s := l.now()
	if uint64(seq) < uint64(s.size) && uint64(seq) >= uint64(s.signedSize) {
		return nil, recordError("archive.Prove", seq, unavailable("archive.Prove", "no checkpoint covers it yet"))
	}
	proof, err := l.Prove(seq, s.signedSize)
	if err != nil {
		return nil, err
	}
	return formatProof(seq, proof, s.signed), nil
}

// ConsistencyProof returns the proof that the first records of the tree of size newer are the tree of size older (RFC 6962, section 2.1.2), checked.
// It is empty if older is 0 or the same. Errors are those of Prove.
func (l *Ledger) ConsistencyProof(older, newer escrow.TreeSize) (tlog.TreeProof, error) {
	s := l.now()
	if older > newer || newer > s.size {
		return nil, escrow.Errorf("archive.Prove", escrow.NotFound, "the ledger has %d records, a proof from %d to %d is not possible", s.size, older, newer)
	}
	if older == 0 || older == newer {
		return nil, nil
	}
	proof, err := tlog.ProveTree(int64(newer), int64(older), l.derived)
	if err != nil {
		return nil, escrow.Errorf("archive.Prove", escrow.KindOf(err), "%w", err)
	}
	newRoot, err := l.rootAt(newer, s)
	if err != nil {
		return nil, err
	}
	oldRoot, err := l.rootAt(older, s)
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckTree(proof, int64(newer), newRoot, int64(older), oldRoot); err != nil {
		return nil, errDerivedDamaged(err)
	}
	return proof, nil
}
