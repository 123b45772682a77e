package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"escrow": main, mortalName: mortalMain})
}

// TestScripts runs every verb as an operator does; see testdata/script. Besides the commands of testscript there are:
//
//	code N PROGRAM ARGS…   run a program that must end with exit code N
//	object                 stdout is exactly one JSON object
//	grab NAME REGEXP       set a variable to what the first group matches in stdout
//	flip FILE OFFSET       flip a bit of a file; a negative offset counts from the end
//	await PROGRAM ARGS…    run a program again and again until it succeeds
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("ESCROW_DATA", filepath.Join(env.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": scriptCode, "object": scriptObject, "grab": scriptGrab, "flip": scriptFlip, "await": scriptAwait},
	})
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptObject(ts *testscript.TestScript, _ bool, _ []string) {
	d := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile("stdout"))))
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		ts.Fatalf("stdout is not a JSON object: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		ts.Fatalf("there is something after the JSON object")
	}
}

func scriptGrab(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%d files match", len(names))
	}
	b, err := os.ReadFile(names[0])
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(names[0], b, 0o600))
}

func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("waited in vain: %v", err)
		}
	}
}

// Nothing from a message drives the terminal.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\nline":           "plain\ttext\nline",
		"one\r\ntwo":                  "one\ntwo",
		"over\rwritten":               "over\uFFFDwritten",
		"\x1b]0;title\x07\x1b[31mred": "\uFFFD]0;title\uFFFD\uFFFD[31mred",
		"\u009b31m C1":                "\uFFFD31m C1",
		"\x9b raw C1":                 "\uFFFD raw C1",
		"a\u202egnp.exe\u2066":        "a\uFFFDgnp.exe\uFFFD",
		"\x00\x7f\b":                  "\uFFFD\uFFFD\uFFFD",
		"ünïcödé 漢字 👍":                "ünïcödé 漢字 👍",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := oneLine("a\n\tb\x1b  c "); got != "a b\uFFFD c" {
		t.Errorf("oneLine = %q", got)
	}
	if got := marked("see\x1b[2J this\nword", [][2]int{{0, 3}, {13, 17}, {90, 99}, {2, 1}}, "[", "]"); got != "[see]\uFFFD[2J this [word]" {
		t.Errorf("marked = %q", got)
	}
}
