package keystate

import (
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"io"
	"slices"
	"sync"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

// State is an open key state, held in memory. All methods are safe for concurrent use.
type State struct {
	store store

	updating sync.Mutex // one Update at a time; readers go on
	unsure   bool       // an Update failed half-way: the disk has the old state or the new. Guarded by updating

	mu sync.RWMutex
	c  *content // nil after Close
}

// Create makes the key state of a new tenant in dir, which it creates, with a tree of every kind but retention classes. It draws all keys from rand and
// keeps signingKeyset, a serialised keyset of at most MaxSigningKeyBytes, for SigningKey. Durable on return. Kind Conflict if there is a state in dir.
func Create(fsys vfs.FS, dir string, rand io.Reader, signingKeyset []byte) (*State, error) {
	if len(signingKeyset) > MaxSigningKeyBytes {
		return nil, escrow.Errorf("keystate.Create", escrow.Invalid, "a signing keyset of %d bytes exceeds %d", len(signingKeyset), MaxSigningKeyBytes)
	}
	s := &State{store: store{fsys: fsys, dir: dir, rand: rand}}
	if err := s.store.create(); err != nil {
		return nil, err
	}
	c, err := newContent(rand, signingKeyset)
	if err != nil {
		return nil, err
	}
	if err := s.store.put(c); err != nil {
		return nil, err
	}
	s.c = c
	return s, nil
}

// Open reads the key state in dir and finishes a change that was interrupted. Kinds: NotFound if there is none; Corrupt if a file is malformed or the
// root is missing; Forged if the state does not belong to the root, because it was changed or is an old copy; Unavailable if a file cannot be read.
func Open(fsys vfs.FS, dir string) (*State, error) {
	s := &State{store: store{fsys: fsys, dir: dir, rand: crand.Reader}}
	c, err := s.store.load()
	if err != nil {
		return nil, err
	}
	s.c = c
	return s, nil
}

// Share derives the key a reference names. Kinds: Erased if it is punctured; NotFound if there is no such tree; Unavailable after Close.
func (s *State) Share(ref keytree.Ref) (keytree.Share, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil {
		return keytree.Share{}, closed("keystate.Share")
	}
	tree := s.c.trees[treeID{kind: ref.Kind, number: ref.Tree}]
	if tree == nil {
		return keytree.Share{}, noTree("keystate.Share", ref.Kind, ref.Tree)
	}
	return tree.Share(ref.Leaf)
}

// Alive reports whether Share would give the key.
func (s *State) Alive(ref keytree.Ref) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil {
		return false
	}
	tree := s.c.trees[treeID{kind: ref.Kind, number: ref.Tree}]
	return tree != nil && tree.Alive(ref.Leaf)
}

// Update changes the state by fn and makes it durable under a fresh root; on return without error the change is on the disk, in memory, and the root of
// the state before is destroyed. Readers see the state before until then. If fn fails, nothing happens and its error is returned. After an error of
// kind Unavailable the change may or may not have been made; the next Update first finds out, from the files. An fn that does nothing still changes
// the root. fn must not call methods of s.
func (s *State) Update(fn func(*Tx) error) error {
	s.updating.Lock()
	defer s.updating.Unlock()
	if err := s.makeSure(); err != nil {
		return err
	}
	before := s.content()
	if before == nil {
		return closed("keystate.Update")
	}
	tx := begin(before, s.store.rand)
	if err := tx.run(fn); err != nil {
		tx.c.wipe(before)
		return err
	}
	s.unsure = true
	if err := s.store.put(tx.c); err != nil {
		tx.c.wipe(before)
		return escrow.Errorf("keystate.Update", escrow.KindOf(err), "writing the key state: %w", err)
	}
	s.replace(tx.c)
	if err := s.store.destroyOld(tx.c.epoch); err != nil {
		return escrow.Errorf("keystate.Update", escrow.KindOf(err), "the change is made, but the root before is not destroyed: %w", err)
	}
	s.unsure = false
	return nil
}

// makeSure reads the state back from the files if it is not known which one they hold.
func (s *State) makeSure() error {
	if !s.unsure || s.content() == nil {
		return nil
	}
	c, err := s.store.load()
	if err != nil {
		return err
	}
	s.replace(c)
	s.unsure = false
	return nil
}

func (s *State) content() *content {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.c
}

// replace shows readers another content and wipes what was only in the one before.
func (s *State) replace(c *content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.c
	s.c = c
	if before != nil {
		before.wipe(c)
	}
}

// Applied returns the ledger position up to which erasure events have been applied to this state.
func (s *State) Applied() escrow.TreeSize { return s.header().applied }

// Signed returns the largest ledger size known to have been signed: a shorter ledger has been rolled back.
func (s *State) Signed() escrow.TreeSize { return s.header().signed }

// IndexLeaves returns how many leaves of the index file tree have been given out: the next is this one.
func (s *State) IndexLeaves() uint32 { return s.header().indexLeaves }

// Epoch returns the number of the state, which every Update increases.
func (s *State) Epoch() uint64 { return s.header().epoch }

// Generation returns the generation of the key trees.
func (s *State) Generation() uint32 { return s.header().generation }

// header returns the numbers of the current content; zeros after Close.
func (s *State) header() (c content) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c != nil {
		c.applied, c.signed, c.indexLeaves, c.epoch, c.generation = s.c.applied, s.c.signed, s.c.indexLeaves, s.c.epoch, s.c.generation
	}
	return c
}

// Secret returns a key for a purpose that is not erased with anybody, such as "directory": HKDF-Expand-SHA-256 (RFC 5869) of the tenant's secret with
// info "escrow/secret/v1" ‖ 0x00 ‖ purpose. It stays the same as long as the tenant exists. After Close it is a key of nobody.
func (s *State) Secret(purpose string) [32]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil {
		return [32]byte{}
	}
	mac := hmac.New(sha256.New, s.c.secret[:])
	mac.Write([]byte("escrow/secret/v1\x00" + purpose + "\x01"))
	return [32]byte(mac.Sum(nil))
}

// SigningKey returns a copy of the keyset given to Create; nil after Close.
func (s *State) SigningKey() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil {
		return nil
	}
	return slices.Clone(s.c.signing)
}

// Close overwrites the keys in memory, as far as the runtime lets it. It waits for an Update under way. Closing twice is allowed.
func (s *State) Close() error {
	s.updating.Lock()
	defer s.updating.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		s.c.wipe(nil)
	}
	s.c = nil
	return nil
}

func closed(op string) error {
	return escrow.Errorf(op, escrow.Unavailable, "the key state is closed")
}

func noTree(op string, kind keytree.Kind, number uint16) error {
	return escrow.Errorf(op, escrow.NotFound, "there is no key tree %c%d", kind, number)
}
