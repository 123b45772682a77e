package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"escrow"
)

// Item is one thing found: a message, or something that is none.
type Item struct {
	Path        string        // as it was named or found; may hold any bytes but NUL
	Line        int           // line in a file of JSON lines, from 1; else 0
	Offset      escrow.Offset // start in an mbox (of its From_ line); else 0
	InMbox      bool          // Offset counts
	ContentType string        // "message/rfc822" or "application/json"
	ID          string        // "sha256:<hex>" of a mail's bytes; "" where the message holds its own id
	Folder      string        // folder of a mail within what was named, slash separated: "INBOX", "Sent/2024"; "" if none
	Flags       string        // Maildir flags in words, space separated: "replied seen"
	Data        []byte        // the original bytes; owned by the receiver
	Err         error         // why it could not be read: an *escrow.Error; Data is nil
	Ignored     string        // why it is no message; Data is nil
}

// Place returns where the item was found, for people: the path, quoted if it is not printable, and line or offset.
func (it Item) Place() string {
	s := printable(it.Path)
	switch {
	case it.Line > 0:
		return s + ":" + strconv.Itoa(it.Line)
	case it.InMbox:
		return s + " at byte " + strconv.FormatInt(int64(it.Offset), 10)
	}
	return s
}

// Options say how to read. The zero value detects everything.
type Options struct {
	Format string // "", "auto", "mbox", "mboxo", "mboxrd", "mboxcl", "mboxcl2", "maildir", "eml" or "jsonl"
}

// Walker reads the messages of a list of paths. It holds the folders open until Close. A Walker is for one goroutine; Done and Size may be
// called from others.
type Walker struct {
	format  format
	targets []target
	done    atomic.Int64
}

// target is one path named by the caller.
type target struct {
	tree   tree
	name   string // within tree
	shown  string // as named
	folder bool
}

// Open prepares to read paths, files or folders of the operating system. It fails, kind NotFound or Denied, if one of them is not there or may not be
// opened, and with kind Invalid for an unknown format, before anything is read.
func Open(ctx context.Context, paths []string, opt Options) (*Walker, error) {
	f, err := parseFormat(opt.Format)
	if err != nil {
		return nil, err
	}
	w := &Walker{format: f}
	for _, p := range paths {
		if err := errors.Join(ctx.Err(), w.add(p)); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

func (w *Walker) add(p string) error {
	info, err := os.Stat(p)
	if err != nil {
		return pathError("source.Open", err)
	}
	if !info.IsDir() {
		if w.format == formatMaildir {
			return escrow.Errorf("source.Open", escrow.Invalid, "a Maildir is a folder; name the folder, or leave the format out")
		}
		w.targets = append(w.targets, target{tree: hostTree{}, name: p, shown: p})
		return nil
	}
	root, err := os.OpenRoot(p)
	if err != nil {
		return pathError("source.Open", err)
	}
	w.targets = append(w.targets, target{tree: rootTree{root}, name: ".", shown: filepath.Clean(p), folder: true})
	return nil
}

// OpenFS is Open for the files of fsys, such as an embedded one. Close does not close fsys.
func OpenFS(ctx context.Context, fsys fs.FS, paths []string, opt Options) (*Walker, error) {
	f, err := parseFormat(opt.Format)
	if err != nil {
		return nil, err
	}
	w := &Walker{format: f}
	for _, p := range paths {
		info, err := fs.Stat(fsys, path.Clean(p))
		if err = errors.Join(ctx.Err(), err); err != nil {
			return nil, pathError("source.OpenFS", err)
		}
		w.targets = append(w.targets, target{tree: fsTree{fsys}, name: path.Clean(p), shown: p, folder: info.IsDir()})
	}
	return w, nil
}

// All returns the items in the order of the paths and, within a folder, of the names. It ends early when ctx is cancelled. Each call starts anew.
func (w *Walker) All(ctx context.Context) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		p := &pass{ctx: ctx, w: w, yield: yield}
		w.done.Store(0)
		for _, t := range w.targets {
			f := found{tree: t.tree, name: t.name, shown: t.shown, explicit: true}
			ok := false
			if t.folder {
				ok = p.dir(f, 0)
			} else {
				ok = p.file(f)
			}
			if !ok {
				return
			}
		}
	}
}

// Done returns how many bytes of the files have been passed by All so far, compressed files counted as they are.
func (w *Walker) Done() int64 { return w.done.Load() }

// Size adds up the sizes of all files, without reading them. What cannot be listed counts nothing.
func (w *Walker) Size(ctx context.Context) int64 {
	var sum int64
	for _, t := range w.targets {
		sum += sizeOf(ctx, t.tree, t.name, t.folder, 0)
	}
	return sum
}

// Close releases the folders.
func (w *Walker) Close() error {
	var errs []error
	for _, t := range w.targets {
		if c, ok := t.tree.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	w.targets = nil
	if err := errors.Join(errs...); err != nil {
		return escrow.Errorf("source.Close", escrow.Internal, "close folder: %w", err)
	}
	return nil
}

// pathError translates an error of the file system about a path the caller named.
func pathError(op string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return escrow.Errorf(op, escrow.NotFound, "%w", err)
	case errors.Is(err, fs.ErrPermission):
		return escrow.Errorf(op, escrow.Denied, "%w", err)
	case errors.Is(err, fs.ErrInvalid):
		return escrow.Errorf(op, escrow.Invalid, "%w", err)
	}
	return escrow.Errorf(op, escrow.Internal, "%w", err)
}

func printable(s string) string {
	q := strconv.Quote(s)
	if q == `"`+s+`"` {
		return s
	}
	return q
}
