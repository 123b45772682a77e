package backup_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/archive"
	"escrow/archive/backup"
	"escrow/internal/vfs"
)

const segments = "tenants/main/ledger/segments/"

func TestEachBackupIsTheLedgerOfThen(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	w.mustBackup()
	w.mustRestore("at0", 0)
	for round := range 6 {
		w.grow(1 + round)
		if round == 3 {
			w.config = "{\"archive\": \"0a0b0c0d\", \"more\": true}\n"
		}
		if round == 4 {
			w.rekey()
		}
		size, root := w.ledger.Root()
		r := w.mustBackup()
		w.grow(1) // what comes later does not belong to it
		to := fmt.Sprint("at", size)
		b := w.mustRestore(to, size)
		if r.Manifest.Number != uint64(round)+2 || r.Digest != b.Digest {
			t.Errorf("number %d, digests %s and %s", r.Manifest.Number, r.Digest, b.Digest)
		}
		cp, err := archive.OpenCheckpoint([]byte(b.Ledger("main").Checkpoint), signer(t).Verifier())
		if err != nil || cp.Root != root {
			t.Errorf("checkpoint %v, %v", cp, err)
		}
		if got := string(load(t, w.fs, to+"/"+backup.ConfigFile)); got != w.config {
			t.Errorf("configuration %q", got)
		}
	}
}

func TestOnlyNewBytesAreCopied(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	w.grow(12)
	first := w.mustBackup()
	if first.Copied != first.Bytes {
		t.Errorf("the first copied %d of %d bytes", first.Copied, first.Bytes)
	}
	if again := w.mustBackup(); again.Copied != 0 || again.Bytes != first.Bytes {
		t.Errorf("nothing new, and %d of %d bytes were copied", again.Copied, again.Bytes)
	}
	w.grow(2)
	if next := w.mustBackup(); next.Copied != next.Bytes-first.Bytes {
		t.Errorf("%d new bytes, %d copied", next.Bytes-first.Bytes, next.Copied)
	}
	if stale := slices.DeleteFunc(tree(t, w.fs, "copy"), func(name string) bool {
		return strings.HasPrefix(name, "copy/1/") || strings.HasPrefix(name, "copy/3/")
	}); len(stale) != 3 {
		t.Errorf("besides two backups there are %v", stale)
	}
}

// TestKeysAreFew: one key state a tenant, the newest, however often; and what does not look like one is not touched.
func TestKeysAreFew(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	w.mustBackup()
	if err := vfs.MkdirAllSync(w.fs, "keys/roots", 0o700); err != nil {
		t.Fatal(err)
	}
	store(t, w.fs, "keys/roots/main", []byte("someone keeps roots here"))
	for range 3 {
		w.grow(1)
		w.rekey()
		w.mustBackup()
	}
	got := tree(t, w.fs, "keys")
	if len(got) != 4 || !strings.HasPrefix(got[2], "keys/main/00000000000000000004-") || got[3] != "keys/roots/main" {
		t.Errorf("keys: %v", got)
	}
	// Without a place for keys, those there are stay: they serve newer ledgers, too.
	w.grow(1)
	opt := options()
	opt.KeysTo = ""
	r, err := backup.Write(t.Context(), w.fs, w.source(), opt)
	if err != nil || r.Manifest.Tenants[0].Keys != nil {
		t.Fatalf("without keys: %v, %v", r.Manifest.Tenants, err)
	}
	b, err := backup.Open(w.fs, "copy")
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := b.Keys("keys", "main"); string(keys) != "sealed state 4" {
		t.Errorf("keys %q, %v", keys, err)
	}
}

// TestKeysAreOlderThanTheLedger looks at the order of operations: no segment is read before the keys are on their disk.
func TestKeysAreOlderThanTheLedger(t *testing.T) {
	faulty := vfs.NewFaulty(vfs.NewMem())
	w := newWorld(t, faulty)
	w.grow(3)
	before := faulty.Ops()
	w.mustBackup()
	trace := faulty.Trace()[before:]
	synced := slices.IndexFunc(trace, func(o vfs.Op) bool { return o.Kind == vfs.OpSync && strings.Contains(o.Name, ".state") })
	read := slices.IndexFunc(trace, func(o vfs.Op) bool { return o.Kind == vfs.OpRead && strings.HasPrefix(o.Name, "data/") })
	manifest := slices.IndexFunc(trace, func(o vfs.Op) bool { return o.Kind == vfs.OpRename && strings.HasSuffix(o.To, "manifest.json") })
	lastSync := 0
	for i, o := range trace[:manifest] {
		if o.Kind == vfs.OpSync && !strings.Contains(o.Name, "manifest") {
			lastSync = i
		}
	}
	if synced < 0 || synced > read || read > manifest || lastSync < read {
		t.Errorf("keys synced at %d, ledger read at %d, last sync at %d, manifest at %d", synced, read, lastSync, manifest)
	}
}

