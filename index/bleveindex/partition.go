package bleveindex

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2/index/scorch"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
)

// Keys of the engine's internal values. The engine leaves them in clear, the values not.
var (
	monthKey   = []byte("month")   // the partition's month
	appliedKey = []byte("applied") // position of the last batch that touched the partition, decimal
)

// partition is one month of one tenant: an engine of its own in a directory with a random name.
type partition struct {
	name  string
	dir   string
	month string
	keys  *fileKeys
	log   *slog.Logger

	engine   *scorch.Scorch
	applied  escrow.TreeSize // guarded by Index.applying
	closing  chan struct{}
	searches searchers
	gate     sync.RWMutex // searches hold it for reading, whoever closes the partition for writing
	building sync.RWMutex // held while segments are built that are to be written as one
	change   sync.Mutex   // held by whoever deletes or replaces documents, and by Purge

	mu      sync.Mutex
	failure error              // first error of writing since it was last asked
	alarm   chan struct{}      // closed when failure is set
	damage  error              // first error of reading; it stays
	files   map[string]*sealer // sealers of segments written since the partition was opened, by path
	// contents names the key of the engine's table of contents, one for as long as the partition exists.
	contents *fileID
}

func newPartition(name, dir string, keys *fileKeys, log *slog.Logger) *partition {
	return &partition{name: name, dir: dir, keys: keys, log: log, closing: make(chan struct{}), alarm: make(chan struct{}),
		files: map[string]*sealer{}}
}

// start opens the engine. The engine takes what it cannot read for absent and would begin an empty index; so whatever the hooks had to refuse
// meanwhile is an error here, and the caller must check what it then holds.
func (p *partition) start(queue *bleve.AnalysisQueue) error {
	const op = "bleveindex.Open"
	if err := process.register(p.dir, p); err != nil {
		return err
	}
	engine, err := scorch.NewScorch(scorch.Name, p.config(), queue)
	if err != nil {
		process.forget(p.dir)
		return escrow.Errorf(op, escrow.Internal, "configuring a partition: %w", err)
	}
	p.engine = engine.(*scorch.Scorch)
	if err := p.openEngine(); err != nil { // it has closed itself
		process.forget(p.dir)
		if damage := p.damaged(); damage != nil {
			return damage
		}
		return escrow.Errorf(op, escrow.Corrupt, "opening a partition: %w", err)
	}
	if damage := p.damaged(); damage != nil {
		return joinClose(damage, p)
	}
	return nil
}

// openEngine opens the engine. Its database answers some damage with a panic, which here means what an error does: build the index anew.
func (p *partition) openEngine() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = escrow.Errorf("bleveindex.Open", escrow.Corrupt, "the table of contents is damaged: %v", r)
		}
	}()
	return p.engine.Open()
}

func joinClose(err error, c io.Closer) error {
	if e := c.Close(); e != nil {
		return escrow.Errorf("bleveindex.Open", escrow.KindOf(err), "%w (and closing: %w)", err, e)
	}
	return err
}

// config is the engine's configuration. A batch returns as soon as it can be searched; Apply waits for the disk itself, once for all its segments.
func (p *partition) config() map[string]any {
	return map[string]any{
		"path":                   p.dir,
		"unsafe_batch":           true,
		"numSnapshotsToKeep":     1,
		"asyncErrorCallbackName": errorCallback,
		"scorchMergePlanOptions": mergeOptions(),
	}
}

// Close stops the engine and makes the directory unknown to the hooks.
func (p *partition) Close() error {
	close(p.closing)
	defer process.forget(p.dir)
	closed := make(chan error, 1)
	go func() { closed <- p.engine.Close() }()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case err := <-closed:
		if err != nil {
			return escrow.Errorf("bleveindex.Close", escrow.Unavailable, "closing a partition: %w", err)
		}
		return nil
	case <-timer.C: // its database was damaged while it was written, and never gives its lock back
		return escrow.Errorf("bleveindex.Close", escrow.Unavailable, "the index does not close, its files may be damaged: build it anew with escrow reindex")
	}
}

// hurt keeps the first error of reading a file: a key that is gone, a chunk that was changed. The engine swallows such errors at some places, and an
// answer without that file would look complete.
func (p *partition) hurt(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.damage == nil {
		p.damage = err
	}
}

