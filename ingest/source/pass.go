package source

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"escrow"
)

// pass is one run over all targets. Its methods return false when the run must stop.
type pass struct {
	ctx   context.Context
	w     *Walker
	yield func(Item) bool
}

// found is a file or folder on the way.
type found struct {
	tree     tree
	name     string // within tree
	shown    string // for people
	folder   string // folder of mails it belongs to
	box      string // "cur", "new" or "tmp" right below a Maildir, else ""
	explicit bool   // named by the caller
}

func (p *pass) emit(it Item) bool {
	return p.ctx.Err() == nil && p.yield(it)
}

func (p *pass) ignore(f found, why string) bool {
	return p.emit(Item{Path: f.shown, Ignored: why})
}

func (p *pass) fail(f found, err error) bool {
	return p.emit(Item{Path: f.shown, Err: readError(err)})
}

// readError names what went wrong with a file without naming the file.
func readError(err error) error {
	var known *escrow.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrPermission):
		return escrow.Errorf("source.Read", escrow.Denied, "permission denied")
	case errors.Is(err, fs.ErrNotExist):
		return escrow.Errorf("source.Read", escrow.NotFound, "vanished before it was read")
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return escrow.Errorf("source.Read", escrow.Corrupt, "cannot be read: %w", err)
}

// dir visits a folder. A folder with a folder cur in it is a Maildir.
func (p *pass) dir(f found, depth int) bool {
	if depth > maxDepth {
		return p.fail(f, escrow.Errorf("source.Read", escrow.Invalid, "folders are nested more than %d deep", maxDepth))
	}
	entries, err := f.tree.list(f.name)
	if err != nil {
		return p.fail(f, err)
	}
	maildir := f.box == "" && isMaildir(entries)
	if maildir {
		f.folder = maildirFolder(f.folder)
	}
	for _, e := range entries {
		if !p.entry(child(f, e, maildir), e, depth) {
			return false
		}
	}
	return true
}

// child describes an entry of the folder f.
func child(f found, e fs.DirEntry, maildir bool) found {
	c := found{tree: f.tree, name: path.Join(f.name, e.Name()), shown: filepath.Join(f.shown, e.Name()), folder: f.folder}
	switch {
	case !e.IsDir():
		c.box = f.box
	case maildir && isBox(e.Name()):
		c.box = e.Name()
	default:
		c.folder = subfolder(f.folder, e.Name(), maildir)
	}
	return c
}

func (p *pass) entry(c found, e fs.DirEntry, depth int) bool {
	switch {
	case e.IsDir():
		return p.dir(c, depth+1)
	case e.Type()&fs.ModeSymlink != 0:
		return p.ignore(c, "symbolic link")
	case !e.Type().IsRegular():
		return p.ignore(c, "not a regular file")
	case c.box == "tmp":
		return p.skipped(c, e, "unfinished delivery in tmp")
	case p.w.format == formatMaildir && c.box == "":
		return p.skipped(c, e, "not in cur or new")
	}
	return p.file(c)
}

// skipped ignores a file whose bytes were counted beforehand.
func (p *pass) skipped(c found, e fs.DirEntry, why string) bool {
	if info, err := e.Info(); err == nil {
		p.w.done.Add(info.Size())
	}
	return p.ignore(c, why)
}

// file opens and reads one file.
func (p *pass) file(f found) bool {
	fl, err := f.tree.open(f.name)
	if err != nil {
		return p.fail(f, err)
	}
	ok := p.opened(f, fl)
	if err := fl.Close(); err != nil && ok {
		return p.fail(f, err)
	}
	return ok
}

func (p *pass) opened(f found, fl fs.File) bool {
	info, err := fl.Stat()
	if err != nil {
		return p.fail(f, err)
	}
	if !f.explicit && !info.Mode().IsRegular() {
		return p.ignore(f, "not a regular file")
	}
	before := p.w.done.Load()
	r := bufio.NewReaderSize(&counted{r: fl, ctx: p.ctx, n: &p.w.done}, readBuffer)
	ok := p.packed(f, r, fl, info.Size())
	if info.Mode().IsRegular() {
		p.w.done.Store(before + info.Size()) // what was passed over counts as done
	}
	return ok
}

