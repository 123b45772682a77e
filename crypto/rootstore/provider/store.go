package provider

import (
	"context"
	"errors"
	"slices"
	"sync"

	"escrow"
	"escrow/crypto/rootstore"
)

// What an error of Keys means. An implementation wraps one of them with the provider's own words; an error without any is a failure that trying again
// does not mend.
var (
	ErrBusy     = errors.New("the provider does not answer as it should")     // no connection, throttled, its own failure: try again
	ErrGone     = errors.New("the key does not exist or waits for its end")   // destroyed, scheduled to be, or never made
	ErrDisabled = errors.New("the key is disabled")                           // can be enabled again
	ErrMisfit   = errors.New("this was not wrapped by this key in this form") // another key, other associated data, changed bytes
)

// Keys makes and destroys keys at a provider, one for each epoch, each under a name of its own. Its methods are safe for concurrent use.
type Keys interface {
	// Make makes the key of an epoch unless there is one, and then remembers the epoch and the size at the provider. Nothing is remembered before the key
	// exists.
	Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error
	// Seal encrypts under the key of an epoch. It never makes the key.
	Seal(ctx context.Context, epoch uint64, plain, aad []byte) ([]byte, error)
	// Open is the inverse of Seal.
	Open(ctx context.Context, epoch uint64, sealed, aad []byte) ([]byte, error)
	// End destroys the key of an epoch or has it scheduled; it is idempotent, also for a key that never was.
	End(ctx context.Context, epoch uint64) error
	// Look describes all keys, in any order.
	Look(ctx context.Context) (rootstore.Evidence, error)
}

// Store is a root store on keys at a provider. It implements rootstore.Store.
type Store struct {
	kind, name string
	keys       Keys

	change sync.Mutex // held while roots are made or destroyed

	mu     sync.Mutex // guards what follows
	newest uint64     // the newest epoch the provider has ever shown to this process
}

var _ rootstore.Store = (*Store)(nil)

// New returns a store of a kind on keys of its own; name is bound to everything wrapped.
func New(kind, name string, keys Keys) *Store { return &Store{kind: kind, name: name, keys: keys} }

// Create implements rootstore.Store.
func (s *Store) Create(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	if epoch == 0 {
		return escrow.Errorf(s.kind+".Create", escrow.Invalid, "epochs begin at 1")
	}
	s.change.Lock()
	defer s.change.Unlock()
	known, err := s.look(ctx)
	if err != nil {
		return s.failed("Create", epoch, err)
	}
	root, there := known.Of(epoch)
	switch {
	case epoch < known.Newest:
		return escrow.Errorf(s.kind+".Create", escrow.Conflict, "epoch %d is older than %d, the newest this store ever made; roots never come back",
			epoch, known.Newest)
	case epoch == known.Newest && (!there || root.State != rootstore.Live):
		return escrow.Errorf(s.kind+".Create", escrow.Conflict, "the root of epoch %d was destroyed; begin the next epoch", epoch)
	case epoch == known.Newest && size <= known.Size:
		return nil
	}
	if err := s.keys.Make(ctx, epoch, max(size, known.Size)); err != nil {
		return s.failed("Create", epoch, err)
	}
	s.saw(epoch)
	return nil
}

// Wrap implements rootstore.Store.
func (s *Store) Wrap(ctx context.Context, epoch uint64, key, aad []byte) ([]byte, error) {
	bound := bind(s.name, epoch, key, aad)
	defer clear(bound)
	wrapped, err := s.keys.Seal(ctx, epoch, bound, aad)
	if err != nil {
		return nil, s.explain(ctx, "Wrap", epoch, err)
	}
	return wrapped, nil
}

