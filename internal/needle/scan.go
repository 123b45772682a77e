package needle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"escrow"
)

const (
	chunkBytes = 1 << 20
	// maxUnpacked bounds what one packed member may take in memory; more is cut off and counted.
	maxUnpacked = 64 << 20
	// maxDepth bounds members within members.
	maxDepth = 3
	// maxHits bounds the places a report names; more are counted only.
	maxHits = 200
)

// Hit is one place where a word was found.
type Hit struct {
	Word string
	Form string
	In   string // file or region, and the packed members in it
	At   int64  // offset in the file, or in the innermost member
}

// String says what was found where.
func (h Hit) String() string { return fmt.Sprintf("%s (%s) in %s at %d", h.Word, h.Form, h.In, h.At) }

// Report says what was looked at and what was found.
type Report struct {
	Bytes   int64          // looked at, what was unpacked included
	Sources int            // files or regions
	Members int            // packed members that were unpacked, at least in part
	Cut     int            // members larger than 64 MiB or deeper than three, of which the rest was not looked at
	Found   int            // places
	Words   map[string]int // places by word
	Forms   map[string]int // places by form
	Hits    []Hit          // the first 200
}

// Add adds what another report says.
func (r *Report) Add(o Report) {
	r.Bytes, r.Sources, r.Members, r.Cut = r.Bytes+o.Bytes, r.Sources+o.Sources, r.Members+o.Members, r.Cut+o.Cut
	r.Found += o.Found
	r.Words, r.Forms = sum(r.Words, o.Words), sum(r.Forms, o.Forms)
	r.Hits = append(r.Hits, o.Hits[:min(len(o.Hits), maxHits-len(r.Hits))]...)
}

func sum(a, b map[string]int) map[string]int {
	if a == nil {
		a = map[string]int{}
	}
	for k, n := range b {
		a[k] += n
	}
	return a
}

func (r *Report) found(h Hit) {
	r.Found++
	if r.Words == nil {
		r.Words, r.Forms = map[string]int{}, map[string]int{}
	}
	r.Words[h.Word]++
	r.Forms[h.Form]++
	if len(r.Hits) < maxHits {
		r.Hits = append(r.Hits, h)
	}
}

// String says in one line how much was looked at, and what was found in lines of its own.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d found in %d bytes of %d sources, %d packed members unpacked, %d cut off", r.Found, r.Bytes, r.Sources, r.Members, r.Cut)
	for _, h := range r.Hits {
		fmt.Fprintf(&b, "\n%s", h)
	}
	return b.String()
}

// Scan looks through size bytes of r, which reports call name. It holds a few MiB, and besides at most three packed members of 64 MiB each. An error
// of r ends it with kind Unavailable.
func (s *Set) Scan(name string, r io.ReaderAt, size int64) (Report, error) {
	report := Report{Sources: 1}
	err := s.scan(&report, source{name: name, r: r, size: size})
	return report, err
}

// source is something to look through, a file or what was unpacked from one.
type source struct {
	name  string
	r     io.ReaderAt
	size  int64
	depth int
}

func (s *Set) scan(report *Report, src source) error {
	buf := make([]byte, min(chunkBytes+2*int64(s.longest), src.size)) // twice: line breaks may divide what begins at the end of a chunk
	var text joined
	for at := int64(0); at < src.size; at += chunkBytes {
		b := buf[:min(int64(len(buf)), src.size-at)]
		n, err := src.r.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return escrow.Errorf("needle.Scan", escrow.Unavailable, "read %s at %d: %w", src.name, at, err)
		}
		b = b[:n]
		limit := min(chunkBytes, n)
		report.Bytes += int64(limit)
		s.find(b, limit, func(i int, p *pattern) { report.found(Hit{p.word, p.form, src.name, at + int64(i)}) })
		text.join(b)
		s.find(text.text, text.before(limit), func(i int, p *pattern) {
			if removed, ok := text.divided(i, len(p.bytes)); ok {
				report.found(Hit{p.word, p.form + ", across line breaks", src.name, at + int64(i+removed)})
			}
		})
		if err := s.unpackAll(report, src, b, at); err != nil {
			return err
		}
	}
	return nil
}

// ScanFS looks through every file below the root of fsys, and through their names. Files must implement io.ReaderAt, as those of os.DirFS do. A file
// that vanishes meanwhile is passed over.
func (s *Set) ScanFS(fsys fs.FS) (Report, error) {
	report := Report{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil {
			s.scanName(&report, name)
		}
		if err == nil && entry.Type().IsRegular() {
			err = s.scanFile(&report, fsys, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return report, err
}

func (s *Set) scanName(report *Report, name string) {
	s.find([]byte(name), len(name), func(i int, p *pattern) { report.found(Hit{p.word, p.form, "the name of " + name, int64(i)}) })
}

func (s *Set) scanFile(report *Report, fsys fs.FS, name string) (err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		return escrow.Errorf("needle.ScanFS", escrow.Invalid, "%s cannot be read at an offset", name)
	}
	one, err := s.Scan(name, r, info.Size())
	report.Add(one)
	return err
}
