package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/sign"
	"escrow/events/natslog"
	"escrow/index/bleveindex"
	"escrow/ingest"
	"escrow/retention"
	"escrow/retention/disposal"
)

// Archive answers from the parts of an open archive. It owns none of them: who opened them closes them. Methods may be called concurrently.
type Archive struct {
	Tenants map[escrow.Tenant]*Tenant
	Version string
	NATS    string    // URL platforms connect to, "" where no server runs
	Started time.Time // zero where no server runs
	Now     func() time.Time
	Logger  *slog.Logger

	Platforms PlatformStore // nil where no server runs
	Home      Home

	backingUp atomic.Pointer[BackupProgress] // nil where no backup is being made
}

// Tenant holds the parts of one tenant's archive.
type Tenant struct {
	Name      escrow.Tenant
	Origin    string
	Ledger    *archive.Ledger
	Signer    *sign.Signer
	Keys      *keystate.State
	Directory *directory.Directory
	Schedule  retention.Schedule
	Opener    *ingest.Opener
	Index     *bleveindex.Index
	Indexer   *ingest.Indexer
	Disposal  *disposal.Pipeline

	Live    bool                                  // the indexer runs in the background
	Waiting func(context.Context) (uint64, error) // entries in the log; nil where no log is open
	// Acknowledged returns the highest counter acknowledged in each channel; nil where no log is open.
	Acknowledged func() map[[16]byte]uint64
	Intake       func() natslog.IntakeStats // nil where no intake runs
	Halted       func() error               // why a background part stopped; nil where none runs
}

// PlatformStore keeps the credentials of platforms.
type PlatformStore interface {
	Set(natslog.Platform) ([]natslog.Platform, error)
	Remove(name string) ([]natslog.Platform, error)
}

// tenant returns the tenant named, or the only one.
func (a *Archive) tenant(name escrow.Tenant) (*Tenant, error) {
	if name == "" {
		if len(a.Tenants) != 1 {
			return nil, escrow.Errorf("server", escrow.Invalid, "this archive has %d tenants; name one with --tenant", len(a.Tenants))
		}
		for _, t := range a.Tenants {
			return t, nil
		}
	}
	t, ok := a.Tenants[name]
	if !ok {
		return nil, escrow.Errorf("server", escrow.NotFound, "there is no tenant %q in this archive", name)
	}
	return t, nil
}

// living is tenant for what needs keys: a tenant that was erased as a whole has none, and the error is of kind Erased.
func (a *Archive) living(name escrow.Tenant) (*Tenant, error) {
	t, err := a.tenant(name)
	if err == nil && t.Keys.Terminated() {
		return nil, escrow.Errorf("server", escrow.Erased, "everything of tenant %q was erased; what is left can be verified, and its certificate be made", t.Name)
	}
	return t, err
}

// read returns a record, or an error of kind NotFound that says how many there are.
func (t *Tenant) read(seq escrow.Seq) (archive.Record, error) {
	if size := t.Ledger.Size(); escrow.TreeSize(seq) >= size {
		return archive.Record{}, escrow.Errorf("server", escrow.NotFound, "there is no record %d; the ledger has the records 0 to %d", seq, int64(size)-1)
	}
	return t.Ledger.Read(seq)
}

// catchUp brings the index up to the ledger where nothing else does, and otherwise waits for it as long as patience lasts. It reports whether the index
// reflects the whole ledger as it was at the call.
func (t *Tenant) catchUp(ctx context.Context, patience time.Duration) (bool, error) {
	size := t.Ledger.Size()
	if !t.Live {
		err := t.Indexer.Follow(ctx, size)
		return err == nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := t.Indexer.Wait(waiting, size); err != nil && ctx.Err() != nil {
		return false, err
	}
	return t.Index.Position() >= size, nil
}
