package backup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"escrow"
	"escrow/archive"
	"escrow/archive/backup"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

const writeOnly = os.O_WRONLY

// rewrite changes a segment into another sound one of the same length, as a rewriting without loss would.
func rewrite(w *world, name string) {
	b := load(w.t, w.fs, name)
	out := slices.Clone(b[:segment.HeaderBytes])
	for at := segment.HeaderBytes; at < len(b); {
		f, n, err := segment.ParseFrame(b[at:])
		if err != nil {
			w.t.Fatal(err)
		}
		if meta, blob, err := f.Record(); err == nil {
			blob = slices.Clone(blob)
			blob[0] ^= 1
			out = segment.AppendRecord(out, meta, blob)
		} else {
			out = append(out, b[at:at+n]...)
		}
		at += n
	}
	store(w.t, w.fs, name, out)
}

// twice makes a backup, lets the archive grow, change and forget, and returns with everything ready for the next one.
func twice(t *testing.T, fsys vfs.FS) *world {
	w := newWorld(t, fsys)
	w.grow(5)
	w.mustBackup()
	w.grow(3)
	w.grow(4)
	w.rekey()
	w.config = "{\"archive\": \"0a0b0c0d\", \"more\": true}\n"
	return w
}

// keptPromises restores whatever backup there is: the one before, or the new one, never anything else.
func keptPromises(fsys vfs.FS, cfg archive.Config) (escrow.TreeSize, error) {
	b, err := restored(fsys, unused(fsys), cfg)
	if err != nil {
		return 0, err
	}
	size := b.Ledger("main").Records
	if size != 5 && size != 12 {
		return size, fmt.Errorf("%d records", size)
	}
	return size, nil
}

