package keystate

import (
	"cmp"
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/internal/vfs"
)

// KEK is a key of the tenant, which may be in the customer's hand; a tink.AEAD is one.
type KEK interface {
	Encrypt(plain, aad []byte) ([]byte, error)
	Decrypt(sealed, aad []byte) ([]byte, error)
}

// Config says what opens a key state.
type Config struct {
	Roots []rootstore.Store // 1 to MaxStores; any one opens, all are needed for a change
	KEK   KEK               // nil: none
	Rand  io.Reader         // nil: crypto/rand
	Now   func() time.Time
}

func (cfg Config) check() error {
	if n := len(cfg.Roots); n < 1 || n > MaxStores || cfg.Now == nil {
		return escrow.Errorf("keystate", escrow.Invalid, "a key state needs a clock and 1 to %d root stores, here are %d", MaxStores, n)
	}
	return nil
}

// State is an open key state, held in memory. All methods are safe for concurrent use.
type State struct {
	store store

	updating sync.Mutex // one Update at a time; readers go on
	unsure   bool       // a write failed half-way: the disk has the old state or the new. Guarded by updating
	begun    uint64     // an epoch for which roots may have been made, and under which nothing was written yet. Guarded by updating

	mu     sync.RWMutex
	c      *content // nil after Close
	digest [32]byte
	known  survey // what the root stores were last known to remember
	stale  bool
}

// Create makes the key state of a new tenant in dir, which it creates, with a tree of every kind but retention classes. It keeps signingKeyset, a
// serialised keyset of at most MaxSigningKeyBytes, for SigningKey. Durable on return. Kind Conflict if there is a state in dir, or if the root stores have
// served one that is missing.
func Create(ctx context.Context, fsys vfs.FS, dir string, cfg Config, signingKeyset []byte) (*State, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if len(signingKeyset) > MaxSigningKeyBytes {
		return nil, escrow.Errorf("keystate.Create", escrow.Invalid, "a signing keyset of %d bytes exceeds %d", len(signingKeyset), MaxSigningKeyBytes)
	}
	s := newState(fsys, dir, cfg)
	if err := s.store.create(); err != nil {
		return nil, err
	}
	known, err := s.store.survey(ctx)
	if err != nil {
		return nil, err
	}
	if known.newest > 1 { // 1 is what a Create that was interrupted leaves
		return nil, escrow.Errorf("keystate.Create", escrow.Conflict,
			"the root stores have made roots up to epoch %d for a key state that is missing: restore the file state, or use stores of their own", known.newest)
	}
	c, err := newContent(s.store.cfg.Rand, signingKeyset)
	if err != nil {
		return nil, err
	}
	if err := s.commit(ctx, c.next(), true); err != nil {
		return nil, err
	}
	return s, nil
}

func newState(fsys vfs.FS, dir string, cfg Config) *State {
	if cfg.Rand == nil {
		cfg.Rand = crand.Reader
	}
	return &State{store: store{fsys: fsys, dir: dir, cfg: cfg}}
}

// Open reads the key state in dir. Kinds: NotFound if there is none; Corrupt if the file is malformed or no store has its root; Forged if it does not
// belong to its root; Erased if its root has been destroyed, because it is an old copy; Denied without the tenant's own key; Unavailable if the file or
// the stores that could open it cannot be read.
func Open(ctx context.Context, fsys vfs.FS, dir string, cfg Config) (*State, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := newState(fsys, dir, cfg)
	c, digest, err := s.store.load(ctx)
	if err != nil {
		return nil, err
	}
	known, failure := s.store.survey(ctx)
	if known.newest < c.epoch { // the store that opened it did not answer
		return nil, escrow.Errorf("keystate.Open", escrow.Unavailable, "no root store says whether this key state is the newest: %w",
			cmp.Or(failure, errNoMemory))
	}
	s.c, s.digest, s.known, s.stale = c, digest, known, known.newest > c.epoch
	return s, nil
}

// errNoMemory is a store that has a root and forgot that it made it.
var errNoMemory = errors.New("the newest epoch they remember is older")

// Share derives the key a reference names. Kinds: Erased if it is punctured; NotFound if there is no such tree; Unavailable after Close.
func (s *State) Share(ref keytree.Ref) (keytree.Share, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil {
		return keytree.Share{}, closed("keystate.Share")
	}
	tree := s.c.trees[treeID{kind: ref.Kind, number: ref.Tree}]
	switch {
	case s.c.terminated:
		return keytree.Share{}, escrow.Errorf("keystate.Share", escrow.Erased, "all keys of this tenant have been destroyed")
	case tree == nil:
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

// Ref names the leaf of a kind, in the generation of trees that has it. A retention class is not a generation: references to a day are made with its
// number.
func (s *State) Ref(kind keytree.Kind, leaf uint32) keytree.Ref {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil {
		return keytree.Ref{Kind: kind, Leaf: leaf}
	}
	return s.c.ref(kind, leaf)
}

func (s *State) content() *content {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.c
}

// view is what the current content says in numbers; zeros after Close.
func (s *State) view() (c content) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c != nil {
		c = *s.c
		clear(c.secret[:])
	}
	return c
}

// Applied returns the ledger position up to which erasure events have been applied to this state.
func (s *State) Applied() escrow.TreeSize { return s.view().applied }

// Signed returns the largest ledger size known to have been signed: a shorter ledger has been rolled back.
func (s *State) Signed() escrow.TreeSize { return s.view().signed }

// IndexLeaves returns how many leaves of index files have been given out: the next is this one.
func (s *State) IndexLeaves() uint32 { return s.view().indexLeaves }

// Version counts the changes of this state, from 1.
func (s *State) Version() uint64 { return s.view().version }

// Epoch returns the epoch of the root the state is under. It grows when keys are destroyed or trees added, not always by one.
func (s *State) Epoch() uint64 { return s.view().epoch }

// Trees returns the number of key trees, which never decreases but by DropAll: a state with fewer than were once committed is an older copy.
func (s *State) Trees() int { return len(s.view().trees) }

// Terminated reports whether DropAll has destroyed everything.
func (s *State) Terminated() bool { return s.view().terminated }

// Retired returns the roots that are no longer used and not yet destroyed, ascending by epoch.
func (s *State) Retired() []Retired { return slices.Clone(s.view().retired) }

// Digest returns the SHA-256 of the state file.
func (s *State) Digest() [32]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.digest
}

// Stale reports whether the root stores know a newer epoch than the state that was opened: an older copy was brought back, or a change was interrupted
// before it was written. It ends with an Update that calls RenewIndexTree or DropAll; every other fails.
func (s *State) Stale() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stale
}

// Required returns the number of records the ledger must have at least: it had them once.
func (s *State) Required() escrow.TreeSize {
	c := s.view()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return max(c.applied, c.signed, s.known.size)
}

// Export returns the sealed state file, for a backup: it opens as long as the root of its epoch exists.
func (s *State) Export() ([]byte, error) {
	s.updating.Lock()
	defer s.updating.Unlock()
	b, err := s.store.read()
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != s.Digest() {
		return nil, escrow.Errorf("keystate.Export", escrow.Unavailable, "the state file is not the one last written; a change of the keys failed, and the next makes sure")
	}
	return b, nil
}

// Secret returns a key for a purpose that is not erased with anybody, such as "directory": HKDF-Expand-SHA-256 (RFC 5869) of the tenant's secret with
// info "escrow/secret/v1" ‖ 0x00 ‖ purpose. It stays the same as long as the tenant exists. After Close and after DropAll it is zeros.
func (s *State) Secret(purpose string) [32]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.c == nil || s.c.terminated {
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