// Unwrap implements rootstore.Store.
func (s *Store) Unwrap(ctx context.Context, epoch uint64, wrapped, aad []byte) ([]byte, error) {
	if len(wrapped) == 0 {
		return nil, escrow.Errorf(s.kind+".Unwrap", escrow.Forged, "epoch %d: nothing to unwrap", epoch)
	}
	bound, err := s.keys.Open(ctx, epoch, wrapped, aad)
	if err != nil {
		return nil, s.explain(ctx, "Unwrap", epoch, err)
	}
	defer clear(bound)
	key, ok := release(s.name, epoch, bound, aad)
	if !ok {
		return nil, escrow.Errorf(s.kind+".Unwrap", escrow.Forged, "epoch %d: this was wrapped for another archive, epoch or purpose", epoch)
	}
	return key, nil
}

// Destroy implements rootstore.Store.
func (s *Store) Destroy(ctx context.Context, epoch uint64) error {
	s.change.Lock()
	defer s.change.Unlock()
	if err := s.keys.End(ctx, epoch); err != nil {
		return s.failed("Destroy", epoch, err)
	}
	return nil
}

// Evidence implements rootstore.Store.
func (s *Store) Evidence(ctx context.Context) (rootstore.Evidence, error) {
	e, err := s.look(ctx)
	if err != nil {
		return rootstore.Evidence{}, s.failed("Evidence", 0, err)
	}
	return e, nil
}

// look asks the provider, and refuses an answer that knows less than an earlier one.
func (s *Store) look(ctx context.Context) (rootstore.Evidence, error) {
	before := s.saw(0)
	e, err := s.keys.Look(ctx)
	if err != nil {
		return rootstore.Evidence{}, err
	}
	e.Store = s.kind
	slices.SortFunc(e.Roots, func(a, b rootstore.Root) int {
		if a.Epoch < b.Epoch {
			return -1
		}
		return 1
	})
	if s.saw(e.Newest); e.Newest < before {
		return rootstore.Evidence{}, escrow.Errorf(s.kind+".Evidence", escrow.Unavailable,
			"the provider shows epoch %d as the newest and has shown %d before: its list lags behind, or it was set back; ask who runs it", e.Newest, before)
	}
	return e, nil
}

// saw remembers the newest epoch and returns it.
func (s *Store) saw(epoch uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = max(s.newest, epoch)
	return s.newest
}

// explain turns the refusal of a key into a kind: for one that does not exist any more the list of all keys says which.
func (s *Store) explain(ctx context.Context, op string, epoch uint64, cause error) error {
	switch {
	case errors.Is(cause, ErrMisfit):
		return escrow.Errorf(s.kind+"."+op, escrow.Forged, "epoch %d: %w", epoch, cause)
	case !errors.Is(cause, ErrGone):
		return s.failed(op, epoch, cause)
	}
	known, err := s.look(ctx)
	if err != nil {
		return s.failed(op, epoch, err)
	}
	root, there := known.Of(epoch)
	switch {
	case there && root.State == rootstore.Live:
		return escrow.Errorf(s.kind+"."+op, escrow.Unavailable, "epoch %d: the provider lists the key but cannot use it yet; try again: %w", epoch, cause)
	case there || epoch <= known.Newest:
		return escrow.Errorf(s.kind+"."+op, escrow.Erased, "the root of epoch %d is destroyed: %w", epoch, cause)
	}
	return escrow.Errorf(s.kind+"."+op, escrow.NotFound, "there never was a root of epoch %d here; is it the right store? %w", epoch, cause)
}

// failed makes an error of kind Unavailable that says where; an epoch of 0 is none.
func (s *Store) failed(op string, epoch uint64, cause error) error {
	hint := ""
	if errors.Is(cause, ErrDisabled) {
		hint = "; enable it again at the provider"
	}
	if epoch == 0 {
		return escrow.Errorf(s.kind+"."+op, escrow.Unavailable, "%w%s", cause, hint)
	}
	return escrow.Errorf(s.kind+"."+op, escrow.Unavailable, "epoch %d: %w%s", epoch, cause, hint)
}
