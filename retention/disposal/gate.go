package disposal

import (
	"context"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/events"
	"escrow/events/chronicle"
)

// Gate opens the archive for reading: it refuses a ledger or a key state that was rolled back, repeats on the keys every erasure the ledger orders, and
// gives a key state that is an older copy a new tree of index files. Before it returns nil everything is restricted and every other method refuses. Kinds:
// Forged for a rollback, with what to restore; those of the ledger and the keys. It may be called again after an error.
func (p *Pipeline) Gate(ctx context.Context) error {
	p.work.Lock()
	defer p.work.Unlock()
	if err := p.checkRollback(ctx); err != nil {
		return err
	}
	p.state.mu.RLock()
	last, ordered := p.state.committed, p.state.ordered
	p.state.mu.RUnlock()
	p.uncounted = p.cfg.Keys.Applied() > last.Applied
	if p.cfg.Keys.Stale() {
		p.cfg.Logger.Warn("the key state is an older copy; every erasure since is repeated on it", "applied", p.cfg.Keys.Applied(), "records", p.cfg.Ledger.Size())
		if _, err := p.puncture(ctx, ordered); err != nil {
			return err
		}
	}
	if err := p.destroyKeys(ctx, &Report{}); err != nil {
		return err
	}
	p.gated.Store(true)
	return nil
}

// checkRollback compares ledger and key state: each says something of the other, and the root stores, which are in no backup, of both.
func (p *Pipeline) checkRollback(ctx context.Context) error {
	keys := p.cfg.Keys
	p.state.mu.RLock()
	last := p.state.committed
	p.state.mu.RUnlock()
	size, required := p.cfg.Ledger.Size(), keys.Required()
	if size < required {
		lost, err := p.acceptedLoss(ctx)
		if err != nil {
			return err
		}
		if required <= lost { // what remains are the numbers the key state itself has: positions in this ledger
			required = max(keys.Signed(), keys.Applied())
		}
	}
	switch {
	case size < required:
		return rolledBack("the ledger has %d records and had at least %d when its keys were last changed: it was rolled back to an older copy, and erasures may be missing; restore the newest one",
			size, required)
	case keys.Terminated():
		return nil
	case p.trees() < last.Trees:
		return rolledBack("the key state has %d key trees and had %d at the last epoch in the ledger: it is an older copy, which cannot open what was sealed since; restore the newest one",
			p.trees(), last.Trees)
	case keys.Epoch() < last.Epoch && !keys.Stale():
		return rolledBack("the key state is of epoch %d and so are its roots, but the ledger has epoch %d: keys and roots were rolled back together; roots belong in no backup, restore the newest ones",
			keys.Epoch(), last.Epoch)
	}
	return nil
}

// acceptedLoss returns how many records the ledger had before a restore from an older copy that an operator accepted, by the record that says so.
func (p *Pipeline) acceptedLoss(ctx context.Context) (had escrow.TreeSize, err error) {
	err = p.cfg.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindIncident {
			return nil
		}
		e, err := chronicle.Read(rec)
		if f, ok := e.Fact.(events.RecordsLost); ok && f.Has == escrow.TreeSize(rec.Seq) {
			had = max(had, f.Had)
		}
		return err
	})
	return had, err
}

func rolledBack(format string, args ...any) error {
	return escrow.Errorf("disposal.Gate", escrow.Forged, format, args...)
}

// TakeOver begins an epoch, by which the root stores know that it is this archive that goes on: the one it was copied from is refused from then on, unless it
// has more records. Call it once after a restore.
func (p *Pipeline) TakeOver(ctx context.Context) error {
	if p.state.terminated() {
		return nil
	}
	if err := p.ready(); err != nil {
		return err
	}
	p.work.Lock()
	defer p.work.Unlock()
	err := p.cfg.Keys.Update(func(tx *keystate.Tx) error {
		tx.Rotate()
		return nil
	})
	if err != nil {
		return at("take over", err)
	}
	return at("take over", p.commitEpoch(ctx))
}

// KeepSize writes the size of the ledger into the key state, by which a ledger restored alone from an older copy is noticed. Call it before closing.
func (p *Pipeline) KeepSize() error {
	size := p.cfg.Ledger.Size()
	if size == p.cfg.Keys.Signed() || p.cfg.Keys.Stale() {
		return nil
	}
	return p.cfg.Keys.Update(func(tx *keystate.Tx) error {
		tx.SetSigned(size)
		return nil
	})
}
