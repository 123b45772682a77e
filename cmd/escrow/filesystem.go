package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"escrow"
)

// mount is one line of /proc/self/mountinfo: a file system and where it is.
type mount struct {
	device  string // "254:1", as the kernel numbers it
	dir     string
	kind    string // "ext4"
	source  string // "/dev/vda1"
	options string // of the file system, comma-separated
}

// The files of Linux that say what lies where.
const (
	mountTable   = "/proc/self/mountinfo"
	ext4Options  = "/proc/fs/ext4" // one folder a device; its options include those that are set in the superblock
	mountEscapes = 3               // digits of an octal escape
)

// fileSystem says which file system holds a directory and with which options: what a store of roots in files must know, because some file systems never
// write in place. A directory that does not exist yet is where its nearest parent is. Where the system does not tell, both are "".
func fileSystem(dir string) (kind, options string, err error) {
	m, err := mountOf(dir)
	if err != nil {
		return "", "", err
	}
	return m.kind, m.options, nil
}

// mountOf finds the mount that holds a directory.
func mountOf(dir string) (mount, error) {
	real, err := realPath(dir)
	if err != nil {
		return mount{}, err
	}
	table, err := os.ReadFile(mountTable)
	if os.IsNotExist(err) {
		return mount{}, nil
	}
	if err != nil {
		return mount{}, escrow.Errorf("escrow", escrow.Unavailable, "find out which file system holds %s: %w", dir, err)
	}
	var best mount
	for _, m := range parseMounts(table) {
		if within(real, m.dir) && len(m.dir) >= len(best.dir) { // a later mount covers an earlier one
			best = m
		}
	}
	if best.kind == "ext4" {
		best.options = strings.Join([]string{best.options, superblockOptions(best.source)}, ",")
	}
	return best, nil
}

// superblockOptions are the options in force of an ext4 file system, those included that mount does not name because they are in the superblock.
func superblockOptions(source string) string {
	b, err := os.ReadFile(filepath.Join(ext4Options, filepath.Base(source), "options"))
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b)), ",")
}

// realPath follows links as far as the path exists.
func realPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", escrow.Errorf("escrow", escrow.Unavailable, "%w", err)
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(abs)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		parent := filepath.Dir(abs)
		if !os.IsNotExist(err) || parent == abs {
			return "", escrow.Errorf("escrow", escrow.Unavailable, "follow the path %s: %w", dir, err)
		}
		abs, rest = parent, filepath.Join(filepath.Base(abs), rest)
	}
}

// within reports whether a clean path is the directory or lies below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// parseMounts reads mountinfo (proc(5)): "36 35 98:0 /root /dir opts optional… - kind source options".
func parseMounts(table []byte) []mount {
	var all []mount
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		place, system, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(place), strings.Fields(system)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		all = append(all, mount{device: left[2], dir: unescape(left[4]), kind: right[0], source: unescape(right[1]), options: left[5] + "," + right[2]})
	}
	return all
}

// unescape replaces the octal escapes of mountinfo, which stand for space, tab, line end and backslash.
func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if s[0] == '\\' && len(s) > mountEscapes && octal(s[1:1+mountEscapes]) {
			b.WriteByte((s[1]-'0')<<6 | (s[2]-'0')<<3 | (s[3] - '0'))
			s = s[1+mountEscapes:]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

func octal(s string) bool { return strings.Trim(s, "01234567") == "" }
