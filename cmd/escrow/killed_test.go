package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"escrow/server"
)

// TestE2EKilledErasure kills an erasure at each record it writes, and at moments spread over all of it. Whoever opens the archive next is shown nothing of
// the erased, completes the erasure, and nobody else is hurt.
func TestE2EKilledErasure(t *testing.T) {
	e2e(t)
	s := &scene{program: newProgram(t), words: newCanaries(t), disk: smallDisk(t, "900m")}
	if err := os.Mkdir(filepath.Join(s.disk, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.dir = filepath.Join(s.disk, "prepared")
	s.ok("init", "--nats-port", "-1", "--cooling-off-hours", "0", "--keep-roots-days", "0")
	s.ok("officer", "add", demoOfficer)
	s.ok("officer", "add", demoApprover)
	s.start()
	s.publishAll()
	before := s.everythingIsFound()
	s.end()
	requests := s.approved()
	prepared, approved := s.dir, s.size()

	s.dir = filepath.Join(s.disk, "trial")
	s.begin(prepared)
	start := time.Now()
	s.ok("erase", "run")
	whole, records := time.Since(start), s.size()-approved
	if records < len(requests)+4 {
		t.Fatalf("the erasure has written %d records only: it was carried out before it was asked for", records)
	}
	seen := map[int]int{}
	trial := func(moment func(context.Context)) {
		s.begin(prepared)
		s.killed(moment)
		seen[s.size()-approved]++
		shown, found, err := s.lookInto(s.dir)
		if err != nil || shown.Found+len(found) > 0 {
			t.Errorf("killed after %d records: searches find %v, records show %v; %v", s.size()-approved, found, shown, err)
		}
		s.ok("erase", "run")
		s.certified()
	}
	for n := range records {
		trial(func(ctx context.Context) { s.until(ctx, approved+n+1) })
	}
	const moments = 12
	for i := range moments {
		trial(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, whole*time.Duration(i)/moments)
			defer cancel()
			<-ctx.Done()
		})
	}
	s.onlyTheRightWordsStay(before)
	s.ok("verify")
	t.Logf("%d kills; records the erasure had written then, of %d: %v", records+moments, records, slices.Sorted(maps.Keys(seen)))
}

// begin makes the data directory a copy of another one.
func (s *scene) begin(prepared string) {
	s.t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
	command(s.t, "cp", "-a", prepared, s.dir)
}

// killed starts the erasure and kills it at a moment, or lets it end before.
func (s *scene) killed(moment func(context.Context)) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	c := exec.Command(s.bin, "--data", s.dir, "erase", "run")
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer cancel()
		_ = c.Wait()
	}()
	moment(ctx)
	_ = c.Process.Kill()
	<-ctx.Done()
}

// until waits until the ledger has so many records.
func (s *scene) until(ctx context.Context, records int) {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for s.size() < records && ctx.Err() == nil {
		<-tick.C
	}
}

// size is how many records the signed checkpoint of the ledger counts.
func (s *scene) size() int {
	b, err := os.ReadFile(filepath.Join(s.dir, "tenants", "main", "ledger", "checkpoint"))
	if err != nil {
		return 0 // at the moment of its replacement
	}
	lines := bytes.Split(b, []byte("\n"))
	n, err := strconv.Atoi(string(lines[min(1, len(lines)-1)]))
	if err != nil {
		return 0
	}
	return n
}

// certified demands that every erasure is complete.
func (s *scene) certified() {
	s.t.Helper()
	var answer server.CasesAnswer
	s.into(&answer, "erase", "status")
	for _, c := range answer.Cases {
		if c.State != "certified" {
			s.t.Errorf("request %d is %s: %v", c.Request, c.State, c.Pending)
		}
	}
}
