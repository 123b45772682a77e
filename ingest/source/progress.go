package source

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bar is a progress bar for a terminal.
type Bar struct {
	bar  *progressbar.ProgressBar
	done func() int64
}

// NewBar returns a bar on w, which should be standard error. total is the number of bytes to read, 0 if it is not known, and done tells how many have
// been read.
func NewBar(w io.Writer, total int64, done func() int64) *Bar {
	if total <= 0 {
		total = -1 // a spinner
	}
	return &Bar{done: done, bar: progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(30),
	)}
}

// Show draws the bar, at most ten times a second.
func (b *Bar) Show(r *Report) {
	b.bar.Describe(fmt.Sprintf("%d new, %d duplicate, %d failed", r.New, r.Duplicate, r.Failed))
	// A bar that cannot be drawn must not stop an import.
	_ = b.bar.Set64(min(b.done(), max(b.bar.GetMax64(), 0)))
}

// Close removes the bar.
func (b *Bar) Close() error { return b.bar.Finish() }

// Lines writes one line about every ten seconds, for logs and pipes.
type Lines struct {
	w     io.Writer
	now   func() time.Time
	total int64
	done  func() int64
	start time.Time
	last  time.Time
}

// NewLines returns a Lines on w, which should be standard error; total and done as in NewBar.
func NewLines(w io.Writer, now func() time.Time, total int64, done func() int64) *Lines {
	t := now()
	return &Lines{w: w, now: now, total: total, done: done, start: t, last: t}
}

// Show writes a line if the last is old enough.
func (l *Lines) Show(r *Report) {
	t := l.now()
	if t.Sub(l.last) < lineEvery {
		return
	}
	l.last = t
	rate := float64(r.Read) / t.Sub(l.start).Seconds()
	// As above: a closed pipe must not stop an import.
	_, _ = fmt.Fprintf(l.w, "%d read, %d new, %d duplicate, %d failed, %d ignored; %.0f a second%s\n",
		r.Read, r.New, r.Duplicate, r.Failed, r.Ignored, rate, l.share())
}

func (l *Lines) share() string {
	if l.total <= 0 {
		return ""
	}
	return fmt.Sprintf("; %d%% of %d bytes", min(100, 100*l.done()/l.total), l.total)
}
