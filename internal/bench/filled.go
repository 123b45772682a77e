package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"escrow/events/chronicle"
	"escrow/index/bleveindex"
	"escrow/ingest"
	"escrow/retention/disposal"
)

// filled is a tenant whose ledger holds all messages of the run, and the indexes over them.
type filled struct {
	*tenant
	letters  letters
	disposal *disposal.Pipeline
	index    *bleveindex.Index // nil until there is one
	indexer  *ingest.Indexer
	bare     *bareIndex // nil until there is one
	unhook   func()     // undoes what lets a bare index exist beside a sealed one
}

// ready returns the filled tenant and fills it first if nobody has.
func (b *bench) ready(ctx context.Context) (*filled, error) {
	if b.filled != nil {
		return b.filled, nil
	}
	t, err := b.found(ctx, "filled")
	if err != nil {
		return nil, err
	}
	f := &filled{tenant: t, letters: letters{words: b.words, name: "f", size: smallBytes, total: b.cfg.Messages}}
	f.disposal = &disposal.Pipeline{Ledger: t.ledger, Keys: t.keys, Directory: t.directory, Logger: slog.New(slog.DiscardHandler),
		Chronicle: chronicle.Chronicle{Source: t.ledger.Origin(), Now: b.cfg.Now, Rand: b.cfg.Rand}}
	if _, err := b.fill(ctx, t, f.letters, b.cfg.Messages, batch); err != nil {
		return nil, err
	}
	b.onClose(f.closeIndexes)
	b.filled = f
	return f, f.letBareIndexesBe(ctx, b)
}

// indexed returns the filled tenant with both indexes.
func (b *bench) indexed(ctx context.Context) (*filled, error) {
	f, err := b.ready(ctx)
	if err != nil {
		return nil, err
	}
	if f.index == nil {
		if _, err := b.indexOurs(ctx, f, 0); err != nil {
			return nil, err
		}
	}
	if f.bare == nil {
		if _, err := b.indexBare(ctx, f, 0); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// openIndex begins a new sealed index in place of the one before.
func (b *bench) openIndex(ctx context.Context, f *filled, name string) error {
	if err := f.closeOurs(); err != nil {
		return err
	}
	x, err := bleveindex.Open(ctx, f.path(name), f.keys.FileLeaves(), bleveindex.Config{Rand: b.cfg.Rand, Now: b.cfg.Now})
	if err != nil {
		return err
	}
	f.index = x
	f.indexer = &ingest.Indexer{Ledger: f.ledger, Opener: f.opener, Index: x, Erasures: f.disposal, Logger: slog.New(slog.DiscardHandler)}
	f.disposal.Index = f.indexer
	return nil
}

func (f *filled) closeOurs() error {
	x := f.index
	if x == nil {
		return nil
	}
	f.index = nil
	return x.Close()
}

func (f *filled) closeBare() error {
	x := f.bare
	if x == nil {
		return nil
	}
	f.bare = nil
	return x.close()
}

func (f *filled) closeIndexes() error {
	err := f.closeOurs()
	if closing := f.closeBare(); err == nil {
		err = closing
	}
	if f.unhook != nil {
		f.unhook()
	}
	return err
}

// letBareIndexesBe opens a sealed index once, so that its hooks are in place, and then lets files of bare indexes pass them.
func (f *filled) letBareIndexesBe(ctx context.Context, b *bench) error {
	if err := b.openIndex(ctx, f, "index-first"); err != nil {
		return err
	}
	if err := f.closeOurs(); err != nil {
		return err
	}
	dir, err := filepath.Abs(f.path("bare"))
	if err != nil {
		return diskError(err)
	}
	f.unhook = passHooks(dir)
	return nil
}

// barePath is where the bare index of a round is.
func (f *filled) barePath(round int) (string, error) {
	dir, err := filepath.Abs(filepath.Join(f.path("bare"), fmt.Sprint(round)))
	if err != nil {
		return "", diskError(err)
	}
	return dir, nil
}
