package backup_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"escrow/archive"
	"escrow/archive/backup"
	"escrow/internal/vfs"
)

// benched is an archive on a real disk with 256 MiB in its ledger.
func benched(b *testing.B) (*world, backup.Source) {
	b.Chdir(b.TempDir())
	w := newWorld(b, vfs.OS())
	l, err := archive.Open(b.Context(), w.fs, "data/tenants/big/ledger", archive.Config{Signer: signer(b), Now: start})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	rng := rand.NewChaCha8([32]byte{1})
	for n := range 256 {
		blob := make([]byte, 1<<20)
		if _, err := rng.Read(blob); err != nil {
			b.Fatal(err)
		}
		if _, err := l.Append(b.Context(), []archive.Entry{{Blob: blob, Header: archive.Header{Kind: archive.KindMessage, Stream: archive.Stream{Tag: [16]byte{1}, Counter: uint64(n) + 1}}}}); err != nil {
			b.Fatal(err)
		}
	}
	w.ledger, w.keys.Needs = l, 0
	return w, w.source()
}

// BenchmarkBackup is a first backup, one with nothing new, one that reads everything again, and a restore, of 256 MiB each.
func BenchmarkBackup(b *testing.B) {
	w, src := benched(b)
	n := 0
	write := func(b *testing.B, opt backup.Options) backup.Report {
		r, err := backup.Write(b.Context(), w.fs, src, opt)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(r.Bytes)
		return r
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			n++
			opt := options()
			opt.To, opt.KeysTo = fmt.Sprint("copy", n), ""
			write(b, opt)
			b.StopTimer()
			if err := os.RemoveAll(opt.To); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	write(b, options())
	b.Run("nothing new", func(b *testing.B) {
		for b.Loop() {
			write(b, options())
		}
	})
	b.Run("check", func(b *testing.B) {
		opt := options()
		opt.Check = true
		for b.Loop() {
			write(b, opt)
		}
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			n++
			to := fmt.Sprint("restored", n)
			kept, err := backup.Open(w.fs, "copy")
			if err != nil {
				b.Fatal(err)
			}
			if err := kept.Restore(b.Context(), to, []byte(w.config), nil); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(kept.Bytes())
			b.StopTimer()
			if err := os.RemoveAll(to); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}
