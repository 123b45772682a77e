package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/archive/segment"
	"escrow/internal/vfs"
)

// Source is an open archive.
type Source struct {
	Archive string // its id
	Dir     string // its data directory
	Files   []Small
	Tenants []Tenant
}

// Small is a file that is copied as it is, such as the configuration.
type Small struct {
	Path    string // in the data directory, with slashes
	Content []byte
}

// Tenant is one tenant of an open archive.
type Tenant struct {
	Name   escrow.Tenant
	Origin string
	Key    string // verifier key
	Ledger *archive.Ledger
	Keys   func() (KeyState, error)
}

// KeyState is a sealed key state, opaque here.
type KeyState struct {
	Sealed  []byte
	Version uint64          // of the state, higher with each change
	Epoch   uint64          // of the root it is sealed under
	Trees   int             // how many key trees it has; a ledger with records under other trees does not belong to it
	Needs   escrow.TreeSize // records a ledger must have to be not older than it
}

// Options say where a backup goes and how.
type Options struct {
	To     string // directory of the archive
	KeysTo string // directory of the keys; "" for a backup without
	// Check reads everything that earlier backups copied, too, in the archive and in the backup, and copies what differs again.
	Check    bool
	Now      func() time.Time
	Progress func(done, total int64) // bytes looked at; may be nil
}

// Report says what a backup did.
type Report struct {
	Manifest Manifest
	Digest   string   // SHA-256 of the manifest; kept elsewhere, it proves all of the backup
	Bytes    int64    // of the whole backup
	Copied   int64    // written by this run
	Repaired []string // files whose copy was damaged or missing
}

// Write makes a backup, or brings the one in opt.To up to date, while the archive is in use. On return without error it is complete, durable and read
// back. With an error the backup before is as it was, and the next Write continues where this one stopped. Error kinds: Invalid, the destinations do not
// go together with the data directory or with each other; Conflict, a destination holds something else, or another backup is being written; Corrupt, the
// backup that is there is damaged; Unavailable, a destination cannot be written to, or ctx's error.
func Write(ctx context.Context, fsys vfs.FS, src Source, opt Options) (Report, error) {
	if err := checkPlaces(src.Dir, opt); err != nil {
		return Report{}, err
	}
	w := &writer{fsys: fsys, src: src, opt: opt, copier: newCopier(fsys, opt.To, opt.Progress)}
	report, err := w.run(ctx)
	return report, errors.Join(err, w.unlock())
}

// checkPlaces refuses destinations that would not survive the archive, or that put keys beside what they open.
func checkPlaces(data string, opt Options) error {
	invalid := func(text string) error { return escrow.Errorf("backup.Write", escrow.Invalid, "%s", text) }
	switch {
	case opt.To == "":
		return invalid("a backup needs a directory to go to")
	case nested(opt.To, data) || opt.KeysTo != "" && nested(opt.KeysTo, data):
		return invalid("a backup inside the data directory dies with it, and one around it would contain itself; choose another place, on another disk")
	case opt.KeysTo != "" && nested(opt.To, opt.KeysTo):
		return invalid("the keys must lie apart from the archive they open: two directories, neither inside the other, better two disks")
	}
	return nil
}

// nested reports whether one of two directories is the other or inside it.
func nested(a, b string) bool {
	within := func(outer, inner string) bool {
		rel, err := filepath.Rel(outer, inner)
		return err == nil && (rel == "." || filepath.IsLocal(rel))
	}
	return within(a, b) || within(b, a)
}

// writer is one run of Write.
type writer struct {
	fsys   vfs.FS
	src    Source
	opt    Options
	copier *copier
	locks  []io.Closer

	before Manifest // of the last complete backup; zero if there is none
	next   Manifest
	keys   map[escrow.Tenant]string // names of the key states of this backup
	report Report
}

