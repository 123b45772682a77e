package disposal_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"escrow/retention/disposal"
)

// TestRun: what becomes due while the archive is open is carried out by itself: requests and releases within seconds, days within a minute or so, and what
// failed is tried again.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := found(t, settings{terms: disposal.Terms{CoolingOff: time.Hour}})
		seq, held, one := v.putClass(1, 100, "principal", "ana"), v.putClass(1, 100, "principal", "ana"), v.put("principal", "bob")
		hold := v.hold(held)
		v.request(person(v.subject("ana")))
		running, stop := context.WithCancel(ctx())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(running) }()
		pass := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		pass(10 * time.Second)
		if v.force(seq) == "" {
			t.Error("the cooling-off time was not waited for")
		}
		v.move(time.Hour)
		v.index.fail(errDisk)
		pass(6 * time.Second)
		if v.force(seq) != "" || v.force(held) == "" {
			t.Errorf("a request that is due: %q, what is held %q", v.force(seq), v.force(held))
		}
		v.index.fail(nil)
		pass(6 * time.Second)
		if c := v.Cases()[0]; c.Purged == nil {
			t.Errorf("the purge that failed was not tried again: %s", c.State())
		}
		v.release(hold)
		pass(6 * time.Second)
		if v.force(held) != "" {
			t.Error("a hold that was released was not ended")
		}
		v.move(2 * dayLong)
		pass(70 * time.Second)
		if v.force(one) != "" {
			t.Error("a day that is over was not expired")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		v.close()
	})
}
