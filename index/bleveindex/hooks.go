package bleveindex

import (
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/search/searcher"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
)

// process routes the engine's hooks. The engine seals files through two function variables and reports errors of its goroutines through a map, all
// three global to the process, so there must be one value of ours that is global, too. It holds nothing but which open partition a directory
// belongs to, and it is installed once, by the first Open. A file in a directory that is not registered can be neither written nor read.
var process = &hooks{}

type hooks struct {
	once sync.Once
	mu   sync.RWMutex
	open map[string]*partition // by directory
}

const errorCallback = "escrow"

func (h *hooks) install() {
	h.once.Do(func() {
		bleve.WriterHook = h.writer
		bleve.ReaderHook = h.reader
		scorch.RegistryAsyncErrorCallbacks[errorCallback] = h.failed
		// Our own limits are tighter and their errors better; this is the second fence.
		searcher.DisjunctionMaxClauseCount = 4 * maxExpansion
	})
}

// register makes dir a place where sealed files can be written and read. Its error is of kind Conflict if it is one already.
func (h *hooks) register(dir string, p *partition) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[dir] != nil {
		return escrow.Errorf("bleveindex.Open", escrow.Conflict, "the index is open already")
	}
	if h.open == nil {
		h.open = map[string]*partition{}
	}
	h.open[dir] = p
	return nil
}

func (h *hooks) forget(dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, dir)
}

// find returns the partition that owns the file the engine names.
func (h *hooks) find(path []byte) (*partition, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if p := h.open[filepath.Dir(string(path))]; p != nil {
		return p, nil
	}
	return nil, escrow.Errorf("bleveindex.File", escrow.Internal, "an index file outside every open index")
}

// writer is the engine's WriterHook.
func (h *hooks) writer(path []byte) (id string, process func([]byte) []byte, err error) {
	p, err := h.find(path)
	if err != nil {
		return "", nil, err
	}
	id, process, err = p.writer(string(path))
	if err != nil {
		p.note(err)
	}
	return id, process, err
}

// reader is the engine's ReaderHook. Only segments in memory, which have neither name nor path, are in clear.
func (h *hooks) reader(id string, path []byte) (func([]byte) ([]byte, error), error) {
	if id == "" && len(path) == 0 {
		return func(b []byte) ([]byte, error) { return b, nil }, nil
	}
	p, err := h.find(path)
	if err != nil {
		return nil, err
	}
	open, err := p.reader(id, string(path))
	if err != nil {
		p.hurt(err)
		return nil, err
	}
	return open, nil
}

// failed is told of errors in the engine's goroutines, which try again at once and for ever; it slows them down.
func (h *hooks) failed(err error, dir string) {
	h.mu.RLock()
	p := h.open[dir]
	h.mu.RUnlock()
	if p == nil {
		return
	}
	p.note(escrow.Errorf("bleveindex.Write", escrow.Unavailable, "the index cannot write: %w", err))
	p.log.Error("index cannot write", slog.String("partition", p.name))
	timer := time.NewTimer(backoff)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closing:
	}
}
