package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/archive/backup"
	"escrow/crypto/sign"
	"escrow/internal/vfs"
)

const origin = "example.org/escrow/acme"

var errDisk = errors.New("injected input/output error")

func start() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

func signer(t testing.TB) *sign.Signer {
	t.Helper()
	keyset, err := sign.NewKeyset(bytes.NewReader(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewSigner(origin, keyset)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func config(t testing.TB) archive.Config {
	s := signer(t)
	return archive.Config{Signer: s, Verifier: s.Verifier(), Now: start, SegmentBytes: 3000}
}

// world is an archive on a file system, with keys that are only bytes.
type world struct {
	t      testing.TB
	fs     vfs.FS
	ledger *archive.Ledger
	keys   backup.KeyState
	config string
}

func newWorld(t testing.TB, fsys vfs.FS) *world {
	t.Helper()
	w := &world{t: t, fs: fsys, config: "{\"archive\": \"0a0b0c0d\"}\n"}
	if err := vfs.MkdirAllSync(fsys, "data/tenants/main", 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := archive.Open(t.Context(), fsys, "data/tenants/main/ledger", config(t))
	if err != nil {
		t.Fatal(err)
	}
	w.ledger = l
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w.rekey()
	return w
}

// rekey changes the keys, as an erasure does.
func (w *world) rekey() {
	w.keys.Version++
	w.keys.Needs = w.ledger.Size()
	w.keys.Sealed = fmt.Appendf(nil, "sealed state %d", w.keys.Version)
}

// grow appends a batch of n records of up to a kilobyte.
func (w *world) grow(n int) {
	w.t.Helper()
	var entries []archive.Entry
	for i := range n {
		seq := uint64(w.ledger.Size()) + uint64(i)
		rng := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seq)))
		blob := make([]byte, 100+rng.Uint64()%900)
		if _, err := rng.Read(blob); err != nil {
			w.t.Fatal(err)
		}
		entries = append(entries, archive.Entry{Blob: blob, Header: archive.Header{Kind: archive.KindMessage, Stream: archive.Stream{Tag: [16]byte{1}, Counter: seq + 1}}})
	}
	if _, err := w.ledger.Append(context.Background(), entries); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) source() backup.Source {
	return backup.Source{Archive: "0a0b0c0d", Dir: "data",
		Files: []backup.Small{{Path: backup.ConfigFile, Content: []byte(w.config)}, {Path: "platforms.json", Content: []byte("[]\n")}},
		Tenants: []backup.Tenant{{Name: "main", Origin: origin, Key: signer(w.t).VKey(), Ledger: w.ledger,
			Keys: func() (backup.KeyState, error) { return w.keys, nil }}}}
}

func options() backup.Options { return backup.Options{To: "copy", KeysTo: "keys", Now: start} }

func (w *world) backup(fsys vfs.FS) (backup.Report, error) {
	return backup.Write(context.Background(), fsys, w.source(), options())
}

func (w *world) mustBackup() backup.Report {
	w.t.Helper()
	r, err := w.backup(w.fs)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// restored restores the backup in "copy" to a directory and checks that what is there is whole.
func restored(fsys vfs.FS, to string, cfg archive.Config) (b *backup.Backup, err error) {
	if b, err = backup.Open(fsys, "copy"); err != nil {
		return nil, err
	}
	content, err := b.Config()
	if err != nil {
		return b, err
	}
	if err := b.Restore(context.Background(), to, content, nil); err != nil {
		return b, err
	}
	if err := backup.Complete(fsys, to); err != nil {
		return b, err
	}
	part := b.Ledger("main")
	if part == nil || part.Keys == nil {
		return b, errors.New("the backup has no tenant main, or no keys of it")
	}
	keys, err := b.Keys("keys", "main")
	if err != nil {
		return b, err
	}
	if want := fmt.Sprintf("sealed state %d", part.Keys.Version); string(keys) != want {
		return b, fmt.Errorf("keys are %q, want %q", keys, want)
	}
	l, err := archive.Open(context.Background(), fsys, to+"/tenants/main/ledger", cfg)
	if err != nil {
		return b, err
	}
	report, err := l.Verify(context.Background(), archive.VerifyOptions{})
	if err == nil && (!report.Sound() || report.Size != part.Records || string(l.Checkpoint()) != part.Checkpoint) {
		err = fmt.Errorf("%d records, want %d; findings %v", report.Size, part.Records, report.Findings)
	}
	return b, errors.Join(err, l.Close())
}

func (w *world) mustRestore(to string, size escrow.TreeSize) *backup.Backup {
	w.t.Helper()
	b, err := restored(w.fs, to, config(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	if got := b.Ledger("main").Records; got != size {
		w.t.Fatalf("%d records restored, want %d", got, size)
	}
	return b
}

func load(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func store(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	if err := vfs.WriteFileAtomic(fsys, name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files below a directory.
func tree(t testing.TB, fsys vfs.FS, dir string) (names []string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := dir + "/" + e.Name(); e.IsDir() {
			names = append(names, tree(t, fsys, name)...)
		} else {
			names = append(names, name)
		}
	}
	return names
}
