package file

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/rootstore"
	"escrow/internal/vfs"
)

// Config says how a root file is used. The zero Config has the documented defaults.
type Config struct {
	Stripes    int       // stripes of 32 bytes a root of a new file is split into; 0: DefaultStripes. A file that exists keeps its own
	Rand       io.Reader // nil: crypto/rand
	AcceptWeak bool      // work on file systems that keep what was overwritten, and say so in the evidence
	// FileSystem returns kind and mount options of the file system that holds a folder; nil: nobody knows.
	FileSystem func(dir string) (kind, options string, err error)
}

// Store is a root store in one file. It implements rootstore.Store; every change is durable on return. Only one process may use the file.
type Store struct {
	fsys    vfs.FS
	path    string
	stripes uint32
	rand    io.Reader
	weak    string // why overwriting may not overwrite, or ""

	mu      sync.Mutex
	settled bool // what an earlier process or a failed call left is finished
}

var _ rootstore.Store = (*Store)(nil)

// Open returns the store in a file. A file that does not exist is made with the first root; its folder must exist, so that a disk that is not mounted
// is noticed. Kinds: Invalid if the file system keeps what is overwritten and cfg does not accept that; Unavailable if the folder is missing.
func Open(fsys vfs.FS, path string, cfg Config) (*Store, error) {
	s := &Store{fsys: fsys, path: path, stripes: uint32(cmp.Or(cfg.Stripes, DefaultStripes)), rand: cfg.Rand}
	if s.rand == nil {
		s.rand = crand.Reader
	}
	if cfg.Stripes < 0 || cfg.Stripes == 1 || cfg.Stripes > maxStripes {
		return nil, escrow.Errorf("rootstore.file", escrow.Invalid, "a root must have 2 to %d stripes, not %d", maxStripes, cfg.Stripes)
	}
	dir := filepath.Dir(path)
	if _, err := fsys.Stat(dir); err != nil {
		return nil, escrow.Errorf("rootstore.file", escrow.Unavailable, "the folder of the root file; if it is missing, mount its disk or create it: %w", err)
	}
	if cfg.FileSystem == nil {
		return s, nil
	}
	kind, options, err := cfg.FileSystem(dir)
	if err != nil {
		return nil, escrow.Errorf("rootstore.file", escrow.Unavailable, "finding out which file system holds %s: %w", dir, err)
	}
	s.weak = weakness(kind, options)
	if s.weak != "" && !cfg.AcceptWeak {
		return nil, escrow.Errorf("rootstore.file", escrow.Invalid,
			"%s is on %s: roots destroyed there could be found again; put the file on ext4 or xfs, use another root store, or accept it in the configuration", path, s.weak)
	}
	return s, nil
}

// weakness says why overwriting a file in place does not overwrite it on a file system, or "".
func weakness(kind, options string) string {
	switch {
	case slices.Contains([]string{"btrfs", "zfs", "bcachefs", "f2fs", "nilfs2"}, kind):
		return kind + ", which writes changed blocks elsewhere and keeps the old ones"
	case slices.Contains(strings.Split(options, ","), "data=journal"):
		return kind + " with data=journal, which keeps copies of what is written in its journal"
	}
	return ""
}

// Create implements rootstore.Store. It fails with kind Conflict when MaxSlots roots exist.
func (s *Store) Create(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.found(ctx); err != nil {
		return err
	}
	return s.use(ctx, func(f vfs.File, h *header) error {
		switch known := h.find(epoch); {
		case epoch < h.newest, epoch == h.newest && (known == nil || known.state != slotLive):
			return escrow.Errorf("rootstore.Create", escrow.Conflict, "the root file had its newest root made for epoch %d, and roots never come back: %d is over", h.newest, epoch)
		case epoch == h.newest && size <= h.size:
			return nil
		case epoch > h.newest:
			if err := s.plant(f, h, epoch); err != nil {
				return err
			}
		}
		h.newest, h.size = epoch, max(size, h.size)
		return h.write(f)
	})
}

// found makes the file if there is none.
func (s *Store) found(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	_, err := s.fsys.Stat(s.path)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return unavailable(err)
	}
	b := make([]byte, 2*headerBytes)
	(&header{stripes: s.stripes}).append(b[:0])
	return vfs.WriteFileAtomic(s.fsys, s.path, b, 0o600)
}

