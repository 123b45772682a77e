package disposal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/chronicle"
)

// destroyKeys carries out the orders that the key state has not applied, and commits the epoch. The caller holds work.
func (p *Pipeline) destroyKeys(ctx context.Context, r *Report) error {
	ordered := p.orderedUpTo()
	if p.cfg.Keys.Applied() < ordered {
		n, err := p.puncture(ctx, ordered)
		r.Shares += n
		if err != nil {
			return err
		}
	}
	return p.commitEpoch(ctx)
}

// puncture applies what the ledger orders from the position on up to which the key state has applied it, in one change under a fresh root. A stale key state
// gets a new tree of index files as well: an older one still derives the keys of files that are gone, and would give out leaves that were given out before.
func (p *Pipeline) puncture(ctx context.Context, ordered escrow.TreeSize) (int, error) {
	orders, err := p.orders(ctx, escrow.Seq(p.cfg.Keys.Applied()), ordered)
	if err != nil {
		return 0, err
	}
	destroy, err := p.forget(orders)
	if err != nil {
		return 0, err
	}
	destroyed, stale := 0, p.cfg.Keys.Stale()
	size := max(ordered, p.cfg.Keys.Applied())
	signed := max(p.cfg.Ledger.Size(), p.cfg.Keys.Signed())
	err = p.cfg.Keys.Update(func(tx *keystate.Tx) error {
		destroyed = destroy(tx)
		if stale && !p.state.terminated() {
			tx.RenewIndexTree()
		}
		tx.SetApplied(size)
		tx.SetSigned(signed)
		return nil
	})
	p.applied.Ring() // after an error as well: the change may have been made
	if err != nil {
		p.uncounted = true // the next change finds what this one destroyed, if it did, and does not say how much
		return 0, err
	}
	p.destroyed += destroyed
	p.cfg.Logger.Info("key shares destroyed", "shares", destroyed, "epoch", p.cfg.Keys.Epoch())
	return destroyed, nil
}

// orders returns the orders among the records from … n-1.
func (p *Pipeline) orders(ctx context.Context, from escrow.Seq, n escrow.TreeSize) ([]events.ErasureExecuted, error) {
	var out []events.ErasureExecuted
	err := p.cfg.Ledger.ScanEvents(ctx, from, func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= n {
			return archive.ErrStop
		}
		if rec.Header.Kind != archive.KindErase {
			return nil
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		if f, ok := e.Fact.(events.ErasureExecuted); ok {
			out = append(out, f)
		}
		return nil
	})
	return out, err
}

// forget makes the directory forget the people of orders, durably, and returns what destroys the shares, with their number. The directory goes first: one that
// still named a dead subject after a crash would give new messages a key that is gone. Its snapshots of before die with the shares, and if the key state is
// an older copy, those its successors punctured die again.
func (p *Pipeline) forget(orders []events.ErasureExecuted) (destroy func(*keystate.Tx) int, err error) {
	if slices.ContainsFunc(orders, func(o events.ErasureExecuted) bool { return o.Tenant }) {
		return func(tx *keystate.Tx) int {
			tx.DropAll()
			return 0
		}, nil
	}
	keys := p.cfg.Keys
	var refs []keytree.Ref
	var days []events.DayRange
	var ingest []events.LeafRange
	classes := keys.Classes()
	for _, o := range orders {
		p.cfg.Directory.Forget(o.Subjects...)
		refs = append(refs, p.refs(o)...)
		for _, d := range o.Days {
			if slices.Contains(classes, d.Class) {
				days = append(days, d)
			}
		}
		ingest = append(ingest, o.IngestDays...)
	}
	renew := slices.ContainsFunc(orders, func(o events.ErasureExecuted) bool { return len(o.Subjects) > 0 })
	if keys.Stale() && !keys.Terminated() {
		p.cfg.Directory.Skip()
		renew = true
	}
	if renew {
		if err := p.cfg.Directory.Renew(p.cfg.Directory.Position()); err != nil {
			return nil, err
		}
	}
	log := keys.Ref(keytree.KindIngestDay, 0).Tree
	return func(tx *keystate.Tx) int {
		n := tx.Puncture(refs...)
		if renew && tx.PunctureRange(keytree.KindRecord, 0, 0, p.cfg.Directory.Outdated()-1) > 0 {
			n++ // of one directory
		}
		for _, d := range days {
			n += tx.PunctureRange(keytree.KindRetention, d.Class, d.From, d.To)
		}
		for _, d := range ingest {
			n += tx.PunctureRange(keytree.KindIngestDay, log, d.From, d.To)
		}
		return n
	}, nil
}

// refs returns the single shares an order names.
func (p *Pipeline) refs(o events.ErasureExecuted) []keytree.Ref {
	var refs []keytree.Ref
	for _, leaf := range o.Subjects {
		refs = append(refs, p.cfg.Keys.Ref(keytree.KindSubject, leaf))
	}
	for seq := range events.Seqs(o.Messages) {
		if seq <= math.MaxUint32 {
			refs = append(refs, p.cfg.Keys.Ref(keytree.KindMessage, uint32(seq)))
		}
	}
	for _, hold := range o.Holds {
		refs = append(refs, p.cfg.Keys.Ref(keytree.KindHold, hold))
	}
	return refs
}

