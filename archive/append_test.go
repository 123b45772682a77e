package archive_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/archive"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// steps returns what was done to the disk, without lengths and without the ledger's directory.
func steps(ops []vfs.Op) (lines []string) {
	for _, op := range ops {
		line := string(op.Kind) + " " + op.Name
		if op.To != "" {
			line += " to " + op.To
		}
		lines = append(lines, strings.ReplaceAll(line, "ledger/", ""))
	}
	return lines
}

// TestAppendTouchesTheDiskInThisOrder holds the durability of an append: each line is there for a reason, and a sync missing or in another place is
// a message lost in a power cut.
func TestAppendTouchesTheDiskInThisOrder(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem())
	cfg := config(t)
	cfg.SegmentBytes = 2500
	l := open(t, faulty, cfg)
	grow(t, l, 1)
	before := faulty.Ops()
	if _, err := l.Append(t.Context(), messages(1, 2)); err != nil {
		t.Fatal(err)
	}
	batch := func(name string) []string {
		return []string{
			"write derived/hashes",
			"write derived/rows",
			"write segments/" + name,
			"sync segments/" + name, // from here on the records exist
			"create checkpoint.tmp",
			"write checkpoint.tmp",
			"close checkpoint.tmp",
			"rename checkpoint.tmp to checkpoint",
		}
	}
	if diff := cmp.Diff(batch("00000000000000000000.seg"), steps(faulty.Trace()[before:])); diff != "" {
		t.Errorf("an append: %s", diff)
	}

	before = faulty.Ops()
	if _, err := l.Append(t.Context(), messages(3, 4)); err != nil {
		t.Fatal(err)
	}
	roll := []string{
		"create segments/00000000000000000003.seg",
		"stat segments/00000000000000000003.seg",
		"write segments/00000000000000000003.seg",
		"sync segments/00000000000000000003.seg",
		"syncdir segments",
		"close segments/00000000000000000000.seg",
	}
	if diff := cmp.Diff(append(roll, batch("00000000000000000003.seg")...), steps(faulty.Trace()[before:])); diff != "" {
		t.Errorf("an append that begins a segment: %s", diff)
	}

	before = faulty.Ops()
	closeLedger(t, l)
	want := []string{"create checkpoint.tmp", "write checkpoint.tmp", "sync checkpoint.tmp", "close checkpoint.tmp", "rename checkpoint.tmp to checkpoint",
		"syncdir ledger"}
	if diff := cmp.Diff(want, steps(faulty.Trace()[before:])[:len(want)]); diff != "" {
		t.Errorf("closing: %s", diff)
	}
}