// packed looks for a compressed file or an archive, and else reads what there is.
func (p *pass) packed(f found, r *bufio.Reader, fl fs.File, size int64) bool {
	head, err := r.Peek(tarHeaderBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return p.fail(f, err)
	}
	switch k := packing(head); {
	case k == packGzip || k == packZstd: // mail servers compress the mails of a Maildir, too
		return p.compressed(f, r, k)
	case k == packNone, f.box != "":
		return p.content(f, r)
	case !f.explicit:
		return p.ignore(f, "archive; name it to import what is in it")
	case k == packTar:
		return p.tar(f, r)
	default:
		return p.zip(f, fl, size)
	}
}

// content reads an uncompressed file.
func (p *pass) content(f found, r *bufio.Reader) bool {
	head, err := r.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return p.fail(f, err)
	}
	as := p.w.format
	if as == formatAuto {
		as = detect(f.name, head, f.explicit)
	}
	if f.box != "" {
		as = formatMaildir
	}
	if v, ok := as.variant(); ok {
		return p.mbox(f, r, v)
	}
	switch {
	case as == formatJSONL:
		return p.jsonl(f, r)
	case as == formatMail, as == formatMaildir:
		return p.mail(f, r)
	case len(head) == 0:
		return p.ignore(f, "empty file")
	case isOutlook(head):
		return p.ignore(f, "Outlook .msg, which is not a text mail")
	}
	return p.ignore(f, "not a message")
}

// mail reads one file as one mail.
func (p *pass) mail(f found, r io.Reader) bool {
	data, err := io.ReadAll(io.LimitReader(r, escrow.MaxImport+1))
	switch {
	case err != nil:
		return p.fail(f, err)
	case len(data) > escrow.MaxImport:
		return p.fail(f, errTooLarge())
	case len(data) == 0:
		return p.fail(f, errEmpty())
	}
	it := mailItem(f, data)
	if f.box != "" {
		it.Flags = maildirFlags(f.name)
	}
	return p.emit(it)
}

func (p *pass) mbox(f found, r io.Reader, v Variant) bool {
	m, err := NewMbox(r, v)
	if err != nil {
		return p.fail(f, err)
	}
	for {
		e, err := m.Next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return p.fail(f, err)
		}
		it := mailItem(f, e.Data)
		switch {
		case e.TooLarge:
			it = Item{Path: f.shown, Err: errTooLarge()}
		case len(e.Data) == 0:
			it = Item{Path: f.shown, Err: errEmpty()}
		}
		it.Offset, it.InMbox = e.Offset, true
		if !p.emit(it) {
			return false
		}
	}
}

func mailItem(f found, data []byte) Item {
	sum := sha256.Sum256(data)
	return Item{Path: f.shown, ContentType: mailType, ID: "sha256:" + hex.EncodeToString(sum[:]), Folder: f.folder, Data: data}
}

func errTooLarge() error { return escrow.Errorf("source.Read", escrow.Invalid, "too large") }
func errEmpty() error    { return escrow.Errorf("source.Read", escrow.Invalid, "empty") }

// counted counts the bytes read and stops reading when ctx is cancelled.
type counted struct {
	r   io.Reader
	ctx context.Context
	n   interface{ Add(int64) int64 }
}

func (c *counted) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// subfolder returns the folder of a mail in the folder name below parent. Maildir++ keeps "Sent/2024" in a folder ".Sent.2024".
func subfolder(parent, name string, maildir bool) string {
	if maildir && strings.HasPrefix(name, ".") {
		name = strings.ReplaceAll(decodeFolder(strings.TrimPrefix(name, ".")), ".", "/")
	}
	if parent == inbox {
		parent = ""
	}
	return cutFolder(path.Join(parent, cleanFolder(name)))
}