func (p *partition) damaged() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.damage
}

// note keeps the first error of the engine's goroutines and of sealing.
func (p *partition) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = err
		close(p.alarm)
	}
}

// takeFailure returns what note kept, and forgets it.
func (p *partition) takeFailure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.failure
	if err != nil {
		p.failure, p.alarm = nil, make(chan struct{})
	}
	return err
}

func (p *partition) alarmed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alarm
}

// flush hands the batch to the engine and returns when it and everything before it are on disk.
func (p *partition) flush(ctx context.Context, b *bleve.Batch) error {
	const op = "bleveindex.Apply"
	done := make(chan error, 1)
	b.SetPersistedCallback(func(err error) { done <- err })
	alarm := p.alarmed()
	if err := p.engine.Batch(b); err != nil {
		return escrow.Errorf(op, escrow.Unavailable, "indexing: %w", err)
	}
	select {
	case err := <-done:
		if err != nil {
			return escrow.Errorf(op, escrow.Unavailable, "writing the index: %w", err)
		}
		return nil
	case <-alarm:
		return p.takeFailure()
	case <-ctx.Done():
		return escrow.Errorf(op, escrow.Unavailable, "waiting for the index to be written: %w", ctx.Err())
	}
}

// snapshot returns a consistent view; the caller closes it.
func (p *partition) snapshot() (*scorch.IndexSnapshot, error) {
	select {
	case <-p.closing:
		return nil, errClosed()
	default:
	}
	r, err := p.engine.Reader()
	if err != nil {
		return nil, escrow.Errorf("bleveindex.Search", escrow.Unavailable, "reading a partition: %w", err)
	}
	return r.(*scorch.IndexSnapshot), nil
}

// internal returns one internal value, nil if there is none.
func (p *partition) internal(key []byte) ([]byte, error) {
	s, err := p.snapshot()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.GetInternal(key)
}

// writer returns what seals the file at path, and under which id. The engine asks twice for a file that it finds must be rewritten while it is written;
// the second question gets the answer to the first, so that no leaf is wasted.
func (p *partition) writer(path string) (id string, process func([]byte) []byte, err error) {
	contents := filepath.Ext(path) != segmentSuffix
	if contents {
		p.building.RLock() // see hold
		defer p.building.RUnlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if contents {
		return p.contentsWriter()
	}
	if s := p.files[path]; s != nil && !s.used() {
		return s.id.String(), s.seal, nil
	}
	s, err := p.keys.sealer()
	if err != nil {
		return "", nil, err
	}
	p.files[path] = s
	return s.id.String(), s.seal, nil
}

const segmentSuffix = ".zap"

// contentsWriter seals the engine's table of contents, which is rewritten with every batch and holds no word of anyone. It has one key for as long as the
// partition exists, because the engine, after it was opened, may write a snapshot again over the old one and leave values in it that it does not
// write again: under a new key they could not be read any more.
func (p *partition) contentsWriter() (id string, process func([]byte) []byte, err error) {
	if p.contents == nil {
		leaf, err := p.keys.next()
		if err != nil {
			return "", nil, err
		}
		s, err := p.keys.sealerFor(leaf)
		if err != nil {
			return "", nil, err
		}
		p.contents = &s.id
	}
	aead, err := p.keys.aead(*p.contents)
	if err != nil {
		return "", nil, err
	}
	return p.contents.String(), func(plain []byte) []byte { return sealContents(aead, p.keys.rand, plain) }, nil
}

// reader returns what opens the chunks of the file at path.
func (p *partition) reader(id, path string) (func([]byte) ([]byte, error), error) {
	aead, err := p.keys.opener(id)
	if err != nil {
		return nil, err
	}
	open := open
	if filepath.Ext(path) != segmentSuffix {
		open = openContents
		if err := p.meetContents(id); err != nil {
			return nil, err
		}
	}
	return func(sealed []byte) ([]byte, error) {
		plain, err := open(aead, sealed)
		if err != nil {
			p.hurt(escrow.Errorf("bleveindex.File", escrow.Forged, "%w", err))
		}
		return plain, err
	}, nil
}

// meetContents remembers the key under which the table of contents was found.
func (p *partition) meetContents(id string) error {
	f, err := parseFileID(id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.contents == nil {
		p.contents = &f
	}
	return nil
}
