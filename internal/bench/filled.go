package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"escrow"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/officers"
	"escrow/index/bleveindex"
	"escrow/ingest"
	"escrow/retention/disposal"
)

// filled is a tenant whose ledger holds all messages of the run, and the indexes over them.
type filled struct {
	*tenant
	letters  letters
	disposal *disposal.Pipeline
	officers [2]func(events.Act) (events.Act, error) // each signs an act
	index    *bleveindex.Index                       // nil until there is one
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
	if _, err := b.fill(ctx, t, f.letters, b.cfg.Messages, batch); err != nil {
		return nil, err
	}
	if err := b.openPipeline(ctx, f); err != nil {
		return nil, err
	}
	b.onClose(f.closeIndexes)
	b.filled = f
	return f, f.letBareIndexesBe(ctx, b)
}

// openPipeline opens the pipeline without any waiting, and brings in the two officers it takes.
func (b *bench) openPipeline(ctx context.Context, f *filled) (err error) {
	f.disposal, err = disposal.Open(ctx, disposal.Config{Ledger: f.ledger, Keys: f.keys, Directory: f.directory, Sealer: f.sealer,
		Now: b.cfg.Now, Logger: slog.New(slog.DiscardHandler), Chronicle: chronicle.Chronicle{Source: f.ledger.Origin(), Now: b.cfg.Now, Rand: b.cfg.Rand}})
	if err != nil {
		return err
	}
	b.onClose(f.disposal.Close)
	f.opener.Guard = f.disposal
	if err := f.disposal.Gate(ctx); err != nil {
		return err
	}
	for i, name := range []string{"dpo", "legal"} {
		secret, key, err := officers.NewKey(b.cfg.Rand, name)
		if err != nil {
			return err
		}
		if f.officers[i], err = b.officer(f, secret); err != nil {
			return err
		}
		if _, err := f.act(ctx, i, events.OfficerAdded{Officer: name, Key: key}); err != nil {
			return err
		}
	}
	return nil
}

// officer returns what signs acts with a key.
func (b *bench) officer(f *filled, secret string) (func(events.Act) (events.Act, error), error) {
	signer, err := officers.ParseKey(secret)
	if err != nil {
		return nil, err
	}
	return func(act events.Act) (events.Act, error) {
		act = act.SignedBy(signer.Name(), "")
		statement, err := officers.Sign(officers.Draft(f.ledger.Origin(), act, b.cfg.Now()), signer)
		return act.SignedBy(signer.Name(), statement), err
	}, nil
}

// act records what an officer signs.
func (f *filled) act(ctx context.Context, officer int, act events.Act) (escrow.Seq, error) {
	signed, err := f.officers[officer](act)
	if err != nil {
		return 0, err
	}
	return f.disposal.Record(ctx, signed)
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
	f.disposal.Attach(f.indexer)
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
