package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/internal/vfs"
)

// ConfigFile is the configuration of an archive. A directory without it is no archive, so it is what a restore puts in place last.
const ConfigFile = "escrow.json"

// restoring is the name of the configuration while a directory is being restored.
const restoring = ConfigFile + ".restoring"

// Backup is a backup open for restoring. It writes nothing to its own directory, which may be read-only.
type Backup struct {
	Manifest Manifest
	Digest   string // SHA-256 of the manifest
	fsys     vfs.FS
	dir      string
}

// Open reads the manifest of a backup. Error kinds: NotFound, there is no complete backup; Corrupt; Invalid, a newer program wrote it; Unavailable.
func Open(fsys vfs.FS, dir string) (*Backup, error) {
	id, err := identify(fsys, dir)
	if err != nil {
		return nil, err
	}
	if id.Holds != holdsArchive {
		return nil, escrow.Errorf("backup.Open", escrow.NotFound, "%s holds the backup of the %s, not of the archive", dir, id.Holds)
	}
	name := filepath.Join(dir, manifestFile)
	b, err := vfs.ReadFile(fsys, name, maxManifestBytes)
	if escrow.KindOf(err) == escrow.NotFound {
		return nil, escrow.Errorf("backup.Open", escrow.NotFound, "no backup in %s was ever completed", dir)
	}
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(b)
	if err == nil && m.Archive != id.Archive {
		err = corrupt("it is of another archive")
	}
	if err != nil {
		return nil, escrow.Errorf("backup.Open", escrow.KindOf(err), "%s: %w", name, err)
	}
	sum := sha256.Sum256(b)
	return &Backup{Manifest: m, Digest: hex.EncodeToString(sum[:]), fsys: fsys, dir: dir}, nil
}

// Ledger returns what the backup has of a tenant, nil if it has nothing.
func (b *Backup) Ledger(t escrow.Tenant) *Ledger {
	for i := range b.Manifest.Tenants {
		if b.Manifest.Tenants[i].Tenant == t {
			return &b.Manifest.Tenants[i]
		}
	}
	return nil
}

// Bytes returns the size of everything that will be restored.
func (b *Backup) Bytes() (n int64) {
	for _, f := range b.Manifest.Files {
		n += f.Bytes
	}
	return n
}

// Config reads the configuration in the backup.
func (b *Backup) Config() ([]byte, error) {
	f := b.Manifest.file(ConfigFile)
	if f == nil {
		return nil, corrupt("the backup has no %s", ConfigFile)
	}
	content, err := vfs.ReadFile(b.fsys, b.stored(f), maxConfigBytes)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, damagedCopy(b.stored(f))
	}
	return content, nil
}

func (b *Backup) stored(f *File) string { return filepath.Join(b.dir, filepath.FromSlash(f.Stored)) }

func damagedCopy(name string) error {
	return escrow.Errorf("backup.Restore", escrow.Corrupt, "%s does not have the digest in the manifest: the backup is damaged; use another copy of it", name)
}

