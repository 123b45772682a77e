package keystate

import (
	"context"
	"slices"
	"time"

	"escrow"
	"escrow/crypto/keytree"
)

// storesTimeout bounds what one change waits for its root stores: a key service that takes longer is down.
const storesTimeout = time.Minute

// Update changes the state by fn and makes it durable, under a fresh root if it takes keys away or adds trees; on return without error the change is on the
// disk and in memory. Readers see the state before until then. If fn fails, nothing happens and its error is returned. After an error of kind
// Unavailable the change may or may not have been made; the next Update first finds out, from the file. A change needs every root store. fn must not
// call methods of s.
func (s *State) Update(fn func(*Tx) error) error {
	s.updating.Lock()
	defer s.updating.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), storesTimeout)
	defer cancel()
	if err := s.makeSure(ctx); err != nil {
		return err
	}
	before := s.content()
	if before == nil {
		return closed("keystate.Update")
	}
	tx := begin(before, s.store.cfg.Rand)
	err := tx.run(fn)
	if err == nil && s.Stale() && !renews(before, tx.c) {
		err = escrow.Errorf("keystate.Update", escrow.Conflict,
			"this key state is an older copy: before anything else the ledger's erasures must be applied and the keys of the index renewed")
	}
	if err == nil {
		err = s.commit(ctx, tx.c, tx.epoch)
	}
	if err != nil {
		tx.c.wipe(before)
	}
	return err
}

// makeSure reads the state back from the file if it is not known which one it holds.
func (s *State) makeSure(ctx context.Context) error {
	if !s.unsure || s.content() == nil {
		return nil
	}
	c, digest, err := s.store.load(ctx)
	if err != nil {
		return err
	}
	s.replace(c, digest)
	s.unsure = false
	return nil
}

// commit makes c the state, on the disk and for readers, under a new epoch if asked to, if the stores know a newer one, or if one of them
// has lost or never had the root of the present one.
func (s *State) commit(ctx context.Context, c *content, epoch bool) error {
	known, err := s.store.survey(ctx)
	if err != nil {
		return err
	}
	if known.newest > max(s.known.newest, s.begun, 1) {
		return escrow.Errorf("keystate.Update", escrow.Conflict,
			"the root stores know epoch %d, which is newer than this key state: another process changes it, or a store was down when an older copy was opened; start again", known.newest)
	}
	var b sealed
	keep := !epoch && known.newest == c.epoch
	if keep {
		b, err = s.store.seal(ctx, c)
		keep = err == nil || !lost(err)
	}
	if !keep {
		if err := s.begin(ctx, c, known); err != nil {
			return err
		}
		known.newest = c.epoch
		b, err = s.store.seal(ctx, c)
	}
	if err != nil {
		return err
	}
	s.begun, s.unsure = 0, true
	s.know(known)
	if err := s.store.write(b); err != nil {
		return err
	}
	s.replace(c, b.digest())
	s.unsure = false
	return nil
}

// lost reports whether an error says that a store no longer has the root of the present epoch. The next epoch mends that.
func lost(err error) bool {
	return slices.Contains([]escrow.Kind{escrow.Corrupt, escrow.Erased, escrow.NotFound}, escrow.KindOf(err))
}

// begin makes the roots of the epoch after every other and retires those before. An epoch whose roots were made for a change that did not get as far as
// writing is used.
func (s *State) begin(ctx context.Context, c *content, known survey) error {
	next := max(known.newest, c.epoch) + 1
	switch {
	case c.epoch == 0:
		next = 1 // a Create that was interrupted may have made it
	case s.begun > c.epoch && s.begun >= known.newest:
		next = s.begun
	}
	if err := s.store.reserve(c); err != nil {
		return err
	}
	if err := s.store.encrypts(); err != nil {
		return err
	}
	c.epoch, s.begun = next, next
	if err := c.retire(known.live, s.store.cfg.Now()); err != nil {
		return err
	}
	for i, root := range s.store.cfg.Roots {
		if err := root.Create(ctx, next, max(c.applied, c.signed)); err != nil {
			return needed(i, err)
		}
	}
	return nil
}

// know notes what the root stores remember from now on.
func (s *State) know(known survey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = survey{newest: max(known.newest, s.known.newest), size: known.size}
}

// replace shows readers another content and wipes what was only in the one before. The first content that has new keys for the index ends the time in which
// the state was an older copy.
func (s *State) replace(c *content, digest [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.c
	s.c, s.digest = c, digest
	s.stale = s.stale && !renews(before, c)
	if before != nil {
		before.wipe(c)
	}
}

// renews reports whether after can no longer use what before knows of index files.
func renews(before, after *content) bool {
	const kind = keytree.KindIndexFile
	return after.terminated || before != nil && len(after.generations[kind]) > len(before.generations[kind])
}
