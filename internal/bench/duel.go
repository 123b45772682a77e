package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// side is one contestant: round is 0 … rounds-1, and the result is how long the work took, without preparations.
type side func(ctx context.Context, round int) (time.Duration, error)

// duel lets two sides run in turns and returns what each took.
func (b *bench) duel(ctx context.Context, ours, bare side) (o, r samples, err error) {
	for round := range rounds {
		for _, s := range []struct {
			run  side
			into *samples
		}{{ours, &o}, {bare, &r}} {
			took, err := s.run(ctx, round)
			if err != nil {
				return nil, nil, err
			}
			*s.into = append(*s.into, max(took, time.Nanosecond))
		}
	}
	return o, r, nil
}

// samples are the times of one side.
type samples []time.Duration

func (s samples) best() time.Duration {
	best := time.Duration(math.MaxInt64)
	for _, d := range s {
		best = min(best, d)
	}
	return best
}

func (s samples) worst() time.Duration {
	worst := time.Duration(0)
	for _, d := range s {
		worst = max(worst, d)
	}
	return worst
}

// rate is how many of n things are done in a second.
func rate(n float64, d time.Duration) float64 { return n / d.Seconds() }

// rates completes a row of two rates, n things in the times given; more is better.
func (r Row) rates(unit string, n float64, ours, bare samples) Row {
	o, b := rate(n, ours.best()), rate(n, bare.best())
	r.Ours, r.Bare, r.Ratio = Value{o, unit}, Value{b, unit}, o/b
	r.Detail += fmt.Sprintf("; slowest round %.4g and %.4g", rate(n, ours.worst()), rate(n, bare.worst()))
	return r
}

// times completes a row of two durations; less is better.
func (r Row) times(ours, bare samples) Row {
	o, b := milliseconds(ours.best()), milliseconds(bare.best())
	r.Ours, r.Bare, r.Ratio, r.Lower = Value{o, "ms"}, Value{b, "ms"}, o/b, true
	r.Detail = "lower is better; " + r.Detail + fmt.Sprintf("; slowest round %.3g and %.3g ms", milliseconds(ours.worst()), milliseconds(bare.worst()))
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// watch measures time with pauses.
type watch struct {
	now   func() time.Time
	since time.Time
	total time.Duration
}

func (w *watch) start() { w.since = w.now() }

func (w *watch) stop() { w.total += w.now().Sub(w.since) }
