package bleveindex

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	bleve "github.com/blevesearch/bleve_index_api"
	"golang.org/x/sync/semaphore"

	"escrow"
	"escrow/internal/vfs"
)

// Config says how an index works. Rand is required; of everything else the zero value means the default.
type Config struct {
	Rand     io.Reader        // randomness for salts and names
	Now      func() time.Time // clock for Result.Took; nil: not measured
	Logger   *slog.Logger     // nil: nothing is logged
	FS       vfs.FS           // file system of the state file; nil: the real one. Bleve itself always uses the real one
	Timeout  time.Duration    // longest search; 0: 10 seconds
	Searches int              // searches that run at the same time, others wait; 0: 4
}

// Index is the open search index of one tenant. Its methods are safe for concurrent use; one Apply, Purge or Reset runs at a time, searches run
// beside them.
type Index struct {
	dir    string
	cfg    Config
	keys   *fileKeys
	queue  *bleve.AnalysisQueue
	lock   io.Closer
	slots  *semaphore.Weighted
	words  atomic.Pointer[sync.Pool] // of *analyzer
	source FileKeys

	applying sync.Mutex // one Apply, Reset or Close
	purging  sync.Mutex // one Purge or Reset

	mu         sync.RWMutex // guards what follows
	position   escrow.TreeSize
	partitions map[string]*partition // by month
	closed     bool
}

// Open opens the index in dir and makes it if there is none. The directory must exist or have a parent that does. Errors: Conflict if it is open
// already, Outdated if it was made by another version of the analysis, Erased if the key of a file it needs is gone, Corrupt or Forged if files are
// missing, older than they must be or changed. After any of the last four, call Remove and index the ledger anew.
func Open(ctx context.Context, dir string, keys FileKeys, cfg Config) (*Index, error) {
	const op = "bleveindex.Open"
	if cfg.Rand == nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "Config.Rand is required")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "the directory: %w", err)
	}
	x := newIndex(dir, keys, cfg)
	process.install()
	if err := vfs.MkdirAllSync(x.cfg.FS, dir, 0o700); err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "making the directory: %w", err)
	}
	if x.lock, err = x.cfg.FS.Lock(filepath.Join(dir, "lock")); err != nil {
		return nil, escrow.Errorf(op, escrow.KindOf(err), "locking the index: %w", err)
	}
	if err := x.load(ctx); err != nil {
		return nil, joinClose(err, x)
	}
	return x, nil
}

// Remove deletes the index in dir, which must not be open, with everything in it. The caller punctures all index leaves given out so far.
func Remove(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return escrow.Errorf("bleveindex.Remove", escrow.Unavailable, "removing the index: %w", err)
	}
	return nil
}

