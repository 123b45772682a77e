package source

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"escrow"
)

// packKind is a way to compress a file, or to pack many into one.
type packKind uint8

const (
	packNone packKind = iota
	packGzip
	packZstd
	packTar
	packZip
)

func packing(head []byte) packKind {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return packGzip
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return packZstd
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return packZip
	case len(head) >= tarHeaderBytes && bytes.HasPrefix(head[257:], []byte("ustar")):
		return packTar
	}
	return packNone
}

// expansion counts what comes out of a compressed file against what went in, and refuses bombs.
type expansion struct {
	in, out int64
}

func (x *expansion) grow(n int) error {
	x.out += int64(n)
	if x.out > freeExpansion && x.out/maxExpansion > x.in {
		return escrow.Errorf("source.Read", escrow.Invalid, "refused: grows more than %d times when decompressed", maxExpansion)
	}
	return nil
}

// compressedReader counts the bytes that go in.
type compressedReader struct {
	r io.Reader
	x *expansion
}

func (c compressedReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.x.in += int64(n)
	return n, err
}

// expandedReader counts the bytes that come out.
type expandedReader struct {
	r io.Reader
	x *expansion
}

func (e expandedReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if bomb := e.x.grow(n); bomb != nil {
		return 0, bomb
	}
	return n, err
}

// compressed reads what is in a compressed file: mails, or a tar archive.
func (p *pass) compressed(f found, r io.Reader, k packKind) bool {
	x := new(expansion)
	dec, done, err := decoder(compressedReader{r, x}, k)
	if err != nil {
		return p.fail(f, err)
	}
	defer done()
	plain := bufio.NewReaderSize(expandedReader{dec, x}, readBuffer)
	head, err := plain.Peek(tarHeaderBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return p.fail(f, err)
	}
	switch k := packing(head); {
	case k == packNone, f.box != "":
		return p.content(f, plain)
	case k == packTar && f.explicit:
		return p.tar(f, plain)
	case k == packTar:
		return p.ignore(f, "archive; name it to import what is in it")
	}
	return p.ignore(f, "compressed or packed more than once")
}

func decoder(r io.Reader, k packKind) (io.Reader, func(), error) {
	if k == packGzip {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// tar reads the entries of an archive in their order.
func (p *pass) tar(f found, r io.Reader) bool {
	end := &zeroTail{r: r}
	t := tar.NewReader(end)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return end.complete() || p.fail(f, escrow.Errorf("source.Read", escrow.Corrupt, "cut off: the archive has no end"))
		}
		if err != nil {
			return p.fail(f, err)
		}
		c := archiveEntry(f, h.Name)
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			if !p.ignore(c, "not a regular file") {
				return false
			}
			continue
		}
		if !p.archived(c, t) {
			return false
		}
	}
}

// zeroTail counts the zeros at the end of what was read. A tar archive ends with two blocks of zeros, which archive/tar does not insist on; without
// them messages may be missing.
type zeroTail struct {
	r     io.Reader
	zeros int
}

func (z *zeroTail) Read(b []byte) (int, error) {
	n, err := z.r.Read(b)
	tail := n - len(bytes.TrimRight(b[:n], "\x00"))
	if tail == n {
		tail += z.zeros
	}
	z.zeros = tail
	return n, err
}

func (z *zeroTail) complete() bool { return z.zeros >= 2*tarHeaderBytes }

// zip reads the entries of an archive in the order of its directory.
func (p *pass) zip(f found, fl fs.File, size int64) bool {
	at, ok := fl.(io.ReaderAt)
	if !ok {
		return p.fail(f, escrow.Errorf("source.Read", escrow.Invalid, "a ZIP archive can be read from a file only"))
	}
	dir := &boundedReaderAt{r: at, left: maxZipDirectory}
	z, err := zip.NewReader(dir, size)
	if err != nil {
		return p.fail(f, err)
	}
	dir.left = -1
	x := &expansion{in: size}
	for _, e := range z.File {
		if e.Mode().IsDir() {
			continue
		}
		if !p.zipped(archiveEntry(f, e.Name), e, x) {
			return false
		}
	}
	return true
}

func (p *pass) zipped(c found, e *zip.File, x *expansion) bool {
	if !e.Mode().IsRegular() {
		return p.ignore(c, "not a regular file")
	}
	r, err := e.Open()
	if err != nil {
		return p.fail(c, err)
	}
	ok := p.archived(c, expandedReader{r, x})
	if err := r.Close(); err != nil && ok {
		return p.fail(c, err)
	}
	return ok
}

// archived reads one entry of an archive.
func (p *pass) archived(c found, r io.Reader) bool {
	if c.box == "tmp" {
		return p.ignore(c, "unfinished delivery in tmp")
	}
	if c.box == "" && p.w.format == formatMaildir {
		return p.ignore(c, "not in cur or new")
	}
	buf := bufio.NewReaderSize(r, readBuffer)
	head, err := buf.Peek(tarHeaderBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return p.fail(c, err)
	}
	k := packing(head)
	switch {
	case c.box != "" && (k == packGzip || k == packZstd):
		return p.compressed(c, buf, k)
	case c.box == "" && k != packNone:
		return p.ignore(c, "compressed or packed more than once")
	}
	return p.content(c, buf)
}

// boundedReaderAt fails once more than left bytes have been asked for; a negative left is no bound.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64
}

func (b *boundedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			b.left = 0
			return 0, escrow.Errorf("source.Read", escrow.Invalid, "refused: the directory of the ZIP archive is larger than %d bytes", maxZipDirectory)
		}
	}
	return b.r.ReadAt(p, off)
}

// archiveEntry describes the entry name of the archive f. The name is only ever shown and sent along, never used to open a file. There is no listing
// to ask whether a folder is a Maildir, so every folder named cur, new or tmp is taken for a part of one.
func archiveEntry(f found, name string) found {
	clean := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
	c := found{name: clean, shown: f.shown + "/" + clean}
	dir := path.Dir(clean)
	if box := path.Base(dir); isBox(box) {
		c.box, dir = box, path.Dir(dir)
	}
	if dir != "." {
		for name := range strings.SplitSeq(dir, "/") {
			c.folder = subfolder(c.folder, name, c.box != "")
		}
	}
	if c.box != "" {
		c.folder = maildirFolder(c.folder)
	}
	return c
}