// Restore copies the archive into a directory, which must be empty or absent, or hold what an earlier Restore left: then it is continued. Every file is
// compared with its digest. The configuration, as given, gets its name only with Complete; before, the directory is no archive. Everything is durable on
// return. Error kinds: Conflict, there is something else in the directory; Corrupt, the backup is damaged; Unavailable, or ctx's error.
func (b *Backup) Restore(ctx context.Context, to string, config []byte, progress func(done, total int64)) error {
	if err := b.prepare(to, config); err != nil {
		return err
	}
	c := newCopier(b.fsys, to, progress)
	c.total = b.Bytes()
	for i := range b.Manifest.Files {
		f := &b.Manifest.Files[i]
		if f.Path == ConfigFile {
			c.advance(f.Bytes)
			continue
		}
		if err := b.restore(ctx, c, f, filepath.Join(to, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	for _, t := range b.Manifest.Tenants {
		name := filepath.Join(to, "tenants", string(t.Tenant), "ledger", archive.InnerCheckpoint)
		if err := c.makeDir(filepath.Dir(name)); err != nil {
			return c.trouble(name, err)
		}
		if err := vfs.WriteFileAtomic(b.fsys, name, []byte(t.Checkpoint), 0o600); err != nil {
			return c.trouble(name, err)
		}
	}
	return nil
}

// Fits checks that the backup can be restored into a directory: that it is empty or absent, or holds what an earlier Restore left. It changes nothing.
// Error kinds: Invalid, it is in the backup or around it; Conflict, there is something else in it; Unavailable.
func (b *Backup) Fits(to string) error {
	if nested(b.dir, to) {
		return escrow.Errorf("backup.Restore", escrow.Invalid, "an archive cannot be restored into its backup; choose another directory")
	}
	begun, err := Restoring(b.fsys, to)
	if err != nil || begun {
		return err
	}
	entries, err := b.fsys.ReadDir(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return escrow.Errorf("backup.Restore", escrow.Unavailable, "%w", err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{lockFile, restoring + ".tmp", "lost+found"}, e.Name()) {
			return escrow.Errorf("backup.Restore", escrow.Conflict, "%s is not empty; restore into a new directory", to)
		}
	}
	return nil
}

// prepare marks a directory as being restored, and removes what an earlier attempt left there and this backup does not have.
func (b *Backup) prepare(to string, config []byte) error {
	if err := b.Fits(to); err != nil {
		return err
	}
	if err := createBase(b.fsys, to); err != nil {
		return escrow.Errorf("backup.Restore", escrow.Unavailable, "create the directory: %w", err)
	}
	if err := vfs.WriteFileAtomic(b.fsys, filepath.Join(to, restoring), config, 0o600); err != nil {
		return err
	}
	return b.clear(to)
}

// clear removes from the ledgers of a directory being restored what this backup does not have.
func (b *Backup) clear(to string) error {
	keep := map[string]bool{}
	for _, f := range b.Manifest.Files {
		keep[filepath.Join(to, filepath.FromSlash(f.Path))] = true
	}
	tenants, err := b.fsys.ReadDir(filepath.Join(to, "tenants"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return leftover(err)
	}
	for _, t := range tenants {
		err := removeExcept(b.fsys, filepath.Join(to, "tenants", t.Name(), "ledger"), keep)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return leftover(err)
		}
	}
	return nil
}

func leftover(err error) error {
	return escrow.Errorf("backup.Restore", escrow.Unavailable, "remove what an interrupted restore left: %w", err)
}

// restore copies one file.
func (b *Backup) restore(ctx context.Context, c *copier, f *File, to string) error {
	source, err := b.fsys.OpenFile(b.stored(f), os.O_RDONLY, 0)
	if err != nil {
		return escrow.Errorf("backup.Restore", escrow.Corrupt, "a file of the backup cannot be read; use another copy of it: %w", err)
	}
	sum, err := c.fresh(ctx, source, to, f.Bytes)
	if cerr := source.Close(); err == nil {
		err = cerr
	}
	if errors.Is(err, io.EOF) || err == nil && sum != f.SHA256 {
		return damagedCopy(b.stored(f))
	}
	return err
}

// Restoring reports whether a directory holds a restore that was begun and not completed.
func Restoring(fsys vfs.FS, dir string) (bool, error) {
	_, err := vfs.ReadFile(fsys, filepath.Join(dir, restoring), maxConfigBytes)
	if err != nil && escrow.KindOf(err) != escrow.NotFound {
		return false, err
	}
	return err == nil, nil
}

// Complete makes a restored directory an archive, in one rename. It is durable on return.
func Complete(fsys vfs.FS, dir string) error {
	err := fsys.Rename(filepath.Join(dir, restoring), filepath.Join(dir, ConfigFile))
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return escrow.Errorf("backup.Complete", escrow.Unavailable, "put the configuration in its place: %w", err)
	}
	return nil
}
