package disposal_test

import (
	"fmt"
	"testing"

	"escrow"
	"escrow/retention/disposal"
)

// BenchmarkOrderUnderHold is an order while messages are under a hold: each is read, and those that would die get slots.
func BenchmarkOrderUnderHold(b *testing.B) {
	for _, dies := range []bool{false, true} {
		b.Run(fmt.Sprintf("1000 messages/dies=%v", dies), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				v := found(b, settings{})
				var seqs []escrow.Seq
				for range 1000 {
					seqs = append(seqs, v.putClass(1, 100, "principal", "ana", "bob"))
				}
				v.hold(seqs...)
				who := "nobody"
				if dies {
					who = "ana"
				}
				v.request(person(v.subject(who)))
				b.StartTimer()
				v.advance(disposal.Options{})
				b.StopTimer()
				v.close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkErase is an order of one person, from the request that is due to the last root, without an index.
func BenchmarkErase(b *testing.B) {
	v := found(b, settings{})
	n := 0
	for b.Loop() {
		b.StopTimer()
		v.request(person(v.subject(fmt.Sprint("p", n))))
		n++
		b.StartTimer()
		v.advance(disposal.Options{})
	}
}
