package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"escrow/internal/bench"

	"github.com/spf13/cobra"
)

const benchHelp = `Measures each part of the archive beside its bare counterpart on this machine: the intake beside JetStream alone, sealing beside compression
and encryption alone, the index and its searches beside Bleve with nothing encrypted, verification beside SHA-256, and the erasure of a person with
many messages beside one with few. Both sides run in turns, the best of three counts, and the ratio stands beside the goal; the ratio by
processor time tells what a busy machine would hide. A goal that is missed is
not an error.

It makes its messages up, works in a temporary directory beside the data directory, which it removes, and needs no network.`

func (a *app) benchCommand() *cobra.Command {
	cfg := bench.Config{FS: a.fs, Now: a.now, Rand: a.rand, CPU: processorTime}
	var profile string
	c := &cobra.Command{Use: "bench", Short: "Measure each part beside its bare counterpart", Long: benchHelp, Args: args(0, 0, "no arguments")}
	c.Flags().IntVar(&cfg.Messages, "messages", bench.DefaultMessages, "messages of the run")
	c.Flags().StringSliceVar(&cfg.Only, "only", nil, "parts to run: "+strings.Join(bench.Parts(), ","))
	c.Flags().StringVar(&profile, "cpuprofile", "", "write a CPU profile to this file")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if cfg.Messages < bench.MinMessages || cfg.Messages > bench.MaxMessages {
			return usage("--messages must be %d to %d", bench.MinMessages, bench.MaxMessages)
		}
		if cfg.Dir, err = a.benchDir(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
		if terminal(a.err) {
			cfg.Progress = func(part string) { fmt.Fprintln(a.err, "measuring "+part) }
		}
		stop, err := startProfile(profile)
		if err != nil {
			return err
		}
		report, err := bench.Run(c.Context(), cfg)
		if err = errors.Join(err, stop()); err != nil {
			return err
		}
		return a.print(report, func(w io.Writer) error { return printBench(w, report) })
	}
	return c
}

// benchDir makes a temporary directory on the disk the archive is on, because that is the one that counts, or else where temporary files are.
func (a *app) benchDir() (string, error) {
	const pattern = "escrow-bench-"
	if dir, err := os.MkdirTemp(filepath.Dir(filepath.Clean(a.dir)), pattern); err == nil {
		return filepath.Abs(dir)
	}
	return os.MkdirTemp("", pattern)
}

// processorTime is what this program has used of all processors so far.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// startProfile begins a CPU profile, if a file is named, and returns what ends it.
func startProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

func printBench(w io.Writer, r bench.Report) error {
	fmt.Fprintf(w, "%d messages, %d processors, load %.1f before and %.1f after, write and sync %.2f ms (p99 %.2f ms)\n\n",
		r.Messages, r.CPU, r.Load, r.LoadEnd, r.FsyncMS, r.FsyncP99)
	for _, row := range r.Rows {
		verdict := "met"
		if !row.Met() {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "%-11s %8s %-5s  bare %8s %-5s  goal %s, measured %.2f  %s\n",
			row.Name, figure(row.Ours.Value), row.Ours.Unit, figure(row.Bare.Value), row.Bare.Unit, goalText(row), row.Ratio, verdict)
		if row.CPU > 0 {
			fmt.Fprintf(w, "            by processor time %.2f\n", row.CPU)
		}
		fmt.Fprintf(w, "            %s\n", row.Detail)
	}
	_, err := fmt.Fprintf(w, "\n%.1f s\n", r.Seconds)
	return err
}

// figure prints three digits that matter.
func figure(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// goalText is a goal with its direction.
func goalText(row bench.Row) string {
	if row.Lower {
		return fmt.Sprintf("≤ %.2f", row.Goal)
	}
	return fmt.Sprintf("≥ %.2f", row.Goal)
}
