// Package directory knows which identity belongs to which data subject, without knowing any identity: it maps the token of an identity,
//
//	HMAC-SHA-256(key, scoped identity)[:16]
//
// to the number of the subject, which is a leaf of the subject key tree. Whoever is forgotten leaves no token behind and no number is ever given out
// twice, so a person who comes back is a new subject. The directory is derived: it can be built again from the ledger with Learn, Link and Forget, in
// ledger order. Position says up to where that has been done; Save writes a sealed snapshot (docs/format/directory.md) so that it need not be repeated.
//
// A snapshot is sealed under the directory's key and a leaf of the key tree E. With every person who is forgotten the next snapshot goes under the next leaf
// and those before are punctured, so that no copy of a snapshot tells any more who was who.
//
// One identity takes 27 to 45 bytes of memory, 34 on average: the map grows in steps.
package directory

import (
	"math"
	"slices"
	"sort"
	"sync"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

// Directory maps identities to subjects. All methods are safe for concurrent use.
type Directory struct {
	fsys vfs.FS
	path string
	key  [32]byte
	keys Keys

	saving sync.Mutex // one Save at a time
	leaf   uint32     // of the present snapshot. Guarded by saving

	mu       sync.RWMutex
	leaves   map[token]uint32
	next     uint64 // number of the next new subject; 2³² when all are given out
	position escrow.TreeSize
}

type token = [16]byte

// Keys derives the shares of snapshots; *keystate.State is one.
type Keys interface {
	Share(ref keytree.Ref) (keytree.Share, error)
	Ref(kind keytree.Kind, leaf uint32) keytree.Ref
}

// Open reads the snapshot in dir, or starts empty if there is none. Kinds: Corrupt if the snapshot is malformed, Forged if it was sealed under another
// key or changed, Erased if its leaf was punctured, because it is an old copy; in these cases it may be removed and the directory built again from the
// ledger.
func Open(fsys vfs.FS, dir string, key [32]byte, keys Keys) (*Directory, error) {
	d := &Directory{fsys: fsys, path: snapshotPath(dir), key: key, keys: keys, leaves: map[token]uint32{}}
	sealed, err := vfs.ReadFile(fsys, d.path, maxSnapshotBytes)
	switch {
	case err != nil && escrow.KindOf(err) == escrow.NotFound:
		d.leaf = d.firstLeaf()
		return d, nil
	case err != nil:
		return nil, escrow.Errorf("directory.Open", escrow.KindOf(err), "reading the snapshot: %w", err)
	}
	if err := d.restore(sealed); err != nil {
		return nil, err
	}
	return d, nil
}

// firstLeaf returns the first leaf for a snapshot that is alive: those punctured are all before it.
func (d *Directory) firstLeaf() uint32 {
	return uint32(sort.Search(math.MaxUint32, func(leaf int) bool {
		_, err := d.keys.Share(d.keys.Ref(keytree.KindRecord, uint32(leaf)))
		return err == nil
	}))
}

// Lookup returns the subject of a scoped identity (see escrow.Identity.Scoped), if it has one.
func (d *Directory) Lookup(scoped string) (leaf uint32, ok bool) {
	t, err := d.token(scoped)
	if err != nil {
		return 0, false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	leaf, ok = d.leaves[t]
	return leaf, ok
}

// Assign returns the subject of a scoped identity and makes a new one if it has none. Nothing is written: record the assignment in the ledger before
// anything else relies on it. It fails with kind Conflict if the directory is full.
func (d *Directory) Assign(scoped string) (leaf uint32, created bool, err error) {
	t, err := d.token(scoped)
	if err != nil {
		return 0, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if leaf, ok := d.leaves[t]; ok {
		return leaf, false, nil
	}
	if d.next > math.MaxUint32 {
		return 0, false, escrow.Errorf("directory.Assign", escrow.Conflict, "all numbers of subjects are used: a new generation of key trees is needed")
	}
	leaf = uint32(d.next)
	return leaf, true, d.set(t, leaf)
}

// Learn repeats an assignment recorded in the ledger; the last one told counts. It fails with kind Conflict if the directory is full.
func (d *Directory) Learn(scoped string, leaf uint32) error {
	t, err := d.token(scoped)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set(t, leaf)
}

// Link makes a scoped identity another one of an existing subject. It fails with kind Conflict if the identity belongs to another subject already, whose
// messages would then no longer be found by it.
func (d *Directory) Link(scoped string, leaf uint32) error {
	t, err := d.token(scoped)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now, ok := d.leaves[t]; ok && now != leaf {
		return escrow.Errorf("directory.Link", escrow.Conflict, "this identity belongs to subject %d already", now)
	}
	return d.set(t, leaf)
}

// set maps t to leaf and keeps the next number above every leaf seen.
func (d *Directory) set(t token, leaf uint32) error {
	if _, ok := d.leaves[t]; !ok && len(d.leaves) >= MaxEntries {
		return escrow.Errorf("directory.Assign", escrow.Conflict, "the directory is full with %d identities", MaxEntries)
	}
	d.leaves[t] = leaf
	d.next = max(d.next, uint64(leaf)+1)
	return nil
}

// Forget removes all identities of the given subjects and returns how many there were. The numbers stay used. It reads the whole directory once, some
// tens of milliseconds for a million identities, while others go on reading.
func (d *Directory) Forget(leaves ...uint32) int {
	gone := slices.Sorted(slices.Values(leaves))
	tokens := d.tokens(gone)
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.leaves)
	for _, t := range tokens {
		if contains(gone, d.leaves[t]) { // not linked elsewhere meanwhile
			delete(d.leaves, t)
		}
	}
	for _, leaf := range gone {
		d.next = max(d.next, uint64(leaf)+1)
	}
	return before - len(d.leaves)
}

// tokens returns the names of all identities of the given subjects, which are in order.
func (d *Directory) tokens(leaves []uint32) []token {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []token
	for t, leaf := range d.leaves {
		if contains(leaves, leaf) {
			out = append(out, t)
		}
	}
	return out
}

func contains(sorted []uint32, leaf uint32) bool {
	_, found := slices.BinarySearch(sorted, leaf)
	return found
}

// Identities returns how many identities a subject has. It reads the whole directory.
func (d *Directory) Identities(leaf uint32) int { return len(d.tokens([]uint32{leaf})) }

// Len returns the number of identities known.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.leaves)
}

// Position returns the ledger position the last snapshot reflects, 0 if there is none.
func (d *Directory) Position() escrow.TreeSize {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.position
}

// token returns the name under which an identity is known.
func (d *Directory) token(scoped string) (token, error) {
	return committing.Token(d.key, []byte(scoped))
}
