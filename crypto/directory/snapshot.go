package directory

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"path/filepath"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

const (
	magic      = "ESDY\x02" // the last byte is the version of the format
	label      = "escrow/directory/v2"
	saltBytes  = 16
	headBytes  = len(magic) + 4 + saltBytes
	fixedBytes = 8 + 8 + 4 // position, next number, number of entries
	entryBytes = 16 + 4    // token, leaf
)

func snapshotPath(dir string) string { return filepath.Join(dir, "directory") }

// Save writes a snapshot that replaces the one before at once, and is durable on return. Position is the ledger position up to which the caller has
// told the directory everything; it must have stopped telling it what lies beyond. Errors are of kind Unavailable, or Erased if the key is gone.
func (d *Directory) Save(position escrow.TreeSize) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	return d.save(position)
}

// Renew is Save under the next leaf: once the leaves before are punctured (see Outdated), no earlier snapshot can be read any more, in whatever copy. Do
// it after somebody was forgotten. Each call takes another leaf, also after one that failed.
func (d *Directory) Renew(position escrow.TreeSize) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	if d.leaf == math.MaxUint32 {
		return escrow.Errorf("directory.Renew", escrow.Conflict, "all leaves for snapshots are used")
	}
	d.leaf++
	return d.save(position)
}

// Skip makes the next Renew leave out more leaves than were ever used. With an older copy of the keys those are alive again that were punctured since, and
// snapshots were sealed under them.
func (d *Directory) Skip() {
	d.saving.Lock()
	defer d.saving.Unlock()
	d.leaf = max(d.leaf, uint32(min(uint64(d.firstLeaf())+skipped, math.MaxUint32)))
}

// Outdated returns how many leaves, from 0 on, are those of earlier snapshots.
func (d *Directory) Outdated() uint32 {
	d.saving.Lock()
	defer d.saving.Unlock()
	return d.leaf
}

func (d *Directory) save(position escrow.TreeSize) error {
	head := binary.BigEndian.AppendUint32([]byte(magic), d.leaf)
	head = append(head, make([]byte, saltBytes)...)
	if _, err := crand.Read(head[headBytes-saltBytes:]); err != nil {
		return escrow.Errorf("directory.Save", escrow.Internal, "no randomness: %w", err)
	}
	secret, err := d.secret(d.leaf)
	if err != nil {
		return err
	}
	defer clear(secret)
	plain := d.encode(position)
	defer clear(plain)
	com, body, err := committing.Seal(secret, binding(head), plain)
	if err != nil {
		return err
	}
	sealed := append(append(make([]byte, 0, headBytes+len(com)+len(body)), head...), com[:]...)
	if err := vfs.WriteFileAtomic(d.fsys, d.path, append(sealed, body...), 0o600); err != nil {
		return escrow.Errorf("directory.Save", escrow.KindOf(err), "writing the snapshot: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.position = position
	return nil
}

// secret returns what a snapshot under a leaf is sealed with: the directory's key and the share of the leaf.
func (d *Directory) secret(leaf uint32) ([]byte, error) {
	share, err := d.keys.Share(d.keys.Ref(keytree.KindRecord, leaf))
	if err != nil {
		return nil, escrow.Errorf("directory", escrow.KindOf(err), "the key of the snapshot: %w", err)
	}
	defer clear(share[:])
	return append(append(make([]byte, 0, len(d.key)+len(share)), d.key[:]...), share[:]...), nil
}

func (d *Directory) encode(position escrow.TreeSize) []byte {
	d.mu.RLock()
	defer d.mu.RUnlock()
	b := make([]byte, 0, fixedBytes+len(d.leaves)*entryBytes)
	b = binary.BigEndian.AppendUint64(b, uint64(position))
	b = binary.BigEndian.AppendUint64(b, d.next)
	b = binary.BigEndian.AppendUint32(b, uint32(len(d.leaves)))
	for t, leaf := range d.leaves {
		b = append(b, t[:]...)
		b = binary.BigEndian.AppendUint32(b, leaf)
	}
	return b
}

// restore fills an empty directory from a snapshot.
func (d *Directory) restore(sealed []byte) error {
	if len(sealed) < headBytes+32+committing.BodyOverhead || string(sealed[:len(magic)]) != magic {
		return malformed("it does not start as one, or ends too early")
	}
	head, rest := sealed[:headBytes], sealed[headBytes:]
	d.leaf = binary.BigEndian.Uint32(head[len(magic):])
	secret, err := d.secret(d.leaf)
	if err != nil {
		return err
	}
	defer clear(secret)
	plain, err := committing.Open(secret, binding(head), committing.Commitment(rest), rest[32:])
	if err != nil {
		return escrow.Errorf("directory.Open", escrow.KindOf(err), "the snapshot: %w", err)
	}
	defer clear(plain)
	return d.decode(plain)
}

func (d *Directory) decode(b []byte) error {
	if len(b) < fixedBytes {
		return malformed("it is too short")
	}
	d.position, d.next = escrow.TreeSize(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
	n := int(binary.BigEndian.Uint32(b[16:]))
	b = b[fixedBytes:]
	if n > MaxEntries || n*entryBytes != len(b) || d.next > 1<<32 {
		return malformed("its counts contradict its length")
	}
	d.leaves = make(map[token]uint32, n)
	for ; len(b) > 0; b = b[entryBytes:] {
		leaf := binary.BigEndian.Uint32(b[16:])
		if uint64(leaf) >= d.next {
			return malformed("a subject has a number that was never given out")
		}
		d.leaves[token(b[:16])] = leaf
	}
	if len(d.leaves) != n {
		return malformed("an identity occurs twice")
	}
	return nil
}

func binding(head []byte) committing.Binding {
	return committing.Binding{Label: label, Salt: head[headBytes-saltBytes:], Hash: sha256.Sum256(append([]byte(label+"\x00"), head...))}
}

func malformed(text string) error {
	return escrow.Errorf("directory.Open", escrow.Corrupt, "the snapshot of the directory is malformed: %s", text)
}
