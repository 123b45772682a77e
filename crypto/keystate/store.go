package keystate

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"escrow"
	"escrow/crypto/committing"
	"escrow/internal/vfs"
)

const (
	magic       = "ESKS\x01" // the last byte is the version of the format
	headerBytes = len(magic) + 8
	label       = "escrow/keystate/v1"
	rootBytes   = 32
	slotBytes   = 8 + rootBytes // epoch and root
)

// store is the pair of files.
type store struct {
	fsys vfs.FS
	dir  string
	rand io.Reader
}

func (s *store) statePath() string { return filepath.Join(s.dir, "state") }
func (s *store) rootPath() string  { return filepath.Join(s.dir, "root") }

// create makes the directory and a root file without roots. It refuses with kind Conflict if that could destroy a key state.
func (s *store) create() error {
	if _, err := s.fsys.Stat(s.statePath()); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return unavailable("keystate.Create", err)
		}
		return escrow.Errorf("keystate.Create", escrow.Conflict, "there is a key state in this directory already")
	}
	for epoch := range uint64(2) {
		slot, err := s.readSlot(epoch)
		switch {
		case err != nil && escrow.KindOf(err) == escrow.Unavailable:
			return err
		case err == nil && binary.BigEndian.Uint64(slot) > 1:
			return escrow.Errorf("keystate.Create", escrow.Conflict, "the directory holds the root of a key state that is missing: restore the file state")
		}
	}
	if err := vfs.MkdirAllSync(s.fsys, s.dir, 0o700); err != nil {
		return unavailable("keystate.Create", err)
	}
	return vfs.WriteFileAtomic(s.fsys, s.rootPath(), make([]byte, rootFileBytes), 0o600)
}

// put makes c the durable state, under a fresh root. After an error either the state before or c is on the disk.
func (s *store) put(c *content) error {
	var slot [slotBytes]byte
	defer clear(slot[:])
	binary.BigEndian.PutUint64(slot[:], c.epoch)
	if _, err := io.ReadFull(s.rand, slot[8:]); err != nil {
		return escrow.Errorf("keystate.Update", escrow.Internal, "no randomness: %w", err)
	}
	sealed, err := seal(c, slot[8:])
	if err != nil {
		return err
	}
	if err := s.writeRoot(slotOffset(c.epoch), slot[:]); err != nil {
		return err
	}
	return vfs.WriteFileAtomic(s.fsys, s.statePath(), sealed, 0o600)
}

// destroyOld overwrites the slot that is not of the given epoch.
func (s *store) destroyOld(epoch uint64) error {
	return s.writeRoot(slotOffset(epoch+1), make([]byte, slotBytes))
}

// load reads the state, makes sure that it is the one on the disk, and only then destroys what the other slot may hold.
func (s *store) load() (*content, error) {
	sealed, err := vfs.ReadFile(s.fsys, s.statePath(), MaxStateBytes)
	if err != nil {
		return nil, escrow.Errorf("keystate.Open", escrow.KindOf(err), "reading the key state: %w", err)
	}
	if len(sealed) < headerBytes+32+committing.BodyOverhead || string(sealed[:len(magic)]) != magic {
		return nil, malformed("it does not start as one, or ends too early")
	}
	epoch := binary.BigEndian.Uint64(sealed[len(magic):])
	if epoch == 0 {
		return nil, malformed("epochs count from 1") // the epoch of an empty slot
	}
	slot, err := s.readSlot(epoch)
	if err != nil {
		return nil, err
	}
	defer clear(slot)
	if binary.BigEndian.Uint64(slot) != epoch {
		return nil, escrow.Errorf("keystate.Open", escrow.Forged,
			"the root of epoch %d has been destroyed: this key state is an old copy and will never open again; bring back the newest one", epoch)
	}
	c, err := open(sealed, slot[8:])
	if err != nil {
		return nil, err
	}
	if err := s.fsys.SyncDir(s.dir); err != nil {
		return nil, unavailable("keystate.Open", err)
	}
	return c, s.destroyOld(epoch)
}

func slotOffset(epoch uint64) int64 { return int64(epoch&1) * slotStride }

// readSlot returns epoch and root from the slot of an epoch.
func (s *store) readSlot(epoch uint64) ([]byte, error) {
	b, err := vfs.ReadFile(s.fsys, s.rootPath(), rootFileBytes)
	switch {
	case err != nil && escrow.KindOf(err) == escrow.Unavailable:
		return nil, unavailable("keystate.Open", err)
	case err != nil || len(b) != rootFileBytes:
		return nil, escrow.Errorf("keystate.Open", escrow.Corrupt, "the file root is missing or not %d bytes long: the key state cannot be opened without it", rootFileBytes)
	}
	defer clear(b)
	off := slotOffset(epoch)
	return append([]byte(nil), b[off:off+slotBytes]...), nil
}

// writeRoot overwrites part of the root file in place; durable on return.
func (s *store) writeRoot(off int64, b []byte) error {
	f, err := s.fsys.OpenFile(s.rootPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unavailable("keystate.Update", err)
	}
	_, err = f.WriteAt(b, off)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return unavailable("keystate.Update", err)
	}
	return nil
}

func unavailable(op string, err error) error {
	return escrow.Errorf(op, escrow.Unavailable, "files of the key state: %w", err)
}

// seal encrypts c under root, which is used for nothing else.
func seal(c *content, root []byte) ([]byte, error) {
	size := c.size()
	if size+headerBytes+32+committing.BodyOverhead > MaxStateBytes {
		return nil, escrow.Errorf("keystate.Update", escrow.Invalid, "a key state of %d bytes exceeds %d", size, MaxStateBytes)
	}
	plain := c.append(make([]byte, 0, size))
	defer clear(plain)
	header := binary.BigEndian.AppendUint64([]byte(magic), c.epoch)
	com, body, err := committing.Seal(root, binding(header), plain)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(header)+len(com)+len(body))
	return append(append(append(out, header...), com[:]...), body...), nil
}

// open is the inverse of seal, for a file long enough.
func open(sealed, root []byte) (*content, error) {
	header, rest := sealed[:headerBytes], sealed[headerBytes:]
	plain, err := committing.Open(root, binding(header), committing.Commitment(rest), rest[32:])
	if err != nil {
		return nil, escrow.Errorf("keystate.Open", escrow.KindOf(err), "the key state: %w", err)
	}
	defer clear(plain)
	c, err := parseContent(plain)
	if err != nil {
		return nil, err
	}
	c.epoch = binary.BigEndian.Uint64(header[len(magic):])
	return c, nil
}

func binding(header []byte) committing.Binding {
	return committing.Binding{Label: label, Hash: sha256.Sum256(append([]byte(label+"\x00"), header...))}
}
