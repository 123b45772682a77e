package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	table := "22 27 0:21 / /proc rw,relatime - proc proc rw\n" +
		"27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n" +
		"31 27 0:40 / /mnt/with\\040space rw - btrfs /dev/sd\\134b rw,subvol=/\n" +
		"short line\n"
	want := []mount{
		{device: "0:21", dir: "/proc", kind: "proc", source: "proc", options: "rw,relatime,rw"},
		{device: "254:0", dir: "/", kind: "ext4", source: "/dev/vda", options: "rw,relatime,rw,discard"},
		{device: "0:40", dir: "/mnt/with space", kind: "btrfs", source: `/dev/sd\b`, options: "rw,rw,subvol=/"},
	}
	if d := cmp.Diff(want, parseMounts([]byte(table)), cmp.AllowUnexported(mount{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The file system of a folder that is not there yet is that of its parent, through links.
func TestFileSystem(t *testing.T) {
	if _, err := os.Stat(mountTable); err != nil {
		t.Skip("no mount table on this system")
	}
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/proc", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{link: "proc", "/proc/self": "proc"} {
		if kind, _, err := fileSystem(path); err != nil || kind != want {
			t.Errorf("fileSystem(%s) = %q, %v; want %q", path, kind, err, want)
		}
	}
	here, options, err := fileSystem(dir)
	if err != nil || here == "" || options == "" {
		t.Errorf("fileSystem(%s) = %q, %q, %v", dir, here, options, err)
	}
	if kind, _, err := fileSystem(filepath.Join(dir, "not", "yet")); err != nil || kind != here {
		t.Errorf("of a folder that is not there yet: %q, %v; want %q", kind, err, here)
	}
}
