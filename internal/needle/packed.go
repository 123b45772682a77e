package needle

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// packing is a format that members begin in anywhere in a file.
type packing struct {
	name   string
	magic  string
	unpack func(*io.SectionReader) (io.ReadCloser, error)
}

var packings = []packing{
	{"gzip", "\x1f\x8b\x08", func(r *io.SectionReader) (io.ReadCloser, error) {
		z, err := gzip.NewReader(r)
		if err == nil {
			z.Multistream(false) // the next member is found by its own beginning
		}
		return z, err
	}},
	{"zstd", "\x28\xb5\x2f\xfd", func(r *io.SectionReader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(io.NewSectionReader(r, 0, frameBytes(r)), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}},
	{"s2", "\xff\x06\x00\x00S2sTwO", unpackS2},
	{"snappy", "\xff\x06\x00\x00sNaPpY", unpackS2},
}

func unpackS2(r *io.SectionReader) (io.ReadCloser, error) { return io.NopCloser(s2.NewReader(r)), nil }

// unpackAll looks through the packed members that begin in the first chunk of b, which begins at offset at of the source.
func (s *Set) unpackAll(report *Report, src source, b []byte, at int64) error {
	for _, p := range packings {
		for i := 0; ; i++ {
			n := bytes.Index(b[i:], []byte(p.magic))
			if i += n; n < 0 || i >= chunkBytes {
				break
			}
			if err := s.unpack(report, src, at+int64(i), p); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpack looks through what can be unpacked of the member at an offset. A beginning by chance, or a damaged member, gives nothing, or its first part.
func (s *Set) unpack(report *Report, src source, at int64, p packing) error {
	r, err := p.unpack(io.NewSectionReader(src.r, at, src.size-at))
	if err != nil {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if err = errors.Join(err, r.Close()); err != nil && len(content) == 0 {
		return nil
	}
	report.Members++
	if len(content) == maxUnpacked || src.depth == maxDepth {
		report.Cut++
	}
	if src.depth == maxDepth {
		return nil
	}
	inner := source{name: fmt.Sprintf("%s, %s at %d", src.name, p.name, at), r: bytes.NewReader(content), size: int64(len(content)), depth: src.depth + 1}
	return s.scan(report, inner)
}

// frameBytes returns the length of the Zstandard frame r begins with (RFC 8878, section 3.1.1), because the library reads on to the frames after it,
// which are found by their own beginning. Of what is no whole frame it returns all there is.
func frameBytes(r *io.SectionReader) int64 {
	b := make([]byte, zstd.HeaderMaxSize)
	n, _ := r.ReadAt(b, 0)
	var h zstd.Header
	if h.Decode(b[:n]) != nil {
		return r.Size()
	}
	for at := int64(h.HeaderSize); ; {
		if n, _ := r.ReadAt(b[:3], at); n < 3 {
			return r.Size()
		}
		block := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
		size, last, repeated := block>>3, block&1 == 1, block>>1&3 == 1
		if repeated {
			size = 1
		}
		at += 3 + size
		if last {
			if h.HasCheckSum {
				at += 4
			}
			return min(at, r.Size())
		}
	}
}
