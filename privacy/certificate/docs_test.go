package certificate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"escrow/archive"
	"escrow/events"
)

// commands returns the shell lines of the page for auditors.
func commands(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "format", "certificate.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "\n```sh\n")
	if len(parts) < 4 {
		t.Fatal("the page has no commands")
	}
	var all []string
	for _, part := range parts[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		all = append(all, block)
	}
	return strings.Join(all, "\n") + "\n"
}

// TestCheckedByHand runs the commands of the page, with public tools alone, on a certificate and on altered ones.
func TestCheckedByHand(t *testing.T) {
	t.Parallel() // it waits for other programs
	for _, tool := range []string{"bash", "jq", "xxd", "openssl", "sha256sum", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: the commands are not run", tool)
		}
	}
	b, s := newBook(t), sound()
	s.replace("slots", func(b *book, s *story) { // as many records as there are sorts, in a tree that is not even
		b.officer("legal-2", "legal", 16)
		b.act(archive.KindPolicy, events.OfficerRemoved{Officer: "dpo-2"}, "legal-2")
		b.now = b.now.Add(4 * 60 * 60 * 1e9)
	})
	s.tell(b, "")
	_, raw := b.build(s.seq)
	script := "set -e -o pipefail\n" + commands(t)
	folder := t.TempDir()
	run := func(certificate string) (string, error) {
		dir, err := os.MkdirTemp(folder, "")
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, "certificate.json"), []byte(certificate), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("bash", "-c", script)
		c.Dir, c.Env = dir, append(os.Environ(), "VKEY="+b.signer.VKey())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	out, err := run(string(raw) + "\n")
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	want := map[string]int{"Signature Verified Successfully": 2 + 5, "is in the ledger: ": 16, "\nfact sha256:": 5, "statement sha256:": 1, "proven: ": 6, "attested: ": 5}
	for text, n := range want {
		if got := strings.Count(out, text); got < n {
			t.Errorf("%q %d times, want %d at least:\n%s", text, got, n, out)
		}
	}
	for name, change := range map[string][2]string{
		"statement": {`"dies":3`, `"dies":4`},
		"event":     {`2026/17\"`, `2026/18\"`},
		"leaf":      {`kind request`, `kind hold`},
		"note":      {`\nrecord 1`, `\nrecord 2`},
	} {
		altered := strings.Replace(string(raw), change[0], change[1], 1)
		if name == "event" {
			_, records, _ := strings.Cut(string(raw), `"records"`)
			altered = strings.Replace(string(raw), records, strings.Replace(records, change[0], change[1], 1), 1)
		}
		if altered == string(raw) {
			t.Fatalf("%s: nothing was altered", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := run(altered); err == nil {
				t.Errorf("an altered %s passes:\n%s", name, out)
			}
		})
	}
}
