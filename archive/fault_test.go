package archive_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
	"escrow/internal/vfs"
)

var errDisk = errors.New("injected input/output error")

// told is what callers of a ledger were told.
type told struct {
	records    int    // acknowledged
	checkpoint []byte // the newest signed one they saw
}

// workload opens a ledger, appends until it rolls, closes it, and does so again. It goes on after errors as a service would: after a failed batch it
// tries again, after a failed ledger it opens it again.
func workload(fsys vfs.FS, cfg archive.Config, told *told) {
	for _, until := range []int{9, 15, 24} {
		l, err := archive.Open(context.Background(), fsys, "ledger", cfg)
		if err != nil {
			continue
		}
		for batch, tries := 1, 0; int(l.Size()) < until && tries < 3; batch++ {
			have := int(l.Size())
			if _, err := l.Append(context.Background(), messages(have, min(batch, until-have))); err != nil {
				tries++
				continue
			}
			told.records, told.checkpoint = int(l.Size()), l.Checkpoint()
		}
		l.Close()
	}
}

func workloadConfig(t *testing.T) archive.Config {
	cfg := config(t)
	cfg.SegmentBytes = 2500
	return cfg
}

// keptPromises says whether a ledger, opened after whatever happened, holds what its users were told, and is sound.
func keptPromises(fsys vfs.FS, cfg archive.Config, told told) (err error) {
	l, err := archive.Open(context.Background(), fsys, "ledger", cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if int(l.Size()) < told.records {
		return fmt.Errorf("%d records, %d acknowledged", l.Size(), told.records)
	}
	if err := contentError(l); err != nil {
		return err
	}
	report, err := l.Verify(context.Background(), archive.VerifyOptions{})
	if err != nil || !report.Sound() || report.Size != l.Size() {
		return fmt.Errorf("verify: %v, %w", report.Findings, err)
	}
	return extends(l, cfg, told.checkpoint)
}

// extends says whether the ledger continues the one a checkpoint was signed of.
func extends(l *archive.Ledger, cfg archive.Config, checkpoint []byte) error {
	if checkpoint == nil {
		return nil
	}
	cp, err := archive.OpenCheckpoint(checkpoint, cfg.Verifier)
	if err != nil {
		return err
	}
	size, root := l.Root()
	if cp.Size == size || cp.Size == 0 {
		if cp.Size == size && cp.Root != root {
			return fmt.Errorf("the root of %d records changed", size)
		}
		return nil
	}
	proof, err := l.ConsistencyProof(cp.Size, size)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, int64(size), root, int64(cp.Size), cp.Root)
}

func TestEveryOperationFails(t *testing.T) {
	cfg := workloadConfig(t)
	clean := vfs.NewFaulty(vfs.NewMem())
	workload(clean, cfg, &told{})
	rng := rand.New(rand.NewPCG(3, 4))
	runs := 0
	for at := 1; at <= clean.Ops(); at++ {
		for _, plan := range []vfs.Plan{
			{At: at, Fault: vfs.Lost, Err: errDisk},
			{At: at, Fault: vfs.Done, Err: errDisk},
			{At: at, Fault: vfs.Short, Err: errDisk, Sticky: true},
			{At: at, Fault: vfs.Short, Err: syscall.ENOSPC},
			{At: at, Fault: vfs.Done, Err: syscall.ENOSPC},
		} {
			mem := vfs.NewMem()
			faulty := vfs.NewFaulty(mem)
			faulty.Fail(plan)
			var told told
			workload(faulty, cfg, &told)
			name := fmt.Sprintf("operation %d (%s), fault %d, %v, sticky %v", at, clean.Trace()[at-1], plan.Fault, plan.Err, plan.Sticky)
			crashed := mem.CrashClone(rng)
			if err := keptPromises(crashed, cfg, told); err != nil {
				t.Errorf("%s, then power cut: %v", name, err)
			}
			if err := keptPromises(mem, cfg, told); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			runs += 2
		}
	}
	t.Logf("%d operations, %d runs", clean.Ops(), runs)
}

func TestPowerCutAfterEveryOperation(t *testing.T) {
	cfg := workloadConfig(t)
	const seeds = 40
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem)
	rng := rand.New(rand.NewPCG(5, 6))
	var told told
	states, op := 0, 0
	faulty.After(func(o vfs.Op) {
		op++
		if !o.Changes() {
			return
		}
		for range seeds {
			states++
			crashed := mem.CrashClone(rng)
			if states%4 == 0 { // and once more while recovering
				crashed = crashWhileRecovering(crashed, cfg, rng)
			}
			if err := keptPromises(crashed, cfg, told); err != nil {
				t.Errorf("power cut after operation %d (%s), state %d: %v", op, o, states, err)
			}
		}
	})
	workload(faulty, cfg, &told)
	if told.records != 24 {
		t.Errorf("%d records acknowledged", told.records)
	}
	t.Logf("%d operations, %d states", op, states)
}

