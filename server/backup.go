package server

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/archive/backup"
	"escrow/internal/vfs"
)

// Home is where an archive lies, for backups of it.
type Home struct {
	FS      vfs.FS
	Dir     string   // data directory
	Archive string   // its id
	Files   []string // in the data directory that belong to a backup, besides the ledgers: configuration and public keys
}

// BackupRequest asks for a backup of the whole archive, or for one to be brought up to date.
type BackupRequest struct {
	To     string `json:"to"`                // directory of the archive, absolute
	KeysTo string `json:"keys_to,omitempty"` // directory of the sealed keys, absolute; "" for none
	Check  bool   `json:"check,omitempty"`   // read everything that was copied before, too
}

// BackupAnswer says what a backup has and did.
type BackupAnswer struct {
	Number   uint64         `json:"number"`
	Time     time.Time      `json:"time"`
	Digest   string         `json:"digest"` // SHA-256 of the manifest; kept elsewhere, it proves all of the backup
	Bytes    int64          `json:"bytes"`
	Copied   int64          `json:"copied"`
	Repaired []string       `json:"repaired,omitempty"` // files whose copy was damaged or missing
	Tenants  []BackedTenant `json:"tenants"`
	Millis   int64          `json:"ms"`
}

// BackedTenant is a tenant in a backup.
type BackedTenant struct {
	Tenant     escrow.Tenant   `json:"tenant"`
	Records    escrow.TreeSize `json:"records"`
	Checkpoint string          `json:"checkpoint"`      // signed; keep it elsewhere
	Key        string          `json:"key"`             // verifies it
	Epoch      *uint64         `json:"epoch,omitempty"` // of the root the keys in the backup are sealed under; absent without keys
}

// BackupProgress says how far the backup under way is, in bytes looked at; zero if there is none.
type BackupProgress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Backup implements API. Platforms may publish and officers erase meanwhile.
func (a *Archive) Backup(ctx context.Context, req BackupRequest) (BackupAnswer, error) {
	start := a.Now()
	src, err := a.source()
	if err != nil {
		return BackupAnswer{}, err
	}
	opt := backup.Options{Check: req.Check, Now: a.Now, Progress: func(done, total int64) { a.backingUp.Store(&BackupProgress{done, total}) }}
	defer a.backingUp.Store(nil)
	if opt.To, err = resolve(req.To); err != nil {
		return BackupAnswer{}, err
	}
	if opt.KeysTo, err = resolve(req.KeysTo); err != nil {
		return BackupAnswer{}, err
	}
	report, err := backup.Write(ctx, a.Home.FS, src, opt)
	if err != nil {
		return BackupAnswer{}, err
	}
	m := report.Manifest
	answer := BackupAnswer{Number: m.Number, Time: m.Time, Digest: report.Digest, Bytes: report.Bytes, Copied: report.Copied, Repaired: report.Repaired}
	for _, t := range m.Tenants {
		b := BackedTenant{Tenant: t.Tenant, Records: t.Records, Checkpoint: t.Checkpoint, Key: t.Key}
		if t.Keys != nil {
			b.Epoch = &t.Keys.Epoch
		}
		answer.Tenants = append(answer.Tenants, b)
	}
	answer.Millis = a.Now().Sub(start).Milliseconds()
	return answer, nil
}

// BackupProgress implements API.
func (a *Archive) BackupProgress(context.Context, struct{}) (BackupProgress, error) {
	if p := a.backingUp.Load(); p != nil {
		return *p, nil
	}
	return BackupProgress{}, nil
}

// source is what a backup copies: nothing with a key in it but the sealed key states.
func (a *Archive) source() (backup.Source, error) {
	dir, err := resolve(a.Home.Dir)
	if err != nil {
		return backup.Source{}, err
	}
	src := backup.Source{Archive: a.Home.Archive, Dir: dir}
	for _, name := range a.Home.Files {
		b, err := vfs.ReadFile(a.Home.FS, filepath.Join(a.Home.Dir, name), maxRequestBytes)
		if escrow.KindOf(err) == escrow.NotFound {
			continue
		}
		if err != nil {
			return src, err
		}
		src.Files = append(src.Files, backup.Small{Path: name, Content: b})
	}
	for _, t := range a.Tenants {
		src.Tenants = append(src.Tenants, backup.Tenant{Name: t.Name, Origin: t.Origin, Key: t.Signer.VKey(), Ledger: t.Ledger, Keys: t.keyState})
	}
	slices.SortFunc(src.Tenants, func(x, y backup.Tenant) int { return strings.Compare(string(x.Name), string(y.Name)) })
	return src, nil
}

// keyState takes the sealed key state, with numbers that belong to the same version of it.
func (t *Tenant) keyState() (backup.KeyState, error) {
	for {
		k := backup.KeyState{Version: t.Keys.Version(), Epoch: t.Keys.Epoch(), Trees: t.Keys.Trees(), Needs: t.Keys.Required()}
		var err error
		if k.Sealed, err = t.Keys.Export(); err != nil || t.Keys.Version() == k.Version {
			return k, err
		}
	}
}

// resolve follows the symbolic links in a path, of which the end may not exist yet, so that a destination inside the data directory is recognised
// whatever it is called.
func resolve(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", escrow.Errorf("server.Backup", escrow.Invalid, "%w", err)
	}
	whole, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs {
		parent, err := resolve(filepath.Dir(abs))
		return filepath.Join(parent, filepath.Base(abs)), err
	}
	if err != nil {
		return "", escrow.Errorf("server.Backup", escrow.Unavailable, "find out where %s is: %w", path, err)
	}
	return whole, nil
}

// Backup implements API.
func (c *Client) Backup(ctx context.Context, req BackupRequest) (BackupAnswer, error) {
	return call[BackupAnswer](ctx, c, "backup", req)
}

// BackupProgress implements API.
func (c *Client) BackupProgress(ctx context.Context, req struct{}) (BackupProgress, error) {
	return call[BackupProgress](ctx, c, "backup-progress", req)
}
