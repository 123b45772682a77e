package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/internal/vfs"
)

// derived is what can be computed from the segments and is kept because computing it takes long: the hashes of the tree and the rows. It is safe for
// concurrent reading while one goroutine writes behind what is read.
type derived struct {
	hashes, rows store
	coder        rowCoder
}

// store is a file, or memory where the directory must not be written.
type store interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Close() error
}

const (
	derivedDir = "derived"
	hashesFile = "hashes"
	rowsFile   = "rows"
)

// openDerived opens the derived files in the directory of a ledger, creating them if need be.
func openDerived(fsys vfs.FS, dir, origin string, flag int) (*derived, error) {
	dir = filepath.Join(dir, derivedDir)
	hashes, err := fsys.OpenFile(filepath.Join(dir, hashesFile), flag, 0o600)
	if err != nil {
		return nil, err
	}
	rows, err := fsys.OpenFile(filepath.Join(dir, rowsFile), flag, 0o600)
	if err != nil {
		return nil, errors.Join(err, hashes.Close())
	}
	return &derived{hashes: hashes, rows: rows, coder: newRowCoder(origin)}, nil
}

// memoryDerived returns empty derived files that are nowhere on disk.
func memoryDerived(origin string) *derived {
	return &derived{hashes: &memoryStore{}, rows: &memoryStore{}, coder: newRowCoder(origin)}
}

const readWriteCreate = os.O_RDWR | os.O_CREATE

func (d *derived) close() error { return errors.Join(d.hashes.Close(), d.rows.Close()) }

// write stores the hashes and rows of records from first on.
func (d *derived) write(first uint64, hashes, rows []byte) error {
	if _, err := d.hashes.WriteAt(hashes, storedHashes(first)*tlog.HashSize); err != nil {
		return err
	}
	_, err := d.rows.WriteAt(rows, int64(first)*rowBytes)
	return err
}

// ReadHashes implements tlog.HashReader.
func (d *derived) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if err := readFull(d.hashes, out[i][:], at*tlog.HashSize); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readFull(s store, b []byte, at int64) error {
	n, err := s.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return escrow.Errorf("archive.Read", escrow.Corrupt, "a derived file is too short; it is rebuilt when the ledger is opened next")
	}
	return escrow.Errorf("archive.Read", escrow.Unavailable, "reading a derived file: %w", err)
}

// row returns the row of a record and its leaf hash.
func (d *derived) row(seq escrow.Seq) (r row, leaf tlog.Hash, err error) {
	if err := readFull(d.hashes, leaf[:], tlog.StoredHashIndex(0, int64(seq))*tlog.HashSize); err != nil {
		return row{}, leaf, err
	}
	var b [rowBytes]byte
	if err := readFull(d.rows, b[:], int64(seq)*rowBytes); err != nil {
		return row{}, leaf, err
	}
	r, ok := d.coder.parse(b[:], seq, &leaf)
	if !ok {
		return row{}, leaf, &escrow.Error{Op: "archive.Read", Kind: escrow.Corrupt, Record: &seq,
			Err: errors.New("the derived files are damaged here; they are rebuilt when the ledger is opened next")}
	}
	return r, leaf, nil
}

// load reads the derived files once, from the start, and calls each for every row that is right. It stops at the first leaf for which something is
// missing or wrong, and returns the edge of the tree up to there. That the hashes agree with each other does not make them right: the caller
// compares the root. Only ctx can make it fail.
func (d *derived) load(ctx context.Context, size uint64, each func(escrow.Seq, *row)) (spine, error) {
	leaves := make(chan leafChunk, 4)
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	wait.Go(func() {
		defer close(leaves)
		d.loadHashes(ctx, size, leaves)
	})
	edge := spine{}
	buf := make([]byte, min(rowChunk, size)*rowBytes)
	for chunk := range leaves {
		good := d.loadRows(chunk, buf, each)
		if edge = chunk.after; good < len(chunk.leaves) {
			edge = chunk.before
			edge.addAll(chunk.leaves[:good])
			break
		}
	}
	err := ctx.Err()
	cancel()
	wait.Wait()
	return edge, err
}

// leafChunk is a number of leaf hashes that agree with the hashes above them.
type leafChunk struct {
	before, after spine
	leaves        []tlog.Hash
}

func (d *derived) loadHashes(ctx context.Context, size uint64, out chan<- leafChunk) {
	var edge spine
	var stored, want []byte
	for edge.size < size {
		chunk := leafChunk{before: edge.clone()}
		n := min(size-edge.size, rowChunk)
		from := storedHashes(edge.size)
		stored = append(stored[:0], make([]byte, (storedHashes(edge.size+n)-from)*tlog.HashSize)...)
		got, _ := d.hashes.ReadAt(stored, from*tlog.HashSize) // short: the rest is rebuilt
		chunk.leaves = make([]tlog.Hash, 0, n)
		for rest := stored[:got]; uint64(len(chunk.leaves)) < n && len(rest) >= tlog.HashSize; rest = rest[len(want):] {
			leaf := tlog.Hash(rest[:tlog.HashSize])
			if want = edge.add(want[:0], leaf); !bytes.HasPrefix(rest, want) {
				break
			}
			chunk.leaves = append(chunk.leaves, leaf)
		}
		whole := uint64(len(chunk.leaves)) == n
		if !whole {
			edge = chunk.before.clone()
			edge.addAll(chunk.leaves)
		}
		chunk.after = edge.clone()
		select {
		case out <- chunk:
		case <-ctx.Done():
			return
		}
		if !whole {
			return
		}
	}
}

// loadRows returns how many of the rows of a chunk are right. each must not keep the row.
func (d *derived) loadRows(chunk leafChunk, buf []byte, each func(escrow.Seq, *row)) int {
	got, _ := d.rows.ReadAt(buf[:len(chunk.leaves)*rowBytes], int64(chunk.before.size)*rowBytes) // short: the rest is rebuilt

	var r row // one for all, as it escapes
	for i := range chunk.leaves {
		seq, ok := escrow.Seq(chunk.before.size)+escrow.Seq(i), false
		if got < (i+1)*rowBytes {
			return i
		}
		if r, ok = d.coder.parse(buf[i*rowBytes:], seq, &chunk.leaves[i]); !ok {
			return i
		}
		each(seq, &r)
	}
	return len(chunk.leaves)
}

// memoryStore is a store in memory.
type memoryStore struct {
	mu sync.RWMutex
	b  []byte
}

func (m *memoryStore) ReadAt(b []byte, at int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if at >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(b, m.b[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memoryStore) WriteAt(b []byte, at int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if grow := at + int64(len(b)) - int64(len(m.b)); grow > 0 {
		m.b = append(m.b, make([]byte, grow)...)
	}
	return copy(m.b[at:], b), nil
}

func (m *memoryStore) Truncate(size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.b = m.b[:min(size, int64(len(m.b)))]
	return nil
}

func (m *memoryStore) Close() error { return nil }
