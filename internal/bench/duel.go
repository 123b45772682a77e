package bench

import (
	"context"
	"fmt"
	"time"
)

// cost is what some work took: time on the wall, and time of all processors together. The second hardly depends on what else the machine does.
type cost struct{ wall, cpu time.Duration }

// side is one contestant: round is 0 … rounds-1, and the result is what the work cost, without preparations.
type side func(ctx context.Context, round int) (cost, error)

// duel lets two sides run in turns and returns what each cost.
func (b *bench) duel(ctx context.Context, ours, bare side) (o, r costs, err error) {
	for round := range rounds {
		for _, s := range []struct {
			run  side
			into *costs
		}{{ours, &o}, {bare, &r}} {
			c, err := s.run(ctx, round)
			if err != nil {
				return nil, nil, err
			}
			*s.into = append(*s.into, c)
		}
	}
	return o, r, nil
}

// costs are those of one side, a round each.
type costs []cost

// best returns the shortest times, at least a nanosecond.
func (s costs) best() cost {
	best := s[0]
	for _, c := range s {
		best.wall, best.cpu = min(best.wall, c.wall), min(best.cpu, c.cpu)
	}
	best.wall = max(best.wall, time.Nanosecond)
	return best
}

func (s costs) slowest() time.Duration {
	slowest := time.Nanosecond
	for _, c := range s {
		slowest = max(slowest, c.wall)
	}
	return slowest
}

// rate is how many of n things are done in a second.
func rate(n float64, d time.Duration) float64 { return n / d.Seconds() }

// rates completes a row of two rates, n things at the costs given; more is better.
func (r Row) rates(unit string, n float64, ours, bare costs) Row {
	o, b := ours.best(), bare.best()
	r.Ours, r.Bare = Value{rate(n, o.wall), unit}, Value{rate(n, b.wall), unit}
	r.Ratio = r.Ours.Value / r.Bare.Value
	r.Detail += fmt.Sprintf("; slowest round %.2f and %.2f", rate(n, ours.slowest()), rate(n, bare.slowest()))
	if o.cpu > 0 && b.cpu > 0 {
		r.CPU = b.cpu.Seconds() / o.cpu.Seconds()
		r.Detail += fmt.Sprintf("; processor time %.3g and %.3g s", o.cpu.Seconds(), b.cpu.Seconds())
	}
	return r
}

// times completes a row of two durations; less is better.
func (r Row) times(ours, bare costs) Row {
	o, b := ours.best(), bare.best()
	r.Ours, r.Bare, r.Lower = Value{milliseconds(o.wall), "ms"}, Value{milliseconds(b.wall), "ms"}, true
	r.Ratio = r.Ours.Value / r.Bare.Value
	r.Detail = "lower is better; " + r.Detail + fmt.Sprintf("; slowest round %.3g and %.3g ms", milliseconds(ours.slowest()), milliseconds(bare.slowest()))
	if o.cpu > 0 && b.cpu > 0 {
		r.CPU = o.cpu.Seconds() / b.cpu.Seconds()
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// watch measures costs, with pauses.
type watch struct {
	now   func() time.Time
	cpu   func() time.Duration
	since time.Time
	used  time.Duration
	total cost
}

func (b *bench) watch() *watch { return &watch{now: b.cfg.Now, cpu: b.cfg.CPU} }

func (w *watch) start() { w.since, w.used = w.now(), w.cpu() }

func (w *watch) stop() {
	w.total.wall += w.now().Sub(w.since)
	w.total.cpu += w.cpu() - w.used
}

// measure returns the costs of one piece of work.
func (b *bench) measure(work func() error) (cost, error) {
	w := b.watch()
	w.start()
	err := work()
	w.stop()
	return w.total, err
}
