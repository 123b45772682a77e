package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/ingest"
	"escrow/server"

	"github.com/nats-io/nats.go/jetstream"
)

// inside opens the data directory in this process, with the log, so that what was acknowledged is sealed first.
func (p *program) inside(f func(context.Context, *node)) {
	p.t.Helper()
	ctx := context.Background()
	a := testApp(p.dir)
	n, err := a.openNode(ctx, nodeOptions{log: true, private: true})
	if err != nil {
		p.t.Fatal(err)
	}
	f(ctx, n)
	if err := n.close(); err != nil {
		p.t.Error(err)
	}
}

// opened returns every message that can still be read.
func opened(t *testing.T, ctx context.Context, n *node) []ingest.Opened {
	t.Helper()
	var out []ingest.Opened
	tenant := n.tenants[0]
	err := tenant.Ledger.Scan(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindMessage {
			return nil
		}
		o, err := tenant.Opener.Open(rec)
		if escrow.KindOf(err) == escrow.Erased {
			return nil
		}
		out = append(out, o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestE2EKill kills the service at random moments under load. No acknowledged message may be lost or archived twice, and the archive verifies.
func TestE2EKill(t *testing.T) {
	e2e(t)
	p := newProgram(t)
	p.ok("init")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	acked := map[string]bool{}
	for round := range 50 {
		s := p.serve()
		_, js := p.stock(s)
		ids := publishUntilKilled(t, s, js, round, time.Duration(20+rng.IntN(400))*time.Millisecond)
		for _, id := range ids {
			acked[id] = true
		}
	}
	var answer server.SearchAnswer
	p.into(&answer, "search", `"under load"`, "--limit", "1") // without a server, what waits in the log belongs to the answer all the same
	if answer.Count < uint64(len(acked)) {
		t.Errorf("%d messages were acknowledged, a search without a server finds %d", len(acked), answer.Count)
	}
	sealed := p.sealedIDs()
	for id := range acked {
		if sealed[id] != 1 {
			t.Errorf("message %s was acknowledged and is archived %d times", id, sealed[id])
		}
	}
	for id, times := range sealed {
		if times != 1 {
			t.Errorf("message %s is archived %d times", id, times)
		}
	}
	t.Logf("50 kills, %d acknowledged, %d archived, 0 lost, 0 doubled", len(acked), len(sealed))
	p.ok("verify")
}

// publishUntilKilled publishes from several goroutines, kills the service after a while, and returns the ids that were acknowledged.
func publishUntilKilled(t *testing.T, s *service, js jetstream.JetStream, round int, after time.Duration) []string {
	t.Helper()
	var mu sync.Mutex
	var acked []string
	ctx, cancel := context.WithCancel(context.Background())
	var publishers sync.WaitGroup
	for worker := range 8 {
		publishers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("r%d-w%d-%d", round, worker, i)
				if _, err := js.Publish(ctx, "escrow.in.main.chat", message(id, "under load "+id)); err != nil {
					return
				}
				mu.Lock()
				acked = append(acked, id)
				mu.Unlock()
			}
		})
	}
	timer := time.NewTimer(after)
	<-timer.C
	s.kill()
	cancel()
	publishers.Wait()
	return acked
}

// TestE2ETwoServers starts a second service on one data directory: it must refuse, saying why, and leave the first alone.
func TestE2ETwoServers(t *testing.T) {
	e2e(t)
	p := newProgram(t)
	p.ok("init")
	s := p.serve()
	out, errs, code := p.run("serve", "--nats-port", "-1")
	if code != exitUnavailable || !strings.Contains(errs, "serves") || out != "" {
		t.Errorf("second serve: exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	_, js := p.stock(s)
	if _, err := js.Publish(context.Background(), "escrow.in.main.chat", message("1", "still here")); err != nil {
		t.Errorf("the first server no longer takes messages: %v", err)
	}
	// Even when the first cannot be asked, because its run file is gone, the lock holds.
	if err := os.Remove(filepath.Join(p.dir, "run", "server.json")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code = p.run("serve", "--nats-port", "-1"); code != exitUnavailable || !strings.Contains(errs, "in use") {
		t.Errorf("second serve without run file: exit code %d, stderr %q", code, errs)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("stopping: exit code %d\n%s", code, s.errs)
	}
}

// TestE2EDiskFull fills a small file system: publishers are told, nothing acknowledged is lost, and it goes on when there is room.
func TestE2EDiskFull(t *testing.T) {
	e2e(t)
	p := newProgram(t)
	p.dir = filepath.Join(smallDisk(t, "160m"), "data")
	p.ok("init")
	s := p.serve()
	_, js := p.stock(s)
	ctx := context.Background()
	acked := map[string]bool{}
	var refusal error
	for i := 0; refusal == nil && i < 1000; i++ {
		id := fmt.Sprintf("big-%d", i)
		if _, err := js.Publish(ctx, "escrow.in.main.chat", large(id, i)); err != nil {
			refusal = err
		} else {
			acked[id] = true
		}
	}
	if refusal == nil || !strings.Contains(refusal.Error(), "disk") {
		t.Fatalf("a full disk was answered with %v", refusal)
	}
	t.Logf("%d acknowledged, then: %v", len(acked), refusal)
	p.ok("search", "anything") // reading goes on
	if out, err := exec.Command("mount", "-o", "remount,size=600m", filepath.Dir(p.dir)).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v %s", err, out)
	}
	waitFor(t, "the archive takes messages again", 20*time.Second, func() bool {
		_, err := js.Publish(ctx, "escrow.in.main.chat", message("after", "there is room again"))
		return err == nil
	})
	acked["after"] = true
	s.kill()
	sealed := p.sealedIDs()
	for id := range acked {
		if sealed[id] != 1 {
			t.Errorf("message %s was acknowledged and is archived %d times", id, sealed[id])
		}
	}
	p.ok("verify")
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount a small tmpfs (needs root): %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// large is a message with a file of 1 MiB that does not compress.
func large(id string, seed int) []byte {
	data := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = rng.Read(data)
	return fmt.Appendf(nil, `{"id":%q,"from":{"id":"email:ana@example.org"},"body":{"text":"see the file"},"attachments":[{"name":"noise.bin","media_type":"application/octet-stream","data":%q}]}`,
		id, base64.StdEncoding.EncodeToString(data))
}
