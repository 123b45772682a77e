package disposal

import (
	"context"
	"slices"
	"time"

	"escrow"
	"escrow/crypto/keytree"
)

// Run advances at once, when the clock has made something due, and completes erasures that failed half-way, until ctx ends.
func (p *Pipeline) Run(ctx context.Context) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for looked := lookEvery; ; looked += retryEvery {
		if looked >= lookEvery || p.incomplete() {
			looked = 0
			p.advanceByItself(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// advanceByItself advances, and logs what stands in the way.
func (p *Pipeline) advanceByItself(ctx context.Context) {
	r, err := p.Advance(ctx, Options{})
	if err != nil && ctx.Err() == nil {
		p.cfg.Logger.Error("an erasure is not complete yet", "err", err)
	}
	if r.ClockAhead > 0 {
		p.cfg.Logger.Warn("the clock is far ahead of the last expiry, so nothing expires until somebody confirms it", "hours", int(r.ClockAhead.Hours()))
	}
}

// incomplete reports whether something ordered is not purged, a hold released is not ended, or a request is due.
func (p *Pipeline) incomplete() bool {
	return p.unpurged() || len(p.released()) > 0 || len(p.dueCases(p.cfg.Now())) > 0
}

// Close waits for an erasure that is under way.
func (p *Pipeline) Close() error {
	p.work.Lock()
	defer p.work.Unlock()
	return nil
}

// Complete does what is left of the erasures ordered so far, from the destruction of keys to the purge of the index, and orders nothing. It reports whether
// there was anything to do.
func (p *Pipeline) Complete(ctx context.Context) (bool, error) {
	if !p.gated.Load() {
		return false, p.ready()
	}
	p.work.Lock()
	defer p.work.Unlock()
	var r Report
	if err := p.catchUp(ctx); err != nil {
		return true, at("ledger", err)
	}
	if err := p.destroyKeys(ctx, &r); err != nil {
		return true, at("puncture", err)
	}
	if !p.unpurged() {
		return false, nil
	}
	return true, at("purge", p.purge(ctx, &r))
}

// DestroyFileKeys destroys the keys of index files that are no more.
func (p *Pipeline) DestroyFileKeys(ctx context.Context, leaves []uint32) error {
	if len(leaves) == 0 {
		return nil
	}
	p.work.Lock()
	defer p.work.Unlock()
	p.owed = append(p.owed, leaves...)
	return p.destroyFileKeys(ctx)
}

// DestroyOtherFileKeys destroys the keys of the index files numbered below n, but for those in use, which are in ascending order: what a crash between
// the end of a file and the destruction of its key left.
func (p *Pipeline) DestroyOtherFileKeys(ctx context.Context, n uint32, inUse []uint32) error {
	var dead []uint32
	for leaf := range n {
		_, used := slices.BinarySearch(inUse, leaf)
		if !used && p.cfg.Keys.Alive(p.cfg.Keys.Ref(keytree.KindIndexFile, leaf)) {
			dead = append(dead, leaf)
		}
	}
	return p.DestroyFileKeys(ctx, dead)
}

// WaitApplied returns when the key state has applied every erasure among the first n records. A reader that meets an erasure in the ledger waits here
// before it looks at what is still alive.
func (p *Pipeline) WaitApplied(ctx context.Context, n escrow.TreeSize) error {
	for {
		wait := p.applied.Next()
		if p.cfg.Keys.Applied() >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return escrow.Errorf("disposal.WaitApplied", escrow.Unavailable, "stopped before an erasure was applied: %w", ctx.Err())
		case <-wait:
		}
	}
}
