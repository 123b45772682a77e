package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"escrow"
	"escrow/internal/vfs"
)

// Manifest says what a backup consists of; docs/format/backup.md describes its file. It is not signed: each ledger is proven by its own checkpoint under
// the key in its key state, the rest by the digest of the manifest, for whoever keeps that elsewhere.
type Manifest struct {
	Format  int       `json:"format"`
	Archive string    `json:"archive"` // which archive this is a backup of
	Number  uint64    `json:"number"`  // 1 for the first backup into a directory
	Time    time.Time `json:"time"`
	Tenants []Ledger  `json:"tenants"` // ascending by name
	Files   []File    `json:"files"`   // ascending by path
}

// Ledger is the state of a tenant's ledger in a backup, and of the keys that belong to it.
type Ledger struct {
	Tenant     escrow.Tenant   `json:"tenant"`
	Origin     string          `json:"origin"`
	Key        string          `json:"key"` // verifier key; compare it with one obtained elsewhere
	Records    escrow.TreeSize `json:"records"`
	Checkpoint string          `json:"checkpoint"` // signed
	Keys       *KeyFile        `json:"keys,omitempty"`
}

// KeyFile is the sealed key state taken just before the ledger, at the other destination.
type KeyFile struct {
	Version uint64 `json:"version"`
	Epoch   uint64 `json:"epoch"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// File is one file of a backup.
type File struct {
	Path   string `json:"path"`   // in the data directory, with slashes
	Stored string `json:"stored"` // in the backup: the number of the backup that began it, and the path
	Bytes  int64  `json:"bytes"`  // that belong to it; what may follow in the stored file is of an interrupted backup
	SHA256 string `json:"sha256"` // of those bytes
}

const (
	format       = 1
	manifestFile = "manifest.json"
	identityFile = "BACKUP"
	lockFile     = "LOCK"
)

// encode returns the one form of a value: indented JSON with its fields in the order of the type.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return nil, escrow.Errorf("backup.Encode", escrow.Internal, "%w", err)
	}
	return b.Bytes(), nil
}

// decode is the inverse of encode and accepts nothing else.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return corrupt("%w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return corrupt("there is something after its end")
	}
	again, err := encode(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return corrupt("it is not in its one canonical form")
	}
	return nil
}

func corrupt(text string, args ...any) *escrow.Error {
	return escrow.Errorf("backup.Open", escrow.Corrupt, text, args...)
}

// ParseManifest reads a manifest. It accepts nothing that a backup would not have written; the error is of kind Corrupt, or Invalid for a format this
// program does not know.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := decode(b, &m); err != nil {
		return Manifest{}, err
	}
	if m.Format != format {
		return Manifest{}, escrow.Errorf("backup.Open", escrow.Invalid, "format %d is not known; a newer program wrote it", m.Format)
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func (m *Manifest) check() error {
	if m.Archive == "" || m.Number == 0 {
		return corrupt("it names no archive, or has no number")
	}
	for i, t := range m.Tenants {
		if t.Tenant.Check() != nil || i > 0 && m.Tenants[i-1].Tenant >= t.Tenant {
			return corrupt("tenant %d is not in its place", i)
		}
		if k := t.Keys; k != nil && (k.Bytes < 0 || !isDigest(k.SHA256)) {
			return corrupt("the keys of tenant %s are not described in full", t.Tenant)
		}
	}
	for i, f := range m.Files {
		if i > 0 && m.Files[i-1].Path >= f.Path {
			return corrupt("file %d is not in its place", i)
		}
		if err := f.check(m.Number); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a path that would lead out of a directory.
func (f File) check(newest uint64) error {
	digits, rest, _ := strings.Cut(f.Stored, "/")
	n, ok := parseNumber(digits)
	local := filepath.IsLocal(filepath.FromSlash(f.Path)) && path.Clean(f.Path) == f.Path && f.Path != "." && !strings.Contains(f.Path, `\`)
	if !local || rest != f.Path || !ok || n > newest || f.Bytes < 0 || !isDigest(f.SHA256) {
		return corrupt("a file is not described as it must be")
	}
	return nil
}

// parseNumber reads the name of a directory of a backup.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && hex.EncodeToString(b) == s
}

// file returns the entry of a path, nil if there is none.
func (m *Manifest) file(path string) *File {
	for i := range m.Files {
		if m.Files[i].Path == path {
			return &m.Files[i]
		}
	}
	return nil
}

// identity is the file BACKUP.
type identity struct {
	Format  int    `json:"format"`
	Holds   string `json:"holds"` // "archive" or "keys"
	Archive string `json:"archive"`
}

const (
	holdsArchive = "archive"
	holdsKeys    = "keys"
)

// identify reads whose backup a directory is. The error is of kind NotFound if it is none.
func identify(fsys vfs.FS, dir string) (identity, error) {
	var id identity
	b, err := vfs.ReadFile(fsys, filepath.Join(dir, identityFile), maxIdentityBytes)
	if escrow.KindOf(err) == escrow.NotFound {
		return id, escrow.Errorf("backup.Open", escrow.NotFound, "there is no backup in %s", dir)
	}
	if err != nil {
		return id, err
	}
	if err := decode(b, &id); err != nil {
		return id, escrow.Errorf("backup.Open", escrow.Corrupt, "%s: %w", filepath.Join(dir, identityFile), err)
	}
	if id.Format != format {
		return id, escrow.Errorf("backup.Open", escrow.Invalid, "the backup in %s has format %d; a newer program wrote it", dir, id.Format)
	}
	return id, nil
}
