package disposal

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/seal"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/officers"
	"escrow/internal/bell"
)

// Index is what the pipeline needs of the search index.
type Index interface {
	// Reach returns when the index reflects the first n records of the ledger, erasures among them included, and says what erasures removed and redacted
	// since it was last called.
	Reach(ctx context.Context, n escrow.TreeSize) (removed, redacted int, err error)
	// Purge rewrites the files that hold deleted words and returns the leaves of the keys of the files it replaced.
	Purge(ctx context.Context) (dead []uint32, err error)
	// Reset removes every document and file and returns the leaves of their keys.
	Reset(ctx context.Context) (dead []uint32, err error)
}

// Config is what a pipeline works with. Index, Sealed and Certify may be left out where there is none of them.
type Config struct {
	Ledger    *archive.Ledger
	Keys      *keystate.State
	Directory *directory.Directory
	Chronicle chronicle.Chronicle
	Sealer    *seal.Sealer
	Terms     Terms
	Now       func() time.Time
	Logger    *slog.Logger
	Index     Index // nil until Attach

	// Sealed reports whether everything that was acknowledged before the call is in the ledger; it may wait for that. nil: there is no log.
	Sealed func(ctx context.Context) (bool, error)
	// Certify makes the certificate of a finished request and returns its digest. nil: requests stay without a certificate.
	Certify func(ctx context.Context, request escrow.Seq) (digest string, err error)
}

// Pipeline carries out erasures for one tenant, one at a time. It is safe for concurrent use: acts of officers and readers do not wait for an erasure
// under way.
type Pipeline struct {
	cfg   Config
	state projection

	// Locks are taken in this order.
	work   sync.Mutex // one destruction at a time; guards what follows
	acting sync.Mutex // one act or order at a time: what is checked under it still holds when it is appended

	owed              []uint32 // leaves of index files that are gone, whose keys could not be destroyed yet
	destroyed         int      // shares, since the last EpochCommitted
	uncounted         bool     // a crash or a failed change lost how many
	removed, redacted int      // documents, since the last IndexPurged

	gated   atomic.Bool // Gate has returned nil
	index   atomic.Pointer[Index]
	applied bell.Bell // rung when the key state has applied more
	chunks  chunkCache
}

// Open projects requests, restrictions, holds, slots, epochs and officers from the ledger, and checks the terms together with what the root stores report.
// Nothing is destroyed and nothing is answered before Gate. Kinds: Invalid for terms that take too long, Corrupt for a ledger that contradicts itself,
// and those of reading the ledger.
func Open(ctx context.Context, cfg Config) (*Pipeline, error) {
	if err := reportedWait(ctx, &cfg); err != nil {
		return nil, err
	}
	if err := cfg.Terms.Check(); err != nil {
		return nil, err
	}
	p := &Pipeline{cfg: cfg}
	if cfg.Index != nil {
		p.Attach(cfg.Index)
	}
	return p, p.catchUp(ctx)
}

// reportedWait takes the longest waiting period of a root store into the terms. A store that cannot be reached now must not keep the archive closed: it is
// asked again before an erasure is certified.
func reportedWait(ctx context.Context, cfg *Config) error {
	evidence, err := cfg.Keys.Evidence(ctx)
	if err != nil && escrow.KindOf(err) != escrow.Unavailable {
		return err
	}
	if err != nil {
		cfg.Logger.Warn("a root store does not say how long it waits", "err", err)
	}
	for _, e := range evidence {
		if e.Wait > cfg.Terms.Wait {
			cfg.Terms.Wait, cfg.Terms.Store = e.Wait, e.Store
		}
	}
	return nil
}

// Attach gives the pipeline the index, which is opened after Gate.
func (p *Pipeline) Attach(index Index) { p.index.Store(&index) }

// Terms returns the times in force, the waiting period of the root stores included.
func (p *Pipeline) Terms() Terms { return p.cfg.Terms }

// Until returns the end of the cooling-off time of a request that is approved now, for the draft of an ErasureApproved.
func (p *Pipeline) Until() time.Time {
	return p.cfg.Now().UTC().Truncate(time.Second).Add(p.cfg.Terms.CoolingOff)
}

// Roster returns the officers.
func (p *Pipeline) Roster() *officers.Roster { return &p.state.roster }

// ready refuses everything before Gate, with kind Unavailable, and after the end of the tenant, with kind Erased.
func (p *Pipeline) ready() error {
	if !p.gated.Load() {
		return escrow.Errorf("disposal", escrow.Unavailable, "the archive is sealed until every erasure in its ledger is repeated on its keys")
	}
	if p.state.terminated() {
		return gone()
	}
	return nil
}

func gone() error {
	return escrow.Errorf("disposal", escrow.Erased, "everything of this tenant was erased; what remains is the ledger, to be verified, and the certificate")
}

// catchUp takes in the events that were appended since.
func (p *Pipeline) catchUp(ctx context.Context) error {
	p.state.taking.Lock()
	defer p.state.taking.Unlock()
	from, size := p.state.taken(), p.cfg.Ledger.Size()
	if err := p.state.founded(p.cfg.Ledger); err != nil {
		return err
	}
	err := p.cfg.Ledger.ScanEvents(ctx, escrow.Seq(from), func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= size {
			return archive.ErrStop
		}
		if !projected(rec.Header.Kind) {
			return nil
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		return p.state.apply(rec, e.Fact)
	})
	if err == nil {
		p.state.took(size)
	}
	return err
}

// append writes facts in one append, and takes them in. It returns the record of the first.
func (p *Pipeline) append(ctx context.Context, facts ...events.Fact) (escrow.Seq, error) {
	entries := make([]archive.Entry, len(facts))
	for i, f := range facts {
		var err error
		if entries[i], err = p.cfg.Chronicle.Entry(f); err != nil {
			return 0, err
		}
	}
	seq, err := p.cfg.Ledger.Append(ctx, entries)
	if err != nil {
		return 0, err
	}
	return seq, p.catchUp(context.WithoutCancel(ctx))
}

// projected reports whether records of a kind hold facts of the pipeline.
func projected(kind archive.RecordKind) bool {
	switch kind {
	case archive.KindPolicy, archive.KindHold, archive.KindErase, archive.KindPurge, archive.KindKeyEpoch, archive.KindRequest:
		return true
	}
	return false
}