func TestAppendRefuses(t *testing.T) {
	edit := func(fn func(*archive.Header)) []archive.Entry {
		e := message(0)
		fn(&e.Header)
		return []archive.Entry{e}
	}
	big := make([]byte, segment.MaxBlobBytes+1)
	tests := []struct {
		name    string
		entries []archive.Entry
		want    escrow.Kind
	}{
		{"no kind", edit(func(h *archive.Header) { h.Kind = "" }), escrow.Invalid},
		{"unknown kind", edit(func(h *archive.Header) { h.Kind = "massage" }), escrow.Invalid},
		{"source without tag", edit(func(h *archive.Header) { h.Source.Tag = [16]byte{} }), escrow.Invalid},
		{"source without sequence", edit(func(h *archive.Header) { h.Source.Seq = 0 }), escrow.Invalid},
		{"stream without tag", edit(func(h *archive.Header) { h.Stream.Tag = [16]byte{} }), escrow.Invalid},
		{"stream without counter", edit(func(h *archive.Header) { h.Stream.Counter = 0 }), escrow.Invalid},
		{"class with a space", edit(func(h *archive.Header) { h.Class = "R 7" }), escrow.Invalid},
		{"class too long", edit(func(h *archive.Header) { h.Class = strings.Repeat("x", 65) }), escrow.Invalid},
		{"before 1970", edit(func(h *archive.Header) { h.Time = time.Unix(-1, 0) }), escrow.Invalid},
		{"after 9999", edit(func(h *archive.Header) { h.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), escrow.Invalid},
		{"blob too large", []archive.Entry{{Header: message(0).Header, Blob: big}}, escrow.Invalid},
		{"batch too large", []archive.Entry{{Header: message(0).Header, Blob: big[1:]}, {Header: message(1).Header, Blob: big[1:]}}, escrow.Invalid},
		{"too many", make([]archive.Entry, archive.MaxBatchRecords+1), escrow.Invalid},
		{"counter twice", []archive.Entry{message(0), message(0)}, escrow.Conflict},
		{"counter back", []archive.Entry{message(3), message(0)}, escrow.Conflict},
	}
	faulty := vfs.NewFaulty(vfs.NewMem())
	l := open(t, faulty, config(t))
	defer closeLedger(t, l)
	before := faulty.Ops()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := l.Append(t.Context(), test.entries); err == nil || escrow.KindOf(err) != test.want {
				t.Errorf("got %v, want kind %s", err, test.want)
			}
		})
	}
	if faulty.Ops() != before || l.Size() != 0 {
		t.Error("something was written")
	}
	if first, err := l.Append(t.Context(), nil); err != nil || first != 0 {
		t.Errorf("an empty batch: %d, %v", first, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(cancelled, messages(0, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	grow(t, l, 3)
	if _, err := l.Append(t.Context(), messages(2, 1)); escrow.KindOf(err) != escrow.Conflict {
		t.Errorf("a counter that is in the ledger: %v", err)
	}
}

func TestAppendAt(t *testing.T) {
	l := open(t, vfs.NewMem(), config(t))
	defer closeLedger(t, l)
	if err := l.AppendAt(t.Context(), 0, messages(0, 2)); err != nil {
		t.Fatal(err)
	}
	for _, size := range []escrow.TreeSize{0, 1, 3} {
		if err := l.AppendAt(t.Context(), size, messages(2, 1)); escrow.KindOf(err) != escrow.Conflict {
			t.Errorf("at %d: %v", size, err)
		}
	}
	if err := l.AppendAt(t.Context(), 2, messages(2, 1)); err != nil {
		t.Error(err)
	}
	checkContent(t, l)
}

func TestTimesNeverDecrease(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(t)
	l := open(t, mem, cfg)
	at := func(s int) time.Time { return start().Add(time.Duration(s) * time.Second) }
	offer := []time.Time{at(10), at(5), at(12).Add(900 * time.Millisecond), {}, at(11)}
	want := []time.Time{at(10), at(10), at(12), at(12), at(12)}
	for i, when := range offer {
		e := message(i)
		e.Header.Time = when
		if _, err := l.Append(t.Context(), []archive.Entry{e}); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // the last time is remembered across a restart
			closeLedger(t, l)
			l = open(t, mem, cfg)
		}
	}
	defer closeLedger(t, l)
	var got []time.Time
	for i := range offer {
		h, err := l.Header(escrow.Seq(i))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Time)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !l.LastTime().Equal(at(12)) {
		t.Errorf("last time %v", l.LastTime())
	}
	checkSound(t, l)
}

func TestTagsAndCounters(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(t)
	l := open(t, mem, cfg)
	var a, b [16]byte
	a[0], b[0] = 0xaa, 0xbb
	counters := []struct {
		tag     [16]byte
		counter uint64
	}{{a, 1}, {b, 7}, {a, 2}, {a, 5}, {a, 6}, {b, 8}, {a, 1 << 60}}
	for i, c := range counters {
		e := message(i)
		e.Header.Stream = archive.Stream{Tag: c.tag, Counter: c.counter}
		e.Header.Once = [16]byte{byte(i/2 + 1)} // each tag twice
		e.Header.Source = archive.Source{Tag: b, Seq: uint64(100 - i)}
		if _, err := l.Append(t.Context(), []archive.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(t.Context(), []archive.Entry{{Header: archive.Header{Kind: archive.KindNote}}}); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if diff := cmp.Diff(map[[16]byte]uint64{a: 1 << 60, b: 8}, l.Streams()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[[16]byte]uint64{b: 100}, l.LastSource()); diff != "" {
			t.Error(diff)
		}
		for i, c := range counters {
			if seq, ok, err := l.Find(c.tag, c.counter); err != nil || !ok || int(seq) != i {
				t.Errorf("counter %d: record %d, %v, %v", c.counter, seq, ok, err)
			}
			if seq, ok := l.Once([16]byte{byte(i/2 + 1)}); !ok || int(seq) != i/2*2 {
				t.Errorf("once tag of record %d: %d, %v", i, seq, ok)
			}
		}
		for _, c := range []uint64{0, 3, 4, 7, 1<<60 - 1, 1<<60 + 1, 1<<64 - 1} {
			if seq, ok, _ := l.Find(a, c); ok {
				t.Errorf("counter %d is record %d", c, seq)
			}
		}
		if last, ok := l.Stream(a); !ok || last != 1<<60 {
			t.Errorf("last counter %d, %v", last, ok)
		}
		if _, ok := l.Stream([16]byte{1}); ok {
			t.Error("a channel that is not there has a counter")
		}
		if _, ok := l.Once([16]byte{}); ok {
			t.Error("no tag is known as a tag")
		}
	}
	check()
	closeLedger(t, l)
	l = open(t, mem, cfg)
	check()
	closeLedger(t, l)
	mem.Remove("ledger/derived/rows")
	l = open(t, mem, cfg)
	check()
	closeLedger(t, l)
}

func TestSecondOpenerIsRefused(t *testing.T) {
	fsys := osIn(t)
	l := open(t, fsys, config(t))
	_, err := archive.Open(t.Context(), fsys, "ledger", config(t))
	if escrow.KindOf(err) != escrow.Conflict || !strings.Contains(err.Error(), "ledger") || !strings.Contains(err.Error(), "another process") {
		t.Errorf("the second: %v", err)
	}
	closeLedger(t, l)
	closeLedger(t, open(t, fsys, config(t)))
}

func TestConfigIsChecked(t *testing.T) {
	for name, edit := range map[string]func(*archive.Config){
		"no signer":    func(c *archive.Config) { c.Signer = nil },
		"no clock":     func(c *archive.Config) { c.Now = nil },
		"other origin": func(c *archive.Config) { c.Origin = "other" },
		"too large":    func(c *archive.Config) { c.SegmentBytes = 1 << 41 },
		"negative":     func(c *archive.Config) { c.SegmentBytes = -1 },
	} {
		cfg := config(t)
		edit(&cfg)
		mem := vfs.NewMem()
		if _, err := archive.Open(t.Context(), mem, "ledger", cfg); escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := mem.Stat("ledger"); err == nil {
			t.Errorf("%s: the directory was created", name)
		}
	}
}

func TestReadOnlyWhileAppending(t *testing.T) {
	for _, derived := range []bool{true, false} {
		mem := vfs.NewMem()
		cfg := config(t)
		l := open(t, mem, cfg)
		grow(t, l, 20)
		if !derived {
			mem.Remove("ledger/derived/rows")
		}
		faulty := vfs.NewFaulty(mem)
		reader, err := archive.OpenReadOnly(t.Context(), faulty, "ledger", cfg.Verifier)
		if err != nil {
			t.Fatal(err)
		}
		grow(t, l, 30)
		if reader.Size() != 20 {
			t.Errorf("the reader has %d records", reader.Size())
		}
		checkContent(t, reader)
		checkSound(t, reader)
		if _, err := reader.Append(t.Context(), messages(20, 1)); escrow.KindOf(err) != escrow.Denied {
			t.Errorf("append: %v", err)
		}
		closeLedger(t, reader)
		for _, op := range faulty.Trace() {
			if op.Changes() || op.Kind == vfs.OpLock {
				t.Errorf("opening for reading did %s", op)
			}
		}
		closeLedger(t, l)
	}
	if _, err := archive.OpenReadOnly(t.Context(), vfs.NewMem(), "ledger", signer(t).Verifier()); escrow.KindOf(err) != escrow.NotFound {
		t.Errorf("nothing there: %v", err)
	}
}

func TestReadOnlyIgnoresWhatIsBeingWritten(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(t)
	cfg.SegmentBytes = 0
	l := open(t, mem, cfg)
	grow(t, l, 10)
	closeLedger(t, l)
	f, err := mem.OpenFile("ledger/segments/00000000000000000000.seg", os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(segment.AppendRecord(nil, []byte("half"), []byte("of a batch")))
	f.Write([]byte{0, 0, 1})
	reader, err := archive.OpenReadOnly(t.Context(), mem, "ledger", cfg.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	checkContent(t, reader)
	checkSound(t, reader)
	closeLedger(t, reader)
}

func TestLargeRecords(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(t)
	l := open(t, mem, cfg)
	var want [][]byte
	for i, size := range []int{0, 9 << 20, 1, 3 << 20} {
		e := message(i)
		e.Blob = make([]byte, size)
		for j := 0; j < size; j += 997 {
			e.Blob[j] = byte(i + j)
		}
		want = append(want, e.Blob)
		if _, err := l.Append(t.Context(), []archive.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	closeLedger(t, l)
	l = open(t, mem, cfg)
	defer closeLedger(t, l)
	err := l.Scan(t.Context(), 0, func(r archive.Record) error {
		if string(r.Blob) != string(want[r.Seq]) {
			t.Errorf("record %d differs", r.Seq)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, l)
}

func TestScanEnds(t *testing.T) {
	l := open(t, vfs.NewMem(), config(t))
	defer closeLedger(t, l)
	grow(t, l, 30)
	count := func(from escrow.Seq, stop error) (n int, err error) {
		err = l.Scan(t.Context(), from, func(r archive.Record) error {
			if r.Seq != from+escrow.Seq(n) {
				t.Errorf("record %d comes after %d others from %d", r.Seq, n, from)
			}
			if n++; n == 5 {
				return stop
			}
			return nil
		})
		return n, err
	}
	if n, err := count(3, archive.ErrStop); n != 5 || err != nil {
		t.Errorf("stopped: %d, %v", n, err)
	}
	if n, err := count(3, errDisk); n != 5 || err != errDisk {
		t.Errorf("failed: %d, %v", n, err)
	}
	for from := range escrow.Seq(32) {
		if n, err := count(from, nil); n != max(0, 30-int(from)) || err != nil {
			t.Errorf("from %d: %d, %v", from, n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := l.Scan(ctx, 0, func(archive.Record) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestReadersAndOneAppender(t *testing.T) {
	cfg := config(t)
	l := open(t, osIn(t), cfg)
	const n = 200
	var wait sync.WaitGroup
	done := make(chan struct{})
	read := func(fn func(size int) error) {
		wait.Go(func() {
			for {
				if size := int(l.Size()); size > 0 {
					if err := fn(size); err != nil {
						t.Error(err)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	read(func(size int) error {
		_, err := l.Read(escrow.Seq(size - 1))
		return err
	})
	read(func(size int) error {
		seq := escrow.Seq(size / 2)
		proof, err := l.InclusionProof(seq)
		if err != nil {
			return err
		}
		h, err := l.Header(seq)
		if err != nil {
			return err
		}
		return archive.VerifyProof(proof, h.AppendLeaf(nil), cfg.Verifier)
	})
	read(func(int) error {
		return l.Scan(context.Background(), 0, func(r archive.Record) error { return nil })
	})
	read(func(int) error {
		report, err := l.Verify(context.Background(), archive.VerifyOptions{})
		if err == nil && !report.Sound() {
			err = errors.New(report.Findings[0].String())
		}
		return err
	})
	wait.Go(func() {
		for size := escrow.TreeSize(1); size <= n; size += 50 {
			if err := l.Wait(context.Background(), size); err != nil || l.Size() < size {
				t.Errorf("waiting for %d: %v", size, err)
			}
		}
	})
	grow(t, l, n)
	close(done)
	wait.Wait()
	checkContent(t, l)
	closeLedger(t, l)
	if err := l.Wait(t.Context(), n+1); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("waiting for a closed ledger: %v", err)
	}
}

func TestCheckpointNotWrittenIsMadeUpFor(t *testing.T) {
	for _, at := range []int{5, 6, 7, 8} { // create, write, close, rename
		mem := vfs.NewMem()
		faulty := vfs.NewFaulty(mem)
		cfg := config(t)
		cfg.SegmentBytes = 0
		l := open(t, faulty, cfg)
		grow(t, l, 4)
		faulty.Fail(vfs.Plan{At: faulty.Ops() + at, Err: errDisk})
		if _, err := l.Append(t.Context(), messages(4, 2)); err != nil {
			t.Errorf("the records are durable, but: %v", err)
		}
		faulty.Fail(vfs.Plan{})
		grow(t, l, 8)
		if cp, err := archive.OpenCheckpoint(load(t, mem, "ledger/checkpoint"), cfg.Verifier); err != nil || cp.Size != 8 {
			t.Errorf("the checkpoint on disk is of %d records, %v", cp.Size, err)
		}
		checkSound(t, l)
		closeLedger(t, l)
	}
}

func TestScanEventsReadsEventsAlone(t *testing.T) {
	mem := vfs.NewMem()
	cfg := config(t)
	l := open(t, mem, cfg)
	var want []escrow.Seq
	for i := range 30 {
		entry := message(i)
		if i%4 == 1 {
			entry = archive.Entry{Header: archive.Header{Kind: archive.KindNote}, Blob: []byte("an event")}
			want = append(want, escrow.Seq(i))
		}
		if _, err := l.Append(t.Context(), []archive.Entry{entry}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for from := range escrow.Seq(31) {
			var got []escrow.Seq
			err := l.ScanEvents(t.Context(), from, func(r archive.Record) error {
				got = append(got, r.Seq)
				if r.Header.Kind != archive.KindNote {
					t.Errorf("record %d is a %s", r.Seq, r.Header.Kind)
				}
				return nil
			})
			first, _ := slices.BinarySearch(want, from)
			if err != nil || !slices.Equal(got, want[first:]) {
				t.Errorf("from %d: %v, %v", from, got, err)
			}
		}
		closeLedger(t, l)
		l = open(t, mem, cfg)
	}
	n := 0
	if err := l.ScanEvents(t.Context(), 0, func(archive.Record) error { n++; return archive.ErrStop }); err != nil || n != 1 {
		t.Errorf("stopped: %d, %v", n, err)
	}
	closeLedger(t, l)
}
