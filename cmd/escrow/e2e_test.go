package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"escrow/events"
	"escrow/server"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The tests named TestE2E… run the real program against real corpora, signals and file systems. They take minutes, so they run only where asked for:
// .ci/run and "make e2e" set ESCROW_E2E.
func e2e(t *testing.T) {
	t.Helper()
	if os.Getenv("ESCROW_E2E") == "" {
		t.Skip("takes minutes; set ESCROW_E2E=1 to run it")
	}
}

// program is the built binary and a data directory.
type program struct {
	t   *testing.T
	bin string
	dir string
}

func newProgram(t *testing.T) *program {
	t.Helper()
	p := &program{t: t, bin: filepath.Join(t.TempDir(), "escrow"), dir: filepath.Join(t.TempDir(), "data")}
	if out, err := exec.Command("go", "build", "-o", p.bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return p
}

// run executes a command and returns stdout, stderr and exit code.
func (p *program) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	c := exec.Command(p.bin, append([]string{"--data", p.dir}, args...)...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	rerr := c.Run()
	if rerr != nil && c.ProcessState == nil {
		p.t.Fatalf("%v: %v", args, rerr)
	}
	if rss := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; rss > 1<<20 {
		p.t.Errorf("escrow %s used %d MiB of memory, more than 1 GiB", strings.Join(args, " "), rss>>10)
	}
	return out.String(), err.String(), c.ProcessState.ExitCode()
}

// ok is run that must succeed.
func (p *program) ok(args ...string) string {
	p.t.Helper()
	out, errs, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("escrow %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// into is ok with --json decoded into v.
func (p *program) into(v any, args ...string) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.ok(append(args, "--json")...)), v); err != nil {
		p.t.Fatalf("escrow %s --json: %v", strings.Join(args, " "), err)
	}
}

// erase has two officers erase something, and returns what was foreseen.
func (p *program) erase(t *testing.T, target ...string) events.Counts {
	t.Helper()
	for _, name := range []string{demoOfficer, demoApprover} {
		if _, err := os.Stat(filepath.Join(p.dir, "credentials", "officer-"+name+".key")); err != nil {
			p.ok("officer", "add", name)
		}
	}
	var asked server.ActAnswer
	p.into(&asked, append([]string{"erase", "request", "--as", demoOfficer}, target...)...)
	p.ok("erase", "approve", fmt.Sprint(asked.Event), "--as", demoApprover, "--yes")
	p.ok("erase", "run")
	return *asked.Preview
}

// service is a running "escrow serve".
type service struct {
	cmd  *exec.Cmd
	out  io.ReadCloser
	errs *bytes.Buffer
	nats string
}

func (p *program) serve(args ...string) *service {
	p.t.Helper()
	s := &service{cmd: exec.Command(p.bin, append([]string{"serve", "--data", p.dir, "--nats-port", "-1", "--json"}, args...)...), errs: &bytes.Buffer{}}
	s.cmd.Stderr = s.errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s.out = out
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var hello struct{ NATS string }
	if err := json.NewDecoder(out).Decode(&hello); err != nil {
		_ = s.cmd.Wait()
		p.t.Fatalf("serve said nothing: %v\n%s", err, s.errs)
	}
	s.nats = hello.NATS
	p.t.Cleanup(func() { s.kill() })
	return s
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// stop ends the service as an operator does and returns its exit code.
func (s *service) stop(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

// stock connects an ordinary NATS client with the operator's credentials.
func (p *program) stock(s *service) (*nats.Conn, jetstream.JetStream) {
	p.t.Helper()
	opt, err := nats.NkeyOptionFromSeed(filepath.Join(p.dir, "credentials", "local.nk"))
	if err != nil {
		p.t.Fatal(err)
	}
	nc, err := nats.Connect(s.nats, opt, nats.MaxReconnects(0))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		p.t.Fatal(err)
	}
	return nc, js
}

func message(id, text string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"from":{"id":"email:ana@example.org","name":"Ana"},"to":[{"id":"email:bo@example.org"}],"body":{"text":%q}}`, id, text)
}

// sealedIDs opens the data directory and counts how often each message id is archived.
func (p *program) sealedIDs() map[string]int {
	p.t.Helper()
	ids := map[string]int{}
	p.inside(func(ctx context.Context, n *node) {
		for _, o := range opened(p.t, ctx, n) {
			ids[o.Message.ID]++
		}
	})
	return ids
}

// waitFor polls a condition that another process brings about.
func waitFor(t *testing.T, what string, patience time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		case <-tick.C:
		}
	}
}
