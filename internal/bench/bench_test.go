package bench_test

import (
	"crypto/rand"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/internal/bench"
	"escrow/internal/vfs"
)

func config(t *testing.T) bench.Config {
	return bench.Config{FS: vfs.OS(), Dir: t.TempDir(), Messages: 200, Now: time.Now, Rand: rand.Reader}
}

// A small run has every row, and its numbers agree with each other. How large they are is not for a test to say.
func TestRun(t *testing.T) {
	cfg := config(t)
	var progress []string
	cfg.Progress = func(part string) { progress = append(progress, part) }
	report, err := bench.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range report.Rows {
		names = append(names, r.Name)
		checkRow(t, r)
	}
	want := []string{"ingest", "seal 300 B", "seal 1 MiB", "index", "search p50", "search p99", "verify", "verify all", "erase"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(bench.Parts(), progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if report.Messages != 200 || report.CPU < 1 || report.FsyncMS <= 0 || report.FsyncP99 < report.FsyncMS || report.Seconds <= 0 {
		t.Errorf("report = %+v", report)
	}
}

func checkRow(t *testing.T, r bench.Row) {
	t.Helper()
	if r.Ours.Value <= 0 || r.Bare.Value <= 0 || r.Goal <= 0 || r.Detail == "" || r.Ours.Unit == "" || r.Ours.Unit != r.Bare.Unit {
		t.Errorf("row %q is incomplete: %+v", r.Name, r)
	}
	if math.Abs(r.Ratio-r.Ours.Value/r.Bare.Value) > 1e-9*r.Ratio {
		t.Errorf("row %q: ratio %v of %v and %v", r.Name, r.Ratio, r.Ours.Value, r.Bare.Value)
	}
	if lower := r.Ours.Unit == "ms"; lower != r.Lower {
		t.Errorf("row %q: unit %s, lower is better: %v", r.Name, r.Ours.Unit, r.Lower)
	}
}

// Parts can be run alone and prepare what they need. That it is the second run of this process shows that the first left nothing open.
func TestOnly(t *testing.T) {
	cfg := config(t)
	cfg.Only = []string{"search"}
	report, err := bench.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 2 {
		t.Errorf("%d rows, want those of search only", len(report.Rows))
	}
}

func TestRefuses(t *testing.T) {
	for name, change := range map[string]func(*bench.Config){
		"too few messages": func(c *bench.Config) { c.Messages = 1 },
		"too many":         func(c *bench.Config) { c.Messages = bench.MaxMessages + 1 },
		"unknown part":     func(c *bench.Config) { c.Only = []string{"seel"} },
		"no directory":     func(c *bench.Config) { c.Dir = "" },
		"no clock":         func(c *bench.Config) { c.Now = nil },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			change(&cfg)
			if _, err := bench.Run(t.Context(), cfg); err == nil || escrow.KindOf(err) != escrow.Invalid {
				t.Errorf("error %v, want one of kind Invalid", err)
			}
		})
	}
}

func TestMet(t *testing.T) {
	for _, c := range []struct {
		row  bench.Row
		want bool
	}{
		{bench.Row{Ratio: 0.8, Goal: 0.7}, true}, {bench.Row{Ratio: 0.6, Goal: 0.7}, false},
		{bench.Row{Ratio: 1.1, Goal: 1.2, Lower: true}, true}, {bench.Row{Ratio: 1.3, Goal: 1.2, Lower: true}, false},
	} {
		if got := c.row.Met(); got != c.want {
			t.Errorf("%+v: met %v", c.row, got)
		}
	}
}
