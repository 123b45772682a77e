package disposal

import (
	"context"

	"escrow"
)

// InForce returns when every reader is bound by what the first n records of the ledger restrict, hold, release and withdraw. The index, which follows the
// ledger, waits here before it opens what they concern.
func (p *Pipeline) InForce(ctx context.Context, n escrow.TreeSize) error {
	if p.state.taken() >= n {
		return nil
	}
	return p.catchUp(ctx)
}

// Restricting reports whether an approved erasure restricts anything now.
func (p *Pipeline) Restricting() bool {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return len(p.state.restricting) > 0
}
