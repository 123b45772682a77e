package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/internal/needle"
	"escrow/server"
)

// patience is how long anything may take here.
const patience = 20 * time.Second

// TestE2EForensic puts people's words at every place that takes any, erases people, a conversation and a message, one person with a message under a hold,
// and looks for the words on the raw disk, in every file, log, backup and memory, and through every door of the archive; and in every mixture of old and
// new parts that somebody could put together.
func TestE2EForensic(t *testing.T) {
	e2e(t)
	t.Run("roots kept", func(t *testing.T) { forensic(t, 7, "1", "2") })
	t.Run("roots destroyed at once", func(t *testing.T) { forensic(t, 0, "2") })
}

// forensic is the whole story, with roots kept for so many days, and mixtures with these backups from before the erasure.
func forensic(t *testing.T, keepRoots int, backups ...string) {
	s := newScene(t)
	s.ok("init", "--nats-port", "-1", "--cooling-off-hours", "0", "--keep-roots-days", strconv.Itoa(keepRoots))
	s.ok("officer", "add", demoOfficer)
	s.ok("officer", "add", demoApprover)
	s.start()
	s.backup("1")
	s.publishAll()
	before := s.everythingIsFound()
	s.nothingOnDisk("before the erasure")
	seen := s.inMemory()
	if planted := len(s.words.uses("victim")); len(seen.Words) < planted/2 {
		t.Errorf("control: of %d words of the victim %d are in memory before the erasure", planted, len(seen.Words))
	}
	t.Logf("memory of the service before the erasure: %s", tally(seen))
	s.end()
	roots := s.read(rootsFile) // as they were with this copy: to make the backup the archive is opened, which may begin an epoch
	s.backup("2")
	s.restrictedIsHidden(before)
	s.start()
	s.everythingIsFound()

	requests := s.erase()
	s.strangers()
	t.Logf("memory of the service after the erasure: %s", tally(s.inMemory()))
	s.onlyTheRightWordsStay(before)
	s.end()
	s.start()
	s.ok("search", s.words.words["bystander body"])
	if r := s.inMemory(); r.Found > 0 {
		t.Errorf("memory of the service after the erasure and a restart: %v", r)
	}
	s.onlyTheRightWordsStay(before)
	s.papersAreClean(requests)
	s.end()
	s.backup("3")
	s.nothingOnDisk("after the erasure")
	s.nothingInIndex()
	s.comesBackWith(roots, "2") // the control of what follows
	s.nobodyComesBack(backups...)
	s.nobodyIsRestored("1", "2", "3")
	s.lossAccepted("2", keepRoots > 0)

	s.start()
	roots = s.read(rootsFile)
	s.release()
	s.onlyTheRightWordsStay(before)
	s.end()
	s.nothingOnDisk("after the release of the hold and the end of the roots")
	s.nobodyComesBack("3")
	s.lossAccepted("2", false)
	if keepRoots > 0 { // so that until the release none had been destroyed, and now all must be
		s.rootsAreGone(roots)
	}
}

// publishAll publishes everything.
func (s *scene) publishAll() {
	s.t.Helper()
	s.publish(s.words.everything("bystander")...)
	s.publish(append(s.words.everything("victim"), s.words.together("bystander", "victim"), s.words.gossip("bystander", "victim"))...)
	s.publish(s.words.everything("kept")...)
	s.publish(s.words.note("room", "first"), s.words.note("room", "second"), s.words.note("slip", "only"))
	s.importFile("victim")
	s.mistakes()
}

// uses returns for what the words with a fate were used.
func (s *scene) uses(fates ...string) (list []string) {
	for _, use := range slices.Sorted(maps.Keys(s.fate)) {
		if slices.Contains(fates, s.fate[use]) {
			list = append(list, use)
		}
	}
	return list
}

// decide notes the fate of every word: those of the victim and of queries go, and of the person with a held message those that are not in it.
func (s *scene) decide(before [][]byte) {
	s.t.Helper()
	s.fate = map[string]string{}
	for use := range s.words.words {
		switch who, _, _ := strings.Cut(use, " "); who {
		case "victim", "query", "kept", "room", "slip":
			s.fate[use] = "gone"
		case "bystander":
			s.fate[use] = "stays"
		}
	}
	kept := s.words.needles(s.t, s.words.uses("kept")...)
	for i, b := range before {
		if bytes.Contains(b, []byte(s.words.words["slip only"])) {
			s.slip = escrow.Seq(i)
		}
		if !bytes.Contains(b, []byte(s.words.words["kept body"])) {
			continue
		}
		s.held = escrow.Seq(i)
		for use := range s.scan(kept, b).Words {
			s.fate[use] = "held"
		}
	}
	if s.held == 0 || s.slip == 0 {
		s.t.Fatal("the message to hold, or the one to erase alone, is not among the records")
	}
}