// plant writes a fresh root into a free slot, reads it back, and names it in h, which the caller writes.
func (s *Store) plant(f vfs.File, h *header, epoch uint64) error {
	i := h.free()
	if i < 0 {
		return escrow.Errorf("rootstore.Create", escrow.Conflict,
			"the root file is full with %d roots; have old ones destroyed sooner (escrow erase run --roots-now, or fewer days to keep them)", MaxSlots)
	}
	var root [rootBytes]byte
	defer clear(root[:])
	if _, err := io.ReadFull(s.rand, root[:]); err != nil {
		return escrow.Errorf("rootstore.Create", escrow.Internal, "no randomness: %w", err)
	}
	if err := split(io.NewOffsetWriter(f, h.offset(i)), s.rand, &root, int(h.stripes)); err != nil {
		return unavailable(err)
	}
	if err := f.Sync(); err != nil {
		return unavailable(err)
	}
	h.slots[i] = slot{epoch: epoch, state: slotLive, check: check(&root)}
	back, err := s.root(f, h, i)
	clear(back[:])
	return err
}

// Wrap implements rootstore.Store.
func (s *Store) Wrap(ctx context.Context, epoch uint64, key, aad []byte) (wrapped []byte, err error) {
	err = s.with(ctx, epoch, func(root []byte) error {
		salt := make([]byte, saltBytes)
		if _, err := io.ReadFull(s.rand, salt); err != nil {
			return escrow.Errorf("rootstore.Wrap", escrow.Internal, "no randomness: %w", err)
		}
		com, body, err := committing.Seal(root, binding(epoch, salt, aad), key)
		wrapped = append(append(salt, com[:]...), body...)
		return err
	})
	return wrapped, err
}

// Unwrap implements rootstore.Store. It fails with kind Corrupt if the root is damaged.
func (s *Store) Unwrap(ctx context.Context, epoch uint64, wrapped, aad []byte) (key []byte, err error) {
	err = s.with(ctx, epoch, func(root []byte) error {
		if len(wrapped) < saltBytes+32+committing.BodyOverhead {
			return escrow.Errorf("rootstore.Unwrap", escrow.Forged, "%d bytes are not what was wrapped", len(wrapped))
		}
		salt, rest := wrapped[:saltBytes], wrapped[saltBytes:]
		key, err = committing.Open(root, binding(epoch, salt, aad), committing.Commitment(rest), rest[32:])
		return err
	})
	return key, err
}

// with calls fn with the root of an epoch.
func (s *Store) with(ctx context.Context, epoch uint64, fn func(root []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(ctx, func(f vfs.File, h *header) error {
		i := slices.IndexFunc(h.slots, func(s slot) bool { return s.epoch == epoch && s.state == slotLive })
		switch {
		case i < 0 && (epoch > h.newest || epoch == 0):
			return escrow.Errorf("rootstore.file", escrow.NotFound, "%s never had a root of epoch %d: it is another file, or an old copy", s.path, epoch)
		case i < 0:
			return escrow.Errorf("rootstore.file", escrow.Erased, "the root of epoch %d has been destroyed", epoch)
		}
		root, err := s.root(f, h, i)
		defer clear(root[:])
		if err != nil {
			return err
		}
		return fn(root[:])
	})
}

// root reads what is in a living slot.
func (s *Store) root(f vfs.File, h *header, i int) (root [rootBytes]byte, err error) {
	root, err = merge(io.NewSectionReader(f, h.offset(i), h.rootSpan()), int(h.stripes))
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return root, unavailable(err)
	case err != nil || check(&root) != h.slots[i].check:
		return root, escrow.Errorf("rootstore.file", escrow.Corrupt, "the root of epoch %d in %s is damaged and lost", h.slots[i].epoch, s.path)
	}
	return root, nil
}

// Destroy implements rootstore.Store.
func (s *Store) Destroy(ctx context.Context, epoch uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(ctx, func(f vfs.File, h *header) error {
		root := h.find(epoch)
		if root == nil || root.state != slotLive {
			return nil
		}
		root.state = slotDying
		if err := h.write(f); err != nil {
			return err
		}
		return s.bury(f, h)
	})
}

