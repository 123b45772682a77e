package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"escrow"
	"escrow/internal/vfs"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// stdio is where a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// app is what every command shares: flags, streams and the outside world, which below this package comes in as arguments.
type app struct {
	stdio
	dir     string
	tenant  string
	json    bool
	verbose bool
	now     func() time.Time
	rand    io.Reader
	fs      vfs.FS
}

// Exit codes, as architecture section 12 fixes them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitVerify      = 3
	exitNotFound    = 4
	exitDenied      = 5
	exitBlocked     = 6
	exitPartial     = 7
	exitUnavailable = 8
	exitBehind      = 9
	exitInterrupted = 130
)

// exitError ends the program with a code of its own. Its text, if any, is printed.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// run executes one command line in the real world and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	a := &app{stdio: std, now: time.Now, rand: rand.Reader, fs: vfs.OS()}
	return a.run(ctx, args)
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	std, root := a.stdio, a.command()
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(std.err, "escrow: "+strings.TrimPrefix(text, "escrow: "))
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	return exitCode(err)
}

// exitCode maps an error to the code of its kind.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[*escrow.Error](err); !ok {
		return exitFailure
	}
	switch escrow.KindOf(err) {
	case escrow.Invalid, escrow.Conflict:
		return exitUsage
	case escrow.Corrupt, escrow.Forged:
		return exitVerify
	case escrow.NotFound, escrow.Erased:
		return exitNotFound
	case escrow.Denied:
		return exitDenied
	case escrow.Held:
		return exitBlocked
	case escrow.Unavailable:
		return exitUnavailable
	}
	return exitFailure
}

const rootHelp = `Escrow archives messages so that they can be searched, proven and forgotten.

Messages arrive on a NATS JetStream log, are sealed with a key for every person and every day into an append-only ledger, and are found through an
encrypted index. Erasing a person destroys a key, when two officers agree; the proofs of everything else stay valid.

Start with "escrow demo". Commands work with or without a running "escrow serve".

Exit codes: 0 ok, 1 failure, 2 usage or invalid input, 3 verification failed, 4 not found or erased, 5 denied, 6 blocked, 7 partial,
8 unavailable, 9 index behind, 130 interrupted.`

// command returns the root command with everything below it.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{Use: "escrow", Short: "Message archive: sealed, searchable, tamper-evident, able to forget", Long: rootHelp, SilenceUsage: true, SilenceErrors: true}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage("%s (see %s --help)", err, c.CommandPath()) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "data", defaultDir(), "data directory (or $ESCROW_DATA)")
	flags.StringVar(&a.tenant, "tenant", "", "tenant, where the archive has several")
	flags.BoolVar(&a.json, "json", false, "print one JSON object instead of text")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log more to stderr")
	root.AddCommand(
		a.demoCommand(), a.initCommand(), a.serveCommand(), a.importCommand(), a.searchCommand(), a.showCommand(), a.proofCommand(), a.subjectCommand(),
		a.eraseCommand(), a.holdCommand(), a.retentionCommand(), a.officerCommand(), a.verifyCommand(), a.reindexCommand(), a.statusCommand(), a.platformCommand(),
		a.backupCommand(), a.restoreCommand(), a.doctorCommand(), a.benchCommand(), a.versionCommand(),
	)
	return group(root)
}

// group makes a command that only has others below it say so, instead of taking any word for a question about itself.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, got []string) error {
		if len(got) > 0 {
			return usage("there is no command %q (see %s --help)", c.CommandPath()+" "+got[0], c.CommandPath())
		}
		return c.Help()
	}
	return c
}

func defaultDir() string {
	if dir := os.Getenv("ESCROW_DATA"); dir != "" {
		return dir
	}
	return "./escrow-data"
}

// usage returns an error that ends the program as a usage error.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Sprintf(format, args...)}
}

// args checks the number of arguments of a command and says what they should be.
func args(lo, hi int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, got []string) error {
		if len(got) < lo || hi >= 0 && len(got) > hi {
			return usage("%s takes %s, %d arguments were given (see %s --help)", c.CommandPath(), what, len(got), c.CommandPath())
		}
		return nil
	}
}

// print writes v as one JSON object with --json, and otherwise as text does.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.out)
	}
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return escrow.Errorf("escrow", escrow.Internal, "write the answer: %w", err)
	}
	return nil
}

// logger writes to stderr: warnings and errors, with --verbose everything.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return a.loggerAt(level)
}

func (a *app) loggerAt(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// terminal reports whether w is a terminal.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// oneLine makes s fit for one line of a table: no line breaks, no control characters, so that a hostile message cannot drive the terminal.
func oneLine(s string) string {
	return strings.Join(strings.Fields(clean(s)), " ")
}

// clean replaces control characters other than line ends and tabs.
func clean(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\uFFFD'
		}
		return r
	}, s)
}
