package segment

import (
	"bytes"
	"errors"
	"io"

	"escrow"
)

// Scanner reads the frames of a segment one after another with memory bounded by the largest frame. It is not safe for concurrent use.
type Scanner struct {
	r   io.ReaderAt
	at  escrow.Offset // of the next frame
	end escrow.Offset
	buf []byte // bytes from at on, a part of mem
	mem []byte
}

// NewScanner returns a scanner over the frames from offset at up to end.
func NewScanner(r io.ReaderAt, at, end escrow.Offset) *Scanner {
	return &Scanner{r: r, at: at, end: end}
}

// Offset returns where the next frame starts, or after an error of kind Corrupt, where the damaged one does.
func (s *Scanner) Offset() escrow.Offset { return s.at }

// Next returns the next frame, valid until the next call. At the end it returns io.EOF. An error of kind Corrupt says that there is no sound frame
// here, though there may be more behind it; one of kind Unavailable, that the file could not be read.
func (s *Scanner) Next() (Frame, error) {
	if s.at >= s.end {
		return Frame{}, io.EOF
	}
	if err := s.fill(Overhead); err != nil {
		return Frame{}, err
	}
	if total, err := frameBytes(s.buf); err != nil {
		return Frame{}, err
	} else if err := s.fill(total); err != nil {
		return Frame{}, err
	}
	f, n, err := ParseFrame(s.buf)
	if err != nil {
		return Frame{}, err
	}
	s.at += escrow.Offset(n)
	s.buf = s.buf[n:]
	return f, nil
}

// fill makes n bytes available if the file has them. It never allocates more than the file holds.
func (s *Scanner) fill(n int) error {
	if len(s.buf) >= n {
		return nil
	}
	left := int64(s.end - s.at)
	if int64(n) > left {
		return corrupt("a frame of %d bytes or more starts %d bytes before the end", n, left)
	}
	if cap(s.mem) < n || cap(s.mem) > window && n <= window { // too small, or left over from a large record
		s.mem = make([]byte, min(int64(max(n, window)), left))
	}
	mem := s.mem[:min(int64(cap(s.mem)), left)]
	have := copy(mem, s.buf)
	_, err := s.r.ReadAt(mem[have:], int64(s.at)+int64(have))
	if errors.Is(err, io.EOF) {
		return corrupt("the segment ends before offset %d", s.end)
	}
	if err != nil {
		return escrow.Errorf("segment.Scan", escrow.Unavailable, "reading at offset %d: %w", s.at, err)
	}
	s.buf = mem
	return nil
}

// Skip moves to an offset at or behind the present one, as found by FindCommit.
func (s *Scanner) Skip(to escrow.Offset) {
	n := min(int64(to-s.at), int64(len(s.buf)))
	s.buf, s.at = s.buf[n:], to
}

// FindCommit looks for a sound commit frame at any offset from at on, for which want returns true. It is how one tells a torn end, behind which there
// is nothing, from damage in the middle. The error is of kind Unavailable.
func FindCommit(r io.ReaderAt, at, end escrow.Offset, want func(Commit) bool) (escrow.Offset, bool, error) {
	buf := make([]byte, max(0, min(window+CommitBytes, int64(end-at))))
	for at < end {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), int64(end-at))], int64(at))
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, false, escrow.Errorf("segment.FindCommit", escrow.Unavailable, "reading at offset %d: %w", at, err)
		}
		if i := indexCommit(buf[:n], want); i >= 0 {
			return at + escrow.Offset(i), true, nil
		}
		if n <= CommitBytes {
			break
		}
		at += escrow.Offset(n - CommitBytes + 1) // a frame may lie across the edge
	}
	return 0, false, nil
}

func indexCommit(b []byte, want func(Commit) bool) int {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(commitPrefix))
		if i < 0 {
			return -1
		}
		from += i
		if f, _, err := ParseFrame(b[from:]); err == nil {
			if c, err := f.Commit(); err == nil && want(c) {
				return from
			}
		}
		from++
	}
}