func crashWhileRecovering(mem *vfs.Mem, cfg archive.Config, rng *rand.Rand) *vfs.Mem {
	faulty := vfs.NewFaulty(mem)
	at, n := 1+rng.IntN(60), 0
	crashed := mem
	faulty.After(func(vfs.Op) {
		if n++; n == at {
			crashed = mem.CrashClone(rng)
		}
	})
	if l, err := archive.Open(context.Background(), faulty, "ledger", cfg); err == nil {
		l.Close()
	}
	return crashed
}

// TestFullDisk fills the disk at every operation of an append that begins a segment. Unless it was a sync that failed, the next append must work
// without opening the ledger again.
func TestFullDisk(t *testing.T) {
	cfg := workloadConfig(t)
	for at := 1; ; at++ {
		mem := vfs.NewMem()
		faulty := vfs.NewFaulty(mem)
		l := open(t, faulty, cfg)
		grow(t, l, 4)
		before := faulty.Ops()
		faulty.Fail(vfs.Plan{At: before + at, Fault: vfs.Short, Err: syscall.ENOSPC, Sticky: true})
		_, err := l.Append(t.Context(), messages(4, 6))
		trace := faulty.Trace()
		faulty.Fail(vfs.Plan{})
		if len(trace) < before+at {
			closeLedger(t, l)
			if at < 10 {
				t.Errorf("only %d operations were tried", at)
			}
			return
		}
		failed := trace[before+at-1]
		if err != nil && escrow.KindOf(err) != escrow.Unavailable {
			t.Errorf("%s: %v", failed, err)
		}
		if err == nil && int(l.Size()) != 10 || err != nil && int(l.Size()) != 4 {
			t.Errorf("%s: %d records and %v", failed, l.Size(), err)
		}
		sync := false
		for _, op := range trace[before+at-1:] {
			sync = sync || op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncDir
		}
		checkContent(t, l)
		_, err = l.Append(t.Context(), messages(int(l.Size()), 3))
		if sync != (err != nil) {
			t.Errorf("%s: the append after it: %v", failed, err)
		}
		if err == nil {
			checkContent(t, l)
			checkSound(t, l)
		} else if _, again := l.Append(t.Context(), messages(int(l.Size()), 1)); again == nil {
			t.Errorf("%s: an append succeeds after %v", failed, err)
		}
		closeLedger(t, l)
		l = open(t, mem, cfg)
		checkContent(t, l)
		checkSound(t, l)
		closeLedger(t, l)
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	for _, fault := range []vfs.Fault{vfs.Lost, vfs.Done} {
		mem := vfs.NewMem()
		faulty := vfs.NewFaulty(mem)
		cfg := config(t)
		cfg.SegmentBytes = 0
		l := open(t, faulty, cfg)
		grow(t, l, 4)
		faulty.Fail(vfs.Plan{At: faulty.Ops() + 4, Fault: fault, Err: errDisk})
		_, err := l.Append(t.Context(), messages(4, 2))
		if last := faulty.Trace()[faulty.Ops()-1]; last.Kind != vfs.OpSync {
			t.Fatalf("the test failed %s", last)
		}
		if escrow.KindOf(err) != escrow.Unavailable || !errors.Is(err, errDisk) {
			t.Errorf("append: %v", err)
		}
		signed := l.Checkpoint()
		syncs := faulty.Ops()
		if _, again := l.Append(t.Context(), messages(4, 2)); again == nil || again.Error() != err.Error() {
			t.Errorf("the append after it: %v", again)
		}
		if faulty.Ops() != syncs {
			t.Error("the disk was touched again")
		}
		if l.Size() != 4 || string(l.Checkpoint()) != string(signed) {
			t.Error("what is not durable is in the ledger")
		}
		checkContent(t, l)
		closeLedger(t, l)

		// The system still shows the batch; after opening, it must be there on the disk too, or not at all.
		l = open(t, mem, cfg)
		size := l.Size()
		closeLedger(t, l)
		crashed := mem.CrashClone(rand.New(rand.NewPCG(1, 1)))
		l = open(t, crashed, cfg)
		if l.Size() != size {
			t.Errorf("fault %d: %d records, and %d after a power cut", fault, size, l.Size())
		}
		closeLedger(t, l)
	}
}
