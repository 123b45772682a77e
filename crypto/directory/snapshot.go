package directory

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"

	"escrow"
	"escrow/crypto/committing"
	"escrow/internal/vfs"
)

const (
	magic      = "ESDY\x01" // the last byte is the version of the format
	label      = "escrow/directory/v1"
	saltBytes  = 16
	fixedBytes = 8 + 8 + 4 // position, next number, number of entries
	entryBytes = 16 + 4    // token, leaf
)

func snapshotPath(dir string) string { return filepath.Join(dir, "directory") }

// Save writes a snapshot that replaces the one before at once, and is durable on return. Position is the ledger position up to which the caller has
// told the directory everything; it must have stopped telling it what lies beyond. Errors are of kind Unavailable.
func (d *Directory) Save(position escrow.TreeSize) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	plain := d.encode(position)
	defer clear(plain)
	salt := make([]byte, saltBytes)
	if _, err := crand.Read(salt); err != nil {
		return escrow.Errorf("directory.Save", escrow.Internal, "no randomness: %w", err)
	}
	com, body, err := committing.Seal(d.key[:], binding(salt), plain)
	if err != nil {
		return err
	}
	sealed := make([]byte, 0, len(magic)+saltBytes+len(com)+len(body))
	sealed = append(append(append(sealed, magic...), salt...), com[:]...)
	if err := vfs.WriteFileAtomic(d.fsys, d.path, append(sealed, body...), 0o600); err != nil {
		return escrow.Errorf("directory.Save", escrow.KindOf(err), "writing the snapshot: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.position = position
	return nil
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
	const head = len(magic) + saltBytes
	if len(sealed) < head+32+committing.BodyOverhead || string(sealed[:len(magic)]) != magic {
		return malformed("it does not start as one, or ends too early")
	}
	salt := sealed[len(magic):head]
	plain, err := committing.Open(d.key[:], binding(salt), committing.Commitment(sealed[head:]), sealed[head+32:])
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

func binding(salt []byte) committing.Binding {
	return committing.Binding{Label: label, Salt: salt, Hash: sha256.Sum256([]byte(magic))}
}

func malformed(text string) error {
	return escrow.Errorf("directory.Open", escrow.Corrupt, "the snapshot of the directory is malformed: %s", text)
}
