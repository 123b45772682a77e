package natslog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"escrow"
	"escrow/internal/vfs"
)

// Mark is the file in which the intake keeps the highest acknowledged counter of every channel of a tenant. After a start the highest counter in
// ledger and log must not be below it: if it is, acknowledged messages are gone. The file is written before the acknowledgement but fsynced only
// when it is closed; a power cut can set it back, which makes it miss a loss, never report a false one.
//
// It is an array of slots of 32 bytes: channel tag (16), counter (8, big endian), four zero bytes, CRC-32C of the 28 bytes before (4).
type Mark struct {
	mu    sync.Mutex
	file  vfs.File
	slots map[[16]byte]int64 // offset of the channel's slot
	high  map[[16]byte]uint64
	size  int64
}

const markSlot = 32

// castagnoli is the polynomial of the slots' checksum.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ReadMark returns the counters in a watermark file. Slots that are not whole are left out, and bad counts them; no file is no counters.
func ReadMark(fsys vfs.FS, name string) (counters map[[16]byte]uint64, bad int, err error) {
	data, err := vfs.ReadFile(fsys, name, maxMarkFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[[16]byte]uint64{}, 0, nil
	}
	if err != nil {
		return nil, 0, escrow.Errorf("natslog.ReadMark", escrow.Unavailable, "read: %w", err)
	}
	counters = map[[16]byte]uint64{}
	for ; len(data) > 0; data = data[min(markSlot, len(data)):] {
		tag, counter, ok := parseSlot(data)
		if !ok {
			bad++
			continue
		}
		counters[tag] = max(counters[tag], counter)
	}
	return counters, bad, nil
}

func parseSlot(b []byte) (tag [16]byte, counter uint64, ok bool) {
	if len(b) < markSlot || crc32.Checksum(b[:28], castagnoli) != binary.BigEndian.Uint32(b[28:]) || binary.BigEndian.Uint32(b[24:]) != 0 {
		return tag, 0, false
	}
	return [16]byte(b[:16]), binary.BigEndian.Uint64(b[16:]), true
}

func appendSlot(b []byte, tag [16]byte, counter uint64) []byte {
	start := len(b)
	b = append(b, tag[:]...)
	b = binary.BigEndian.AppendUint64(b, counter)
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// OpenMark opens or creates a watermark file. It is rewritten without what was not whole in it.
func OpenMark(fsys vfs.FS, name string) (*Mark, error) {
	const op = "natslog.OpenMark"
	counters, _, err := ReadMark(fsys, name)
	if err != nil {
		return nil, err
	}
	m := &Mark{slots: map[[16]byte]int64{}, high: counters}
	var content []byte
	for tag, counter := range counters {
		m.slots[tag] = int64(len(content))
		content = appendSlot(content, tag, counter)
	}
	m.size = int64(len(content))
	if err := fsys.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "%w", err)
	}
	if err := vfs.WriteFileAtomic(fsys, name, content, 0o600); err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "write: %w", err)
	}
	if m.file, err = fsys.OpenFile(name, os.O_RDWR, 0o600); err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "open: %w", err)
	}
	return m, nil
}

// Counters returns a copy of the highest acknowledged counters.
func (m *Mark) Counters() map[[16]byte]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[[16]byte]uint64, len(m.high))
	for tag, counter := range m.high {
		out[tag] = counter
	}
	return out
}

// Raise writes counters that are higher than those in the file.
func (m *Mark) Raise(counters map[[16]byte]uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tag, counter := range counters {
		if counter <= m.high[tag] {
			continue
		}
		at, ok := m.slots[tag]
		if !ok {
			at = m.size
		}
		if _, err := m.file.WriteAt(appendSlot(nil, tag, counter), at); err != nil {
			return escrow.Errorf("natslog.Raise", escrow.Unavailable, "write the watermark: %w", err)
		}
		m.slots[tag], m.high[tag], m.size = at, counter, max(m.size, at+markSlot)
	}
	return nil
}

// Close makes the file durable and closes it.
func (m *Mark) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.file.Sync(), m.file.Close()); err != nil {
		return escrow.Errorf("natslog.Close", escrow.Unavailable, "watermark: %w", err)
	}
	return nil
}
