package archive

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"escrow"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

const segmentsDir = "segments"

// segments is the list of segment files, of which a bounded number is kept open for reading. Safe for concurrent use.
type segments struct {
	fsys   vfs.FS
	dir    string
	origin [32]byte

	mu     sync.Mutex
	firsts []escrow.Seq // first record of each segment, ascending
	open   map[escrow.Seq]*openSegment
	uses   uint64
}

// openSegment is a file in use by readers; lastUse orders them.
type openSegment struct {
	vfs.File
	readers int
	lastUse uint64
}

// listSegments reads the list from the directory of a ledger. Files of other names are not looked at.
func listSegments(fsys vfs.FS, dir, origin string) (*segments, error) {
	s := &segments{fsys: fsys, dir: filepath.Join(dir, segmentsDir), origin: sha256.Sum256([]byte(origin)), open: map[escrow.Seq]*openSegment{}}
	entries, err := fsys.ReadDir(s.dir)
	if err != nil {
		return nil, unavailable("archive.Open", "listing segments: %w", err)
	}
	for _, e := range entries {
		if first, ok := segment.ParseName(e.Name()); ok {
			s.firsts = append(s.firsts, first)
		}
	}
	slices.Sort(s.firsts)
	return s, nil
}

func unavailable(op, format string, args ...any) *escrow.Error {
	return escrow.Errorf(op, escrow.Unavailable, format, args...)
}

func (s *segments) name(first escrow.Seq) string { return filepath.Join(s.dir, segment.Name(first)) }

// all returns a copy of the list.
func (s *segments) all() []escrow.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.firsts)
}

// add adds a segment behind the others.
func (s *segments) add(first escrow.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.firsts = append(s.firsts, first)
}

// dropLast removes the last segment from the list, and returns which it was. Nothing may be reading it.
func (s *segments) dropLast() (escrow.Seq, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.firsts[len(s.firsts)-1]
	s.firsts = s.firsts[:len(s.firsts)-1]
	o := s.open[first]
	if o == nil {
		return first, nil
	}
	delete(s.open, first)
	return first, o.Close()
}

// span returns the first record of the segment a record is in, and of the segment after it: the greatest number if there is none.
func (s *segments) span(seq escrow.Seq) (first, next escrow.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearch(s.firsts, seq)
	if !found {
		i = max(i-1, 0)
	}
	next = ^escrow.Seq(0)
	if i+1 < len(s.firsts) {
		next = s.firsts[i+1]
	}
	return s.firsts[i], next
}

// acquire opens a segment for reading, or reuses an open one. The caller must release it.
func (s *segments) acquire(first escrow.Seq) (*openSegment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses++
	if o := s.open[first]; o != nil {
		o.readers++
		o.lastUse = s.uses
		return o, nil
	}
	f, err := s.fsys.OpenFile(s.name(first), os.O_RDONLY, 0)
	if err != nil {
		return nil, unavailable("archive.Read", "opening a segment: %w", err)
	}
	o := &openSegment{File: f, readers: 1, lastUse: s.uses}
	s.open[first] = o
	if err := s.evict(); err != nil {
		o.readers--
		return nil, unavailable("archive.Read", "closing a segment: %w", err)
	}
	return o, nil
}

// evict closes the segment unused for longest, if too many are open.
func (s *segments) evict() error {
	if len(s.open) <= maxOpenSegments {
		return nil
	}
	var oldest *openSegment
	var key escrow.Seq
	for first, o := range s.open {
		if o.readers == 0 && (oldest == nil || o.lastUse < oldest.lastUse) {
			oldest, key = o, first
		}
	}
	if oldest == nil {
		return nil
	}
	delete(s.open, key)
	return oldest.Close()
}

func (s *segments) release(o *openSegment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.readers--
}

// close closes all files. Nothing may be being read.
func (s *segments) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, o := range s.open {
		errs = append(errs, o.Close())
	}
	clear(s.open)
	return errors.Join(errs...)
}

// header reads and checks the header of a segment, and returns the size of the file.
func (s *segments) header(first escrow.Seq) (escrow.Offset, error) {
	f, err := s.acquire(first)
	if err != nil {
		return 0, err
	}
	defer s.release(f)
	info, err := f.Stat()
	if err != nil {
		return 0, unavailable("archive.Open", "reading a segment: %w", err)
	}
	size := escrow.Offset(info.Size())
	b := make([]byte, min(segment.HeaderBytes, int(size)))
	if _, err := f.ReadAt(b, 0); err != nil {
		return size, unavailable("archive.Open", "reading a segment: %w", err)
	}
	h, err := segment.ParseHeader(b)
	if err != nil {
		return size, escrow.Errorf("archive.Open", escrow.KindOf(err), "segment %s: %w", segment.Name(first), err)
	}
	if h.Origin != s.origin {
		return size, escrow.Errorf("archive.Open", escrow.Forged, "segment %s belongs to another ledger", segment.Name(first))
	}
	if h.First != first {
		return size, escrow.Errorf("archive.Open", escrow.Forged, "segment %s begins with record %d", segment.Name(first), h.First)
	}
	return size, nil
}
