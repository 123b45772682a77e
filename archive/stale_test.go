package archive_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"escrow"
	"escrow/archive"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// TestNothingOfAFailedBatchRemains fills the disk while a large batch is appended, and goes on with a small one, which would leave the rest of the large
// one behind it, and with one that begins a segment, after which such a rest would be damage.
func TestNothingOfAFailedBatchRemains(t *testing.T) {
	cfg := workloadConfig(t)
	rng := rand.New(rand.NewPCG(7, 8))
	for _, size := range []int{4, 12} { // fits into the segment; begins another
		for _, fault := range []vfs.Fault{vfs.Lost, vfs.Short, vfs.Done} {
			for n := 2; n <= 25; n++ {
				at, sticky := n/2, n%2 == 1
				mem := vfs.NewMem()
				faulty := vfs.NewFaulty(mem)
				l := open(t, faulty, cfg)
				grow(t, l, 1)
				var told told
				faulty.Fail(vfs.Plan{At: faulty.Ops() + at, Fault: fault, Err: syscall.ENOSPC, Sticky: sticky})
				l.Append(t.Context(), messages(1, size))
				faulty.Fail(vfs.Plan{})
				faulty.After(func(op vfs.Op) {
					if !op.Changes() {
						return
					}
					if err := keptPromises(mem.CrashClone(rng), cfg, told); err != nil {
						t.Errorf("size %d, fault %d at %d, then power cut after %s: %v", size, fault, at, op, err)
					}
				})
				for _, n := range []int{1, 8} {
					have := int(l.Size())
					if _, err := l.Append(t.Context(), messages(have, n)); err == nil {
						told.records, told.checkpoint = int(l.Size()), l.Checkpoint()
					}
				}
				faulty.After(nil)
				closeLedger(t, l)
				if err := keptPromises(mem, cfg, told); err != nil {
					t.Errorf("size %d, fault %d at %d: %v", size, fault, at, err)
				}
			}
		}
	}
}

func TestTornEndIsRemoved(t *testing.T) {
	cfg := workloadConfig(t)
	mem := vfs.NewMem()
	l := open(t, mem, cfg)
	grow(t, l, 1)
	closeLedger(t, l)
	f, err := mem.OpenFile("ledger/segments/00000000000000000000.seg", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // more than fits into the segment: sound frames, but no commit
		f.Write(segment.AppendRecord(nil, []byte("torn"), make([]byte, 300)))
	}
	l = open(t, mem, cfg)
	grow(t, l, 20)
	closeLedger(t, l)
	if err := keptPromises(mem, cfg, told{records: 20}); err != nil {
		t.Error(err)
	}
}

// TestRowOfAFailedBatchIsNotBelieved brings back, as a power cut may, the row of a record that was never appended, in the place of one that was. Taken for
// right, it would make the archive believe it has a message it never stored.
func TestRowOfAFailedBatchIsNotBelieved(t *testing.T) {
	cfg := workloadConfig(t)
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem)
	l := open(t, faulty, cfg)
	grow(t, l, 3)
	faulty.Fail(vfs.Plan{At: faulty.Ops() + 3, Fault: vfs.Lost, Err: syscall.ENOSPC})
	lost := message(30)
	if _, err := l.Append(t.Context(), []archive.Entry{lost}); err == nil {
		t.Fatal("the batch should fail")
	}
	stale := load(t, mem, "ledger/derived/rows")
	grow(t, l, 4)
	closeLedger(t, l)
	if len(stale) != len(load(t, mem, "ledger/derived/rows")) {
		t.Fatal("the row was not written")
	}
	store(t, mem, "ledger/derived/rows", stale)
	l = open(t, mem, cfg)
	if _, known := l.Once(lost.Header.Once); known {
		t.Error("a message that was never stored is known")
	}
	checkContent(t, l)
	checkSound(t, l)
	closeLedger(t, l)
}

// TestDerivedFilesOfAnotherHistoryAreNotBelieved exchanges all derived files for consistent ones of another ledger of the same name and size.
func TestDerivedFilesOfAnotherHistoryAreNotBelieved(t *testing.T) {
	cfg := workloadConfig(t)
	mem, _ := small(t, cfg)
	other := vfs.NewMem()
	l := open(t, other, cfg)
	for i := range 13 {
		e := message(i)
		e.Header.Once[0] ^= 1
		if _, err := l.Append(t.Context(), []archive.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	closeLedger(t, l)
	for _, name := range []string{"ledger/derived/rows", "ledger/derived/hashes"} {
		store(t, mem, name, load(t, other, name))
	}
	reader, err := archive.OpenReadOnly(t.Context(), mem, "ledger", cfg.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	checkContent(t, reader)
	closeLedger(t, reader)
	if err := keptPromises(mem, cfg, told{records: 13}); err != nil {
		t.Error(err)
	}
}

// TestAfterTheDiskWasFull says that the detour is over.
func TestAfterTheDiskWasFull(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem())
	cfg := config(t)
	cfg.SegmentBytes = 0
	l := open(t, faulty, cfg)
	grow(t, l, 2)
	faulty.Fail(vfs.Plan{At: faulty.Ops() + 3, Fault: vfs.Short, Err: syscall.ENOSPC})
	_, err := l.Append(t.Context(), messages(2, 2))
	if escrow.KindOf(err) != escrow.Unavailable {
		t.Fatalf("append: %v", err)
	}
	grow(t, l, 4)
	before := faulty.Ops()
	grow(t, l, 5)
	for _, op := range faulty.Trace()[before:] {
		if op.Kind == vfs.OpTruncate {
			t.Error(fmt.Sprint(op, " although nothing is to be cut off"))
		}
	}
	closeLedger(t, l)
}
