package archive

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/internal/vfs"
)

// Config says how a ledger is opened. Signer and Now are required.
type Config struct {
	Origin       string           // names the ledger for ever; must be the signer's name; "" is the signer's name
	Signer       note.Signer      // signs checkpoints
	Verifier     note.Verifier    // verifies them; nil if the signer has a method Verifier
	Now          func() time.Time // the clock
	SegmentBytes int64            // at which the next segment begins; 0 is DefaultSegmentBytes
	Logger       *slog.Logger     // nil for none
}

func (c Config) check() (Config, error) {
	if c.Signer == nil || c.Now == nil {
		return c, escrow.Errorf("archive.Open", escrow.Invalid, "a ledger needs a signer and a clock")
	}
	if s, ok := c.Signer.(interface{ Verifier() note.Verifier }); ok && c.Verifier == nil {
		c.Verifier = s.Verifier()
	}
	if c.Origin == "" {
		c.Origin = c.Signer.Name()
	}
	if c.Verifier == nil || c.Origin != c.Signer.Name() || c.Origin != c.Verifier.Name() {
		return c, escrow.Errorf("archive.Open", escrow.Invalid, "signer and verifier must bear the name of the ledger, %q", c.Origin)
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.SegmentBytes < 0 || c.SegmentBytes > maxSegmentBytes {
		return c, escrow.Errorf("archive.Open", escrow.Invalid, "a segment has at most %d bytes", int64(maxSegmentBytes))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Ledger is an open ledger. All methods are safe for concurrent use; those that read do not wait for Append.
type Ledger struct {
	fsys     vfs.FS
	dir      string
	cfg      Config
	readOnly bool
	lock     io.Closer
	segments *segments
	derived  *derived

	appending sync.Mutex // held by Append and Close
	writer    writer

	mu    sync.RWMutex // guards what follows
	state state
	tags  *tags
	grown chan struct{} // closed when state changes, and replaced
	done  bool          // closed
}

// state is what the ledger is at one moment.
type state struct {
	size       escrow.TreeSize
	root       tlog.Hash
	last       time.Time // of the last record; zero if there is none
	end        escrow.Offset
	signed     []byte // the newest signed checkpoint, nil if there is none
	signedSize escrow.TreeSize
}

const (
	lockFile       = "LOCK"
	checkpointFile = "checkpoint"
)

func newLedger(fsys vfs.FS, dir string, cfg Config) *Ledger {
	return &Ledger{fsys: fsys, dir: dir, cfg: cfg, grown: make(chan struct{})}
}

// Close makes the checkpoint durable, releases the lock and closes all files. No other method may be called during or after it, except Wait, which
// it ends. The error is of kind Unavailable.
func (l *Ledger) Close() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	if l.done {
		l.mu.Unlock()
		return nil
	}
	l.done = true
	close(l.grown)
	l.mu.Unlock()
	err := l.settleCheckpoint()
	return errors.Join(err, l.release())
}

// release closes whatever is open.
func (l *Ledger) release() error {
	var errs []error
	if l.writer.file != nil {
		errs = append(errs, l.writer.file.Close())
	}
	if l.segments != nil {
		errs = append(errs, l.segments.close())
	}
	if l.derived != nil {
		errs = append(errs, l.derived.close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return unavailable("archive.Close", "%w", err)
	}
	return nil
}

func (l *Ledger) now() state {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state
}

// Origin returns the name of the ledger.
func (l *Ledger) Origin() string { return l.cfg.Origin }

// Size returns the number of records.
func (l *Ledger) Size() escrow.TreeSize { return l.now().size }

// Root returns the root of the tree, and the number of records it covers.
func (l *Ledger) Root() (escrow.TreeSize, tlog.Hash) {
	s := l.now()
	return s.size, s.root
}

// LastTime returns the time of the last record, in whole seconds, the zero time if there is none. No later record is older.
func (l *Ledger) LastTime() time.Time { return l.now().last }

// Checkpoint returns the newest signed checkpoint, nil only for a ledger opened with OpenReadOnly that has none. The caller must not change it.
func (l *Ledger) Checkpoint() []byte { return l.now().signed }

// Once returns the first record with a deduplication tag, whether or not its blob can still be read.
func (l *Ledger) Once(tag [16]byte) (escrow.Seq, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	seq, ok := l.tags.once[tag]
	return seq, ok && escrow.TreeSize(seq) < l.state.size
}

// Stream returns the highest counter of a channel in the ledger.
func (l *Ledger) Stream(tag [16]byte) (uint64, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := l.tags.streams[tag]
	if t == nil {
		return 0, false
	}
	return t.last, true
}

// Streams returns the highest counter of every channel in the ledger.
func (l *Ledger) Streams() map[[16]byte]uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	last := make(map[[16]byte]uint64, len(l.tags.streams))
	for tag, t := range l.tags.streams {
		last[tag] = t.last
	}
	return last
}

// Find returns the record of a channel with a counter. The error is always nil; it is there for ledgers that must read to know.
func (l *Ledger) Find(tag [16]byte, counter uint64) (escrow.Seq, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := l.tags.streams[tag]
	if t == nil {
		return 0, false, nil
	}
	seq, ok := t.find(counter)
	return seq, ok && escrow.TreeSize(seq) < l.state.size, nil
}

// LastSource returns the highest log sequence sealed from every log stream.
func (l *Ledger) LastSource() map[[16]byte]uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	last := make(map[[16]byte]uint64, len(l.tags.sources))
	for tag, seq := range l.tags.sources {
		last[tag] = *seq
	}
	return last
}

// Wait returns when the ledger has at least size records. The error is ctx's, or of kind Unavailable when the ledger was closed.
func (l *Ledger) Wait(ctx context.Context, size escrow.TreeSize) error {
	for {
		l.mu.RLock()
		have, grown, done := l.state.size, l.grown, l.done
		l.mu.RUnlock()
		switch {
		case have >= size:
			return nil
		case done:
			return unavailable("archive.Wait", "the ledger was closed")
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stats are numbers about a ledger.
type Stats struct {
	Size       escrow.TreeSize
	SignedSize escrow.TreeSize // of the newest checkpoint
	Segments   int
	Bytes      int64 // of all segment files
	LastTime   time.Time
	Channels   int
	Failed     error // why no more records are taken; nil if they are
}

// Stats returns numbers about the ledger. The error is of kind Unavailable: a segment could not be looked at.
func (l *Ledger) Stats() (Stats, error) {
	s := l.now()
	l.mu.RLock()
	st := Stats{Size: s.size, SignedSize: s.signedSize, LastTime: s.last, Channels: len(l.tags.streams)}
	l.mu.RUnlock()
	st.Failed = l.writer.failure()
	for _, first := range l.segments.all() {
		info, err := l.fsys.Stat(l.segments.name(first))
		if err != nil {
			return Stats{}, unavailable("archive.Stats", "%w", err)
		}
		st.Segments++
		st.Bytes += info.Size()
	}
	return st, nil
}

func (l *Ledger) path(name string) string { return filepath.Join(l.dir, name) }
