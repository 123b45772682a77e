package source_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStrangeFiles has what no archive may stumble over: names that are not UTF-8, links out of the folder, pipes, sockets.
func TestStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.eml")
	sock := filepath.Join(dir, "socket")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.WriteFile(outside, []byte(mail), 0o600))
	check(os.WriteFile(filepath.Join(dir, "caf\xe9.eml"), []byte(mail), 0o600))
	check(os.Mkdir(filepath.Join(dir, "bo\xeete"), 0o700))
	check(os.WriteFile(filepath.Join(dir, "bo\xeete", "1"), []byte(mail), 0o600))
	check(os.Symlink(outside, filepath.Join(dir, "link.eml")))
	check(os.Symlink(filepath.Dir(outside), filepath.Join(dir, "link-to-folder")))
	check(syscall.Mkfifo(filepath.Join(dir, "pipe.eml"), 0o600))
	l, err := net.Listen("unix", sock)
	check(err)
	defer func() { check(l.Close()) }()

	want := []string{
		`"` + dir + `/bo\xeete/1" [` + "bo\uFFFDte]", `"` + dir + `/caf\xe9.eml"`, dir + "/link-to-folder ignored: symbolic link",
		dir + "/link.eml ignored: symbolic link", dir + "/pipe.eml ignored: not a regular file", sock + " ignored: not a regular file",
	}
	if diff := cmp.Diff(want, briefs(walk(t, "", dir))); diff != "" {
		t.Error(diff)
	}
	if got := briefs(walk(t, "", filepath.Join(dir, "link.eml"))); len(got) != 1 || strings.Contains(got[0], "ignored") {
		t.Errorf("a link named explicitly: %v", got)
	}
}
