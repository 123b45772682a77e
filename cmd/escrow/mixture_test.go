package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"escrow/internal/needle"
	"escrow/server"
)

// rootsFile is where the roots of the keys are.
const rootsFile = "tenants/main/keys/roots"

// pieces are the parts of a data directory that somebody could put back by themselves.
var pieces = []string{"tenants/main/ledger", "tenants/main/keys", "tenants/main/index", "nats"}

// nobodyComesBack puts pieces of backups in the place of the present ones: ledger and keys of all in every mixture, each with index and log of the present and of
// the last of the backups. The archive refuses to start, or the words stay gone.
func (s *scene) nobodyComesBack(backups ...string) {
	s.t.Helper()
	started, refused := 0, map[string]int{}
	room, all, some := smallDisk(s.t, "600m"), append([]string{"present"}, backups...), []string{"present", backups[len(backups)-1]}
	for from := range mixtures(all, all, some, some) {
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
	s.t.Logf("mixtures of the present and backups %v: %d started without anybody coming back; refused: %v", backups, started, refused)
}

// mixtures yields every way of taking one of each.
func mixtures(choices ...[]string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		if len(choices) == 0 {
			yield(nil)
			return
		}
		for rest := range mixtures(choices[1:]...) {
			for _, first := range choices[0] {
				if !yield(append([]string{first}, rest...)) {
					return
				}
			}
		}
	}
}

// reason is the beginning of an error without numbers, by which refusals are counted.
func reason(err error) string {
	text, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	text = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 110)]
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

// nobodyIsRestored restores every backup of the archive with every backup of the keys, and the present roots. The restored archive has everything that
// stays and nothing else, or it is refused; the newest backup is not.
func (s *scene) nobodyIsRestored(backups ...string) {
	s.t.Helper()
	restored, refused := []string{}, map[string]int{}
	for _, archive := range backups {
		for _, keys := range backups {
			room := smallDisk(s.t, "600m")
			r := &program{t: s.t, bin: s.bin, dir: filepath.Join(room, "data")}
			name := filepath.Join(s.disk, "backups")
			out, errs, code := r.run("restore", "--from", filepath.Join(name, archive+".archive"), "--keys", filepath.Join(name, keys+".keys"), "--roots", s.rootsIn(room))
			if x := s.scan(s.gone(), []byte(out+errs)); x.Found > 0 {
				s.t.Errorf("restore says: %v", x)
			}
			if code != 0 {
				refused[reason(errors.New(errs))]++
				continue
			}
			shown, found, err := s.lookInto(r.dir)
			if err != nil || shown.Found+len(found) > 0 {
				s.t.Errorf("archive %s and keys %s: searches find %v, records show %s; %v", archive, keys, found, tally(shown), err)
			}
			restored = append(restored, archive+" with keys "+keys)
		}
	}
	last := backups[len(backups)-1]
	if !slices.Contains(restored, last+" with keys "+last) {
		s.t.Errorf("the newest backup is not restored: %v", refused)
	}
	s.t.Logf("restored without anybody coming back: archives %v; refused %v", restored, refused)
}

// lossAccepted restores archive and keys of a backup from before the erasure although what came later is lost, which somebody has to say. That is the
// door that only the end of the roots closes: as long as the root of that time lives, what was erased since comes back.
func (s *scene) lossAccepted(backup string, comesBack bool) {
	s.t.Helper()
	room, name := smallDisk(s.t, "300m"), filepath.Join(s.disk, "backups", backup)
	r := &program{t: s.t, bin: s.bin, dir: filepath.Join(room, "data")}
	_, errs, code := r.run("restore", "--from", name+".archive", "--keys", name+".keys", "--roots", s.rootsIn(room), "--accept-loss")
	if restored := code == 0; restored != comesBack {
		s.t.Errorf("restored from before the erasure with --accept-loss: %t, want %t\n%s", restored, comesBack, errs)
	}
}

// rootsIn puts a copy of the present roots into a folder of their own.
func (s *scene) rootsIn(room string) string {
	s.t.Helper()
	cfg, err := testApp(s.dir).loadConfig()
	dir := filepath.Join(room, "roots")
	if err == nil {
		err = errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, cfg.rootsName(defaultTenant)), s.read(rootsFile), 0o600))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return dir
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

// rootsAreGone demands that no block of any root there was, neither in use nor freed, is on the raw disk any more.
func (s *scene) rootsAreGone(was []byte) {
	s.t.Helper()
	const block, root = 4096, 4 << 20
	was = was[len(was)%root:] // without the header of the root store
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
	disk, left := blocks(image), 0
	for sum := range blocks(was) {
		if disk[sum] {
			left++
		}
	}
	s.t.Logf("of %d roots, %d blocks of 4 KiB, %d are still on the raw disk", len(was)/root, len(was)/block, left)
	if len(was) < 2*root || left > 0 {
		s.t.Errorf("of %d roots, %d blocks of 4 KiB, %d are still on the raw disk", len(was)/root, len(was)/block, left)
	}
	for sum := range blocks(s.read(rootsFile)) {
		if !disk[sum] {
			s.t.Fatal("control: a block of the present root store is not on the raw disk")
		}
	}
}