// TestNewTreeInBetween: a tree added after the keys were taken may have records in the ledger taken after it.
func TestNewTreeInBetween(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	src := w.source()
	calls := 0
	src.Tenants[0].Keys = func() (backup.KeyState, error) {
		if calls++; calls == 2 {
			w.grow(1)
			w.rekey()
			w.keys.Trees++
		}
		return w.keys, nil
	}
	r, err := backup.Write(t.Context(), w.fs, src, options())
	if err != nil || r.Manifest.Tenants[0].Keys.Version != 2 || r.Manifest.Tenants[0].Records != 1 {
		t.Errorf("%+v, %v", r.Manifest.Tenants, err)
	}
	src.Tenants[0].Keys = func() (backup.KeyState, error) {
		w.keys.Trees++
		return w.keys, nil
	}
	if _, err := backup.Write(t.Context(), w.fs, src, options()); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("a tree each time: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(w *world, src *backup.Source, opt *backup.Options)
		kind    escrow.Kind
		text    string
	}{
		{"no destination", func(_ *world, _ *backup.Source, o *backup.Options) { o.To = "" }, escrow.Invalid, "a directory to go to"},
		{"in the data directory", func(_ *world, _ *backup.Source, o *backup.Options) { o.To = "data/copy" }, escrow.Invalid, "inside the data directory"},
		{"the data directory itself", func(_ *world, _ *backup.Source, o *backup.Options) { o.To = "data" }, escrow.Invalid, "inside the data directory"},
		{"around the data directory", func(_ *world, _ *backup.Source, o *backup.Options) { o.To = "." }, escrow.Invalid, "contain itself"},
		{"keys in the data directory", func(_ *world, _ *backup.Source, o *backup.Options) { o.KeysTo = "data/keys" }, escrow.Invalid, "inside the data directory"},
		{"keys in the archive", func(_ *world, _ *backup.Source, o *backup.Options) { o.KeysTo = "copy/keys" }, escrow.Invalid, "apart"},
		{"archive in the keys", func(_ *world, _ *backup.Source, o *backup.Options) { o.To = "keys/archive" }, escrow.Invalid, "apart"},
		{"of another archive", func(w *world, s *backup.Source, _ *backup.Options) { w.mustBackup(); s.Archive = "ffffffff" }, escrow.Conflict, "another archive, 0a0b0c0d"},
		{"archive where the keys are", func(w *world, _ *backup.Source, o *backup.Options) { w.mustBackup(); o.To, o.KeysTo = "keys", "" }, escrow.Conflict, "holds the backup of the keys"},
		{"something else there", func(w *world, _ *backup.Source, o *backup.Options) {
			if err := w.fs.MkdirAll("copy/photos", 0o700); err != nil {
				w.t.Fatal(err)
			}
		}, escrow.Conflict, "not empty"},
		{"being written", func(w *world, _ *backup.Source, _ *backup.Options) {
			w.mustBackup()
			lock, err := w.fs.Lock("copy/LOCK")
			if err != nil {
				w.t.Fatal(err)
			}
			w.t.Cleanup(func() { lock.Close() })
		}, escrow.Conflict, "another backup is being written"},
		{"ledger rolled back", func(w *world, _ *backup.Source, _ *backup.Options) { w.keys.Needs = 100 }, escrow.Forged, "rolled back"},
		{"manifest damaged", func(w *world, _ *backup.Source, _ *backup.Options) {
			w.mustBackup()
			store(w.t, w.fs, "copy/manifest.json", load(w.t, w.fs, "copy/manifest.json")[1:])
		}, escrow.Corrupt, "begin a new backup"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, vfs.NewMem())
			w.grow(2)
			src, opt := w.source(), options()
			test.prepare(w, &src, &opt)
			before := tree(t, w.fs, ".")
			_, err := backup.Write(t.Context(), w.fs, src, opt)
			if escrow.KindOf(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("%v", err)
			}
			after := slices.DeleteFunc(tree(t, w.fs, "."), func(name string) bool {
				return strings.HasSuffix(name, "LOCK") || strings.HasSuffix(name, "BACKUP")
			})
			before = slices.DeleteFunc(before, func(name string) bool { return strings.HasSuffix(name, "LOCK") || strings.HasSuffix(name, "BACKUP") })
			if diff := cmp.Diff(before, after); diff != "" && test.name != "ledger rolled back" {
				t.Errorf("what was refused left something: %s", diff)
			}
		})
	}
}

