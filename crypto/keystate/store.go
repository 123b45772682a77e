package keystate

import (
	"context"
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
	magic       = "ESKS\x02" // the last byte is the version of the format
	fixedBytes  = len(magic) + 8 + 8 + 1 + 1
	label       = "escrow/keystate/v2"
	sealerBytes = 32
)

// store is the state file and what opens it.
type store struct {
	fsys vfs.FS
	dir  string
	cfg  Config
}

func (s *store) statePath() string { return filepath.Join(s.dir, "state") }

// create makes the directory. It refuses with kind Conflict if there is a state in it.
func (s *store) create() error {
	_, err := s.fsys.Stat(s.statePath())
	switch {
	case err == nil:
		return escrow.Errorf("keystate.Create", escrow.Conflict, "there is a key state in this directory already")
	case !errors.Is(err, fs.ErrNotExist):
		return unavailable("keystate.Create", err)
	}
	if err := vfs.MkdirAllSync(s.fsys, s.dir, 0o700); err != nil {
		return unavailable("keystate.Create", err)
	}
	return nil
}

// header is what stands in front of a sealed state, in clear.
type header struct {
	version uint64
	epoch   uint64
	kek     bool     // the wraps are encrypted under the tenant's key
	wraps   [][]byte // one for each root store
}

func (h *header) append(b []byte) []byte {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, h.version)
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	b = append(b, bit(h.kek), byte(len(h.wraps)))
	for _, w := range h.wraps {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(w))), w...)
	}
	return b
}

// parseHeader reads a header from the front of a state and returns the number of its bytes.
func parseHeader(b []byte) (h header, n int, err error) {
	if len(b) < fixedBytes || string(b[:len(magic)]) != magic {
		return h, 0, malformed("it does not start as one of this version")
	}
	h.version, h.epoch = binary.BigEndian.Uint64(b[len(magic):]), binary.BigEndian.Uint64(b[len(magic)+8:])
	kek, count := b[fixedBytes-2], int(b[fixedBytes-1])
	if h.version == 0 || h.epoch == 0 || kek > 1 || count < 1 || count > MaxStores {
		return h, 0, malformed("its header is impossible")
	}
	h.kek, n = kek == 1, fixedBytes
	for range count {
		if len(b)-n < 2 {
			return h, 0, malformed("a wrapped key is missing")
		}
		size := int(binary.BigEndian.Uint16(b[n:]))
		n += 2
		if size > maxWrapBytes || size > len(b)-n {
			return h, 0, malformed("a wrapped key is too long")
		}
		h.wraps = append(h.wraps, b[n:n+size])
		n += size
	}
	if len(b)-n < sha256.Size+committing.BodyOverhead {
		return h, 0, malformed("it ends too early")
	}
	return h, n, nil
}

// sealed is a state file in two pieces, header and commitment, and body: the second is large, and not copied.
type sealed [2][]byte

func (b sealed) digest() (sum [32]byte) {
	h := sha256.New()
	h.Write(b[0])
	h.Write(b[1])
	h.Sum(sum[:0])
	return sum
}

// seal encrypts c under fresh bytes, which it wraps in every root store.
func (s *store) seal(ctx context.Context, c *content) (out sealed, err error) {
	var sealer [sealerBytes]byte
	defer clear(sealer[:])
	if _, err := io.ReadFull(s.cfg.Rand, sealer[:]); err != nil {
		return out, escrow.Errorf("keystate.Update", escrow.Internal, "no randomness: %w", err)
	}
	h, err := s.wrap(ctx, c, sealer[:])
	if err != nil {
		return out, err
	}
	size, head := c.size(), h.append(nil)
	if size+len(head)+sha256.Size+committing.BodyOverhead > MaxStateBytes {
		return out, escrow.Errorf("keystate.Update", escrow.Invalid, "a key state of %d bytes exceeds %d", size, MaxStateBytes)
	}
	plain := c.append(make([]byte, 0, size))
	defer clear(plain)
	com, body, err := committing.Seal(sealer[:], binding(head), plain)
	return sealed{append(head, com[:]...), body}, err
}

