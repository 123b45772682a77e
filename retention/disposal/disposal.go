// Package disposal is the one pipeline that destroys. Nothing else in the module punctures a key tree.
//
// An erasure runs through these steps, each durable before the next begins:
//
//	ordered    an ErasureExecuted event is in the ledger
//	forgotten  the directory no longer links the person's identities to the subject
//	punctured  the key state, sealed under a fresh root, can no longer derive the shares; the old root is overwritten
//	purged     the search index holds no document and no file with a word of what died; the keys of the files replaced are destroyed
//	recorded   an IndexPurged event is in the ledger
//
// The invariant: once ordered, an erasure completes. A crash at any point is made good by Resume, which every opener of an archive calls before it
// answers anything.
package disposal

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/internal/bell"
)

// Order says what to erase. Exactly one of Subjects and Messages is set.
type Order struct {
	Scope    string // "person", "conversation" or "message"
	Subjects []uint32
	Messages []escrow.Seq
	Basis    string
	Case     string
}

// Outcome says what became of an order.
type Outcome struct {
	Seq      escrow.Seq // the record of the ErasureExecuted event
	Epoch    uint64     // epoch of the key state that no longer holds the shares
	Removed  int        // documents removed from the index
	Redacted int        // documents indexed again without what died
	Files    int        // index files whose keys were destroyed
}

// Index is what the pipeline needs of the search index.
type Index interface {
	// Reach returns when the index reflects the first n records of the ledger, erasures among them included.
	Reach(ctx context.Context, n escrow.TreeSize) (removed, redacted int, err error)
	// Purge rewrites the files that hold deleted words and returns the leaves of the keys of the files it replaced.
	Purge(ctx context.Context) (dead []uint32, err error)
}

// Pipeline executes orders for one tenant, one at a time. It is safe for concurrent use.
type Pipeline struct {
	Ledger    *archive.Ledger
	Keys      *keystate.State
	Directory *directory.Directory
	Chronicle chronicle.Chronicle
	Index     Index
	Logger    *slog.Logger

	mu      sync.Mutex // one destruction at a time; guards owed
	owed    []uint32   // leaves of index files that are gone, whose keys could not be destroyed yet
	failed  bool       // the last change of the key state did, which may have been made but for destroying the root before
	open    bool       // an erasure was ordered and is not complete
	applied bell.Bell  // rung when the key state has applied more
}

// Erase carries out an order to the end. When it returns nil the data is unreadable and gone from the index; when it returns an error after the order
// was written, the erasure is incomplete and Resume completes it.
func (p *Pipeline) Erase(ctx context.Context, o Order) (Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := check(o); err != nil {
		return Outcome{}, err
	}
	seq, err := p.write(ctx, archive.KindErase, events.ErasureExecuted{
		Scope: o.Scope, Subjects: o.Subjects, Messages: events.Ranges(o.Messages), Basis: o.Basis, Case: o.Case,
	})
	if err != nil {
		return Outcome{}, err
	}
	ctx = context.WithoutCancel(ctx) // who asked may go away; what is ordered is carried out
	out := Outcome{Seq: seq}
	p.open = true
	if err := p.apply(ctx); err != nil {
		return out, err
	}
	out.Epoch = p.Keys.Epoch()
	err = p.purge(ctx, &out)
	p.open = err != nil
	return out, err
}

func check(o Order) error {
	switch {
	case len(o.Subjects) == 0 && len(o.Messages) == 0:
		return escrow.Errorf("disposal.Erase", escrow.NotFound, "nothing to erase")
	case len(o.Subjects) > 0 && len(o.Messages) > 0:
		return escrow.Errorf("disposal.Erase", escrow.Invalid, "erase people or messages, not both in one order")
	}
	return nil
}

// retryEvery is the pause before an erasure that could not be completed, for want of disk space say, is tried again.
const retryEvery = 5 * time.Second

// Run completes erasures that failed half-way, until ctx ends.
func (p *Pipeline) Run(ctx context.Context) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !p.incomplete() {
			continue
		}
		if _, err := p.Complete(ctx); err != nil && ctx.Err() == nil {
			p.Logger.Error("an erasure is not complete yet", "err", err)
		}
	}
}

func (p *Pipeline) incomplete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open || p.failed
}

// Close waits for an erasure that is under way.
func (p *Pipeline) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return nil
}

// Resume completes what a crash interrupted. Call it before anything is answered from the archive; purge it separately with Complete once the index runs.
func (p *Pipeline) Resume(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.apply(ctx)
}

// Complete does what is left of the erasures ordered so far, from the destruction of keys to the purge of the index. It reports whether there was anything
// to do.
func (p *Pipeline) Complete(ctx context.Context) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.apply(ctx); err != nil {
		return true, err
	}
	pending, err := p.unpurged(ctx)
	if err == nil && pending {
		p.Logger.Warn("completing an interrupted erasure")
		err = p.purge(ctx, &Outcome{})
	}
	p.open = err != nil
	return pending, err
}

