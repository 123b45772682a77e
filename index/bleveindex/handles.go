package bleveindex

import (
	"os"
	"path/filepath"
	"strings"
)

// removed is what Linux writes behind the name of a file that has none any more.
const removed = " (deleted)"

// heldFiles returns the segment files in dir that were removed and which this process still has open or mapped: their words can still be read through
// it. It knows of Linux only, from /proc/self; elsewhere it returns nothing.
func heldFiles(dir string) []string {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil { // else it has gone, and nothing in it was removed singly
		dir = resolved // which is what the system calls it
	}
	var held []string
	note := func(path string) {
		if name, ok := strings.CutSuffix(path, segmentSuffix+removed); ok && filepath.Dir(name) == dir {
			held = append(held, filepath.Base(name)+segmentSuffix)
		}
	}
	const open = "/proc/self/fd"
	entries, _ := os.ReadDir(open) // not there: another system
	for _, e := range entries {
		if path, err := os.Readlink(filepath.Join(open, e.Name())); err == nil { // else closed meanwhile
			note(path)
		}
	}
	maps, _ := os.ReadFile("/proc/self/maps") // as above
	for line := range strings.Lines(string(maps)) {
		if i := strings.IndexByte(line, '/'); i >= 0 {
			note(strings.TrimSuffix(line[i:], "\n"))
		}
	}
	return held
}