// write makes a sealed state the durable one. After an error either the state before or this one is on the disk.
func (s *store) write(b sealed) error {
	tmp := s.statePath() + ".tmp"
	if err := s.writeTemporary(tmp, b); err != nil {
		return unavailable("keystate.Update", err)
	}
	back, err := s.digest(tmp)
	if err != nil {
		return unavailable("keystate.Update", err)
	}
	if back != b.digest() {
		return escrow.Errorf("keystate.Update", escrow.Unavailable, "the key state read back is not the one written; the disk fails, and the state before stays")
	}
	if err := s.fsys.Rename(tmp, s.statePath()); err != nil {
		return unavailable("keystate.Update", err)
	}
	if err := s.fsys.SyncDir(s.dir); err != nil {
		return unavailable("keystate.Update", err)
	}
	return nil
}

func (s *store) writeTemporary(name string, b sealed) error {
	f, err := s.fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600) // what reserve wrote stays, so that its space does
	if err != nil {
		return err
	}
	_, err = f.Write(b[0])
	if err == nil {
		_, err = f.Write(b[1])
	}
	if err == nil {
		err = f.Truncate(int64(len(b[0]) + len(b[1])))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reserve takes the space a state needs, before roots are made for it: on a full disk every attempt would leave a root, and key services ask money for
// each.
func (s *store) reserve(c *content) error {
	f, err := s.fsys.OpenFile(s.statePath()+".tmp", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return unavailable("keystate.Update", err)
	}
	zeros := make([]byte, reserveChunk)
	for left := c.size() + fixedBytes + MaxStores*(2+maxWrapBytes) + sha256.Size + committing.BodyOverhead; left > 0 && err == nil; left -= len(zeros) {
		_, err = f.Write(zeros[:min(left, len(zeros))])
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return unavailable("keystate.Update", err)
	}
	return nil
}

// reserveChunk is how much is written at once.
const reserveChunk = 1 << 20

// digest returns the SHA-256 of a file. The operating system may answer from memory: this finds what was cut, mixed up or written by another, not a disk
// that forgets.
func (s *store) digest(name string) (sum [32]byte, err error) {
	f, err := s.fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	h.Sum(sum[:0])
	return sum, errors.Join(err, f.Close())
}

// read returns the state file, in one buffer of its size.
func (s *store) read() ([]byte, error) {
	f, err := s.fsys.OpenFile(s.statePath(), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, escrow.Errorf("keystate.Open", escrow.NotFound, "there is no key state: %w", err)
	}
	if err != nil {
		return nil, unavailable("keystate.Open", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unavailable("keystate.Open", err)
	}
	if info.Size() > MaxStateBytes {
		return nil, malformed("it is too long")
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, unavailable("keystate.Open", err)
	}
	return b, nil
}

// load reads the state and makes sure that it is the one on the disk.
func (s *store) load(ctx context.Context) (c *content, digest [32]byte, err error) {
	b, err := s.read()
	if err != nil {
		return nil, digest, err
	}
	h, n, err := parseHeader(b)
	if err != nil {
		return nil, digest, err
	}
	sealer, err := s.unwrap(ctx, &h)
	if err != nil {
		return nil, digest, err
	}
	defer clear(sealer)
	if c, err = open(&h, b[:n], b[n:], sealer); err != nil {
		return nil, digest, err
	}
	if err := s.fsys.SyncDir(s.dir); err != nil {
		return nil, digest, unavailable("keystate.Open", err)
	}
	return c, sha256.Sum256(b), nil
}

// open is the inverse of seal, behind the header.
func open(h *header, head, rest, sealer []byte) (*content, error) {
	plain, err := committing.Open(sealer, binding(head), committing.Commitment(rest), rest[sha256.Size:])
	if err != nil {
		return nil, escrow.Errorf("keystate.Open", escrow.KindOf(err), "the key state: %w", err)
	}
	defer clear(plain)
	c, err := parseContent(plain, h.epoch)
	if err != nil {
		return nil, err
	}
	c.version = h.version
	return c, nil
}

func binding(head []byte) committing.Binding {
	return committing.Binding{Label: label, Hash: sha256.Sum256(append([]byte(label+"\x00"), head...))}
}

func unavailable(op string, err error) error {
	return escrow.Errorf(op, escrow.Unavailable, "files of the key state: %w", err)
}
