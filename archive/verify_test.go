package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// forged is a ledger written by someone who has the signing key and none of the scruples: batches of stored records in any order, with right checksums,
// roots and signature.
func forged(t *testing.T, batches [][]archive.Record) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()})
	frames := segment.Header{Origin: originHash()}.Append(nil)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	size := int64(0)
	var root tlog.Hash
	for _, batch := range batches {
		first := size
		for _, rec := range batch {
			frames = segment.AppendRecord(frames, storedHeader(t, rec), rec.Blob)
			hashes, err := tlog.StoredHashes(size, rec.Header.AppendLeaf(nil), reader)
			if err != nil {
				t.Fatal(err)
			}
			stored, size = append(stored, hashes...), size+1
		}
		var err error
		if root, err = tlog.TreeHash(size, reader); err != nil {
			t.Fatal(err)
		}
		frames = segment.AppendCommit(frames, segment.Commit{First: escrow.Seq(first), Size: escrow.TreeSize(size), Root: root, Time: start()})
	}
	closeLedger(t, l)
	signed, err := note.Sign(&note.Note{Text: archive.Checkpoint{Origin: origin, Size: escrow.TreeSize(size), Root: root}.Text()}, signer(t))
	if err != nil {
		t.Fatal(err)
	}
	store(t, mem, "ledger/segments/00000000000000000000.seg", frames)
	store(t, mem, "ledger/checkpoint", signed)
	return mem
}

func originHash() [32]byte {
	return sha256.Sum256([]byte(origin))
}

// storedHeader returns the stored form of a header, by appending it to a ledger and looking.
func storedHeader(t *testing.T, rec archive.Record) []byte {
	t.Helper()
	mem := vfs.NewMem()
	l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()})
	if _, err := l.Append(t.Context(), []archive.Entry{{Header: rec.Header, Blob: rec.Blob}}); err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	f, _, err := segment.ParseFrame(load(t, mem, "ledger/segments/00000000000000000000.seg")[segment.HeaderBytes:])
	if err != nil {
		t.Fatal(err)
	}
	meta, _, err := f.Record()
	if err != nil {
		t.Fatal(err)
	}
	return meta
}

// honest returns n records as a ledger has them, each a second after the one before.
func honest(t *testing.T, n int) (recs []archive.Record) {
	t.Helper()
	l := open(t, vfs.NewMem(), archive.Config{Signer: signer(t), Now: clock()})
	defer closeLedger(t, l)
	for i := range n {
		if _, err := l.Append(t.Context(), messages(i, 1)); err != nil {
			t.Fatal(err)
		}
		rec, err := l.Read(escrow.Seq(i))
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
	return recs
}

func checkFound(t *testing.T, mem vfs.FS, want string) {
	t.Helper()
	l, err := archive.OpenReadOnly(t.Context(), mem, "ledger", signer(t).Verifier())
	if err != nil {
		t.Fatal(err)
	}
	defer closeLedger(t, l)
	report := verify(t, l)
	for _, f := range report.Findings {
		if f.Kind == escrow.Forged && strings.Contains(f.Text, want) {
			return
		}
	}
	t.Errorf("findings %v, want %q", report.Findings, want)
}

func TestVerifyAcceptsWhatTheForgerLeftAlone(t *testing.T) {
	recs := honest(t, 8)
	l, err := archive.OpenReadOnly(t.Context(), forged(t, [][]archive.Record{recs[:3], recs[3:]}), "ledger", signer(t).Verifier())
	if err != nil {
		t.Fatal(err)
	}
	checkContent(t, l)
	checkSound(t, l)
	closeLedger(t, l)
}

func TestVerifyFindsTimesOutOfOrder(t *testing.T) {
	recs := honest(t, 6)
	recs[2].Header.Time, recs[4].Header.Time = recs[4].Header.Time, recs[2].Header.Time
	checkFound(t, forged(t, [][]archive.Record{recs}), "older than the record before it")
}

func TestVerifyFindsCountersOutOfOrder(t *testing.T) {
	recs := honest(t, 8)
	recs[1].Header.Stream, recs[7].Header.Stream = recs[7].Header.Stream, recs[1].Header.Stream
	checkFound(t, forged(t, [][]archive.Record{recs}), "was there before in its channel")
}

func TestVerifyFindsAWrongRootInTheMiddle(t *testing.T) {
	recs := honest(t, 8)
	mem := forged(t, [][]archive.Record{recs[:3], recs[3:]})
	const name = "ledger/segments/00000000000000000000.seg"
	b := load(t, mem, name)
	at, ok, err := segment.FindCommit(bytes.NewReader(b), 0, escrow.Offset(len(b)), func(segment.Commit) bool { return true })
	if err != nil || !ok {
		t.Fatal(err)
	}
	f, _, err := segment.ParseFrame(b[at:])
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Commit()
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()}) // derived files are there from now on
	closeLedger(t, l)
	c.Root[5] ^= 1
	copy(b[at:], segment.AppendCommit(nil, c))
	store(t, mem, name, b)
	checkFound(t, mem, "do not give the root in the commit frame")
}

// TestVerifyFindsAnotherSignedRoot exchanges the checkpoint of an open ledger for another one signed with the same key.
func TestVerifyFindsAnotherSignedRoot(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, archive.Config{Signer: signer(t), Now: clock()})
	defer closeLedger(t, l)
	grow(t, l, 7)
	for _, size := range []escrow.TreeSize{7, 5, 6} {
		signed, err := note.Sign(&note.Note{Text: archive.Checkpoint{Origin: origin, Size: size, Root: tlog.Hash{1}}.Text()}, signer(t))
		if err != nil {
			t.Fatal(err)
		}
		store(t, mem, "ledger/checkpoint", signed)
		report := verify(t, l)
		if report.Sound() || report.Findings[0].Kind != escrow.Forged {
			t.Errorf("size %d: %v", size, report.Findings)
		}
	}
	mem.Remove("ledger/checkpoint")
	if report := verify(t, l); report.Sound() {
		t.Error("a missing checkpoint is not noticed")
	}
}

func TestVerifyReportsProgressAndStops(t *testing.T) {
	l := open(t, vfs.NewMem(), config(t))
	defer closeLedger(t, l)
	grow(t, l, 60)
	var seen []int64
	report, err := l.Verify(t.Context(), archive.VerifyOptions{Progress: func(done, total int64) {
		if done > total {
			t.Errorf("%d of %d", done, total)
		}
		seen = append(seen, done)
	}})
	if err != nil || !slices.IsSorted(seen) || len(seen) < 2 || seen[len(seen)-1] != report.Bytes {
		t.Errorf("progress %v of %d, %v", seen, report.Bytes, err)
	}
	if st, err := l.Stats(); err != nil || st.Bytes != report.Bytes {
		t.Errorf("%d bytes verified of %d, %v", report.Bytes, st.Bytes, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Verify(ctx, archive.VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
