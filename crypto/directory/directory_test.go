package directory_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/directory"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

const file = "directory"

var key = [32]byte{5}

// letters are key shares, of which those below dead are punctured.
type letters struct{ dead uint32 }

func (l *letters) Share(ref keytree.Ref) (keytree.Share, error) {
	if ref.Leaf < l.dead {
		return keytree.Share{}, escrow.Errorf("test", escrow.Erased, "punctured")
	}
	return sha256.Sum256(ref.Append(nil)), nil
}

func (l *letters) Ref(kind keytree.Kind, leaf uint32) keytree.Ref {
	return keytree.Ref{Kind: kind, Leaf: leaf}
}

func open(t testing.TB, fsys vfs.FS) *directory.Directory {
	t.Helper()
	return openWith(t, fsys, &letters{})
}

func openWith(t testing.TB, fsys vfs.FS, keys directory.Keys) *directory.Directory {
	t.Helper()
	d, err := directory.Open(fsys, ".", key, keys)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func assign(t testing.TB, d *directory.Directory, scoped string) (uint32, bool) {
	t.Helper()
	leaf, created, err := d.Assign(scoped)
	if err != nil {
		t.Fatal(err)
	}
	return leaf, created
}

func wantKind(t testing.TB, what string, err error, kind escrow.Kind) {
	t.Helper()
	if err == nil || escrow.KindOf(err) != kind {
		t.Errorf("%s: error %v, want kind %v", what, err, kind)
	}
}

// want checks who has which number; -1 means unknown.
func want(t testing.TB, what string, d *directory.Directory, who map[string]int) {
	t.Helper()
	for scoped, leaf := range who {
		got, ok := d.Lookup(scoped)
		if ok != (leaf >= 0) || ok && int(got) != leaf {
			t.Errorf("%s: Lookup(%s) = %d, %v; want %d", what, scoped, got, ok, leaf)
		}
	}
}

func TestAssignLookupForget(t *testing.T) {
	d := open(t, vfs.NewMem())
	for i, who := range []string{"email:a@x", "email:b@x", "email:c@x"} {
		if leaf, created := assign(t, d, who); int(leaf) != i || !created {
			t.Errorf("Assign(%s) = %d, %v", who, leaf, created)
		}
	}
	if leaf, created := assign(t, d, "email:b@x"); leaf != 1 || created {
		t.Errorf("the second Assign = %d, %v", leaf, created)
	}
	if err := d.Link("tel:+1", 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Link("tel:+1", 1); err != nil {
		t.Errorf("linking again: %v", err)
	}
	wantKind(t, "linking another's identity", d.Link("email:a@x", 1), escrow.Conflict)
	want(t, "before", d, map[string]int{"email:a@x": 0, "email:b@x": 1, "tel:+1": 1, "email:c@x": 2, "email:d@x": -1})
	if d.Identities(1) != 2 || d.Identities(9) != 0 || d.Len() != 4 {
		t.Errorf("Identities(1) = %d, Len = %d", d.Identities(1), d.Len())
	}
	order := []uint32{2, 1}
	if n := d.Forget(order...); n != 3 || order[0] != 2 {
		t.Errorf("Forget = %d, its argument %v", n, order)
	}
	want(t, "after", d, map[string]int{"email:a@x": 0, "email:b@x": -1, "tel:+1": -1, "email:c@x": -1})
	if leaf, created := assign(t, d, "email:c@x"); leaf != 3 || !created {
		t.Errorf("a person who comes back gets %d, %v; want a new number", leaf, created)
	}
}

func TestNumbersAreNeverGivenOutTwice(t *testing.T) {
	fsys := vfs.NewMem()
	d := open(t, fsys)
	if err := d.Learn("email:a@x", 41); err != nil {
		t.Fatal(err)
	}
	d.Forget(41)
	if leaf, _ := assign(t, d, "email:b@x"); leaf != 42 {
		t.Errorf("the next number after 41 is %d", leaf)
	}
	d.Forget(42, 99) // 99 was assigned in a part of the ledger not learnt
	if err := d.Save(7); err != nil {
		t.Fatal(err)
	}
	d = open(t, fsys)
	if leaf, _ := assign(t, d, "email:a@x"); leaf != 100 {
		t.Errorf("the next number after 99 is %d", leaf)
	}
	if err := d.Learn("email:z@x", 1<<32-1); err != nil {
		t.Fatal(err)
	}
	_, _, err := d.Assign("email:new@x")
	wantKind(t, "all numbers used", err, escrow.Conflict)
	if leaf, created := assign(t, d, "email:z@x"); leaf != 1<<32-1 || created {
		t.Errorf("the last number is %d, %v", leaf, created)
	}
}

func TestSnapshot(t *testing.T) {
	fsys := vfs.NewMem()
	d := open(t, fsys)
	if d.Position() != 0 {
		t.Error("an empty directory has a position")
	}
	for i := range 300 {
		assign(t, d, fmt.Sprint("email:", i))
	}
	if err := d.Save(1234); err != nil {
		t.Fatal(err)
	}
	back := open(t, fsys)
	if back.Position() != 1234 || d.Position() != 1234 || back.Len() != 300 {
		t.Errorf("position %d, %d entries", back.Position(), back.Len())
	}
	for i := range 300 {
		want(t, "after reopening", back, map[string]int{fmt.Sprint("email:", i): i})
	}
	_, err := directory.Open(fsys, ".", [32]byte{6}, &letters{})
	wantKind(t, "another key", err, escrow.Forged)
}

func TestTokensAreNamesWithoutTheIdentity(t *testing.T) {
	fsys := vfs.NewMem()
	d := open(t, fsys)
	assign(t, d, "email:veronika@example.org")
	if err := d.Save(1); err != nil {
		t.Fatal(err)
	}
	sealed, err := vfs.ReadFile(fsys, file, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("email:veronika@example.org"))
	for name, secret := range map[string][]byte{"identity": []byte("veronika"), "token": mac.Sum(nil)[:16]} {
		if bytes.Contains(sealed, secret) {
			t.Errorf("the snapshot holds the %s in clear", name)
		}
	}
}

func TestEveryChangedByteIsAnError(t *testing.T) {
	fsys := vfs.NewMem()
	d := open(t, fsys)
	assign(t, d, "email:a@x")
	if err := d.Save(1); err != nil {
		t.Fatal(err)
	}
	sealed, err := vfs.ReadFile(fsys, file, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		for name, b := range map[string][]byte{"changed": bad, "cut": sealed[:i]} {
			if err := vfs.WriteFileAtomic(fsys, file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := directory.Open(fsys, ".", key, &letters{}); err == nil || escrow.KindOf(err) != escrow.Forged && escrow.KindOf(err) != escrow.Corrupt {
				t.Fatalf("%s at byte %d: %v", name, i, err)
			}
		}
	}
}

// TestSaveIsAtomic fails every operation of a Save and cuts the power after it: the snapshot is the old or the new one.
func TestSaveIsAtomic(t *testing.T) {
	rng := mrand.New(mrand.NewPCG(1, 1))
	for _, fault := range []vfs.Fault{vfs.Lost, vfs.Short, vfs.Done} {
		for at := 1; ; at++ {
			mem := vfs.NewMem()
			fsys := vfs.NewFaulty(mem)
			d := open(t, fsys)
			assign(t, d, "email:a@x")
			if err := d.Save(1); err != nil {
				t.Fatal(err)
			}
			assign(t, d, "email:b@x")
			plan := vfs.Plan{At: fsys.Ops() + at, Fault: fault, Err: syscall.ENOSPC}
			fsys.Fail(plan)
			err := d.Save(2)
			if fsys.Ops() < plan.At {
				break
			}
			wantKind(t, "Save", err, escrow.Unavailable)
			if d.Position() != 1 {
				t.Error("a failed Save moved the position")
			}
			for range 5 {
				back := open(t, mem.CrashClone(rng))
				if n := back.Len(); int(back.Position()) != n {
					t.Errorf("position %d with %d entries", back.Position(), n)
				}
			}
			fsys.Fail(vfs.Plan{})
			if err := d.Save(2); err != nil || open(t, mem).Position() != 2 {
				t.Errorf("saving again: %v", err)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	d := open(t, vfs.NewMem())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				who := fmt.Sprint("email:", i)
				leaf, _, err := d.Assign(who)
				if err != nil {
					t.Error(err)
				}
				if got, ok := d.Lookup(who); ok && got < leaf {
					t.Errorf("%s went from %d to %d", who, leaf, got)
				}
				if g == 0 && i%20 == 0 {
					d.Forget(leaf)
					if err := d.Save(escrow.TreeSize(i)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if d.Len() < 190 || d.Len() > 200 {
		t.Errorf("%d identities of 200 people", d.Len())
	}
}

func TestMemoryPerIdentity(t *testing.T) {
	d := open(t, vfs.NewMem())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 60_000
	for i := range uint32(n) {
		if err := d.Learn(fmt.Sprint("email:", i), i); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := float64(after.HeapAlloc-before.HeapAlloc) / n; each > 48 {
		t.Errorf("%.1f bytes per identity", each)
	}
	runtime.KeepAlive(d)
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("ESDY\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := vfs.NewMem()
		if err := vfs.WriteFileAtomic(fsys, file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := directory.Open(fsys, ".", key, &letters{}); err == nil {
			t.Error("somebody without the key wrote a snapshot that opened")
		}
	})
}

func BenchmarkDirectory(b *testing.B) {
	const n = 1_000_000
	d := open(b, vfs.NewMem())
	for i := range uint32(n) {
		if err := d.Learn(fmt.Sprint("email:", i), i); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("Lookup", func(b *testing.B) {
		for b.Loop() {
			d.Lookup("email:777")
		}
	})
	b.Run("Forget", func(b *testing.B) {
		for b.Loop() {
			d.Forget(n + 1)
		}
	})
	b.Run("Save", func(b *testing.B) {
		for b.Loop() {
			if err := d.Save(1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestMalformedSnapshotIsCorrupt seals contents by hand that Save does not write.
func TestMalformedSnapshotIsCorrupt(t *testing.T) {
	entry := func(first byte, leaf byte) []byte { return append(append([]byte{first}, make([]byte, 18)...), leaf) }
	head := func(next, count byte) []byte {
		return []byte{0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, next, 0, 0, 0, count}
	}
	tests := map[string][]byte{
		"empty":                nil,
		"short":                head(0, 0)[:19],
		"an entry missing":     append(head(5, 2), entry(1, 1)...),
		"half an entry more":   append(head(5, 1), append(entry(1, 1), 7)...),
		"number not given out": append(head(5, 1), entry(1, 5)...),
		"an identity twice":    append(head(5, 2), append(entry(1, 1), entry(1, 2)...)...),
		"too many entries":     {0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff},
		"next beyond 2^32":     {0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0},
	}
	for name, content := range tests {
		_, err := directory.Open(plant(t, content), ".", key, &letters{})
		wantKind(t, name, err, escrow.Corrupt)
	}
	d, err := directory.Open(plant(t, append(head(5, 1), entry(1, 4)...)), ".", key, &letters{})
	if err != nil || d.Len() != 1 || d.Position() != 9 {
		t.Errorf("a well-formed snapshot does not open: %v", err)
	}
}

// plant writes a snapshot with the given content, sealed by docs/format/directory.md.
func plant(t *testing.T, content []byte) vfs.FS {
	t.Helper()
	head := append([]byte("ESDY\x02\x00\x00\x00\x03"), make([]byte, 16)...)
	bind := committing.Binding{Label: "escrow/directory/v2", Salt: head[9:], Hash: sha256.Sum256(append([]byte("escrow/directory/v2\x00"), head...))}
	share := sha256.Sum256([]byte("E\x00\x00\x00\x00\x00\x03"))
	com, body, err := committing.Seal(append(key[:], share[:]...), bind, content)
	if err != nil {
		t.Fatal(err)
	}
	fsys := vfs.NewMem()
	if err := vfs.WriteFileAtomic(fsys, file, bytes.Join([][]byte{head, com[:], body}, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return fsys
}

// TestSnapshotsDie: after Renew and the punctures it asks for, no snapshot of before opens, and the one of now does.
func TestSnapshotsDie(t *testing.T) {
	fsys, keys := vfs.NewMem(), &letters{}
	d := openWith(t, fsys, keys)
	assign(t, d, "email:a@x")
	assign(t, d, "email:b@x")
	var olds [][]byte
	copyOf := func() []byte {
		b, err := vfs.ReadFile(fsys, file, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for round := range uint32(3) {
		if err := d.Save(1); err != nil {
			t.Fatal(err)
		}
		olds = append(olds, copyOf())
		if d.Outdated() != round {
			t.Error("something is outdated before Renew")
		}
		d.Forget(round)
		if err := d.Renew(2); err != nil {
			t.Fatal(err)
		}
		if got := d.Outdated(); got != round+1 {
			t.Errorf("round %d: %d leaves are outdated", round, got)
		}
		if back := openWith(t, fsys, keys); back.Position() != 2 {
			t.Errorf("round %d: position %d", round, back.Position())
		}
		keys.dead = round + 1
		now := copyOf()
		for _, old := range olds {
			if err := vfs.WriteFileAtomic(fsys, file, old, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := directory.Open(fsys, ".", key, keys)
			wantKind(t, "an old snapshot", err, escrow.Erased)
		}
		if err := vfs.WriteFileAtomic(fsys, file, now, 0o600); err != nil {
			t.Fatal(err)
		}
		d = openWith(t, fsys, keys)
	}
	if err := fsys.Remove(file); err != nil {
		t.Fatal(err)
	}
	d = openWith(t, fsys, keys)
	if err := d.Save(5); err != nil || openWith(t, fsys, keys).Position() != 5 {
		t.Errorf("a directory built anew cannot be saved: %v", err)
	}
	keys.dead = 1 << 31
	wantKind(t, "saving under a key that is gone", d.Save(6), escrow.Erased)
}

// TestRenewTakesAnotherLeafEachTime: what a Renew that failed may have written must be outdated by the next.
func TestRenewTakesAnotherLeafEachTime(t *testing.T) {
	fsys, keys := vfs.NewFaulty(vfs.NewMem()), &letters{}
	d := openWith(t, fsys, keys)
	fsys.Fail(vfs.Plan{At: fsys.Ops() + 6, Fault: vfs.Done, Err: syscall.EIO})
	wantKind(t, "Renew", d.Renew(1), escrow.Unavailable)
	if err := d.Renew(1); err != nil {
		t.Fatal(err)
	}
	if n := d.Outdated(); n != 2 {
		t.Errorf("%d leaves are outdated, want 2", n)
	}
}

// TestSkip: with an older copy of the keys no leaf is used that may have been used before; how often it is called does not matter, until leaves are punctured.
func TestSkip(t *testing.T) {
	keys := &letters{dead: 7}
	d := openWith(t, vfs.NewMem(), keys)
	d.Skip()
	first := d.Outdated()
	d.Skip()
	if first < 1000 || d.Outdated() != first {
		t.Errorf("%d leaves are outdated, then %d", first, d.Outdated())
	}
	if err := d.Renew(1); err != nil {
		t.Fatal(err)
	}
	keys.dead = d.Outdated()
	if d.Skip(); d.Outdated() <= keys.dead {
		t.Error("the leaves of an older copy of these keys are used again")
	}
	keys.dead = math.MaxUint32
	d.Skip()
	wantKind(t, "all leaves are used", d.Renew(2), escrow.Conflict)
}