func (w *writer) unlock() error {
	var errs []error
	for _, l := range w.locks {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (w *writer) run(ctx context.Context) (Report, error) {
	if err := w.claim(w.opt.To, holdsArchive); err != nil {
		return Report{}, err
	}
	if w.opt.KeysTo != "" {
		if err := w.claim(w.opt.KeysTo, holdsKeys); err != nil {
			return Report{}, err
		}
	}
	if err := w.readBefore(); err != nil {
		return Report{}, err
	}
	w.next = Manifest{Format: format, Archive: w.src.Archive, Number: w.before.Number + 1, Time: w.opt.Now().UTC().Truncate(time.Second)}
	items, err := w.collect(ctx)
	if err != nil {
		return Report{}, err
	}
	if err := w.copy(ctx, items); err != nil {
		return Report{}, err
	}
	if err := w.publish(); err != nil {
		return Report{}, err
	}
	return w.report, w.tidy()
}

// claim makes a directory a destination of this archive's backups, for this process alone.
func (w *writer) claim(dir, holds string) error {
	if err := createBase(w.fsys, dir); err != nil {
		return escrow.Errorf("backup.Write", escrow.Unavailable, "create the destination: %w", err)
	}
	claimed, err := w.belongs(dir, holds)
	if err != nil {
		return err
	}
	lock, err := w.fsys.Lock(filepath.Join(dir, lockFile))
	if escrow.KindOf(err) == escrow.Conflict {
		return escrow.Errorf("backup.Write", escrow.Conflict, "another backup is being written to %s: %w", dir, err)
	}
	if err != nil {
		return escrow.Errorf("backup.Write", escrow.Unavailable, "the destination cannot be written to: %w", err)
	}
	w.locks = append(w.locks, lock)
	if claimed {
		return nil
	}
	b, err := encode(identity{format, holds, w.src.Archive})
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(w.fsys, filepath.Join(dir, identityFile), b, 0o600)
}

// createBase creates a directory. Its name is durable on return, also if an attempt that failed created it.
func createBase(fsys vfs.FS, dir string) error {
	if err := vfs.MkdirAllSync(fsys, dir, 0o700); err != nil {
		return err
	}
	if _, err := fsys.Stat(filepath.Join(dir, identityFile)); err == nil {
		return nil
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// belongs reports whether a directory is claimed for backups of this archive already. It must be, or be empty.
func (w *writer) belongs(dir, holds string) (bool, error) {
	switch id, err := identify(w.fsys, dir); {
	case err == nil && id.Archive != w.src.Archive:
		return false, escrow.Errorf("backup.Write", escrow.Conflict, "%s holds backups of another archive, %s; choose another directory", dir, id.Archive)
	case err == nil && id.Holds != holds:
		return false, escrow.Errorf("backup.Write", escrow.Conflict, "%s holds the backup of the %s, and cannot take the %s too; choose another directory", dir, id.Holds, holds)
	case err == nil:
		return true, nil
	case escrow.KindOf(err) != escrow.NotFound:
		return false, err
	}
	entries, err := w.fsys.ReadDir(dir)
	if err != nil {
		return false, escrow.Errorf("backup.Write", escrow.Unavailable, "look at the destination: %w", err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{lockFile, identityFile + ".tmp", "lost+found"}, e.Name()) {
			return false, escrow.Errorf("backup.Write", escrow.Conflict, "%s is not empty and holds no backup; choose another directory", dir)
		}
	}
	return false, nil
}

func (w *writer) readBefore() error {
	name := filepath.Join(w.opt.To, manifestFile)
	b, err := vfs.ReadFile(w.fsys, name, maxManifestBytes)
	if escrow.KindOf(err) == escrow.NotFound {
		return nil
	}
	if err == nil {
		w.before, err = ParseManifest(b)
	}
	if err == nil && w.before.Archive != w.src.Archive {
		err = corrupt("it is of another archive")
	}
	if err != nil {
		return escrow.Errorf("backup.Write", escrow.KindOf(err), "%s: %w; begin a new backup in another directory, and keep this one until that is complete", name, err)
	}
	return nil
}

// item is something to be copied.
type item struct {
	path    string
	bytes   int64
	content []byte // of a small file
	name    string // of a large one
}

// collect takes the key states, then the ledgers.
func (w *writer) collect(ctx context.Context) ([]item, error) {
	var items []item
	for _, f := range w.src.Files {
		items = append(items, item{path: f.Path, bytes: int64(len(f.Content)), content: f.Content})
	}
	w.keys = map[escrow.Tenant]string{}
	for _, t := range w.src.Tenants {
		keys, snap, err := consistent(t)
		if err != nil {
			return nil, err
		}
		part := Ledger{Tenant: t.Name, Origin: t.Origin, Key: t.Key, Records: snap.Size, Checkpoint: string(snap.Checkpoint)}
		if w.opt.KeysTo != "" {
			if part.Keys, err = w.storeKeys(ctx, t.Name, keys); err != nil {
				return nil, err
			}
		}
		w.next.Tenants = append(w.next.Tenants, part)
		for _, s := range snap.Segments {
			items = append(items, item{path: path.Join("tenants", string(t.Name), "ledger", s.Inner), bytes: s.Bytes, name: s.Name})
		}
	}
	slices.SortFunc(w.next.Tenants, func(a, b Ledger) int { return cmp.Compare(a.Tenant, b.Tenant) })
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.path, b.path) })
	return items, nil
}

// consistent takes a key state and then the ledger, so that the ledger is not older, and looks whether the keys got a tree in between under which the
// ledger may have records already.
func consistent(t Tenant) (KeyState, archive.Snapshot, error) {
	for range maxAttempts {
		keys, err := t.Keys()
		if err != nil {
			return keys, archive.Snapshot{}, err
		}
		snap, err := t.Ledger.Snapshot()
		if err != nil {
			return keys, snap, err
		}
		if snap.Size < keys.Needs {
			return keys, snap, escrow.Errorf("backup.Write", escrow.Forged, "tenant %s: the ledger has %d records and its keys need one of %d: it was rolled back",
				t.Name, snap.Size, keys.Needs)
		}
		now, err := t.Keys()
		if err != nil {
			return keys, snap, err
		}
		if now.Trees == keys.Trees {
			return keys, snap, nil
		}
	}
	return KeyState{}, archive.Snapshot{}, escrow.Errorf("backup.Write", escrow.Unavailable, "tenant %s: the keys get new trees all the time; try again later", t.Name)
}

// storeKeys writes a key state to its destination. The digest in its name says whether it is whole.
func (w *writer) storeKeys(ctx context.Context, t escrow.Tenant, keys KeyState) (*KeyFile, error) {
	sum := sha256.Sum256(keys.Sealed)
	k := &KeyFile{Version: keys.Version, Epoch: keys.Epoch, Bytes: int64(len(keys.Sealed)), SHA256: hex.EncodeToString(sum[:])}
	name := keyFileName(k.Version, k.SHA256)
	w.keys[t] = name
	_, err := newCopier(w.fsys, w.opt.KeysTo, nil).fresh(ctx, bytes.NewReader(keys.Sealed), filepath.Join(w.opt.KeysTo, string(t), name), k.Bytes)
	return k, err
}

// copy brings every item into the backup.
func (w *writer) copy(ctx context.Context, items []item) error {
	for _, it := range items {
		w.report.Bytes += it.bytes
	}
	w.copier.total = w.report.Bytes
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := w.bring(ctx, it)
		if err != nil {
			return err
		}
		w.next.Files = append(w.next.Files, f)
	}
	w.report.Copied = w.copier.written
	return nil
}

