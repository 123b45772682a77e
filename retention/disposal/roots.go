package disposal

import (
	"context"
	"time"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/events"
)

// destroyRoots destroys the roots that were kept long enough, in every store, and records what the stores say of them. Roots that are gone at one store and
// not at another are not destroyed. The caller holds work.
func (p *Pipeline) destroyRoots(ctx context.Context, o Options, r *Report) error {
	before := p.cfg.Now().Add(-p.cfg.Terms.KeepRoots)
	if o.RootsNow || p.cfg.Terms.KeepRoots == 0 || p.state.terminated() {
		before = endOfTime()
	}
	if _, err := p.cfg.Keys.DestroyRoots(ctx, before); err != nil {
		return err
	}
	epochs := p.unrecorded()
	if len(epochs) == 0 {
		return nil
	}
	evidence, err := p.cfg.Keys.Evidence(ctx)
	if err != nil {
		return err
	}
	var f events.RootsDestroyed
	for _, epoch := range epochs {
		entries, err := testimony(epoch, evidence)
		if err != nil {
			return err
		}
		if p.news(epoch, entries) {
			f.Roots = append(f.Roots, entries...)
		}
	}
	if len(f.Roots) == 0 {
		return nil
	}
	r.Roots += len(f.Roots)
	_, err = p.append(ctx, f)
	return err
}

// endOfTime is after every time a root was retired.
func endOfTime() time.Time { return time.Unix(1<<40, 0) }

// unrecorded returns the epochs whose roots are destroyed, as far as the key state knows, and not recorded as gone: they are not, or they waited for their
// end at a provider, which may have come.
func (p *Pipeline) unrecorded() []uint64 {
	kept := map[uint64]bool{}
	for _, retired := range p.cfg.Keys.Retired() {
		kept[retired.Epoch] = true
	}
	now := p.cfg.Now()
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	var epochs []uint64
	for epoch := p.state.rootFloor; epoch < p.cfg.Keys.Epoch(); epoch++ {
		was, recorded := p.state.roots[epoch]
		if !kept[epoch] && !was.done && (!recorded || !was.due.After(now)) {
			epochs = append(epochs, epoch)
		}
	}
	return epochs
}

// testimony returns what the stores say of the roots of an epoch. A store that does not know one any more has destroyed it.
func testimony(epoch uint64, evidence []rootstore.Evidence) ([]events.RootDestroyed, error) {
	var out []events.RootDestroyed
	for _, e := range evidence {
		said := events.RootDestroyed{Epoch: epoch, Store: e.Store, Method: e.Method, State: events.RootGone}
		root, known := e.Of(epoch)
		switch {
		case !known:
		case root.State == rootstore.Live:
			return nil, escrow.Errorf("disposal", escrow.Unavailable, "the root of epoch %d is destroyed, but the store %s still has it", epoch, e.Store)
		case root.State == rootstore.Pending:
			said.State, said.Due, said.Detail = events.RootPending, &root.Due, root.Detail
		default:
			said.Detail = root.Detail
		}
		out = append(out, said)
	}
	return out, nil
}

// news reports whether entries say more than what is recorded: an epoch that is still pending is recorded once, and again only with another due time.
func (p *Pipeline) news(epoch uint64, entries []events.RootDestroyed) bool {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	was, recorded := p.state.roots[epoch]
	if !recorded {
		return true
	}
	is := summary(entries)
	return is.done || !is.due.Equal(was.due)
}

// summary returns what all stores together say of one epoch.
func summary(entries []events.RootDestroyed) root {
	all := root{done: true}
	for _, e := range entries {
		all.done = all.done && e.State == events.RootGone
		if e.Due != nil && e.Due.After(all.due) {
			all.due = *e.Due
		}
	}
	return all
}
