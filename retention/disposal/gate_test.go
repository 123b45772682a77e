package disposal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/internal/vfs"
	"escrow/retention/disposal"
)

// copyInto copies what is below a directory, or removes it where there is nothing.
func copyInto(t testing.TB, to, from vfs.FS, dir string) {
	t.Helper()
	remove(t, to, dir)
	entries, err := from.ReadDir(dir)
	check(t, err)
	check(t, vfs.MkdirAllSync(to, dir, 0o700))
	for _, e := range entries {
		name := dir + "/" + e.Name()
		if e.IsDir() {
			copyInto(t, to, from, name)
			continue
		}
		check(t, vfs.WriteFileAtomic(to, name, must(vfs.ReadFile(from, name, 1<<30))(t), 0o600))
	}
}

func remove(t testing.TB, fs vfs.FS, dir string) {
	t.Helper()
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			remove(t, fs, dir+"/"+e.Name())
			continue
		}
		check(t, fs.Remove(dir+"/"+e.Name()))
	}
}

// TestSealedBeforeTheGate: nothing is answered before Gate has returned nil.
func TestSealedBeforeTheGate(t *testing.T) {
	v := found(t, settings{})
	seq := v.put("principal", "ana")
	v.close()
	v = must(unlock(t, v.fs, v.clock, v.officers, settings{}))(t)
	v.want("before the gate", seq, "")
	_, err := v.try("dpo", person(v.subject("ana")))
	wantKind(t, "record", err, escrow.Unavailable, "sealed")
	_, err = v.Advance(ctx(), disposal.Options{})
	wantKind(t, "advance", err, escrow.Unavailable, "sealed")
	_, err = v.Complete(ctx())
	wantKind(t, "complete", err, escrow.Unavailable, "sealed")
	check(t, v.Gate(ctx()))
	v.want("behind the gate", seq, "body of ana|ana")
}

// epoch is one moment in the life of an archive, as a backup would keep it.
type epoch struct {
	fs     *vfs.Mem
	what   string
	erased map[escrow.Seq]string // messages of people erased by then: what is left of them
}

// lives plays a life with erasures, holds and expiry, and keeps a copy of everything after each step.
func lives(t testing.TB, s settings) (*vault, []epoch) {
	v := found(t, s)
	var past []epoch
	erased := map[escrow.Seq]string{}
	keep := func(what string) {
		e := epoch{v.fs.(*vfs.Mem).Clone(), what, map[escrow.Seq]string{}}
		for seq, left := range erased {
			e.erased[seq] = left
		}
		past = append(past, e)
	}
	for i, name := range []string{"ana", "bob", "cid"} {
		seq := v.putClass(1, 100, "principal", name, "dan")
		keep("before " + name)
		v.request(person(v.subject(name)))
		erased[seq] = "dan"
		v.advance(disposal.Options{})
		keep("after " + name)
		if i == 1 {
			v.index.dead = []uint32{0}
			check(t, v.keys.Update(func(tx *keystate.Tx) error { _, err := tx.ReserveIndexLeaves(3); return err }))
		}
		v.move(24 * time.Hour)
	}
	v.putClass(1, 100, "principal", "dan")
	v.advance(disposal.Options{})
	check(t, v.KeepSize())
	keep("the end")
	return v, past
}

// TestNobodyComesBack opens every older copy of the keys with every older copy of the ledger, under the roots as they are now, which are in no backup:
// what opens shows nobody who was erased since.
func TestNobodyComesBack(t *testing.T) {
	for _, keep := range []time.Duration{0, 24 * time.Hour, 7 * 24 * time.Hour} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			s := settings{terms: disposal.Terms{KeepRoots: keep}}
			v, past := lives(t, s)
			v.close()
			now := past[len(past)-1]
			opened, stale := 0, 0
			for i, keys := range past {
				for j, ledger := range past {
					what := fmt.Sprintf("keys %s, ledger %s", keys.what, ledger.what)
					fs := now.fs.Clone()
					copyInto(t, fs, keys.fs, "/keys")
					copyInto(t, fs, ledger.fs, "/ledger")
					old, err := reopen(t, fs, v.clock, v.officers, s)
					if err != nil {
						if k := escrow.KindOf(err); k != escrow.Erased && k != escrow.Forged {
							t.Errorf("%s: %v", what, err)
						}
						continue
					}
					opened++
					if i < len(past)-1 {
						stale++
					}
					for seq, left := range now.erased {
						if got := old.force(seq); got != left {
							t.Errorf("%s: message %d reads %q", what, seq, got)
						}
					}
					if i < j && i < len(past)-1 && old.keys.Alive(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: 0}) {
						t.Errorf("%s: a key of an index file is back", what)
					}
					old.close()
				}
			}
			if opened == 0 || keep == 0 && stale > 0 || keep > 24*time.Hour && stale == 0 {
				t.Errorf("%d combinations opened, %d of them with older keys", opened, stale)
			}
			t.Logf("%d combinations opened, %d with older keys", opened, stale)
		})
	}
}