// bring brings one item into the backup: not at all, as more bytes at the end of what is there, or at a new place.
func (w *writer) bring(ctx context.Context, it item) (File, error) {
	f := File{Path: it.path, Bytes: it.bytes}
	old := w.before.file(it.path)
	if old != nil && it.content == nil && old.Bytes == it.bytes && !w.opt.Check && w.whole(old) {
		w.copier.advance(it.bytes)
		return *old, nil
	}
	source, done, err := w.open(it)
	if err != nil {
		return f, err
	}
	if old != nil {
		f.Stored = old.Stored
		f.SHA256, err = w.copier.extend(ctx, source, w.place(old.Stored), it.bytes, old.Bytes)
		if err == nil && old.Bytes == it.bytes && f.SHA256 != old.SHA256 {
			err = errChanged // it rotted in both places alike, or its digest did
		}
	}
	if old == nil || errors.Is(err, errChanged) {
		if err := checkSegment(source, it, old); err != nil {
			return f, errors.Join(err, done())
		}
		w.copier.done = w.copied()
		f.Stored = strconv.FormatUint(w.next.Number, 10) + "/" + it.path
		f.SHA256, err = w.copier.fresh(ctx, source, w.place(f.Stored), it.bytes)
		if err == nil && old != nil && old.Bytes == it.bytes && old.SHA256 == f.SHA256 {
			w.report.Repaired = append(w.report.Repaired, it.path)
		}
	}
	if cerr := done(); err == nil {
		err = cerr
	}
	return f, err
}

