package bleveindex

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"escrow"
	"escrow/internal/vfs"
)

const (
	stateName   = "state"
	stateMagic  = "escrow/index@v1"
	schema      = 2 // changes when documents are analysed differently: such an index must be rebuilt
	partPrefix  = "p-"
	identifierN = 16 // hex digits of an index id or a partition name
)

// state is what the index says about itself in clear: nothing but numbers and random names. It is written after the partitions, so they are at least
// as far as it says; a partition that is not was replaced by an older one.
type state struct {
	id         string
	position   escrow.TreeSize
	partitions map[string]escrow.TreeSize // name → position of the last batch that touched it
}

func (s state) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nid %s\nschema %d\nposition %d\n", stateMagic, s.id, schema, s.position)
	names := make([]string, 0, len(s.partitions))
	for name := range s.partitions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "partition %s %d\n", name, s.partitions[name])
	}
	return b.Bytes()
}

func (s state) write(fsys vfs.FS, dir string) error {
	if err := vfs.WriteFileAtomic(fsys, filepath.Join(dir, stateName), s.encode(), 0o600); err != nil {
		return escrow.Errorf("bleveindex.Apply", escrow.Unavailable, "writing the position: %w", err)
	}
	return nil
}

// readState returns the state of the index in dir, and false if there is no index yet.
func readState(fsys vfs.FS, dir string) (state, bool, error) {
	data, err := vfs.ReadFile(fsys, filepath.Join(dir, stateName), maxStateBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, escrow.Errorf("bleveindex.Open", escrow.Unavailable, "reading the state: %w", err)
	}
	s, err := parseState(data)
	return s, true, err
}

func parseState(data []byte) (state, error) {
	const op = "bleveindex.Open"
	s := state{partitions: map[string]escrow.TreeSize{}}
	lines := bufio.NewScanner(bytes.NewReader(data))
	if !lines.Scan() || lines.Text() != stateMagic {
		return s, escrow.Errorf(op, escrow.Corrupt, "the state of the index is unreadable: rebuild the index from the ledger")
	}
	for lines.Scan() {
		if err := s.parseLine(strings.Fields(lines.Text())); err != nil {
			return s, err
		}
	}
	if s.id == "" {
		return s, escrow.Errorf(op, escrow.Corrupt, "the state of the index has no id: rebuild the index from the ledger")
	}
	return s, nil
}

func (s *state) parseLine(f []string) error {
	const op = "bleveindex.Open"
	var number string
	if len(f) > 1 {
		number = f[len(f)-1]
	}
	n, err := strconv.ParseUint(number, 10, 64)
	switch {
	case len(f) == 2 && f[0] == "id" && identifier(f[1]):
		s.id = f[1]
		return nil
	case len(f) == 2 && f[0] == "schema" && err == nil:
		if n != schema {
			return escrow.Errorf(op, escrow.Outdated, "the index was made by another version (%d, this one makes %d): rebuild it from the ledger", n, schema)
		}
		return nil
	case len(f) == 2 && f[0] == "position" && err == nil:
		s.position = escrow.TreeSize(n)
		return nil
	case len(f) == 3 && f[0] == "partition" && err == nil && identifier(strings.TrimPrefix(f[1], partPrefix)):
		s.partitions[f[1]] = escrow.TreeSize(n)
		return nil
	}
	return escrow.Errorf(op, escrow.Corrupt, "the state of the index has a line that is not understood: rebuild the index from the ledger")
}

// identifier reports whether s is a random name as newName makes them. Names become parts of paths.
func identifier(s string) bool {
	return len(s) == identifierN && strings.Trim(s, "0123456789abcdef") == ""
}
