package natslog

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"escrow"
	"escrow/internal/vfs"
)

// One flipped bit in the upper half of a sequence number makes the NATS server note every sequence in between as deleted, which takes all memory and
// does not end. So its block files are looked through before it starts.
//
// A block is a row of records, each beginning with its length (4 bytes, little endian, highest bit: has headers) and its sequence (8 bytes, little
// endian, two highest bits: erased, tombstone for a record elsewhere).
const (
	recordHead  = 12
	recordFlags = 1 << 31
	erasedFlag  = 1 << 63
	tombstone   = 1 << 62
)

// checkBlocks looks through all blocks of a store. Its error is of kind Corrupt and names the file.
func checkBlocks(fsys vfs.FS, storeDir string) error {
	root := filepath.Join(storeDir, "jetstream", archiveAccount, "streams")
	streams, err := fsys.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return escrow.Errorf("natslog.StartServer", escrow.Unavailable, "look through the store: %w", err)
	}
	for _, s := range streams {
		if err := checkStreamBlocks(fsys, filepath.Join(root, s.Name(), "msgs")); err != nil {
			return err
		}
	}
	return nil
}

func checkStreamBlocks(fsys vfs.FS, dir string) error {
	const op = "natslog.StartServer"
	blocks, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return escrow.Errorf(op, escrow.Unavailable, "look through the store: %w", err)
	}
	for _, b := range blocks {
		if !strings.HasSuffix(b.Name(), ".blk") {
			continue
		}
		name := filepath.Join(dir, b.Name())
		at, err := damagedSequence(fsys, name)
		if err != nil {
			return escrow.Errorf(op, escrow.Unavailable, "look through the store: %w", err)
		}
		if at >= 0 {
			return escrow.Errorf(op, escrow.Corrupt, "the log's file %s is damaged at byte %d, and the NATS server would not survive reading it: "+
				"move the directory of that stream aside and start again; what the ledger lacks will be reported as missing", name, at)
		}
	}
	return nil
}

// damagedSequence returns the offset of the first record whose sequence is further from that of the first than any block can be, or -1.
func damagedSequence(fsys vfs.FS, name string) (at int64, err error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var head [recordHead]byte
	var first uint64
	for at := int64(0); at+recordHead <= info.Size(); {
		if _, err := f.ReadAt(head[:], at); err != nil {
			return 0, err
		}
		length := binary.LittleEndian.Uint32(head[:]) &^ recordFlags
		seq := binary.LittleEndian.Uint64(head[4:]) &^ erasedFlag
		if length < recordHead { // the server stops here by itself
			break
		}
		at += int64(length)
		if seq&tombstone != 0 {
			continue
		}
		if first == 0 {
			first = seq
		}
		if seq > first+maxBlockSpan || seq+maxBlockSpan < first {
			return at - int64(length), nil
		}
	}
	return -1, nil
}