// TestGateRefusesARolledBackLedger: the size in the root store is that of the last epoch, also when the key state is as old as the ledger.
func TestGateRefusesARolledBackLedger(t *testing.T) {
	s := settings{terms: disposal.Terms{KeepRoots: 7 * 24 * time.Hour}}
	v := found(t, s)
	v.put("principal", "ana")
	before := v.fs.(*vfs.Mem).Clone()
	v.request(person(v.subject("ana")))
	v.advance(disposal.Options{})
	v.close()
	fs := v.fs.(*vfs.Mem).Clone()
	copyInto(t, fs, before, "/keys")
	copyInto(t, fs, before, "/ledger")
	_, err := reopen(t, fs, v.clock, v.officers, s)
	wantKind(t, "keys and ledger of before", err, escrow.Forged, "rolled back", "records")

	fs = v.fs.(*vfs.Mem).Clone()
	copyInto(t, fs, before, "/keys")
	copyInto(t, fs, before, "/roots")
	_, err = reopen(t, fs, v.clock, v.officers, s)
	wantKind(t, "keys and roots of before", err, escrow.Forged, "rolled back together")
}

// TestGateRefusesKeysWithoutATree: a key state of before a class was added cannot open its messages.
func TestGateRefusesKeysWithoutATree(t *testing.T) {
	s := settings{terms: disposal.Terms{KeepRoots: 7 * 24 * time.Hour}}
	v := found(t, s)
	before := v.fs.(*vfs.Mem).Clone()
	check(t, v.keys.Update(func(tx *keystate.Tx) error { tx.AddTree(keytree.KindRetention, 9); return nil }))
	must(v.Complete(ctx()))(t)
	v.putClass(9, 100, "principal", "ana")
	v.close()
	fs := v.fs.(*vfs.Mem).Clone()
	copyInto(t, fs, before, "/keys")
	_, err := reopen(t, fs, v.clock, v.officers, s)
	wantKind(t, "keys of before the class", err, escrow.Forged, "key trees")
}

// TestGateRenewsTheKeysOfIndexFiles: an older copy of the keys opens, and derives no key of an index file that is gone.
func TestGateRenewsTheKeysOfIndexFiles(t *testing.T) {
	s := settings{terms: disposal.Terms{KeepRoots: 7 * 24 * time.Hour}}
	v := found(t, s)
	check(t, v.keys.Update(func(tx *keystate.Tx) error { _, err := tx.ReserveIndexLeaves(3); return err }))
	file := v.keys.Ref(keytree.KindIndexFile, 1)
	before := v.fs.(*vfs.Mem).Clone()
	check(t, v.DestroyFileKeys(ctx(), []uint32{1}))
	v.close()
	copyInto(t, v.fs, before, "/keys")
	v = must(unlock(t, v.fs, v.clock, v.officers, s))(t)
	if !v.keys.Stale() || !v.keys.Alive(file) {
		t.Fatal("this is no older copy")
	}
	check(t, v.Gate(context.Background()))
	if v.keys.Stale() || v.keys.Alive(file) {
		t.Error("the key of a file that is gone is back")
	}
	again := v.again(s)
	if again.keys.Stale() {
		t.Error("the older copy is still one")
	}
}

// TestTakeOver: of two copies of an archive under the same roots one goes on, and the other is refused.
func TestTakeOver(t *testing.T) {
	roots := fileStore(t, vfs.NewMem())
	s := settings{stores: func(vfs.FS, *clock) []rootstore.Store { return []rootstore.Store{roots} }}
	v := found(t, s)
	v.putClass(1, 100, "principal", "ana", "bob")
	v.close()
	former := v.fs.(*vfs.Mem).Clone()
	v = must(reopen(t, v.fs, v.clock, v.officers, s))(t)
	check(t, v.TakeOver(ctx()))
	v.close()
	_, err := reopen(t, former, v.clock, v.officers, s)
	wantKind(t, "the former copy", err, escrow.Forged, "rolled back")
	v = must(reopen(t, v.fs, v.clock, v.officers, s))(t)
	v.request(person(v.subject("ana")))
	v.advance(disposal.Options{})
}