func newIndex(dir string, keys FileKeys, cfg Config) *Index {
	if cfg.FS == nil {
		cfg.FS = vfs.OS()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Searches == 0 {
		cfg.Searches = defaultSearches
	}
	x := &Index{
		dir: dir, cfg: cfg, source: keys,
		queue:      bleve.NewAnalysisQueue(1), // documents arrive analysed; the engine only collects them here
		slots:      semaphore.NewWeighted(int64(cfg.Searches)),
		partitions: map[string]*partition{},
	}
	x.forgetWords()
	return x
}

// analyzer lends an analyser.
func (x *Index) analyzer() (a *analyzer, giveBack func()) {
	pool := x.words.Load()
	a = pool.Get().(*analyzer)
	return a, func() { pool.Put(a) }
}

// forgetWords drops all analysers that are idle, and those at work when they are given back: they remember words of what they have seen.
func (x *Index) forgetWords() {
	x.words.Store(&sync.Pool{New: func() any { return newAnalyzer() }})
}

// load reads the state and opens every partition it names. Other directories are left from a crash while a partition was made; they hold nothing.
func (x *Index) load(ctx context.Context) error {
	s, found, err := readState(x.cfg.FS, x.dir)
	if err != nil {
		return err
	}
	if !found {
		if s.id, err = x.newName(); err != nil {
			return err
		}
	}
	x.keys = &fileKeys{index: s.id, source: x.source, rand: x.cfg.Rand, known: map[uint32]bool{}}
	x.position = s.position
	if err := x.removeStrays(s); err != nil {
		return err
	}
	for name, applied := range s.partitions {
		if err := ctx.Err(); err != nil {
			return escrow.Errorf("bleveindex.Open", escrow.Unavailable, "opening: %w", err)
		}
		if err := x.openPartition(name, applied); err != nil {
			return err
		}
	}
	if !found {
		return x.writeState()
	}
	return nil
}

func (x *Index) removeStrays(s state) error {
	entries, err := x.cfg.FS.ReadDir(x.dir)
	if err != nil {
		return escrow.Errorf("bleveindex.Open", escrow.Unavailable, "listing the index: %w", err)
	}
	for _, e := range entries {
		if _, known := s.partitions[e.Name()]; known || !e.IsDir() {
			continue
		}
		if err := Remove(filepath.Join(x.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// openPartition opens a partition that the state names and refuses one that is not what the state says.
func (x *Index) openPartition(name string, applied escrow.TreeSize) error {
	const op = "bleveindex.Open"
	dir := filepath.Join(x.dir, name)
	if _, err := x.cfg.FS.Stat(dir); err != nil {
		return escrow.Errorf(op, escrow.Corrupt, "a partition is missing: rebuild the index from the ledger: %w", err)
	}
	p := newPartition(name, dir, x.keys, x.cfg.Logger)
	if err := p.start(x.queue); err != nil {
		return err
	}
	month, err := p.internal(monthKey)
	if err != nil || len(month) == 0 {
		return joinClose(escrow.Errorf(op, escrow.Corrupt, "a partition cannot be read: rebuild the index from the ledger"), p)
	}
	value, err := p.internal(appliedKey)
	if err != nil {
		return joinClose(escrow.Errorf(op, escrow.Corrupt, "a partition cannot be read: %w", err), p)
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil || escrow.TreeSize(n) < applied {
		return joinClose(escrow.Errorf(op, escrow.Corrupt, "a partition is older than it must be: rebuild the index from the ledger"), p)
	}
	p.month, p.applied = string(month), escrow.TreeSize(n)
	x.partitions[p.month] = p
	return nil
}

// partition returns the partition of a month and makes it if need be. The caller holds applying.
func (x *Index) partition(ctx context.Context, month string) (*partition, error) {
	x.mu.RLock()
	p, closed := x.partitions[month], x.closed
	x.mu.RUnlock()
	if closed {
		return nil, errClosed()
	}
	if p != nil {
		return p, nil
	}
	return x.createPartition(ctx, month)
}

func (x *Index) createPartition(ctx context.Context, month string) (*partition, error) {
	id, err := x.newName()
	if err != nil {
		return nil, err
	}
	p := newPartition(partPrefix+id, filepath.Join(x.dir, partPrefix+id), x.keys, x.cfg.Logger)
	p.month = month
	if err := p.start(x.queue); err != nil {
		return nil, err
	}
	b := bleve.NewBatch()
	b.SetInternal(monthKey, []byte(month))
	b.SetInternal(appliedKey, []byte("0"))
	if err := p.flush(ctx, b); err != nil {
		return nil, joinClose(err, p)
	}
	if err := x.cfg.FS.SyncDir(x.dir); err != nil {
		return nil, joinClose(escrow.Errorf("bleveindex.Apply", escrow.Unavailable, "making a partition: %w", err), p)
	}
	x.mu.Lock()
	x.partitions[month] = p
	x.mu.Unlock()
	return p, x.writeState()
}

func (x *Index) newName() (string, error) {
	var b [identifierN / 2]byte
	if _, err := io.ReadFull(x.cfg.Rand, b[:]); err != nil {
		return "", escrow.Errorf("bleveindex.Open", escrow.Unavailable, "no randomness: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

func (x *Index) writeState() error {
	s := state{id: x.keys.index, partitions: map[string]escrow.TreeSize{}}
	x.mu.RLock()
	s.position = x.position
	for _, p := range x.partitions {
		s.partitions[p.name] = p.applied
	}
	x.mu.RUnlock()
	return s.write(x.cfg.FS, x.dir)
}

// Position returns how many records of the ledger the index reflects, durably.
func (x *Index) Position() escrow.TreeSize {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.position
}

// all returns the open partitions, oldest month first.
func (x *Index) all() ([]*partition, error) {
	list, _, err := x.view()
	return list, err
}

// view is all with the position that they have reached at least: a Reset changes both at once.
func (x *Index) view() ([]*partition, escrow.TreeSize, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, 0, errClosed()
	}
	list := make([]*partition, 0, len(x.partitions))
	for _, p := range x.partitions {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *partition) int {
		if a.month < b.month {
			return -1
		}
		return 1
	})
	return list, x.position, nil
}

func errClosed() error {
	return escrow.Errorf("bleveindex.Index", escrow.Unavailable, "the index is closed")
}

// Close waits for running searches, Apply and Purge and closes the index. A second Close does nothing.
func (x *Index) Close() error {
	x.purging.Lock() // the engine would wait for ever for a batch handed to it while it closes
	defer x.purging.Unlock()
	x.applying.Lock()
	defer x.applying.Unlock()
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return nil
	}
	x.closed = true
	partitions := x.partitions
	x.mu.Unlock()
	var first error
	for _, p := range partitions {
		p.gate.Lock()
		if err := p.Close(); err != nil && first == nil {
			first = err
		}
		p.gate.Unlock()
	}
	x.queue.Close()
	if err := x.lock.Close(); err != nil && first == nil {
		first = escrow.Errorf("bleveindex.Close", escrow.Unavailable, "unlocking: %w", err)
	}
	return first
}