// unpurged reports whether the last erasure has no IndexPurged event after it.
func (p *Pipeline) unpurged(ctx context.Context) (pending bool, err error) {
	err = p.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		switch rec.Header.Kind {
		case archive.KindErase:
			pending = true
		case archive.KindPurge:
			pending = false
		}
		return nil
	})
	return pending, err
}

// apply punctures what the ledger orders and the key state has not applied yet.
func (p *Pipeline) apply(ctx context.Context) error {
	if p.failed { // perhaps only the old root is left: any change destroys it
		if err := p.Keys.Update(func(*keystate.Tx) error { return nil }); err != nil {
			return err
		}
		p.failed = false
	}
	size := p.Ledger.Size()
	if p.Keys.Applied() >= size {
		return nil
	}
	refs, err := p.ordered(ctx, escrow.Seq(p.Keys.Applied()))
	if err != nil || len(refs) == 0 {
		return err
	}
	for _, ref := range refs {
		if ref.Kind == keytree.KindSubject {
			p.Directory.Forget(ref.Leaf)
		}
	}
	// Saved before the puncture: a directory that still named a dead subject after a crash would give new messages a key that is gone.
	if err := p.Directory.Save(p.Directory.Position()); err != nil {
		return err
	}
	err = p.Keys.Update(func(tx *keystate.Tx) error {
		tx.Puncture(refs...)
		tx.SetApplied(size)
		tx.SetSigned(max(size, p.Keys.Signed()))
		return nil
	})
	p.failed = err != nil
	p.applied.Ring() // after an error as well: the change may have been made, and only the root before it be left
	if err != nil {
		return err
	}
	p.Logger.Info("key shares destroyed", "shares", len(refs), "epoch", p.Keys.Epoch())
	return nil
}

// ordered returns the shares that erasures from record from on destroy.
func (p *Pipeline) ordered(ctx context.Context, from escrow.Seq) ([]keytree.Ref, error) {
	var refs []keytree.Ref
	err := p.Ledger.ScanEvents(ctx, from, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindErase {
			return nil
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		refs = append(refs, shares(e.Fact)...)
		return nil
	})
	return refs, err
}

func shares(f events.Fact) []keytree.Ref {
	erasure, ok := f.(events.ErasureExecuted)
	if !ok {
		return nil
	}
	var refs []keytree.Ref
	for _, leaf := range erasure.Subjects {
		refs = append(refs, keytree.Ref{Kind: keytree.KindSubject, Leaf: leaf})
	}
	for seq := range events.Seqs(erasure.Messages) {
		refs = append(refs, keytree.Ref{Kind: keytree.KindMessage, Leaf: uint32(seq)})
	}
	return refs
}

// purge waits until the index has followed, cleans its files, destroys the keys of the files replaced, and records it.
func (p *Pipeline) purge(ctx context.Context, out *Outcome) error {
	upTo := p.Ledger.Size()
	var err error
	if out.Removed, out.Redacted, err = p.Index.Reach(ctx, upTo); err != nil {
		return err
	}
	dead, err := p.Index.Purge(ctx)
	if err != nil {
		return err
	}
	p.owed = append(p.owed, dead...) // the index names them once only
	if err := p.DestroyFileKeys(p.owed); err != nil {
		return err
	}
	out.Files, p.owed = len(p.owed), nil
	_, err = p.write(ctx, archive.KindPurge, events.IndexPurged{UpTo: upTo, Removed: out.Removed, Redacted: out.Redacted, Files: out.Files})
	return err
}

// DestroyFileKeys destroys the keys of index files that are no more.
func (p *Pipeline) DestroyFileKeys(leaves []uint32) error {
	if len(leaves) == 0 {
		return nil
	}
	slices.Sort(leaves)
	return p.Keys.Update(func(tx *keystate.Tx) error {
		for _, leaf := range leaves {
			tx.Puncture(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: leaf})
		}
		return nil
	})
}

// DestroyOtherFileKeys destroys the keys of the index files numbered below n, but for those in use, which are in ascending order: what a crash between
// the end of a file and the destruction of its key left.
func (p *Pipeline) DestroyOtherFileKeys(n uint32, inUse []uint32) error {
	var dead []uint32
	for leaf := range n {
		_, used := slices.BinarySearch(inUse, leaf)
		if !used && p.Keys.Alive(keytree.Ref{Kind: keytree.KindIndexFile, Leaf: leaf}) {
			dead = append(dead, leaf)
		}
	}
	return p.DestroyFileKeys(dead)
}

// WaitApplied returns when the key state has applied every erasure among the first n records. A reader that meets an erasure in the ledger waits here
// before it looks at what is still alive.
func (p *Pipeline) WaitApplied(ctx context.Context, n escrow.TreeSize) error {
	for {
		wait := p.applied.Next()
		if p.Keys.Applied() >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return escrow.Errorf("disposal.WaitApplied", escrow.Unavailable, "stopped before an erasure was applied: %w", ctx.Err())
		case <-wait:
		}
	}
}

func (p *Pipeline) write(ctx context.Context, kind archive.RecordKind, f events.Fact) (escrow.Seq, error) {
	e, err := p.Chronicle.Entry(kind, f)
	if err != nil {
		return 0, err
	}
	return p.Ledger.Append(ctx, []archive.Entry{e})
}
