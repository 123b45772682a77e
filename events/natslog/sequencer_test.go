package natslog_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow/events/natslog"
)

var (
	chanA = [16]byte{'a'}
	chanB = [16]byte{'b'}
)

// obs is an observation of one message of channel A whose digest is d.
func obs(seq, counter uint64, d byte) natslog.Observed {
	return natslog.Observed{Channel: chanA, Counter: counter, Digest: [32]byte{d}, First: seq, Seq: seq}
}

func TestSequencer(t *testing.T) {
	ledger := map[uint64]natslog.Sealed{
		1: {Digest: [32]byte{1}, Seq: 10}, 2: {Digest: [32]byte{2}, Seq: 11}, 4: {Digest: [32]byte{4}}, // 3 was lost; 4 comes from an earlier stream
	}
	known := func(channel [16]byte, counter uint64) (natslog.Sealed, bool) {
		s, ok := ledger[counter]
		return s, ok && channel == chanA
	}
	in := func(class natslog.Class) natslog.Verdict { return natslog.Verdict{Class: class} }
	for name, c := range map[string]struct {
		seen []natslog.Observed
		want []natslog.Verdict
	}{
		"next":                        {[]natslog.Observed{obs(12, 5, 5), obs(13, 6, 6)}, []natslog.Verdict{in(natslog.Next), in(natslog.Next)}},
		"redelivered":                 {[]natslog.Observed{obs(10, 1, 1), obs(11, 2, 2)}, []natslog.Verdict{in(natslog.Redelivered), in(natslog.Redelivered)}},
		"redelivered, earlier stream": {[]natslog.Observed{obs(12, 4, 4)}, []natslog.Verdict{in(natslog.Redelivered)}},
		"redelivered, not settled":    {[]natslog.Observed{obs(12, 5, 5), obs(12, 5, 5)}, []natslog.Verdict{in(natslog.Next), in(natslog.Redelivered)}},
		"doubled":                     {[]natslog.Observed{obs(12, 2, 2)}, []natslog.Verdict{in(natslog.Doubled)}},
		"doubled, not settled":        {[]natslog.Observed{obs(12, 5, 5), obs(13, 5, 5)}, []natslog.Verdict{in(natslog.Next), in(natslog.Doubled)}},
		"reused":                      {[]natslog.Observed{obs(12, 2, 9)}, []natslog.Verdict{in(natslog.Reused)}},
		"reused, not settled":         {[]natslog.Observed{obs(12, 5, 5), obs(13, 5, 6)}, []natslog.Verdict{in(natslog.Next), in(natslog.Reused)}},
		"gap": {[]natslog.Observed{obs(12, 7, 7), obs(13, 8, 8)},
			[]natslog.Verdict{{Class: natslog.Gap, From: 5, To: 6}, in(natslog.Next)}},
		"late":      {[]natslog.Observed{obs(12, 3, 3), obs(13, 3, 3)}, []natslog.Verdict{in(natslog.Late), in(natslog.Doubled)}},
		"gap, late": {[]natslog.Observed{obs(12, 6, 6), obs(13, 5, 5)}, []natslog.Verdict{{Class: natslog.Gap, From: 5, To: 5}, in(natslog.Late)}},
		"damaged": {[]natslog.Observed{{First: 12, Seq: 12, Damaged: true}, obs(13, 6, 6)},
			[]natslog.Verdict{in(natslog.Damaged), {Class: natslog.Gap, From: 5, To: 5}}},
		"sequences missing": {[]natslog.Observed{obs(12, 5, 5), obs(15, 6, 6)}, []natslog.Verdict{in(natslog.Next), {Class: natslog.Next, LostFrom: 13, LostTo: 14}}},
		"entry in parts":    {[]natslog.Observed{obs(12, 5, 5), {Channel: chanA, Counter: 6, Digest: [32]byte{6}, First: 13, Seq: 40}, obs(41, 7, 7)}, []natslog.Verdict{in(natslog.Next), in(natslog.Next), in(natslog.Next)}},
		"other channel":     {[]natslog.Observed{{Channel: chanB, Counter: 1, First: 12, Seq: 12}, {Channel: chanB, Counter: 3, First: 13, Seq: 13}}, []natslog.Verdict{in(natslog.Next), {Class: natslog.Gap, From: 2, To: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := natslog.NewSequencer(map[[16]byte]uint64{chanA: 4}, known)
			var got []natslog.Verdict
			for _, o := range c.seen {
				got = append(got, s.Observe(o))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSequencerForgetsWhatIsSettled(t *testing.T) {
	asked := 0
	s := natslog.NewSequencer(nil, func([16]byte, uint64) (natslog.Sealed, bool) {
		asked++
		return natslog.Sealed{Digest: [32]byte{1}, Seq: 5}, true
	})
	s.Observe(obs(5, 1, 1))
	s.Settled()
	if v := s.Observe(obs(5, 1, 1)); v.Class != natslog.Redelivered || asked != 1 {
		t.Errorf("%v after %d questions", v.Class, asked)
	}
	if s.Last(chanA) != 1 {
		t.Errorf("last counter %d", s.Last(chanA))
	}
}

func TestCheckStream(t *testing.T) {
	now, before := [16]byte{1}, [16]byte{2}
	for name, c := range map[string]struct {
		sealed map[[16]byte]uint64
		last   uint64
		want   natslog.Continuity
	}{
		"fresh":     {nil, 5, natslog.Fresh},
		"continued": {map[[16]byte]uint64{now: 5, before: 90}, 5, natslog.Continued},
		"ahead":     {map[[16]byte]uint64{now: 5}, 8, natslog.Continued},
		"rewound":   {map[[16]byte]uint64{now: 5}, 4, natslog.Rewound},
		"recreated": {map[[16]byte]uint64{before: 90}, 4, natslog.Recreated},
	} {
		t.Run(name, func(t *testing.T) {
			if got := natslog.CheckStream(c.sealed, now, c.last); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
