package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/internal/needle"
	"escrow/server"

	"github.com/nats-io/nats.go"
)

// scene is the real program on a file system of its own, with everything somebody could seize.
type scene struct {
	*program
	words *canaries
	image string // of the file system
	disk  string // where it is mounted
	logs  int
	live  *service
	fate  map[string]string // of each word, by its use: "gone", "held" or "stays" after the erasure
	held  escrow.Seq        // the message under a hold
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{program: newProgram(t), words: newCanaries(t)}
	s.image, s.disk = loopDisk(t, 192<<20)
	s.dir = filepath.Join(s.disk, "data")
	for _, dir := range []string{"backups", "logs", "tmp"} {
		if err := os.Mkdir(filepath.Join(s.disk, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(s.disk, "tmp")) // what the program writes elsewhere is on this disk, too
	return s
}

// loopDisk makes an ext4 file system in a file and mounts it.
func loopDisk(t *testing.T, size int64) (image, dir string) {
	t.Helper()
	image, dir = filepath.Join(t.TempDir(), "disk.img"), t.TempDir()
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image)
	command(t, "mount", "-o", "loop,nodiscard", image, dir) // the loop device goes with the mount
	t.Cleanup(func() { command(t, "umount", "-l", dir) })
	return image, dir
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s (needs root and loop devices): %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// start runs "escrow serve" with everything it has to say logged to the disk.
func (s *scene) start() {
	s.t.Helper()
	s.live = s.serve("--verbose")
}

// end stops the service and leaves its log on the disk.
func (s *scene) end() {
	s.t.Helper()
	if code := s.live.stop(s.t); code != 0 {
		s.t.Errorf("stopping: exit code %d\n%s", code, s.live.errs)
	}
	s.logs++
	if err := os.WriteFile(filepath.Join(s.disk, "logs", fmt.Sprintf("serve-%d.log", s.logs)), s.live.errs.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// publish publishes and waits until everything is in ledger and index.
func (s *scene) publish(list ...publication) {
	s.t.Helper()
	_, js := s.stock(s.live)
	for i, p := range list {
		if _, err := js.PublishMsg(s.t.Context(), &nats.Msg{Subject: "escrow.in.main." + p.channel, Header: p.header, Data: p.data}); err != nil {
			s.t.Fatalf("message %d to %s: %v\n%s", i, p.channel, err, p.data)
		}
	}
	waitFor(s.t, "everything is archived and indexed", patience, func() bool {
		var st server.StatusAnswer
		s.into(&st, "status")
		return st.Tenants[0].Waiting == 0 && st.Tenants[0].Indexed == st.Tenants[0].Records
	})
}

// importFile imports a file, packed and with a telling name, from outside of the disk.
func (s *scene) importFile(who string) {
	s.t.Helper()
	m := s.words.json("", object{"id": s.words.word(who + " id of an import"), "from": object{"id": s.words.email(who), "role": "customer"},
		"body": object{"text": "as I wrote you: " + s.words.word(who+" imported body")}})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(m.data)
	name := filepath.Join(s.t.TempDir(), s.words.word("query by the name of a file")+".jsonl.gz")
	if err = errors.Join(err, z.Close(), os.WriteFile(name, packed.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	s.ok("import", name, "--channel", "chat")
}

// mistakes sends what is refused, and what nobody keeps.
func (s *scene) mistakes() {
	s.t.Helper()
	_, js := s.stock(s.live)
	q := func(use string) string { return s.words.word("query " + use) }
	good := s.words.json("chat", object{"id": q("id of a message"), "from": object{"id": "user:nobody"}})
	for _, m := range []*nats.Msg{
		{Subject: "escrow.in.main.chat", Data: []byte(`{"id": "1", "body": {"text": "` + q("in a bad body"))},
		{Subject: "escrow.in.main.chat", Data: []byte(`{"id": "1", "from": {"id": "email:` + q("in a bad address") + `"}}`)},
		{Subject: "escrow.in.main.chat", Data: []byte(`{"` + q("as a bad field") + `": 1}`)},
		{Subject: "escrow.in." + q("as a tenant") + ".chat", Data: good.data},
		{Subject: "escrow.in.main." + q("as a Channel") + "!", Data: good.data},
		{Subject: "escrow.in.main.chat", Header: nats.Header{"Content-Type": {"text/" + q("as a type")}}, Data: good.data},
	} {
		if _, err := js.PublishMsg(s.t.Context(), m); err == nil {
			s.t.Errorf("%s %q was taken", m.Subject, m.Data)
		}
	}
	other := s.words.json("chat", object{"id": "kept-from-nobody", "from": object{"id": "user:nobody"}, "body": object{"text": "nothing to see"}})
	s.publish(publication{"chat", nats.Header{"X-Unknown": {q("in a header")}}, other.data})
	s.asked(func(api server.API) error {
		for _, bad := range []string{`"` + q("in a bad query"), q("in a field") + `:x (`, "from:" + q("in a prefix") + "* AND ("} {
			if _, err := api.Search(s.t.Context(), server.SearchRequest{Query: bad}); err == nil {
				s.t.Errorf("the query %s was answered", bad)
			}
		}
		_, err := api.Subject(s.t.Context(), server.SubjectRequest{Identity: escrow.Identity("email:" + q("as a subject") + "@example.org")})
		if escrow.KindOf(err) != escrow.NotFound {
			return err
		}
		return nil
	})
}

// ask asks the service, or the archive itself where none runs.
func (s *scene) ask(f func(server.API) error) error {
	return testApp(s.dir).with(s.t.Context(), f)
}

// asked is ask that must succeed.
func (s *scene) asked(f func(server.API) error) {
	s.t.Helper()
	if err := s.ask(f); err != nil {
		s.t.Fatal(err)
	}
}

// records returns every record with its original bytes, as JSON.
func records(ctx context.Context, api server.API) ([][]byte, error) {
	st, err := api.Status(ctx, server.StatusRequest{})
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for seq := range st.Tenants[0].Records {
		answer, err := api.Show(ctx, server.ShowRequest{ID: escrow.Seq(seq), Original: true})
		if err != nil {
			return nil, err
		}
		var original []byte
		if answer.Message != nil {
			original = answer.Message.Original // not only in the base64 of JSON: it holds base64 of its own
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return nil, err
		}
		list = append(list, append(append(b, '\n'), original...))
	}
	return list, nil
}

// hits returns for which of the words a search finds anything.
func hits(ctx context.Context, api server.API, words *canaries, uses []string) (found []string, err error) {
	for _, use := range uses {
		for _, query := range []string{words.words[use], "from:" + words.words[use], "in:" + words.words[use], "tag:" + words.words[use], "id:" + words.words[use]} {
			answer, err := api.Search(ctx, server.SearchRequest{Query: query})
			if err != nil && escrow.KindOf(err) != escrow.Invalid {
				return nil, err
			}
			if answer.Count > 0 && !slices.Contains(found, use) {
				found = append(found, use)
			}
		}
	}
	return found, nil
}

// look is everything the archive lets anybody see of some words: where its records have them, and for which a search finds something.
func (s *scene) look(api server.API, uses []string) (shown needle.Report, found []string, err error) {
	list, err := records(s.t.Context(), api)
	if err != nil {
		return shown, nil, err
	}
	all := bytes.Join(list, []byte("\n"))
	if shown, err = s.words.needles(s.t, uses...).Scan("records", bytes.NewReader(all), int64(len(all))); err != nil {
		return shown, nil, err
	}
	found, err = hits(s.t.Context(), api, s.words, uses)
	return shown, found, err
}

// onDisk looks through every file and through the raw disk, freed blocks included.
func (s *scene) onDisk(set *needle.Set) (files, raw needle.Report) {
	s.t.Helper()
	command(s.t, "sync", "-f", s.disk)
	files, err := set.ScanFS(os.DirFS(s.disk))
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Open(s.image)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.t.Fatal(err)
	}
	if raw, err = set.Scan("disk", f, info.Size()); err != nil {
		s.t.Fatal(err)
	}
	return files, raw
}

// inMemory looks through the memory of the service for the words that have to go.
func (s *scene) inMemory() needle.Report {
	s.t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(s.live.cmd.Process.Pid))
	maps, err := os.Open(filepath.Join(dir, "maps"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open(filepath.Join(dir, "mem"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer mem.Close()
	r, err := s.gone().ScanMemory(maps, mem)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// control writes a word of its own to the disk, in several forms, and deletes the file: if the scan of the raw disk does not find it, it would find nothing
// else there either.
func (s *scene) control() {
	s.t.Helper()
	name := filepath.Join(s.disk, "control")
	w := s.words.word("control")
	pad := bytes.Repeat([]byte{'.'}, 1<<20)
	f, err := os.Create(name)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "%s%s%s%x%s%s%s", pad, w, pad, w, pad, base64.StdEncoding.EncodeToString([]byte(w)), pad)
	if err = errors.Join(err, f.Sync(), f.Close(), os.Remove(name)); err != nil {
		s.t.Fatal(err)
	}
}

// backup copies the data directory as it is, without the roots.
func (s *scene) backup(name string) {
	s.t.Helper()
	command(s.t, "sh", "-c", `mkdir "$2" && tar -C "$1" --exclude="./$3" -cf - . | tar -C "$2" -xf -`, "sh", s.dir, filepath.Join(s.disk, "backups", name), rootsFile)
}

// patience is how long anything may take here.
const patience = 20 * time.Second

// TestE2EForensic puts people's words at every place that takes any, erases two of the people, one of them with a message under a hold, and looks for the
// words on the raw disk, in every file, log, backup and memory, and through every door of the archive; and in every mixture of old and new parts that
// somebody could put together.
func TestE2EForensic(t *testing.T) {
	e2e(t)
	s := newScene(t)
	s.ok("init")
	s.start()
	s.backup("1")
	s.publish(s.words.everything("bystander")...)
	s.publish(append(s.words.everything("victim"), s.words.together("bystander", "victim"), s.words.gossip("bystander", "victim"))...)
	s.publish(s.words.everything("kept")...)
	s.importFile("victim")
	s.mistakes()
	before := s.everythingIsFound()
	s.nothingOnDisk("before the erasure")
	seen := s.inMemory()
	if planted := len(s.words.uses("victim")); len(seen.Words) < planted/2 {
		t.Errorf("control: of %d words of the victim %d are in memory before the erasure", planted, len(seen.Words))
	}
	t.Logf("memory of the service before the erasure: %s", tally(seen))
	s.end()
	s.backup("2")
	roots := s.read(rootsFile)
	s.start()
	s.everythingIsFound()

	s.erase()
	t.Logf("memory of the service after the erasure: %s", tally(s.inMemory()))
	s.onlyTheRightWordsStay(before)
	s.end()
	s.start()
	s.ok("search", s.words.words["bystander body"])
	if r := s.inMemory(); r.Found > 0 {
		t.Errorf("memory of the service after the erasure and a restart: %v", r)
	}
	s.onlyTheRightWordsStay(before)
	s.end()
	s.backup("3")
	s.nothingOnDisk("after the erasure")
	s.nothingInIndex()
	s.nobodyComesBack("2")
	_ = roots
}

const rootsFile = "tenants/main/keys/roots"

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
		case "victim", "query":
			s.fate[use] = "gone"
		case "bystander":
			s.fate[use] = "stays"
		case "kept":
			s.fate[use] = "gone"
		}
	}
	kept := s.words.needles(s.t, s.words.uses("kept")...)
	for i, b := range before {
		if !bytes.Contains(b, []byte(s.words.words["kept body"])) {
			continue
		}
		s.held = escrow.Seq(i)
		for use := range s.scan(kept, b).Words {
			s.fate[use] = "held"
		}
		return
	}
	s.t.Fatal("no record is the message to hold")
}

// scan looks through bytes.
func (s *scene) scan(set *needle.Set, b []byte) needle.Report {
	s.t.Helper()
	r, err := set.Scan("bytes", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *scene) erase() {
	s.t.Helper()
	out := s.ok("erase", "--person", s.words.email("victim"), "--person", s.words.tel("victim"), "--person", s.words.user("victim"), "--channel", "chat", "--yes")
	s.t.Log(out)
}

// everythingIsFound is the control: with the keys every word is shown, and what is meant to be found is found. It returns the records.
func (s *scene) everythingIsFound() (list [][]byte) {
	s.t.Helper()
	planted := s.words.uses("victim", "bystander", "kept")
	s.asked(func(api server.API) error {
		shown, found, err := s.look(api, s.words.uses("victim", "bystander", "kept", "query"))
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
		for _, id := range []string{s.words.email("victim"), s.words.tel("victim"), s.words.user("victim"), s.words.tel("kept")} {
			_, err := api.Subject(s.t.Context(), server.SubjectRequest{Identity: escrow.Identity(id), Channel: "chat"})
			if escrow.KindOf(err) != escrow.NotFound {
				s.t.Errorf("the directory still knows an identity of %s: %v", id, err)
			}
		}
		after, err = records(s.t.Context(), api)
		return err
	})
	staying := s.words.needles(s.t, s.uses("stays", "held")...)
	if r := s.scan(staying, bytes.Join(after, nil)); len(r.Words) != len(s.uses("stays", "held")) {
		s.t.Errorf("of %d words that should stay %d are there", len(s.uses("stays", "held")), len(r.Words))
	}
	s.unhurt(before, after)
	status := s.ok("status", "--json") + s.ok("status")
	if r := s.scan(s.gone(), []byte(status)); r.Found > 0 {
		s.t.Errorf("status: %v", r)
	}
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
	files, raw := s.onDisk(s.words.needles(s.t, s.uses("gone", "held", "stays")...))
	s.t.Logf("%s: files: %s; raw disk: %s", when, tally(files), tally(raw))
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

// nobodyComesBack puts parts of a backup in the place of the present ones, in every combination. The archive refuses to start, or the words stay gone.
func (s *scene) nobodyComesBack(backup string) {
	s.t.Helper()
	parts := []string{"tenants/main/ledger", "tenants/main/keys", "tenants/main/index", "nats"}
	present := s.dir
	defer func() { s.dir = present }()
	for mask := 1; mask < 1<<len(parts); mask++ {
		s.dir = filepath.Join(s.t.TempDir(), "data")
		command(s.t, "cp", "-a", present, s.dir)
		var old []string
		for i, part := range parts {
			if mask>>i&1 == 1 {
				old = append(old, filepath.Base(part))
				s.replace(part, filepath.Join(s.disk, "backups", backup))
			}
		}
		err := s.ask(func(api server.API) error {
			shown, found, err := s.look(api, s.uses("gone"))
			if shown.Found+len(found) > 0 {
				s.t.Errorf("with %v of backup %s: searches find %v, records show %v", old, backup, found, tally(shown))
			}
			return err
		})
		s.t.Logf("with %v of backup %s: %v", old, backup, err)
	}
}

// replace takes a part of the data directory from another one, but never the roots.
func (s *scene) replace(part, from string) {
	s.t.Helper()
	roots, err := os.ReadFile(filepath.Join(s.dir, rootsFile))
	if errors.Is(err, os.ErrNotExist) {
		roots = nil
	} else if err != nil {
		s.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, part)); err != nil {
		s.t.Fatal(err)
	}
	command(s.t, "cp", "-a", filepath.Join(from, part), filepath.Join(s.dir, part))
	if strings.HasPrefix(rootsFile, part) && roots != nil {
		if err := os.WriteFile(filepath.Join(s.dir, rootsFile), roots, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// read reads a file of the data directory.
func (s *scene) read(name string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return b
}

// tally is a report in short.
func tally(r needle.Report) string {
	return fmt.Sprintf("%d places of %d words in %d bytes", r.Found, len(r.Words), r.Bytes)
}
