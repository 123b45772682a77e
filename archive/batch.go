package archive

import (
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive/segment"
)

// batch is a batch being built; its memory is used again for the next one.
type batch struct {
	first      escrow.Seq
	items      []item
	frames     []byte // record frames and the commit frame
	rows       []row
	rowBytes   []byte
	hashes     []byte
	edge       spine
	root       tlog.Hash
	last       time.Time
	commitTime time.Time
}

// item is an entry with everything about it that does not depend on the others.
type item struct {
	header Header
	leaf   tlog.Hash
	meta   [maxStoredHeader]byte
	stored int // bytes of meta
}

// maxStoredHeader is the longest stored header of a record.
const maxStoredHeader = 2 + 8 + 24 + 32 + 24 + 16 + 40 + 36 + 32 + MaxClassBytes

// build encodes the entries. Offsets in rows count from the start of the batch.
func (b *batch) build(l *Ledger, s state, entries []Entry) {
	now := wholeSecond(l.cfg.Now())
	b.first, b.last = escrow.Seq(s.size), s.last
	b.items = slices.Grow(b.items[:0], len(entries))[:len(entries)]
	for i := range entries {
		b.items[i].header = entries[i].Header
		b.setTime(&b.items[i].header, now)
	}
	b.encode(entries)
	b.frames, b.rows, b.hashes = slices.Grow(b.frames[:0], batchBytes(entries)), b.rows[:0], b.hashes[:0]
	b.edge = l.writer.edge.clone()
	for i := range b.items {
		it := &b.items[i]
		offset := len(b.frames)
		b.frames = segment.AppendRecord(b.frames, it.meta[:it.stored], entries[i].Blob)
		b.rows = append(b.rows, newRow(&it.header, escrow.Offset(offset), len(b.frames)-offset))
		b.hashes = b.edge.add(b.hashes, it.leaf)
	}
	b.root = b.edge.root()
	if b.commitTime = now; now.Before(l.writer.commitTime) {
		b.commitTime = l.writer.commitTime
	}
	b.frames = segment.AppendCommit(b.frames, segment.Commit{First: b.first, Size: escrow.TreeSize(b.edge.size), Root: b.root, Time: b.commitTime})
}

// setTime keeps times in order.
func (b *batch) setTime(h *Header, now time.Time) {
	if h.Time.IsZero() {
		h.Time = now
	}
	if h.Time = wholeSecond(h.Time); h.Time.Before(b.last) {
		h.Time = b.last
	}
	b.last = h.Time
}

// encode computes digests, stored headers and leaves, which is most of the work, on all processors.
func (b *batch) encode(entries []Entry) {
	share := max(len(entries)/runtime.GOMAXPROCS(0)+1, minEncodeShare)
	var wait sync.WaitGroup
	for from := share; from < len(entries); from += share { // all but the first share
		to := min(from+share, len(entries))
		wait.Go(func() { encodeItems(b.items[from:to], entries[from:to]) })
	}
	to := min(share, len(entries))
	encodeItems(b.items[:to], entries[:to])
	wait.Wait()
}

// minEncodeShare is the least number of entries worth another goroutine.
const minEncodeShare = 64

func encodeItems(items []item, entries []Entry) {
	leaf := make([]byte, 1, 1+MaxLeafBytes)
	for i := range items {
		it, blob := &items[i], entries[i].Blob
		it.header.Sealed = Digest{SHA256: sha256.Sum256(blob), Len: uint64(len(blob))}
		it.stored = len(it.header.appendBinary(it.meta[:0]))
		it.leaf = sha256.Sum256(it.header.AppendLeaf(leaf[:1])) // tlog.RecordHash, without copying
	}
}

func batchBytes(entries []Entry) int {
	total := segment.CommitBytes
	for i := range entries {
		total += segment.RecordBytes(maxStoredHeader, len(entries[i].Blob))
	}
	return total
}

// place gives the rows their offsets in the segment the batch goes to, and encodes them.
func (b *batch) place(l *Ledger, first escrow.Seq) {
	b.rowBytes = b.rowBytes[:0]
	for i := range b.rows {
		b.rows[i].offset += l.writer.end
		b.rowBytes = l.derived.coder.append(b.rowBytes, first+escrow.Seq(i), &b.items[i].leaf, &b.rows[i])
	}
}

// shrink lets go of memory only a large batch needed.
func (b *batch) shrink() {
	if cap(b.frames) > keepBatchBytes {
		b.frames = nil
	}
	if len(b.items) > keepBatchRecords {
		*b = batch{}
	}
}
