// Package bell lets goroutines wait for a change they look at themselves. A waiter takes the channel first, then looks, then waits, so that it misses nothing:
//
//	for {
//		rung := b.Next()
//		if there() { return }
//		select { case <-ctx.Done(): …; case <-rung: }
//	}
package bell

import "sync"

// Bell is rung whenever something has changed. The zero Bell is ready; methods are safe for concurrent use.
type Bell struct {
	mu   sync.Mutex
	next chan struct{} // nil until somebody waits
}

// Next returns a channel that is closed when the bell is rung next.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Ring wakes all who wait.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
	}
	b.next = nil
}
