package bench

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/internal/vfs"
)

// Config says what to measure. FS, Dir, Now and Rand are required.
type Config struct {
	FS       vfs.FS               // the real one: the NATS server and the search engine know no other
	Dir      string               // exists and is empty; the caller removes it
	Messages int                  // MinMessages … MaxMessages; 0 is DefaultMessages
	Only     []string             // names of parts, see Parts; nil: all
	Now      func() time.Time     // the clock; it must be monotonic
	Rand     io.Reader            // randomness for keys, safe for concurrent use
	CPU      func() time.Duration // processor time of this program so far; nil: not measured
	Progress func(part string)    // told which part comes next; may be nil
}

// Value is a measured number.
type Value struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Row is one comparison.
type Row struct {
	Name   string  `json:"name"`
	Ours   Value   `json:"ours"`
	Bare   Value   `json:"bare"`
	Ratio  float64 `json:"ratio"`               // Ours / Bare
	CPU    float64 `json:"cpu_ratio,omitempty"` // Ratio if processor time counted instead of time; 0: not measured
	Goal   float64 `json:"goal"`                // of Ratio: at least, or at most if Lower
	Lower  bool    `json:"lower_is_better"`
	Detail string  `json:"detail"`
}

// Met reports whether the goal is reached.
func (r Row) Met() bool {
	if r.Lower {
		return r.Ratio <= r.Goal
	}
	return r.Ratio >= r.Goal
}

// Report is the result of a run.
type Report struct {
	Rows     []Row   `json:"rows"`
	Messages int     `json:"messages"`
	CPU      int     `json:"cpu"`      // processors this program may use
	Load     float64 `json:"load"`     // average over the last minute, at the start; -1 if unknown
	LoadEnd  float64 `json:"load_end"` // the same at the end
	FsyncMS  float64 `json:"fsync_ms"` // median of a write of 300 bytes with sync
	FsyncP99 float64 `json:"fsync_p99_ms"`
	Seconds  float64 `json:"seconds"` // the whole run took
}

// part is one part of the run.
type part struct {
	name string
	run  func(*bench, context.Context) ([]Row, error)
}

// parts are in the order in which they run: erase destroys what the others read.
func parts() []part {
	return []part{
		{"ingest", (*bench).ingest}, {"seal", (*bench).seal}, {"index", (*bench).index}, {"search", (*bench).search}, {"verify", (*bench).verify},
		{"erase", (*bench).erase},
	}
}

// Parts returns the names of the parts a run consists of.
func Parts() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// bench is one run.
type bench struct {
	cfg    Config
	words  *vocabulary
	filled *filled // what index, search, verify and erase share; nil until one of them needs it
	closed []func() error
}

// Run measures. A goal that is missed is no error. Errors are of kind Invalid for a configuration that makes no sense, else those of the part that
// failed.
func Run(ctx context.Context, cfg Config) (report Report, err error) {
	chosen, err := cfg.check()
	if err != nil {
		return Report{}, err
	}
	b := &bench{cfg: cfg, words: newVocabulary()}
	defer func() {
		if closing := b.close(); err == nil {
			err = closing
		}
	}()
	start := cfg.Now()
	report, err = b.machine()
	for _, p := range chosen {
		if err != nil {
			break
		}
		if cfg.Progress != nil {
			cfg.Progress(p.name)
		}
		var rows []Row
		rows, err = p.run(b, ctx)
		report.Rows = append(report.Rows, rows...)
	}
	report.Messages, report.LoadEnd = cfg.Messages, b.load()
	report.Seconds = cfg.Now().Sub(start).Seconds()
	return report, err
}

// check fills in defaults and returns the parts to run.
func (c *Config) check() ([]part, error) {
	const op = "bench.Run"
	if c.FS == nil || c.Dir == "" || c.Now == nil || c.Rand == nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "file system, directory, clock and randomness are required")
	}
	if c.CPU == nil {
		c.CPU = func() time.Duration { return 0 }
	}
	if c.Messages == 0 {
		c.Messages = DefaultMessages
	}
	if c.Messages < MinMessages || c.Messages > MaxMessages {
		return nil, escrow.Errorf(op, escrow.Invalid, "the number of messages must be %d to %d", MinMessages, MaxMessages)
	}
	c.Messages += (MinMessages - c.Messages%MinMessages) % MinMessages
	for _, name := range c.Only {
		if !slices.Contains(Parts(), name) {
			return nil, escrow.Errorf(op, escrow.Invalid, "there is no part %q; the parts are %s", name, strings.Join(Parts(), ", "))
		}
	}
	return slices.DeleteFunc(parts(), func(p part) bool { return c.Only != nil && !slices.Contains(c.Only, p.name) }), nil
}

// onClose remembers what to close at the end.
func (b *bench) onClose(f func() error) { b.closed = append(b.closed, f) }

// close closes everything in the reverse order of opening and returns the first error.
func (b *bench) close() error { return b.closeFrom(0) }

// closeFrom closes what was opened after the first n.
func (b *bench) closeFrom(n int) (first error) {
	for i := len(b.closed) - 1; i >= n; i-- {
		if err := b.closed[i](); err != nil && first == nil {
			first = err
		}
	}
	b.closed = b.closed[:n]
	return first
}
