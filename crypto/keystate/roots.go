package keystate

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"escrow"
	"escrow/crypto/rootstore"
)

// This file is what a state does with its root stores.

// associated is the data that ties what is wrapped to one version of one epoch. Some key services ignore it; the commitment of the state, which has the
// whole header in it, does not depend on them.
func (h *header) associated() []byte {
	b := binary.BigEndian.AppendUint64([]byte("escrow/keystate/root/v2\x00"), h.version)
	return binary.BigEndian.AppendUint64(b, h.epoch)
}

// wrap returns the header of a state sealed under sealer.
func (s *store) wrap(ctx context.Context, c *content, sealer []byte) (*header, error) {
	h := &header{version: c.version, epoch: c.epoch, kek: s.cfg.KEK != nil}
	for i, root := range s.cfg.Roots {
		w, err := root.Wrap(ctx, c.epoch, sealer, h.associated())
		if err != nil {
			return nil, needed(i, err)
		}
		if h.kek {
			if w, err = s.cfg.KEK.Encrypt(w, h.associated()); err != nil {
				return nil, unwrapped(err)
			}
		}
		if len(w) > maxWrapBytes {
			return nil, escrow.Errorf("keystate.Update", escrow.Internal, "root store %d wraps to %d bytes, more than %d", i+1, len(w), maxWrapBytes)
		}
		h.wraps = append(h.wraps, w)
	}
	return h, nil
}

// encrypts asks the tenant's own key, if there is one, before roots are made that only it can make use of.
func (s *store) encrypts() error {
	if s.cfg.KEK == nil {
		return nil
	}
	if _, err := s.cfg.KEK.Encrypt([]byte{0}, (&header{}).associated()); err != nil {
		return unwrapped(err)
	}
	return nil
}

func unwrapped(err error) error {
	return escrow.Errorf("keystate.Update", outage(err), "the tenant's own key did not wrap: %w", err)
}

// unwrap returns the bytes a state is sealed under, from the first root store that has them. Stores may have been added, removed or put in another order
// since it was written.
func (s *store) unwrap(ctx context.Context, h *header) ([]byte, error) {
	if h.kek && s.cfg.KEK == nil {
		return nil, escrow.Errorf("keystate.Open", escrow.Denied, "this key state is under the tenant's own key, which is not configured")
	}
	var failures []error
	for i, w := range h.wraps {
		if h.kek {
			var err error
			if w, err = s.cfg.KEK.Decrypt(w, h.associated()); err != nil {
				failures = append(failures, escrow.Errorf("keystate.Open", outage(err), "the tenant's own key did not unwrap: %w", err))
				continue
			}
		}
		for k := range s.cfg.Roots {
			root := s.cfg.Roots[(i+k)%len(s.cfg.Roots)]
			sealer, err := root.Unwrap(ctx, h.epoch, w, h.associated())
			if err == nil {
				return sealer, nil
			}
			failures = append(failures, err)
		}
	}
	return nil, closedBy(h.epoch, failures)
}

// closedBy makes one error of the reasons why no root store opened a state.
func closedBy(epoch uint64, failures []error) error {
	has := func(kinds ...escrow.Kind) bool {
		return slices.ContainsFunc(failures, func(err error) bool { return slices.Contains(kinds, escrow.KindOf(err)) })
	}
	all := errors.Join(failures...)
	switch {
	case has(escrow.Unavailable, escrow.Internal):
		return escrow.Errorf("keystate.Open", escrow.Unavailable, "no root store could open the key state of epoch %d, and not all could be asked: %w", epoch, all)
	case has(escrow.Erased):
		return escrow.Errorf("keystate.Open", escrow.Erased,
			"the root of epoch %d has been destroyed: this key state is an old copy and will never open again; bring back the newest one: %w", epoch, all)
	case has(escrow.NotFound, escrow.Corrupt):
		return escrow.Errorf("keystate.Open", escrow.Corrupt, "no root store has the root of epoch %d, without which the key state cannot be opened: %w", epoch, all)
	}
	return escrow.Errorf("keystate.Open", escrow.Forged, "the key state does not belong to its root: it was changed, damaged or mixed up with another; restore it from the newest backup of the keys: %w", all)
}

// outage returns the kind of a failure of the tenant's own key: key services return errors of their own.
func outage(err error) escrow.Kind {
	if kind := escrow.KindOf(err); kind != escrow.Internal {
		return kind
	}
	return escrow.Unavailable
}

// needed says that a change needs every root store.
func needed(i int, err error) error {
	return escrow.Errorf("keystate.Update", escrow.KindOf(err), "a change of the keys needs every root store, and number %d failed: %w", i+1, err)
}

// survey is what the root stores say together.
type survey struct {
	newest uint64          // the newest epoch any of them remembers
	size   escrow.TreeSize // the largest
	live   []uint64        // epochs with a living root in any store
}