// erase has everybody erased who has to be, and returns the requests.
func (s *scene) erase() (requests []escrow.Seq) {
	s.t.Helper()
	requests = s.orders()
	start := time.Now()
	s.ok("erase", "run")
	s.t.Logf("carried out after %v", time.Since(start).Round(time.Millisecond))
	return requests
}

// restrictedIsHidden has everything approved with a cooling-off time: nobody is shown it from then on, and all of it again when it is withdrawn.
func (s *scene) restrictedIsHidden(before [][]byte) {
	s.t.Helper()
	s.ok("hold", "place", "2026-17", "--message", fmt.Sprint(s.held), "--as", demoApprover)
	s.cooling(1)
	s.start()
	requests := s.orders()
	approved := time.Now()
	s.onlyTheRightWordsStay(before)
	s.t.Logf("restricted: nothing is shown %v after the last approval", time.Since(approved).Round(time.Millisecond))
	for _, request := range requests {
		s.ok("erase", "withdraw", fmt.Sprint(request), "--as", demoOfficer)
	}
	if after := s.everythingIsFound(); !slices.EqualFunc(before, after[:len(before)], bytes.Equal) {
		s.t.Error("what was restricted and withdrawn is not what it was")
	}
	s.end()
	s.cooling(0)
}

// cooling sets the cooling-off time in the configuration.
func (s *scene) cooling(hours int) {
	s.t.Helper()
	a := testApp(s.dir)
	cfg, err := a.loadConfig()
	if err == nil {
		cfg.Erasure.CoolingOffHours = &hours
		err = a.saveConfig(cfg)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// orders has the erasure of everybody requested and approved who has to be erased.
func (s *scene) orders() (requests []escrow.Seq) {
	s.t.Helper()
	w := s.words
	for _, target := range [][]string{
		{"--person", w.email("victim"), "--person", w.tel("victim"), "--person", w.user("victim"), "--channel", "chat"},
		{"--person", w.email("kept"), "--person", w.tel("kept"), "--person", w.user("kept"), "--channel", "chat"},
		{"--conversation", w.words["room conversation"], "--channel", "chat"},
		{"--message", fmt.Sprint(s.slip)},
	} {
		var asked server.ActAnswer
		s.into(&asked, append([]string{"erase", "request", "--as", demoOfficer}, target...)...)
		requests = append(requests, asked.Event)
	}
	for _, request := range requests {
		s.ok("erase", "approve", fmt.Sprint(request), "--as", demoApprover, "--yes")
	}
	return requests
}

// release ends the hold and the waiting for roots.
func (s *scene) release() {
	s.t.Helper()
	s.ok("hold", "release", "0", "--as", demoOfficer)
	s.ok("erase", "run", "--roots-now")
	for use, fate := range s.fate {
		if fate == "held" {
			s.fate[use] = "gone"
		}
	}
}

// papersAreClean looks through what the archive says about the erasures: certificates, cases, holds, officers, status.
func (s *scene) papersAreClean(requests []escrow.Seq) {
	s.t.Helper()
	papers := s.ok("status", "--json") + s.ok("status") + s.ok("erase", "status") + s.ok("erase", "status", "--json") + s.ok("hold", "list", "--json") +
		s.ok("officer", "list", "--json") + s.ok("retention", "show", "--json") + s.ok("verify", "--json")
	for _, request := range requests {
		papers += s.ok("erase", "certificate", fmt.Sprint(request))
	}
	if r := s.scan(s.words.needles(s.t, s.uses("gone", "held", "stays")...), []byte(papers)); r.Found > 0 {
		s.t.Errorf("certificates, cases and status name somebody: %v", r)
	}
	s.t.Logf("%d bytes of certificates, cases and status name nobody", len(papers))
}

// everythingIsFound is the control: with the keys every word is shown, and what is meant to be found is found. It returns the records.
func (s *scene) everythingIsFound() (list [][]byte) {
	s.t.Helper()
	planted := s.words.uses("victim", "bystander", "kept", "room", "slip")
	s.asked(func(api server.API) error {
		shown, found, err := s.look(api, s.words.uses("victim", "bystander", "kept", "room", "slip", "query"))
		if err != nil {
			return err
		}
		for _, use := range planted {
			if shown.Words[use] == 0 {
				s.t.Errorf("control: no record shows the %s", use)
			}
		}
		if len(found) < len(planted)*4/5 {
			s.t.Errorf("control: of %d words a search finds %d", len(planted), len(found))
		}
		s.t.Logf("before: %d words planted, %d shown in %d places, %d found by searches", len(planted), len(shown.Words), shown.Found, len(found))
		list, err = records(s.t.Context(), api)
		return err
	})
	s.decide(list)
	return list
}

// onlyTheRightWordsStay asks for everything again: no word that has to go is shown or found, the held message and those of bystanders are what they
// were, byte for byte.
func (s *scene) onlyTheRightWordsStay(before [][]byte) {
	s.t.Helper()
	var after [][]byte
	s.asked(func(api server.API) error {
		shown, found, err := s.look(api, s.uses("gone"))
		if shown.Found+len(found) > 0 {
			s.t.Errorf("after the erasure: searches find %v, records show %v", found, shown)
		}
		if err != nil {
			return err
		}
		after, err = records(s.t.Context(), api)
		return err
	})
	staying := s.words.needles(s.t, s.uses("stays", "held")...)
	if r := s.scan(staying, bytes.Join(after, nil)); len(r.Words) != len(s.uses("stays", "held")) {
		s.t.Errorf("of %d words that should stay %d are there", len(s.uses("stays", "held")), len(r.Words))
	}
	s.unhurt(before, after)
}

// strangers demands that the directory does not know who was erased.
func (s *scene) strangers() {
	s.t.Helper()
	s.asked(func(api server.API) error {
		for _, id := range []string{s.words.email("victim"), s.words.tel("victim"), s.words.user("victim"), s.words.tel("kept")} {
			_, err := api.Subject(s.t.Context(), server.SubjectRequest{Identity: escrow.Identity(id), Channel: "chat"})
			if escrow.KindOf(err) != escrow.NotFound {
				s.t.Errorf("the directory still knows an identity of %s: %v", id, err)
			}
		}
		return nil
	})
}

// unhurt compares the records that no word has to leave with what they were, byte for byte.
func (s *scene) unhurt(before, after [][]byte) {
	s.t.Helper()
	same, gone := 0, s.gone()
	for i, b := range before {
		switch r := s.scan(gone, b); {
		case r.Found == 0 && !bytes.Equal(b, after[i]):
			s.t.Errorf("record %d, which has nothing to do with the erased, has changed:\n%s\n%s", i, b, after[i])
		case r.Found == 0:
			same++
		}
	}
	s.t.Logf("%d of %d records are the same byte for byte", same, len(before))
}

// gone are the words that nobody may find after the erasure.
func (s *scene) gone() *needle.Set { return s.words.needles(s.t, s.uses("gone")...) }

// nothingOnDisk demands that no word of anybody is anywhere on the disk, and that the scan finds what was put there for it to find.
func (s *scene) nothingOnDisk(when string) {
	s.t.Helper()
	s.control()
	everybody := s.words.needles(s.t, s.uses("gone", "held", "stays")...)
	files, raw := s.onDisk(everybody)
	s.t.Logf("%s: %d words in %d forms; files: %s; raw disk: %s", when, len(s.uses("gone", "held", "stays")), everybody.Patterns(), tally(files), tally(raw))
	if files.Found+raw.Found > 0 {
		s.t.Errorf("%s: files: %v\nraw disk: %v", when, files, raw)
	}
	if _, raw := s.onDisk(s.words.needles(s.t, "control")); len(raw.Forms) < 3 {
		s.t.Errorf("%s: of the control three forms should be on the raw disk: %v", when, raw)
	}
}

// nothingInIndex looks through the dictionaries of the index, those of deleted documents included.
func (s *scene) nothingInIndex() {
	s.t.Helper()
	s.inside(func(ctx context.Context, n *node) {
		var all []byte
		for _, field := range []string{"body", "stem", "title", "file", "tag", "meta", "from", "to", "key"} {
			terms, err := n.tenants[0].Index.Terms(ctx, field, "")
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, strings.Join(terms, "\n")...)
		}
		if r := s.scan(s.words.needles(s.t, s.words.uses("bystander")...), all); len(r.Words) < 10 {
			s.t.Errorf("control: the dictionaries know %v of the bystander", r.Words)
		}
		if r := s.scan(s.gone(), all); r.Found > 0 {
			s.t.Errorf("dictionaries of the index: %v", r)
		}
	})
}
