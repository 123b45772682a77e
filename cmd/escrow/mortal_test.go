package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/internal/vfs"
	"escrow/server"

	"golang.org/x/mod/sumdb/note"
)

// mortalName is the program that kills itself: escrow with a file system behind which it dies, by SIGKILL, right after it has changed something on the disk
// for the n-th time. It is the test binary itself, so that the real one needs no such switch.
const (
	mortalName  = "escrow-mortal"
	mortalAfter = "ESCROW_TEST_DIES_AFTER" // how many changes
)

func mortalMain() {
	deadly, err := strconv.ParseInt(os.Getenv(mortalAfter), 10, 64)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	var changes, roots atomic.Int64
	disk := vfs.NewFaulty(vfs.OS())
	disk.After(func(op vfs.Op) {
		if op.Kind == vfs.OpWrite && filepath.Base(op.Name) == "roots" && roots.Add(1)%16 != 0 {
			return // a root is overwritten in hundreds of pieces; some of them will do
		}
		if op.Changes() && changes.Add(1) == deadly {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		}
	})
	a := &app{stdio: stdio{os.Stdin, os.Stdout, os.Stderr}, now: time.Now, rand: rand.Reader, fs: disk}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// mortal runs the program that dies after so many changes; died says whether it did.
func (p *program) mortal(changes int, args ...string) (died bool) {
	p.t.Helper()
	c := exec.Command(mortalName, append([]string{"--data", p.dir}, args...)...)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", mortalAfter, changes))
	var errs bytes.Buffer
	c.Stderr = &errs
	err := c.Run()
	if err == nil {
		return false
	}
	if s, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
		return true
	}
	p.t.Fatalf("escrow %s, to die after %d changes: %v\n%s", strings.Join(args, " "), changes, err, errs.String())
	return false
}

// TestE2EEraseKilled kills the program at every change on the disk while it carries out an erasure, with a hold and an end of roots in it. Whatever the
// moment, the next run completes it, nobody comes back, what is held is there, and the archive verifies.
func TestE2EEraseKilled(t *testing.T) {
	e2e(t)
	p := newProgram(t)
	target, key := p.requested(t)
	p.ok("erase", "approve", fmt.Sprint(target), "--as", demoApprover, "--yes")
	prepared := p.dir
	steps := map[string]int{}
	for changes := 1; ; changes++ {
		p.dir = filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(p.dir, os.DirFS(prepared)); err != nil {
			t.Fatal(err)
		}
		if !p.mortal(changes, "erase", "run") {
			t.Logf("killed after each of %d changes; the step it had reached: %v", changes-1, steps)
			break
		}
		steps[p.reached(t, key)]++
		p.complete(t, target)
		if err := os.RemoveAll(p.dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []string{"restricted", "held", "ordered", "punctured", "purged", "roots", "certified"} {
		if steps[step] == 0 {
			t.Errorf("it was never killed after the step %q and before the next", step)
		}
	}
}

// TestE2EServeKilled kills the running service at random moments after an erasure was approved, while it carries it out.
func TestE2EServeKilled(t *testing.T) {
	e2e(t)
	p := newProgram(t)
	target, key := p.requested(t)
	prepared := p.dir
	steps := map[string]int{}
	for round := range 20 {
		p.dir = filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(p.dir, os.DirFS(prepared)); err != nil {
			t.Fatal(err)
		}
		s := p.serve()
		p.ok("erase", "approve", fmt.Sprint(target), "--as", demoApprover, "--yes")
		run := exec.Command(p.bin, "--data", p.dir, "erase", "run")
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.NewTimer(time.Duration(round) * 15 * time.Millisecond).C
		s.kill()
		_ = run.Wait() // nobody answers it any more
		steps[p.reached(t, key)]++
		p.complete(t, target)
	}
	t.Logf("killed 20 times; the step it had reached: %v", steps)
}

// requested makes an archive in which the erasure of Ana is requested, with two of her messages under a hold, and returns the request and the log's key.
func (p *program) requested(t *testing.T) (request escrow.Seq, key string) {
	t.Helper()
	var lines bytes.Buffer
	for i := range 6 {
		lines.Write(message(fmt.Sprint(i), []string{"theremin", "zither", "tuba"}[i%3]+" lesson"))
		lines.WriteByte('\n')
	}
	file := filepath.Join(t.TempDir(), "chat.jsonl")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var made madeArchive
	p.into(&made, "init", "--cooling-off-hours", "0", "--keep-roots-days", "0")
	p.ok("import", file, "--channel", "chat")
	p.ok("officer", "add", demoOfficer)
	p.ok("officer", "add", demoApprover)
	p.ok("hold", "place", "2026-17", "--query", "tuba", "--as", demoApprover)
	var asked server.ActAnswer
	p.into(&asked, "erase", "request", "--as", demoOfficer, "--person", "email:ana@example.org")
	if want := (events.Counts{Dies: 4, Held: 2}); asked.Preview.Dies != want.Dies || asked.Preview.Held != want.Held {
		t.Fatalf("preview: %+v", asked.Preview)
	}
	return asked.Event, made.Key
}

// reached is the last step that is in the ledger, read without opening the archive, which would complete it.
func (p *program) reached(t *testing.T, key string) string {
	t.Helper()
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := archive.OpenReadOnly(t.Context(), vfs.OS(), testApp(p.dir).ledgerDir(defaultTenant), verifier)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	last, executed := "", false
	err = ledger.ScanEvents(t.Context(), 0, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		switch e.Fact.(type) {
		case events.ErasureRestricted:
			last = "restricted"
		case events.HoldSlotsAdded:
			last = "held"
		case events.ErasureExecuted:
			last, executed = "ordered", true
		case events.EpochCommitted:
			if executed && last == "ordered" {
				last = "punctured"
			}
		case events.IndexPurged:
			last = "purged"
		case events.RootsDestroyed:
			last = "roots"
		case events.ErasureCertified:
			last = "certified"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// complete opens the archive again, runs what is due, and checks that nothing is left of it.
func (p *program) complete(t *testing.T, request escrow.Seq) {
	t.Helper()
	ctx := t.Context()
	n, err := testApp(p.dir).openNode(ctx, nodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.api.Advance(ctx, server.AdvanceRequest{})
	if err != nil || len(answer.Problems) > 0 {
		t.Errorf("carry out what is left: %v %v", err, answer.Problems)
	}
	if cases, err := n.api.Cases(ctx, server.CasesRequest{Request: &request}); err != nil || cases.Cases[0].State != "certified" {
		t.Errorf("afterwards: %+v, %v", cases, err)
	}
	for word, want := range map[string]uint64{"theremin": 0, "zither": 0, "tuba": 2} {
		if found, err := n.api.Search(ctx, server.SearchRequest{Query: word}); err != nil || found.Count != want {
			t.Errorf("%s is found %d times, not %d (%v)", word, found.Count, want, err)
		}
	}
	if v, err := n.api.Verify(ctx, server.VerifyRequest{}); err != nil || !v.OK || v.Erased != 4 || v.Present != 2 {
		t.Errorf("verify: ok %v, %d erased, %d present; %v %v", v.OK, v.Erased, v.Present, v.Findings, err)
	}
	if c, err := n.api.Certificate(ctx, server.CertificateRequest{Request: request}); err != nil || !c.Final {
		t.Errorf("certificate: final %v, %v", c.Final, err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}
