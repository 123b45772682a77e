package ingest

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"escrow"
)

// trouble is what keeps a background part from its work at the moment.
type trouble struct{ last atomic.Pointer[error] }

// partPause is the pause before a part tries again after a round that failed.
const partPause = time.Second

// note remembers the outcome of a round, and logs when it is another than before.
func (t *trouble) note(log *slog.Logger, part string, tenant escrow.Tenant, err error) {
	before := t.last.Swap(&err)
	switch {
	case err != nil && (before == nil || *before == nil):
		log.Error("a part of the archive waits until this is over", "part", part, "tenant", tenant, "err", err)
	case err == nil && before != nil && *before != nil:
		log.Info("a part of the archive goes on", "part", part, "tenant", tenant)
	}
}

// Trouble returns why the last round did nothing, nil if it did its work. It may be called at any time.
func (t *trouble) Trouble() error {
	if err := t.last.Load(); err != nil {
		return *err
	}
	return nil
}

// pause waits before another attempt.
func pause(ctx context.Context) {
	timer := time.NewTimer(partPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
