package bleveindex

import (
	"context"
	"path/filepath"

	"escrow"
)

// Reset empties the index, so that the ledger can be applied from the beginning, and returns the leaves of all files that were there, for the caller
// to puncture. When it returns, Position is 0, durably; a crash in between leaves an index whose Position is 0 or what it was. Searches find nothing
// meanwhile. Errors: Unavailable.
func (x *Index) Reset(ctx context.Context) (dead []uint32, err error) {
	x.purging.Lock()
	defer x.purging.Unlock()
	x.applying.Lock()
	defer x.applying.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, escrow.Errorf("bleveindex.Reset", escrow.Unavailable, "emptying the index: %w", err)
	}
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return nil, errClosed()
	}
	old := x.partitions
	x.partitions, x.position = map[string]*partition{}, 0
	x.mu.Unlock()
	if err := x.writeState(); err != nil { // from now on what remains is left over, and removed by the next Open
		return nil, err
	}
	for _, p := range old {
		if err := x.dropPartition(p); err != nil {
			return nil, err
		}
	}
	dead = x.keys.met()
	x.keys.forget(dead)
	return dead, nil
}

func (x *Index) dropPartition(p *partition) error {
	p.gate.Lock()
	defer p.gate.Unlock()
	if err := p.Close(); err != nil {
		return err
	}
	return Remove(filepath.Join(x.dir, p.name))
}
