package main

import (
	"bytes"
	"crypto/sha256"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"escrow/internal/needle"
	"escrow/server"
)

// rootsFile is where the roots of the keys are.
const rootsFile = "tenants/main/keys/roots"

// pieces are the parts of a data directory that somebody could put back by themselves.
var pieces = []string{"tenants/main/ledger", "tenants/main/keys", "tenants/main/index", "nats"}

// nobodyComesBack puts pieces of backups in the place of the present ones, in every mixture with one of them from the newest backup named. The archive
// refuses to start, or the words stay gone.
func (s *scene) nobodyComesBack(backups ...string) {
	s.t.Helper()
	started, refused := 0, map[string]int{}
	room := smallDisk(s.t, "600m")
	for mixture := range mixtures(len(pieces), len(backups)+1) {
		var from []string
		for _, choice := range mixture {
			from = append(from, append([]string{"present"}, backups...)[choice])
		}
		s.mixed(room, from, func(dir string) {
			shown, found, err := s.lookInto(dir)
			if shown.Found+len(found) > 0 {
				s.t.Errorf("ledger, keys, index and log of %v: searches find %v, records show %s", from, found, tally(shown))
			}
			switch {
			case err != nil:
				refused[reason(err)]++
			case shown.Found+len(found) == 0:
				started++
			}
		})
	}
	s.t.Logf("mixtures of the present and backups %v: %d started without anybody coming back, refused %v", backups, started, refused)
}

// mixtures yields every choice of one of n things at each of places, but for the first thing everywhere.
func mixtures(places, n int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		choice := make([]int, places)
		for {
			i := 0
			for ; i < places; i++ {
				if choice[i]++; choice[i] < n {
					break
				}
				choice[i] = 0
			}
			if i == places || !yield(choice) {
				return
			}
		}
	}
}

// reason is the end of an error without numbers, by which refusals are counted.
func reason(err error) string {
	text := err.Error()
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text[strings.LastIndex(text[:min(len(text), 90)], ": ")+1:])
}

// mixed makes a data directory in a room for it, with each piece from the place given: "present", or a backup. Roots are the present ones.
func (s *scene) mixed(room string, from []string, use func(dir string)) {
	s.t.Helper()
	dir := filepath.Join(room, "data")
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			s.t.Error(err)
		}
	}()
	command(s.t, "cp", "-a", s.dir, dir)
	for i, piece := range pieces {
		if from[i] == "present" {
			continue
		}
		command(s.t, "sh", "-c", `find "$2/$3" -type f ! -path "*/keys/roots" -delete && mkdir -p "$1/$3" && cp -a "$1/$3/." "$2/$3/"`,
			"sh", filepath.Join(s.disk, "backups", from[i]), dir, piece)
	}
	use(dir)
}

// lookInto opens a data directory in this process and looks for what has to be gone. What the process logs meanwhile is looked through as well.
func (s *scene) lookInto(dir string) (shown needle.Report, found []string, err error) {
	s.t.Helper()
	var log bytes.Buffer
	a := testApp(dir)
	a.err = &log
	err = a.with(s.t.Context(), func(api server.API) (err error) {
		shown, found, err = s.look(api, s.uses("gone"))
		return err
	})
	if r := s.scan(s.gone(), log.Bytes()); r.Found > 0 {
		s.t.Errorf("the log of a mixture: %v", r)
	}
	return shown, found, err
}

// comesBackWith is the control of nobodyComesBack: whoever took the roots as well, at the time of the backup, has everything back.
func (s *scene) comesBackWith(roots []byte, backup string) {
	s.t.Helper()
	s.mixed(smallDisk(s.t, "300m"), []string{backup, backup, backup, backup}, func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, rootsFile), roots, 0o600); err != nil {
			s.t.Fatal(err)
		}
		shown, found, err := s.lookInto(dir)
		if err != nil || len(shown.Words) < len(s.words.uses("victim")) || len(found) < len(s.words.uses("victim"))/2 {
			s.t.Errorf("control: a copy of everything, roots included, shows %s, and searches find %d words: %v", tally(shown), len(found), err)
		}
	})
}

// rootsAreGone compares the root store with what it was: every block that changed is nowhere on the raw disk any more.
func (s *scene) rootsAreGone(was []byte) {
	s.t.Helper()
	const block = 4096
	blocks := func(b []byte) map[[32]byte]bool {
		set := map[[32]byte]bool{}
		for ; len(b) >= block; b = b[block:] {
			set[sha256.Sum256(b[:block])] = true
		}
		return set
	}
	command(s.t, "sync", "-f", s.disk)
	image, err := os.ReadFile(s.image)
	if err != nil {
		s.t.Fatal(err)
	}
	disk, now := blocks(image), blocks(s.read(rootsFile))
	destroyed, left := 0, 0
	for sum := range blocks(was) {
		if now[sum] {
			continue
		}
		destroyed++
		if disk[sum] {
			left++
		}
	}
	s.t.Logf("of the root store %d blocks of 4 KiB were overwritten, %d of them are still on the raw disk", destroyed, left)
	if destroyed < 1<<20/block || left > 0 {
		s.t.Errorf("of the root store %d blocks were overwritten, %d of them are still on the raw disk", destroyed, left)
	}
	for sum := range now {
		if !disk[sum] {
			s.t.Fatal("control: a block of the present root store is not on the raw disk")
		}
	}
}