// commitEpoch records the epoch of the key state, unless the ledger has it: after every change that began one, and after every order, which may have found
// nothing left to destroy.
func (p *Pipeline) commitEpoch(ctx context.Context) error {
	p.state.mu.RLock()
	last, ordered := p.state.committed, p.state.ordered
	p.state.mu.RUnlock()
	epoch, applied := p.cfg.Keys.Epoch(), p.cfg.Keys.Applied()
	if epoch == last.Epoch && (ordered <= last.Applied || applied < ordered) {
		return nil
	}
	shares, err := p.shares(ctx, last.Applied)
	if err != nil {
		return err
	}
	digest := p.cfg.Keys.Digest()
	_, err = p.append(ctx, events.EpochCommitted{
		Epoch: epoch, State: hex.EncodeToString(digest[:]), Applied: applied, Trees: p.trees(), Shares: shares,
	})
	if err != nil {
		return err
	}
	p.destroyed, p.uncounted = 0, false
	p.remember(ctx)
	return nil
}

// remember tells the root stores of the record that commits an epoch: a copy of the archive that does not have it is not the one that went on. It comes after
// the fact and is told again with the next epoch, so a store that does not answer holds up nothing.
func (p *Pipeline) remember(ctx context.Context) {
	if err := p.cfg.Keys.Remember(ctx, p.cfg.Ledger.Size()); err != nil {
		p.cfg.Logger.Warn("a root store does not remember the newest records", "records", p.cfg.Ledger.Size(), "err", err)
	}
}

// trees returns the number of key trees without which something in the ledger could not be opened: all but those of earlier index files.
func (p *Pipeline) trees() int {
	return p.cfg.Keys.Trees() - int(p.cfg.Keys.Ref(keytree.KindIndexFile, math.MaxUint32).Tree)
}

// shares returns how many shares were destroyed since the last EpochCommitted; where a crash lost the count, how many the orders since then name.
func (p *Pipeline) shares(ctx context.Context, since escrow.TreeSize) (int, error) {
	if !p.uncounted {
		return p.destroyed, nil
	}
	orders, err := p.orders(ctx, escrow.Seq(since), p.cfg.Keys.Applied())
	n := 0
	for _, o := range orders {
		n += len(p.refs(o))
		for _, d := range o.Days {
			n += int(d.To-d.From) + 1
		}
		for _, d := range o.IngestDays {
			n += int(d.To-d.From) + 1
		}
	}
	return max(n, p.destroyed), err
}

// unpurged reports whether an order is not purged from the index yet.
func (p *Pipeline) unpurged() bool {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return p.state.purged < p.state.ordered
}

// purge waits until the index has followed, cleans its files, destroys the keys of the files replaced, reads the ledger again to count what died, and records
// it. The caller holds work.
func (p *Pipeline) purge(ctx context.Context, r *Report) error {
	if !p.unpurged() {
		return nil
	}
	upTo := p.cfg.Ledger.Size()
	dead, err := p.cleanIndex(ctx, upTo)
	if err != nil {
		return err
	}
	p.owed = append(p.owed, dead...) // the index names them once only
	files := len(p.owed)
	if err := p.destroyFileKeys(ctx); err != nil {
		return err
	}
	counted, err := p.countDead(ctx, upTo)
	if err != nil {
		return err
	}
	_, err = p.append(ctx, events.IndexPurged{UpTo: upTo, Removed: p.removed, Redacted: p.redacted, Files: files, Counted: counted})
	if err != nil {
		return err
	}
	r.Removed, r.Redacted, r.Files = r.Removed+p.removed, r.Redacted+p.redacted, r.Files+files
	p.removed, p.redacted = 0, 0
	return nil
}

// cleanIndex brings the index to where nothing of what died is left in it, and returns the leaves of the keys of files that are gone.
func (p *Pipeline) cleanIndex(ctx context.Context, upTo escrow.TreeSize) (dead []uint32, err error) {
	index := p.index.Load()
	if index == nil {
		return nil, escrow.Errorf("disposal", escrow.Unavailable, "the index is not open")
	}
	if p.state.terminated() {
		return (*index).Reset(ctx)
	}
	removed, redacted, err := (*index).Reach(ctx, upTo)
	if err != nil {
		return nil, err
	}
	p.removed, p.redacted = p.removed+removed, p.redacted+redacted
	return (*index).Purge(ctx)
}

// destroyFileKeys destroys the keys of index files that are owed, and commits the epoch. The caller holds work.
func (p *Pipeline) destroyFileKeys(ctx context.Context) error {
	if len(p.owed) > 0 && !p.cfg.Keys.Terminated() {
		refs := make([]keytree.Ref, len(p.owed))
		for i, leaf := range p.owed {
			refs[i] = p.cfg.Keys.Ref(keytree.KindIndexFile, leaf)
		}
		err := p.cfg.Keys.Update(func(tx *keystate.Tx) error {
			p.destroyed += tx.Puncture(refs...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	p.owed = nil
	return p.commitEpoch(ctx)
}

// certify ends the requests of which nothing is left to do. One that cannot be certified keeps no other from it.
func (p *Pipeline) certify(ctx context.Context, r *Report) error {
	if p.cfg.Certify == nil {
		return nil
	}
	var failures []error
	for _, c := range p.Cases() {
		if c.Purged == nil || c.Destroyed == nil || c.Certified != nil {
			continue
		}
		if err := p.certifyOne(ctx, c.Seq); err != nil {
			failures = append(failures, fmt.Errorf("request %d: %w", c.Seq, err))
			continue
		}
		r.Certified = append(r.Certified, c.Seq)
	}
	return errors.Join(failures...)
}

func (p *Pipeline) certifyOne(ctx context.Context, request escrow.Seq) error {
	digest, err := p.cfg.Certify(ctx, request)
	if err != nil {
		return err
	}
	_, err = p.append(ctx, events.ErasureCertified{Request: request, Digest: digest})
	return err
}
