package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"escrow"
	"escrow/events/natslog"
	"escrow/server"
)

// shelf is an archive in a directory, with backups of it beside it.
type shelf struct {
	t    *testing.T
	dir  string
	next int // of the directories restored into
}

// people wrote one message each, and are erased in this order; the last stays.
var people = []struct{ name, word string }{{"ana", "theremin"}, {"bo", "umbrella"}, {"cy", "marzipan"}, {"dee", "hurricane"}}

// newShelf founds an archive with its roots in a folder of their own.
func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: t.TempDir()}
	if err := os.Mkdir(s.path("roots"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.ok("data", "init", "--nats-port", "-1", "--roots", s.path("roots"), "--cooling-off-hours", "0", "--keep-roots-days", "7")
	var chat bytes.Buffer
	for _, p := range people {
		fmt.Fprintf(&chat, `{"id":%q,"from":{"id":"email:%s@example.org"},"body":{"text":%q}}`+"\n", p.name, p.name, p.word)
	}
	if err := os.WriteFile(s.path("chat.jsonl"), chat.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ok("data", "import", s.path("chat.jsonl"), "--channel", "chat")
	s.ok("data", "officer", "add", demoOfficer)
	s.ok("data", "officer", "add", demoApprover)
	return s
}

func (s *shelf) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// run executes a command line on a data directory.
func (s *shelf) run(data string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"--data", s.path(data)}, args...), stdio{strings.NewReader(""), &out, &errs})
	return out.String(), errs.String(), code
}