// survey asks every root store; the error says which did not answer. What the others said is in the result in any case.
func (s *store) survey(ctx context.Context) (out survey, err error) {
	for i, root := range s.cfg.Roots {
		e, failure := root.Evidence(ctx)
		if failure != nil {
			err = cmp.Or(err, needed(i, failure))
			continue
		}
		out.newest, out.size = max(out.newest, e.Newest), max(out.size, e.Size)
		for _, r := range e.Roots {
			if r.State == rootstore.Live {
				out.live = append(out.live, r.Epoch)
			}
		}
	}
	return out, err
}

// retire lists every living root before the present epoch as retired now, if it is not listed.
func (c *content) retire(live []uint64, now time.Time) error {
	for _, epoch := range live {
		known := slices.ContainsFunc(c.retired, func(r Retired) bool { return r.Epoch == epoch })
		if !known && epoch < c.epoch {
			c.retired = append(c.retired, Retired{Epoch: epoch, At: time.Unix(now.Unix(), 0).UTC()})
		}
	}
	slices.SortFunc(c.retired, func(a, b Retired) int { return cmp.Compare(a.Epoch, b.Epoch) })
	if len(c.retired) > MaxRetired {
		return escrow.Errorf("keystate.Update", escrow.Conflict, "%d roots are retired and not destroyed; destroy some before a new one is made", len(c.retired))
	}
	return nil
}

// Remember tells every root store, of which no backup has a copy, that the ledger has this many records, so that a ledger that has fewer is known as an
// older copy. It is told the size of each new epoch anyway; this is for what the epoch itself adds. Refused with kind Conflict while the state is stale.
func (s *State) Remember(ctx context.Context, size escrow.TreeSize) error {
	s.updating.Lock()
	defer s.updating.Unlock()
	if s.Stale() {
		return escrow.Errorf("keystate.Remember", escrow.Conflict, "this key state is an older copy: what it says of the ledger does not count")
	}
	for i, root := range s.store.cfg.Roots {
		if err := root.Create(ctx, s.Epoch(), size); err != nil {
			return needed(i, err)
		}
	}
	return nil
}

// DestroyRoots destroys in every root store the roots retired at that time or before, and returns their epochs. An epoch that failed in one store stays
// in the list, and the next call goes on. An epoch below the present one that is not in Retired has been destroyed: so it can be told after a crash
// which were. A root that was retired in the future, by a clock that was ahead, counts as retired now. Errors of kind Unavailable: some roots may be
// destroyed and not returned yet.
func (s *State) DestroyRoots(ctx context.Context, retiredBefore time.Time) (epochs []uint64, err error) {
	if s.Stale() {
		return nil, escrow.Errorf("keystate.DestroyRoots", escrow.Conflict, "this key state is an older copy: no root is destroyed before it is up to date")
	}
	if err := s.rightRetired(); err != nil {
		return nil, err
	}
	var failures []error
	for _, r := range s.Retired() {
		if r.At.After(retiredBefore) {
			continue
		}
		if err := s.destroyRoot(ctx, r.Epoch); err != nil {
			failures = append(failures, err)
			continue
		}
		epochs = append(epochs, r.Epoch)
	}
	if len(epochs) > 0 {
		err = s.Update(func(tx *Tx) error {
			tx.forget(epochs)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	return epochs, errors.Join(failures...)
}

// rightRetired makes roots that were retired in the future, by a clock that was ahead, retired now: else they would be kept until then.
func (s *State) rightRetired() error {
	now := time.Unix(s.store.cfg.Now().Unix(), 0).UTC()
	ahead := func(r Retired) bool { return r.At.After(now) }
	if !slices.ContainsFunc(s.Retired(), ahead) {
		return nil
	}
	return s.Update(func(tx *Tx) error {
		for i, r := range tx.c.retired {
			if ahead(r) {
				tx.c.retired[i].At = now
			}
		}
		return nil
	})
}

func (s *State) destroyRoot(ctx context.Context, epoch uint64) error {
	for i, root := range s.store.cfg.Roots {
		if err := root.Destroy(ctx, epoch); err != nil {
			return escrow.Errorf("keystate.DestroyRoots", escrow.KindOf(err), "root store %d, epoch %d: %w", i+1, epoch, err)
		}
	}
	return nil
}

// Evidence returns what every root store says of itself, in the order of the configuration.
func (s *State) Evidence(ctx context.Context) ([]rootstore.Evidence, error) {
	var all []rootstore.Evidence
	for i, root := range s.store.cfg.Roots {
		e, err := root.Evidence(ctx)
		if err != nil {
			return nil, escrow.Errorf("keystate.Evidence", escrow.KindOf(err), "root store %d: %w", i+1, err)
		}
		all = append(all, e)
	}
	return all, nil
}
