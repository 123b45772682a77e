package needle

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"escrow"
)

// ScanMemory looks through the memory of a process: maps is /proc/PID/maps and mem /proc/PID/mem of Linux (proc(5)). Pages nobody may read count as
// zero. The process goes on meanwhile; what it moves from unread to read memory is missed, so ask again, or stop it.
func (s *Set) ScanMemory(maps io.Reader, mem io.ReaderAt) (Report, error) {
	report := Report{}
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var from, to int64
		var rights string
		line := lines.Text()
		if strings.HasSuffix(line, "[vsyscall]") { // beyond the addresses of int64, and the kernel's
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil {
			return report, escrow.Errorf("needle.ScanMemory", escrow.Invalid, "the memory map has the line %q: %w", line, err)
		}
		if !strings.HasPrefix(rights, "r") {
			continue
		}
		one, err := s.Scan("memory "+line, &pages{mem, from}, to-from)
		if err != nil {
			return report, err
		}
		report.Add(one)
	}
	return report, lines.Err()
}

// pages is a region of memory, in which single pages may be unreadable.
type pages struct {
	mem  io.ReaderAt
	from int64
}

// pageBytes is the unit in which memory is readable or not.
const pageBytes = 4096

// ReadAt implements io.ReaderAt. It always fills b.
func (p *pages) ReadAt(b []byte, at int64) (int, error) {
	if n, err := p.mem.ReadAt(b, p.from+at); n == len(b) && err == nil {
		return n, nil
	}
	for i := 0; i < len(b); {
		end := min(len(b), i+pageBytes-int((at+int64(i))%pageBytes))
		if n, err := p.mem.ReadAt(b[i:end], p.from+at+int64(i)); n < end-i || err != nil {
			clear(b[i:end])
		}
		i = end
	}
	return len(b), nil
}