// checkSegment looks through a segment that is not what it was. Rewritten segments are sound; damage in the archive must not replace a good copy of it.
func checkSegment(source io.ReaderAt, it item, old *File) error {
	if old == nil || it.name == "" {
		return nil
	}
	scan := segment.NewScanner(source, segment.HeaderBytes, escrow.Offset(it.bytes))
	for {
		_, err := scan.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return escrow.Errorf("backup.Write", escrow.KindOf(err), "%s in the archive is damaged at offset %d, and its copy in the backup is kept; "+
				"run escrow verify, then restore the backup: %w", it.path, scan.Offset(), err)
		}
	}
}

// copied is how many bytes the files done so far have.
func (w *writer) copied() (n int64) {
	for _, f := range w.next.Files {
		n += f.Bytes
	}
	return n
}

func (w *writer) place(stored string) string {
	return filepath.Join(w.opt.To, filepath.FromSlash(stored))
}

// whole reports whether a stored file is there and long enough.
func (w *writer) whole(f *File) bool {
	info, err := w.fsys.Stat(w.place(f.Stored))
	return err == nil && info.Size() >= f.Bytes
}

func (w *writer) open(it item) (io.ReaderAt, func() error, error) {
	if it.name == "" {
		return bytes.NewReader(it.content), func() error { return nil }, nil
	}
	f, err := w.fsys.OpenFile(it.name, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, escrow.Errorf("backup.Write", escrow.Unavailable, "open a file of the archive: %w", err)
	}
	return f, f.Close, nil
}

// publish makes the backup the one that counts.
func (w *writer) publish() error {
	b, err := encode(w.next)
	if err != nil {
		return err
	}
	name := filepath.Join(w.opt.To, manifestFile)
	if err := vfs.WriteFileAtomic(w.fsys, name, b, 0o600); err != nil {
		return w.copier.trouble(name, err)
	}
	again, err := vfs.ReadFile(w.fsys, name, maxManifestBytes)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return escrow.Errorf("backup.Write", escrow.Corrupt, "%s: what was written is not what is read back; do not trust this disk", name)
	}
	sum := sha256.Sum256(b)
	w.report.Manifest, w.report.Digest = w.next, hex.EncodeToString(sum[:])
	return nil
}

// tidy removes what the manifest no longer names, and key states that belong to no backup any more.
func (w *writer) tidy() error {
	keep := map[string]bool{}
	for _, f := range w.next.Files {
		keep[w.place(f.Stored)] = true
	}
	entries, err := w.fsys.ReadDir(w.opt.To)
	if err != nil {
		return w.untidy(err)
	}
	for _, e := range entries {
		if _, ours := parseNumber(e.Name()); ours && e.IsDir() {
			if err := removeExcept(w.fsys, filepath.Join(w.opt.To, e.Name()), keep); err != nil {
				return w.untidy(err)
			}
		}
	}
	if err := w.tidyKeys(); err != nil {
		return w.untidy(err)
	}
	return nil
}

// tidyKeys removes the key states of earlier backups, and nothing else.
func (w *writer) tidyKeys() error {
	if w.opt.KeysTo == "" {
		return nil
	}
	tenants, err := w.fsys.ReadDir(w.opt.KeysTo)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if !t.IsDir() {
			continue
		}
		dir := filepath.Join(w.opt.KeysTo, t.Name())
		states, err := w.fsys.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range states {
			if _, _, ours := parseKeyFileName(strings.TrimSuffix(e.Name(), partSuffix)); !ours || e.Name() == w.keys[escrow.Tenant(t.Name())] {
				continue
			}
			if err := w.fsys.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) untidy(err error) error {
	return escrow.Errorf("backup.Write", escrow.Unavailable, "the backup is complete, but files no longer needed could not be removed; the next one tries again: %w", err)
}

// removeExcept removes the files below a directory that are not to be kept, and then the directories that are empty.
func removeExcept(fsys vfs.FS, dir string, keep map[string]bool) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	left := len(entries)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if err := removeExcept(fsys, name, keep); err != nil {
				return err
			}
			if _, err := fsys.Stat(name); errors.Is(err, fs.ErrNotExist) {
				left--
			}
			continue
		}
		if keep[name] {
			continue
		}
		if err := fsys.Remove(name); err != nil {
			return err
		}
		left--
	}
	if left > 0 {
		return nil
	}
	return fsys.Remove(dir)
}
