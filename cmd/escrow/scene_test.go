package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

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
	slip  escrow.Seq        // the message to be erased alone
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
	command(t, "mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image)
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
		if escrow.KindOf(err) == escrow.Denied { // restricted
			list = append(list, []byte(err.Error()))
			continue
		}
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

// backup copies the data directory as it is, without the roots, and makes a backup with the program.
func (s *scene) backup(name string) {
	s.t.Helper()
	to := filepath.Join(s.disk, "backups", name)
	command(s.t, "sh", "-c", `mkdir "$2" && tar -C "$1" --exclude="./$3" -cf - . | tar -C "$2" -xf -`, "sh", s.dir, to, rootsFile)
	s.ok("backup", "--to", to+".archive", "--keys-to", to+".keys")
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