func (s *shelf) ok(data string, args ...string) string {
	s.t.Helper()
	out, errs, code := s.run(data, args...)
	if code != exitOK {
		s.t.Fatalf("escrow %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (s *shelf) into(v any, data string, args ...string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.ok(data, append(args, "--json")...)), v); err != nil {
		s.t.Fatal(err)
	}
}

// erase has somebody erased by two officers.
func (s *shelf) erase(name string) {
	s.t.Helper()
	var asked server.ActAnswer
	s.into(&asked, "data", "erase", "request", "--as", demoOfficer, "--person", "email:"+name+"@example.org")
	s.ok("data", "erase", "approve", fmt.Sprint(asked.Event), "--as", demoApprover, "--yes")
	s.ok("data", "erase", "run")
}

// keep makes backup n, and copies of what belongs in none: the roots and the index.
func (s *shelf) keep(n int) {
	s.t.Helper()
	s.ok("data", "backup", "--to", s.path(fmt.Sprint("archive", n)), "--keys-to", s.path(fmt.Sprint("keys", n)))
	copyTree(s.t, s.path("roots"), s.path(fmt.Sprint("roots", n)))
	copyTree(s.t, s.path("data", "tenants", "main", "index"), s.path(fmt.Sprint("index", n)))
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// restore restores archive i with keys j under a copy of roots k. It returns the data directory.
func (s *shelf) restore(i, j, k int, flags ...string) (data, errs string, code int) {
	s.t.Helper()
	s.next++
	data, roots := fmt.Sprint("restored", s.next), s.path(fmt.Sprint("roots-of-", s.next))
	copyTree(s.t, s.path(fmt.Sprint("roots", k)), roots)
	_, errs, code = s.run(data, append([]string{"restore", "--from", s.path(fmt.Sprint("archive", i)), "--keys", s.path(fmt.Sprint("keys", j)), "--roots", roots}, flags...)...)
	return data, errs, code
}

// found returns whose message a search finds, and shows that the rest of the archive is sound.
func (s *shelf) found(data string) (names string) {
	s.t.Helper()
	for _, p := range people {
		var answer server.SearchAnswer
		s.into(&answer, data, "search", p.word)
		if answer.Count > 0 {
			names += p.name + " "
		}
	}
	s.ok(data, "verify")
	return strings.TrimSpace(names)
}

// TestNobodyComesBackFromABackup makes a backup before each of three erasures and one after them, and restores every archive with every key state, under the
// roots of today and under those of then.
func TestNobodyComesBackFromABackup(t *testing.T) {
	s := newShelf(t)
	for n := range 3 {
		s.keep(n + 1)
		s.erase(people[n].name)
	}
	s.keep(4)
	checkpoint := s.checkpoint("data")
	left := []string{"", "ana bo cy dee", "bo cy dee", "cy dee", "dee"} // by backup
	for i := 1; i <= 4; i++ {
		for j := 1; j <= 4; j++ {
			name := fmt.Sprintf("archive %d, keys %d: ", i, j)
			data, errs, code := s.restore(i, j, 4)
			switch {
			case i == 4 && code != exitOK:
				t.Fatalf("%sexit code %d: %s", name, code, errs)
			case i == 4:
				if got := s.found(data); got != left[4] {
					t.Errorf("%sfound %q, want %q", name, got, left[4])
				}
				continue
			case code != exitVerify || !strings.Contains(errs, "there were") && !strings.Contains(errs, "newer than the ledger"):
				t.Errorf("%sexit code %d: %s", name, code, errs)
			}
			if out, _, code := s.run(data, "search", people[0].word); code == exitOK {
				t.Errorf("%swhat was refused answers: %s", name, out)
			}
			// An operator who has nothing newer accepts the loss. Who was erased before the backup stays erased.
			data, errs, code = s.restore(i, j, 4, "--accept-loss")
			if j > i {
				if code != exitVerify || !strings.Contains(errs, "the keys are newer than the ledger") {
					t.Errorf("%s, accepting: exit code %d: %s", name, code, errs)
				}
				continue
			}
			if code != exitOK {
				t.Errorf("%s, accepting: exit code %d: %s", name, code, errs)
			} else if got := s.found(data); got != left[i] {
				t.Errorf("%s, accepting: found %q, want %q", name, got, left[i])
			}
		}
		// If even the roots are rolled back, only a checkpoint kept elsewhere tells.
		if i == 4 {
			continue
		}
		if _, errs, code := s.restore(i, i, i, "--checkpoint", checkpoint); code != exitVerify || !strings.Contains(errs, "there were") {
			t.Errorf("everything %d, with a checkpoint: exit code %d: %s", i, code, errs)
		}
		if data, errs, code := s.restore(i, i, i); code != exitOK || s.found(data) != left[i] {
			t.Errorf("everything %d: exit code %d: %s", i, code, errs)
		}
	}
	t.Logf("%d restores", s.next)
}

// checkpoint keeps the newest checkpoint of an archive in a file.
func (s *shelf) checkpoint(data string) string {
	s.t.Helper()
	var status server.StatusAnswer
	s.into(&status, data, "status")
	name := s.path("checkpoint-of-" + data)
	if err := os.WriteFile(name, []byte(status.Tenants[0].Checkpoint), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// TestOldIndexInARestoredArchive puts the index of before an erasure into an archive restored after it.
func TestOldIndexInARestoredArchive(t *testing.T) {
	s := newShelf(t)
	s.keep(1)
	s.erase("ana")
	s.keep(2)
	for _, keys := range []int{1, 2} {
		data, errs, code := s.restore(2, keys, 2)
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		index := s.path(data, "tenants", "main", "index")
		if err := os.RemoveAll(index); err != nil {
			t.Fatal(err)
		}
		copyTree(t, s.path("index1"), index)
		if got := s.found(data); got != "bo cy dee" {
			t.Errorf("keys %d: found %q", keys, got)
		}
	}
}

// TestRestoredArchiveIsTheSame: same checkpoint, same answers; and it goes on from there.
func TestRestoredArchiveIsTheSame(t *testing.T) {
	s := newShelf(t)
	s.erase("ana")
	s.keep(1)
	checkpoint := s.checkpoint("data")
	before := s.answers("data")
	data, errs, code := s.restore(1, 1, 1)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if got := s.answers(data); got != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, got)
	}
	s.ok(data, "verify", "--checkpoint", checkpoint)
	if _, _, code := s.run("data", "verify", "--checkpoint", s.checkpoint(data)); code != exitVerify {
		t.Errorf("the copy has records of its own, and the original is said to have them: exit code %d", code)
	}
	s.ok(data, "import", s.path("chat.jsonl"), "--channel", "again")
	if got := s.found(data); got != "ana bo cy dee" {
		t.Errorf("after importing once more: %q", got)
	}
}

// answers are what the archive says to some questions.
func (s *shelf) answers(data string) (all string) {
	s.t.Helper()
	for _, q := range []string{"theremin OR umbrella OR marzipan OR hurricane", "from:dee@example.org", "channel:chat"} {
		var answer server.SearchAnswer
		s.into(&answer, data, "search", q)
		all += fmt.Sprintln(q, answer.Count)
		for _, h := range answer.Hits {
			all += fmt.Sprintln(h.ID, h.Received, h.From.ID, h.Snippet)
		}
	}
	return all
}

// TestKeysWithoutATree: a retention class that came after the backup of the keys has a tree of its own, without which its messages could never be read.
func TestKeysWithoutATree(t *testing.T) {
	s := newShelf(t)
	s.keep(1)
	name := s.path("data", "escrow.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(b, []byte(`"main": {}`), []byte(`"main": {"channels": {"letters": {"class": "letters"}}, "retention": {"classes": [{"name": "letters", "number": 7, "days": 2190}]}}`), 1)
	if bytes.Equal(changed, b) {
		t.Fatalf("the configuration is not what was expected: %s", b)
	}
	if err := os.WriteFile(name, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ok("data", "import", s.path("chat.jsonl"), "--channel", "letters")
	s.keep(2)
	data, errs, code := s.restore(2, 1, 2)
	if code != exitVerify || !strings.Contains(errs, "stays sealed") || !strings.Contains(errs, "key trees") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if out, errs, code := s.run(data, "search", "theremin"); code != exitVerify || out != "" || !strings.Contains(errs, "key trees") {
		t.Errorf("a sealed archive answers, exit code %d: %s%s", code, out, errs)
	}
	if data, errs, code = s.restore(2, 2, 2); code != exitOK || s.found(data) != "ana bo cy dee" {
		t.Errorf("with its own keys: exit code %d: %s", code, errs)
	}
}

// TestBackupWhileWritingAndErasing makes backups while messages arrive and people are erased. Each can be restored, verifies, and brings nobody back whose
// erasure was done when it was begun.
func TestBackupWhileWritingAndErasing(t *testing.T) {
	s := newShelf(t)
	ctx := t.Context()
	n, err := testApp(s.path("data")).openNode(ctx, nodeOptions{log: true, private: true})
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := n.intake.conn.Publisher(defaultTenant, "chat")
	if err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() {
		for i := 0; writing.Err() == nil; i++ {
			if _, err := publisher.Publish(ctx, natslog.PublishMsg{Data: message(fmt.Sprint("noise ", i), "noise")}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var erased atomic.Int32
	parts.Go(func() {
		office := &office{n.app, n.api}
		for _, p := range people[:3] {
			if _, _, err := office.erase(ctx, person(escrow.Identity("email:"+p.name+"@example.org"))); err != nil {
				t.Error(err)
				return
			}
			erased.Add(1)
		}
		stop()
	})
	var gone []int // when each backup was begun
	for writing.Err() == nil && len(gone) < 20 {
		gone = append(gone, int(erased.Load()))
		i := len(gone)
		if _, err := n.api.Backup(ctx, server.BackupRequest{To: s.path(fmt.Sprint("archive", i)), KeysTo: s.path(fmt.Sprint("keys", i))}); err != nil {
			t.Fatal(err)
		}
	}
	parts.Wait()
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	copyTree(t, s.path("roots"), s.path("roots0"))
	for i, done := range gone {
		if i > 0 && i < len(gone)-1 && gone[i-1] == done && gone[i+1] == done {
			continue // between two like it
		}
		data, errs, code := s.restore(i+1, i+1, 0, "--accept-loss")
		if code != exitOK {
			t.Errorf("backup %d: exit code %d: %s", i+1, code, errs)
			continue
		}
		names := s.found(data)
		for _, p := range people[:done] {
			if strings.Contains(names, p.name) {
				t.Errorf("backup %d was begun after %s was erased, and shows %q", i+1, p.name, names)
			}
		}
	}
	t.Logf("%d backups, begun after %v erasures", len(gone), gone)
}