// TestEveryOperationFails lets each operation of a backup fail in every way. The backup before must stay restorable, also after a power cut; and trying again
// must succeed, also if only half of it was left.
func TestEveryOperationFails(t *testing.T) {
	cfg := config(t)
	count := vfs.NewFaulty(vfs.NewMem())
	w := twice(t, count)
	first := count.Ops()
	if _, err := w.backup(count); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	runs := 0
	for at := first + 1; at <= count.Ops(); at++ {
		for _, plan := range []vfs.Plan{
			{At: at, Fault: vfs.Lost, Err: errDisk},
			{At: at, Fault: vfs.Done, Err: errDisk},
			{At: at, Fault: vfs.Short, Err: errDisk, Sticky: true},
			{At: at, Fault: vfs.Short, Err: syscall.ENOSPC},
		} {
			runs++
			name := fmt.Sprintf("operation %d (%s), fault %d, %v, sticky %v", at, count.Trace()[at-1], plan.Fault, plan.Err, plan.Sticky)
			mem := vfs.NewMem()
			faulty := vfs.NewFaulty(mem)
			w := twice(t, faulty)
			faulty.Fail(plan)
			_, err := w.backup(faulty)
			faulty.Fail(vfs.Plan{})
			crashed := mem.CrashClone(rng)
			size, rerr := keptPromises(crashed, cfg)
			if rerr != nil {
				t.Fatalf("%s, then power cut: %v", name, rerr)
			}
			if err == nil && size != 12 {
				t.Fatalf("%s: the backup said it was complete and has %d records after a power cut", name, size)
			}
			if op := count.Trace()[at-1]; errors.Is(err, syscall.ENOSPC) && op.Kind == vfs.OpWrite && strings.Contains(op.Name, ".seg") && !strings.Contains(err.Error(), "the disk is full") {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := keptPromises(mem.Clone(), cfg); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			again := newWorldOver(w, crashed)
			if _, err := again.backup(crashed); err != nil {
				t.Fatalf("%s: the next backup: %v", name, err)
			}
			if size, err := keptPromises(crashed.CrashClone(rng), cfg); size != 12 {
				t.Fatalf("%s: after the next backup and a power cut: %d records, %v", name, size, err)
			}
			if _, err := w.backup(faulty); err != nil {
				t.Fatalf("%s: the next backup in the same process: %v", name, err)
			}
			if size, err := keptPromises(mem.CrashClone(rng), cfg); size != 12 {
				t.Fatalf("%s: after the next backup in the same process and a power cut: %d records, %v", name, size, err)
			}
		}
	}
	t.Logf("%d operations, %d runs", count.Ops()-first, runs)
}

// newWorldOver is the same archive on the disk as it was after a power cut.
func newWorldOver(w *world, fsys vfs.FS) *world {
	l, err := archive.Open(w.t.Context(), fsys, "data/tenants/main/ledger", config(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	again := *w
	again.fs, again.ledger = fsys, l
	if l.Size() != 12 {
		w.t.Fatalf("the archive itself has %d records", l.Size())
	}
	return &again
}

// unused returns a directory nothing was restored into yet.
func unused(fsys vfs.FS) string {
	for n := 0; ; n++ {
		name := fmt.Sprint("restored", n)
		if done, _ := fsys.Stat(name + "/" + backup.ConfigFile); done == nil {
			return name
		}
	}
}

// TestPowerCutAfterEveryOperation cuts the power during the second backup, several times at each operation.
func TestPowerCutAfterEveryOperation(t *testing.T) {
	cfg := config(t)
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem)
	w := twice(t, faulty)
	rng := rand.New(rand.NewPCG(9, 10))
	states := map[escrow.TreeSize]int{}
	faulty.After(func(o vfs.Op) {
		if !o.Changes() {
			return
		}
		for range 12 {
			crashed := mem.CrashClone(rng)
			size, err := keptPromises(crashed, cfg)
			if err != nil {
				t.Errorf("power cut after %s: %v", o, err)
			}
			states[size]++
		}
	})
	w.mustBackup()
	if states[5] == 0 || states[12] == 0 {
		t.Errorf("backups seen: %v", states)
	}
	t.Logf("backups found: %v", states)
}

// TestInterruptedRestoreIsRepeated lets each operation of a restore fail; the directory is no archive then, and repeating completes it.
func TestInterruptedRestoreIsRepeated(t *testing.T) {
	cfg := config(t)
	base := vfs.NewMem()
	w := twice(t, base)
	w.mustBackup()
	count := vfs.NewFaulty(base.Clone())
	b, err := backup.Open(count, "copy")
	if err != nil {
		t.Fatal(err)
	}
	content, err := b.Config()
	if err != nil {
		t.Fatal(err)
	}
	from := count.Ops()
	if err := b.Restore(t.Context(), "restored0", content, nil); err != nil {
		t.Fatal(err)
	}
	if err := backup.Complete(count, "restored0"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 12))
	for at := 1; at <= count.Ops()-from; at++ {
		for _, fault := range []vfs.Fault{vfs.Lost, vfs.Done, vfs.Short} {
			mem := base.Clone()
			faulty := vfs.NewFaulty(mem)
			b, err := backup.Open(faulty, "copy")
			if err != nil {
				t.Fatal(err)
			}
			faulty.Fail(vfs.Plan{At: faulty.Ops() + at, Fault: fault, Err: errDisk, Sticky: fault == vfs.Short})
			err = b.Restore(t.Context(), "restored0", content, nil)
			if err == nil {
				err = backup.Complete(faulty, "restored0")
			}
			name := fmt.Sprintf("operation %d (%s), fault %d", at, count.Trace()[from+at-1], fault)
			for i, fsys := range []*vfs.Mem{mem, mem.CrashClone(rng)} {
				_, serr := fsys.Stat("restored0/" + backup.ConfigFile)
				if serr == nil { // complete: everything must be there
					if err := whole(fsys, cfg); err != nil {
						t.Fatalf("%s, disk %d: complete, and %v", name, i, err)
					}
					continue
				}
				if err == nil {
					t.Fatalf("%s, disk %d: said to be complete, and is not", name, i)
				}
				if _, err := keptPromises(fsys, cfg); err != nil {
					t.Fatalf("%s, disk %d: repeating: %v", name, i, err)
				}
			}
		}
	}
}

func whole(fsys vfs.FS, cfg archive.Config) error {
	l, err := archive.OpenReadOnly(context.Background(), fsys, "restored0/tenants/main/ledger", cfg.Verifier)
	if err != nil {
		return err
	}
	defer l.Close()
	if l.Size() != 12 {
		return fmt.Errorf("%d records", l.Size())
	}
	return nil
}
