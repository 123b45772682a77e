package archive

import (
	"context"
	"errors"
	"slices"

	"escrow"
)

// ScanEvents is Scan for the archive's own events alone: the records that did not come from a log. However many messages there are, it reads none of
// them.
func (l *Ledger) ScanEvents(ctx context.Context, from escrow.Seq, fn func(Record) error) error {
	l.mu.RLock()
	at, _ := slices.BinarySearch(l.tags.events, from)
	events := l.tags.events[at:len(l.tags.events):len(l.tags.events)] // only ever appended to
	size := l.state.size
	l.mu.RUnlock()
	for _, seq := range events {
		if escrow.TreeSize(seq) >= size {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := l.Read(seq)
		if err != nil {
			return err
		}
		if err := fn(rec); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
	return nil
}