func TestChangedSegments(t *testing.T) {
	first := segments + "00000000000000000000.seg"
	tests := []struct {
		name   string
		change func(w *world) // of the archive or of the copy
		check  bool
		kind   escrow.Kind
		text   string // of the error
		repair bool
	}{
		{"copy damaged, not looked at", func(w *world) { flip(w, "copy/1/"+first, 100) }, false, 0, "", false},
		{"copy damaged", func(w *world) { flip(w, "copy/1/"+first, 100) }, true, 0, "", true},
		{"copy missing", func(w *world) { remove(w, "copy/1/"+first) }, false, 0, "", true},
		{"copy short", func(w *world) { store(w.t, w.fs, "copy/1/"+first, load(w.t, w.fs, "copy/1/"+first)[:200]) }, false, 0, "", true},
		{"archive damaged", func(w *world) { flip(w, "data/"+first, 100) }, true, escrow.Corrupt, "its copy in the backup is kept", false},
		{"archive rewritten, the same length", func(w *world) { rewrite(w, "data/"+first) }, true, 0, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, vfs.NewMem())
			for range 5 {
				w.grow(2)
			}
			w.mustBackup()
			test.change(w)
			opt := options()
			opt.Check = test.check
			r, err := backup.Write(t.Context(), w.fs, w.source(), opt)
			if escrow.KindOf(err) != test.kind && err != nil || (err != nil) != (test.text != "") || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Fatalf("%v", err)
			}
			if (len(r.Repaired) > 0) != test.repair {
				t.Errorf("repaired: %v", r.Repaired)
			}
			if test.name == "copy damaged, not looked at" {
				return
			}
			if test.name != "archive rewritten, the same length" { // a test can rewrite a segment, not find other records with the same root
				w.mustRestore("restored", 10)
			} else if b, err := backup.Open(w.fs, "copy"); err != nil || b.Manifest.Files[2].Stored != "2/"+first {
				t.Errorf("the segment is in %v, %v", b.Manifest.Files[2], err)
			}
		})
	}
}

func flip(w *world, name string, at int) {
	b := load(w.t, w.fs, name)
	b[at] ^= 1
	f, err := w.fs.OpenFile(name, writeOnly, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		w.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func remove(w *world, name string) {
	if err := w.fs.Remove(name); err != nil {
		w.t.Fatal(err)
	}
}

// TestBackupWhileWriting: records and keys change all the time; every backup is whole.
func TestBackupWhileWriting(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	var mu sync.Mutex
	src := w.source()
	src.Tenants[0].Keys = func() (backup.KeyState, error) {
		mu.Lock()
		defer mu.Unlock()
		return w.keys, nil
	}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ctx.Err() == nil && w.ledger.Size() < 1500; i++ {
			w.grow(1 + i%5)
			if i%3 == 0 {
				mu.Lock()
				w.rekey()
				mu.Unlock()
			}
		}
	})
	for range 12 {
		if _, err := backup.Write(t.Context(), w.fs, src, options()); err != nil {
			t.Fatal(err)
		}
		if _, err := restored(w.fs, unused(w.fs), config(t)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writing.Wait()
}

func TestBackupStopsWhenAsked(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	w.grow(5)
	ctx, cancel := context.WithCancel(t.Context())
	opt := options()
	opt.Progress = func(int64, int64) { cancel() }
	if _, err := backup.Write(ctx, w.fs, w.source(), opt); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := backup.Open(w.fs, "copy"); escrow.KindOf(err) != escrow.NotFound || !strings.Contains(err.Error(), "ever completed") {
		t.Errorf("open: %v", err)
	}
	var seen []int64
	opt.Progress = func(done, total int64) { seen = append(seen, done, total) }
	r, err := backup.Write(t.Context(), w.fs, w.source(), opt)
	if err != nil || !slices.IsSorted(seen[:len(seen)-2]) && seen[len(seen)-2] != r.Bytes {
		t.Errorf("progress %v, %v", seen, err)
	}
	w.mustRestore("restored", 5)
}
