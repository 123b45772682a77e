package bell_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"escrow/internal/bell"
)

// TestNobodyMissesAChange lets many wait for a number that one raises.
func TestNobodyMissesAChange(t *testing.T) {
	var b bell.Bell
	var n atomic.Int64
	const last = 1000
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			for {
				rung := b.Next()
				if n.Load() == last {
					return
				}
				<-rung
			}
		})
	}
	for range last {
		n.Add(1)
		b.Ring()
	}
	waiting.Wait()
}

func TestRingWakesOnlyThoseBefore(t *testing.T) {
	var b bell.Bell
	before := b.Next()
	b.Ring()
	<-before
	select {
	case <-b.Next():
		t.Error("a ring that is over woke somebody")
	default:
	}
}