// bury overwrites every dying root.
func (s *Store) bury(f vfs.File, h *header) error {
	for i := range h.slots {
		if h.slots[i].state != slotDying {
			continue
		}
		if _, err := io.CopyN(io.NewOffsetWriter(f, h.offset(i)), s.rand, h.rootSpan()); err != nil {
			return unavailable(err)
		}
		if err := f.Sync(); err != nil {
			return unavailable(err)
		}
		h.slots[i].state, h.slots[i].check = slotDead, [checkBytes]byte{}
		if err := h.write(f); err != nil {
			return err
		}
	}
	return nil
}

// use opens the file and calls fn with its header. What fn writes is durable if it returns nil.
func (s *Store) use(ctx context.Context, fn func(vfs.File, *header) error) error {
	if err := ended(ctx); err != nil {
		return err
	}
	f, err := s.fsys.OpenFile(s.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fn(nil, &header{stripes: s.stripes}) // no slot, so nothing to read or write
	}
	if err != nil {
		return unavailable(err)
	}
	h, err := readHeader(f)
	if err == nil {
		err = s.settle(f, h)
	}
	if err == nil {
		err = fn(f, h)
		s.settled = err == nil || kept(err)
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = unavailable(cerr)
	}
	return err
}

// kept reports whether an error says that nothing was written.
func kept(err error) bool {
	kind := escrow.KindOf(err)
	return kind != escrow.Unavailable && kind != escrow.Internal
}

// settle finishes what an earlier process, or a call that failed, may have left: a header that is seen and not on the disk, and roots to overwrite.
func (s *Store) settle(f vfs.File, h *header) error {
	if s.settled {
		return nil
	}
	h.counter-- // again into its own place: the other is the only one known to be on the disk
	if err := h.write(f); err != nil {
		return err
	}
	if err := s.bury(f, h); err != nil {
		return err
	}
	s.settled = true
	return nil
}

// Evidence implements rootstore.Store.
func (s *Store) Evidence(ctx context.Context) (rootstore.Evidence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := rootstore.Evidence{Store: "file"}
	err := s.use(ctx, func(_ vfs.File, h *header) error {
		e.Method = s.method(h)
		e.Newest, e.Size = h.newest, h.size
		for _, slot := range h.slots {
			if slot.epoch > 0 {
				e.Roots = append(e.Roots, slot.describe())
			}
		}
		return nil
	})
	slices.SortFunc(e.Roots, func(a, b rootstore.Root) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return e, err
}

// method says what Destroy does.
func (s *Store) method(h *header) string {
	text := fmt.Sprintf("Clear, not Purge (NIST SP 800-88): overwritten in place once with random bytes and synced; the root was split over %d KiB, all of which are needed",
		int64(h.stripes)*rootBytes>>10)
	if s.weak != "" {
		text += "; old copies may stay, because the file is on " + s.weak
	}
	return text
}

func (s *slot) describe() rootstore.Root {
	if s.state == slotLive {
		return rootstore.Root{Epoch: s.epoch, State: rootstore.Live}
	}
	return rootstore.Root{Epoch: s.epoch, State: rootstore.Destroyed, Detail: "overwritten"}
}

const saltBytes = 16

// binding ties what is wrapped to its epoch and the caller's data.
func binding(epoch uint64, salt, aad []byte) committing.Binding {
	const label = "escrow/root/v1"
	b := binary.BigEndian.AppendUint64([]byte(label+"\x00"), epoch)
	return committing.Binding{Label: label, Salt: salt, Hash: sha256.Sum256(append(b, aad...))}
}

// check returns a value that only this root has and that says nothing of it.
func check(root *[rootBytes]byte) [checkBytes]byte {
	return sha256.Sum256(append([]byte("escrow/root/check/v1\x00"), root[:]...))
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return escrow.Errorf("rootstore.file", escrow.Unavailable, "the root file was not asked: %w", err)
	}
	return nil
}

func unavailable(err error) error {
	return escrow.Errorf("rootstore.file", escrow.Unavailable, "the root file: %w", err)
}
