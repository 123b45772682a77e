package backup_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"escrow"
	"escrow/archive/backup"
	"escrow/internal/vfs"
)

func TestManifestHasOneForm(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	w.grow(3)
	w.mustBackup()
	good := string(load(t, w.fs, "copy/manifest.json"))
	if _, err := backup.ParseManifest([]byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new string }{
		{"nothing", good, ""},
		{"another format", `"format": 1`, `"format": 2`},
		{"no archive", `"archive": "0a0b0c0d"`, `"archive": ""`},
		{"number 0", `"number": 1`, `"number": 0`},
		{"unknown field", `"number": 1`, `"number": 1, "also": 2`},
		{"another space", `"number": 1`, `"number":  1`},
		{"something behind", "}\n", "}\n\n"},
		{"another object behind", "\n}\n", "\n}\n{}\n"},
		{"tenant that is no name", `"tenant": "main"`, `"tenant": "../main"`},
		{"out of the directory", `"path": "platforms.json"`, `"path": "../platforms.json"`},
		{"out of the backup", `"stored": "1/platforms.json"`, `"stored": "1/../../platforms.json"`},
		{"absolute", `"path": "platforms.json"`, `"path": "/platforms.json"`},
		{"from a later backup", `"stored": "1/platforms.json"`, `"stored": "2/platforms.json"`},
		{"stored elsewhere", `"stored": "1/platforms.json"`, `"stored": "1/escrow.json"`},
		{"twice", `"path": "platforms.json"`, `"path": "escrow.json"`},
		{"negative length", `"bytes": 3`, `"bytes": -3`},
		{"digest in capitals", `"sha256": "`, `"sha256": "A`},
		{"key digest missing", `"sha256": "`, `"sha256": "00", "x": "`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bad := strings.Replace(good, test.old, test.new, 1)
			if bad == good {
				t.Fatal("the test changes nothing")
			}
			if _, err := backup.ParseManifest([]byte(bad)); escrow.KindOf(err) != escrow.Corrupt && escrow.KindOf(err) != escrow.Invalid {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	w := newWorld(f, vfs.NewMem())
	w.grow(3)
	w.mustBackup()
	f.Add(load(f, w.fs, "copy/manifest.json"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := backup.ParseManifest(b)
		if err != nil {
			if k := escrow.KindOf(err); k != escrow.Corrupt && k != escrow.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		for _, file := range m.Files {
			if strings.Contains(file.Path, "..") && strings.Contains("/"+file.Path+"/", "/../") || strings.HasPrefix(file.Path, "/") {
				t.Errorf("path %q", file.Path)
			}
		}
	})
}

// TestEveryByteOfABackupCounts flips each byte of each file of a backup: restoring notices, or what is restored is what was there.
func TestEveryByteOfABackupCounts(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	w.grow(2)
	w.mustBackup()
	refused, same := 0, 0
	for _, dir := range []string{"copy", "keys"} {
		for _, name := range tree(t, mem, dir) {
			b := load(t, mem, name)
			for at := range b {
				damaged := bytes.Clone(b)
				damaged[at] ^= 1
				disk := mem.Clone()
				store(t, disk, name, damaged)
				_, err := restored(disk, "restored", config(t))
				switch _, serr := disk.Stat("restored/" + backup.ConfigFile); {
				case err != nil:
					refused++
				case serr == nil && strings.HasSuffix(name, "manifest.json"): // time, numbers and verifier key in it are only said
					same++
				default:
					t.Fatalf("%s, byte %d: not noticed", name, at)
				}
			}
		}
	}
	t.Logf("%d refused, %d without consequence", refused, same)
}

func TestWhatCannotBeRestored(t *testing.T) {
	first := segments + "00000000000000000000.seg"
	tests := []struct {
		name    string
		prepare func(w *world)
		kind    escrow.Kind
		text    string
	}{
		{"no backup at all", func(w *world) { remove(w, "copy/BACKUP") }, escrow.NotFound, "no backup"},
		{"keys in its place", func(w *world) { store(w.t, w.fs, "copy/BACKUP", load(w.t, w.fs, "keys/BACKUP")) }, escrow.NotFound, "backup of the keys"},
		{"of a newer program", func(w *world) {
			store(w.t, w.fs, "copy/BACKUP", bytes.Replace(load(w.t, w.fs, "copy/BACKUP"), []byte("1"), []byte("2"), 1))
		}, escrow.Invalid, "newer program"},
		{"manifest of another archive", func(w *world) {
			store(w.t, w.fs, "copy/BACKUP", bytes.Replace(load(w.t, w.fs, "copy/BACKUP"), []byte("0a0b"), []byte("0a0a"), 1))
		}, escrow.Corrupt, "another archive"},
		{"segment missing", func(w *world) { remove(w, "copy/1/"+first) }, escrow.Corrupt, "another copy"},
		{"segment cut off", func(w *world) { store(w.t, w.fs, "copy/1/"+first, load(w.t, w.fs, "copy/1/"+first)[:90]) }, escrow.Corrupt, "the backup is damaged"},
		{"keys missing", func(w *world) {
			for _, name := range tree(w.t, w.fs, "keys/main") {
				remove(w, name)
			}
		}, escrow.NotFound, "no keys of tenant main"},
		{"keys of another archive", func(w *world) {
			store(w.t, w.fs, "keys/BACKUP", bytes.Replace(load(w.t, w.fs, "keys/BACKUP"), []byte("0a0b"), []byte("0a0a"), 1))
		}, escrow.Conflict, "not the keys of archive 0a0b0c0d"},
		{"directory in use", func(w *world) {
			if err := vfs.MkdirAllSync(w.fs, "restored/tenants", 0o700); err != nil {
				w.t.Fatal(err)
			}
		}, escrow.Conflict, "not empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, vfs.NewMem())
			w.grow(3)
			w.mustBackup()
			test.prepare(w)
			if _, err := restored(w.fs, "restored", config(t)); escrow.KindOf(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("into the backup", func(t *testing.T) {
		w := newWorld(t, vfs.NewMem())
		w.mustBackup()
		if _, err := restored(w.fs, "copy/restored", config(t)); escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("%v", err)
		}
	})
}
