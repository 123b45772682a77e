package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/ingest"
	"escrow/internal/vfs"
	"escrow/testdata"

	"github.com/google/go-cmp/cmp"
)

// restores checks that a publish comes out of the archive as it went in.
func (v *vault) restores(name string, a natslog.Arrival) {
	v.t.Helper()
	if adm := must(v.admit(a))(v.t); adm.Known {
		return // the same mail twice
	}
	seq := v.put(a)
	o, err := v.open(seq)
	if err != nil {
		v.t.Errorf("%s: %v", name, err)
		return
	}
	if !bytes.Equal(o.Envelope.Original, a.Data) {
		v.t.Errorf("%s: the original bytes are not restored", name)
	}
	if o.Erased != 0 || len(o.Subjects) != 1+len(o.Message.To) {
		v.t.Errorf("%s: %d erased, %d subjects of %d participants", name, o.Erased, len(o.Subjects), 1+len(o.Message.To))
	}
	if _, err := v.opener.Audit(v.read(seq), never); err != nil {
		v.t.Errorf("%s: audit: %v", name, err)
	}
}

func never(keytree.Ref) bool { return false }

func TestRestoresTestdata(t *testing.T) {
	v := newVault(t, nil, nil)
	count := 0
	check(t, fs.WalkDir(testdata.Files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw := must(testdata.Files.ReadFile(path))(t)
		switch {
		case strings.HasPrefix(path, "mail/"), strings.HasPrefix(path, "mbox/"): // an mbox is an odd mail, too
			v.restores(path, natslog.Arrival{Channel: "mail", Header: map[string][]string{"Content-Type": {ingest.TypeMail}}, Data: raw})
			count++
		case strings.HasSuffix(path, ".jsonl"):
			for line := range bytes.Lines(raw) {
				v.restores(path, natslog.Arrival{Channel: escrow.Channel(strings.NewReplacer("/", "-", ".jsonl", "").Replace(path)), Data: bytes.TrimSpace(line)})
				count++
			}
		}
		return nil
	}))
	if count < 200 {
		t.Errorf("only %d messages were tried", count)
	}
	t.Logf("%d messages", count)
}

func TestRestoresCloudEvents(t *testing.T) {
	v := newVault(t, nil, nil)
	v.restores("structured", natslog.Arrival{Header: map[string][]string{"Content-Type": {ingest.TypeCloudEvent}},
		Data: []byte(`{ "specversion":"1.0","id":"1","source":"/s","type":"t", "data":` + talk("ce-1", "hello", "email:ana@example.org=Ana", "tel:+49301234567=Bo") + " }\n")})
	v.restores("binary", natslog.Arrival{Header: map[string][]string{"Ce-Specversion": {"1.0"}, "ce-id": {"2"}, "ce-source": {"/s"}, "ce-type": {"t"}},
		Data: []byte(talk("ce-2", "hello", "email:ana@example.org=Ana"))})
}

// TestRestoresCorpora archives every mail of two corpora.
func TestRestoresCorpora(t *testing.T) {
	for _, corpus := range []string{"spamassassin", "torture-permissive"} {
		t.Run(corpus, func(t *testing.T) {
			v := newVault(t, nil, nil)
			eachCorpusMail(t, corpus, func(name string, raw []byte) {
				if len(raw) > 0 {
					v.restores(name, natslog.Arrival{Import: true, Channel: "mail", Header: map[string][]string{"Content-Type": {ingest.TypeMail}}, Data: raw})
				}
			})
			t.Logf("%d records", v.ledger.Size())
		})
	}
}

// person of the policy tests.
type person struct{ id, name string }

var (
	ana = person{"email:ana@example.org", "Ana Quintero"}
	bo  = person{"email:bo@example.net", "Bo Lindqvist"}
	cy  = person{"tel:+49301234567", "Cy Tanaka"}
)

// three are the messages of the policy tests: who wrote them, to whom, and who is a customer.
var three = []struct {
	from     person
	to       []person
	customer []person
}{
	{ana, []person{bo}, nil},
	{bo, []person{ana, cy}, []person{ana}},
	{cy, []person{ana, bo}, []person{ana, bo}},
}

// dies says, by the letter of the policy, whether message i is dead once the people are erased.
func dies(policy ingest.Policy, i int, erased []person) bool {
	m := three[i]
	all := append([]person{m.from}, m.to...)
	gone := func(p person) bool { return slices.Contains(erased, p) }
	switch policy {
	case ingest.PolicyAllOf:
		return slices.ContainsFunc(all, gone)
	case ingest.PolicyAnyOf:
		return !slices.ContainsFunc(all, func(p person) bool { return !gone(p) })
	}
	if len(m.customer) > 0 {
		return slices.ContainsFunc(m.customer, gone)
	}
	return gone(m.from)
}

// forms write message i in JSON and as mail. Mail knows no customers.
func chatForm(i int) natslog.Arrival {
	m := three[i]
	mark := func(p person) string {
		s := p.id + "=" + p.name
		if slices.Contains(m.customer, p) {
			s = "!" + s
		}
		return s
	}
	var to []string
	for _, p := range m.to {
		to = append(to, mark(p))
	}
	return natslog.Arrival{Data: []byte(talk(fmt.Sprintf("m%d", i), "the text of it", mark(m.from), to...))}
}

func permutations(list []person) [][]person {
	if len(list) == 0 {
		return [][]person{nil}
	}
	var out [][]person
	for i := range list {
		rest := slices.Concat(list[:i], list[i+1:])
		for _, p := range permutations(rest) {
			out = append(out, append([]person{list[i]}, p...))
		}
	}
	return out
}

// TestPolicies erases three people in every order under every policy and looks at three messages after every step.
func TestPolicies(t *testing.T) {
	for _, policy := range []ingest.Policy{"", ingest.PolicyPrincipal, ingest.PolicyAllOf, ingest.PolicyAnyOf} {
		for _, order := range permutations([]person{ana, bo, cy}) {
			t.Run(fmt.Sprintf("%s/%s%s%s", policy, order[0].name[:2], order[1].name[:2], order[2].name[:2]), func(t *testing.T) {
				v := newVault(t, nil, map[escrow.Channel]ingest.ChannelRule{"chat": {Policy: policy}})
				var seqs []escrow.Seq
				for i := range three {
					seqs = append(seqs, v.put(chatForm(i)))
				}
				for n := range len(order) + 1 {
					if n > 0 {
						v.erase(order[n-1].id, "chat")
					}
					for i, seq := range seqs {
						v.looksErased(seq, dies(policy, i, order[:n]), order[:n])
					}
				}
				v.audit()
			})
		}
	}
}

func (v *vault) looksErased(seq escrow.Seq, dead bool, erased []person) {
	v.t.Helper()
	o, err := v.open(seq)
	alive := must(v.opener.Alive(v.read(seq)))(v.t)
	if alive == dead {
		v.t.Errorf("record %d: Alive = %v with %d erased", seq, alive, len(erased))
	}
	if dead {
		wantKind(v.t, err, escrow.Erased)
		return
	}
	if err != nil {
		v.t.Errorf("record %d with %d erased: %v", seq, len(erased), err)
		return
	}
	everything := fmt.Sprint(o.Message.From, o.Message.To, o.Message.Title, o.Message.Text, o.Envelope.Header, string(o.Envelope.Original))
	for _, p := range erased {
		for _, s := range []string{p.name, escrow.Identity(p.id).Value()} {
			if strings.Contains(everything, s) {
				v.t.Errorf("record %d still contains %s", seq, s)
			}
		}
	}
	if o.Message.Text != "the text of it" {
		v.t.Errorf("record %d: the text is %q", seq, o.Message.Text)
	}
}

// A mail that outlives a reader no longer names the reader in its header, also when it is written in all the ways mail allows.
func TestErasedReaderLeavesHeader(t *testing.T) {
	v := newVault(t, nil, nil)
	raw := "Return-Path: <ana@example.org>\r\nDelivered-To: bo@example.net\r\nReceived: from x by y for <BO@example.net>; Mon, 2 Mar 2026 10:11:12 +0100\r\n" +
		"From: Ana Quintero <ana@example.org>\r\nTo: \"Bo Lindqvist\" <bo@example.net>,\r\n cy@example.com\r\nCc: =?utf-8?q?Bo_Lindqvist?= <Bo@Example.net>\r\n" +
		"X-Original-To: bo@example.net\r\nSubject: hello\r\n\r\nDear Bo Lindqvist, your address is bo@example.net.\r\n"
	seq := v.put(natslog.Arrival{Channel: "mail", Header: map[string][]string{"Content-Type": {ingest.TypeMail}}, Data: []byte(raw)})
	v.erase("email:bo@example.net", "mail")
	o := must(v.open(seq))(t)
	head := strings.ToLower(headerOf(o.Envelope.Original))
	for _, s := range []string{"bo@example.net", "lindqvist"} {
		if strings.Contains(head, s) {
			t.Errorf("the header still has %q:\n%s", s, head)
		}
	}
	if o.Erased != 1 || !strings.Contains(head, "ana@example.org") || !strings.Contains(string(o.Envelope.Original), "Dear Bo Lindqvist") {
		t.Errorf("%d erased, and what is left is\n%s", o.Erased, o.Envelope.Original)
	}
	for _, p := range append([]escrow.Participant{o.Message.From}, o.Message.To...) {
		if strings.Contains(string(p.ID), "bo@") {
			t.Error("still a participant")
		}
	}
}

// A sealed part belongs to its record: put elsewhere it is refused.
func TestTransplants(t *testing.T) {
	v := newVault(t, nil, nil)
	a := v.chat("chat", talk("1", "one", "email:ana@example.org"))
	b := v.chat("chat", talk("2", "two", "email:ana@example.org"))
	for name, change := range map[string]func(*archive.Record, *ingest.Opener){
		"other record":    func(r *archive.Record, _ *ingest.Opener) { r.Seq = b },
		"other class":     func(r *archive.Record, _ *ingest.Opener) { r.Header.Class = "letters" },
		"no class":        func(r *archive.Record, _ *ingest.Opener) { r.Header.Class = "" },
		"other tenant":    func(_ *archive.Record, o *ingest.Opener) { o.Tenant = "evil" },
		"other's content": func(r *archive.Record, _ *ingest.Opener) { r.Blob = v.read(b).Blob },
	} {
		t.Run(name, func(t *testing.T) {
			rec, opener := v.read(a), *v.opener
			change(&rec, &opener)
			_, err := opener.Open(rec)
			wantKind(t, err, escrow.Forged, "another record")
			_, err = opener.Audit(rec, never)
			wantKind(t, err, escrow.Forged)
			_, err = opener.Alive(rec)
			wantKind(t, err, escrow.Forged)
			_, _, err = opener.Identities(rec)
			wantKind(t, err, escrow.Forged)
		})
	}
}

// Every flipped byte of a sealed record is noticed, by opening it or by its audit.
func TestFlippedBytes(t *testing.T) {
	v := newVault(t, nil, nil)
	rec := v.read(v.chat("chat", talk("1", "hello", "email:ana@example.org=Ana", "email:bo@example.org")))
	for i := range rec.Blob {
		bad := rec
		bad.Blob = bytes.Clone(rec.Blob)
		bad.Blob[i] ^= 0x40
		if _, err := v.opener.Audit(bad, never); err == nil {
			t.Fatalf("byte %d of %d flipped and not noticed", i, len(rec.Blob))
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	v := newVault(t, nil, nil)
	seq := v.chat("chat", talk("1", "one", "email:ana@example.org"))
	entry := must(v.book.Entry(events.IndexPurged{}))(t)
	event := must(v.ledger.Append(context.Background(), []archive.Entry{entry}))(t)
	_, err := v.open(event)
	wantKind(t, err, escrow.Invalid, "not a message")
	rec := v.read(seq)
	rec.Blob = nil
	_, err = v.opener.Open(rec)
	wantKind(t, err, escrow.Erased, "reclaimed")
	rec.Blob = []byte("junk")
	_, err = v.opener.Open(rec)
	wantKind(t, err, escrow.Corrupt)
	if ids, _, err := v.opener.Identities(v.read(event)); err != nil || ids != nil {
		t.Errorf("an event has the identities %v, %v", ids, err)
	}
}

func TestAudit(t *testing.T) {
	v := newVault(t, nil, nil)
	seq := v.chat("chat", talk("1", "one", "email:ana@example.org", "email:bo@example.org"))
	leaf := keytree.Ref{Kind: keytree.KindSubject, Leaf: v.leaf("email:bo@example.org", "chat")}
	bosLeaf := func(ref keytree.Ref) bool { return ref == leaf }

	c, err := v.opener.Audit(v.read(seq), never)
	if err != nil || c != (ingest.Condition{Present: true, Identities: 2}) {
		t.Errorf("sound: %+v, %v", c, err)
	}
	rec := v.read(seq)
	rec.Header.Content.Root[3] ^= 1
	_, err = v.opener.Audit(rec, never)
	wantKind(t, err, escrow.Forged, "content commitment")
	rec = v.read(seq)
	rec.Header.Content.Fields++
	_, err = v.opener.Audit(rec, never)
	wantKind(t, err, escrow.Forged, "content commitment")
	rec = v.read(seq)
	rec.Header.KRef[0] ^= 1
	_, err = v.opener.Audit(rec, never)
	wantKind(t, err, escrow.Forged, "keys named")
	_, err = v.opener.Audit(v.read(seq), bosLeaf)
	wantKind(t, err, escrow.Internal, "still opens")

	check(t, v.keys.Update(func(tx *keystate.Tx) error { tx.Puncture(leaf); return nil }))
	_, err = v.opener.Audit(v.read(seq), never)
	wantKind(t, err, escrow.Corrupt, "no erasure explains it")
	c, err = v.opener.Audit(v.read(seq), bosLeaf)
	if err != nil || c != (ingest.Condition{Present: true, Identities: 1, Gone: 1}) {
		t.Errorf("one identity erased: %+v, %v", c, err)
	}
}

// Who comes back after an erasure is somebody else, and is erased without the first.
func TestReturningPerson(t *testing.T) {
	v := newVault(t, nil, nil)
	v.chat("chat", talk("1", "one", "email:ana@example.org"))
	old := v.leaf("email:ana@example.org", "chat")
	v.erase("email:ana@example.org", "chat")
	if _, ok := v.directory.Lookup("email:ana@example.org"); ok {
		t.Error("the directory remembers who was erased")
	}
	seq := v.chat("chat", talk("2", "two", "email:ana@example.org"))
	if leaf := v.leaf("email:ana@example.org", "chat"); leaf == old {
		t.Error("the number of an erased person was given out again")
	}
	if o := must(v.open(seq))(t); o.Message.Text != "two" {
		t.Error("what came after the erasure is not readable")
	}
}

// A directory rebuilt from the ledger knows the same people, and never gives an erased person's number to another.
func TestReplayDirectory(t *testing.T) {
	mem := vfs.NewMem()
	v := newVault(t, mem, map[escrow.Channel]ingest.ChannelRule{"all": {Policy: ingest.PolicyAllOf}})
	for i := range 20 {
		v.chat("chat", talk(fmt.Sprint(i), "x", fmt.Sprintf("user:u%d=U", i%7), fmt.Sprintf("email:p%d@example.org", i%5)))
	}
	v.chat("all", talk("last", "x", "email:last@example.org"))
	last := v.leaf("email:last@example.org", "all")
	v.erase("email:p1@example.org", "chat")
	v.erase("user:u3", "chat")
	v.erase("email:last@example.org", "all")

	fresh := must(directory.Open(vfs.NewMem(), "/", v.keys.Secret("directory"), v.keys))(t)
	check(t, ingest.ReplayDirectory(context.Background(), v.ledger, v.opener, fresh))
	if fresh.Len() != v.directory.Len() || fresh.Len() != 7+5-2 {
		t.Errorf("%d identities rebuilt, %d live", fresh.Len(), v.directory.Len())
	}
	for i := range 7 {
		id := escrow.Identity(fmt.Sprintf("user:u%d", i)).Scoped("chat")
		a, ok1 := v.directory.Lookup(id)
		b, ok2 := fresh.Lookup(id)
		if a != b || ok1 != ok2 || ok1 != (i != 3) {
			t.Errorf("u%d: %d %v live, %d %v rebuilt", i, a, ok1, b, ok2)
		}
	}
	leaf, created, err := fresh.Assign("email:new@example.org")
	if err != nil || !created || leaf <= last {
		t.Errorf("a new person gets number %d, the erased one had %d: %v", leaf, last, err)
	}
	check(t, fresh.Save(v.ledger.Size()+1))
	wantKind(t, ingest.ReplayDirectory(context.Background(), v.ledger, v.opener, fresh), escrow.Forged, "another time")
}

// An erasure survives the loss of the directory's snapshot, and a snapshot from before it.
func TestOldDirectoryAfterErasure(t *testing.T) {
	mem := vfs.NewMem()
	v := newVault(t, mem, nil)
	v.chat("chat", talk("1", "x", "email:ana@example.org"))
	check(t, v.directory.Save(v.ledger.Size()))
	old := must(vfs.ReadFile(mem, "/keys/directory", 1<<20))(t)
	v.erase("email:ana@example.org", "chat")
	v.close()
	check(t, vfs.WriteFileAtomic(mem, "/keys/directory", old, 0o600))

	w := openVault(t, mem, nil)
	check(t, ingest.ReplayDirectory(context.Background(), w.ledger, w.opener, w.directory))
	seq := w.chat("chat", talk("2", "back again", "email:ana@example.org"))
	if o, err := w.open(seq); err != nil || o.Message.Text != "back again" {
		t.Errorf("with an old directory the next message is lost: %v", err)
	}
}

func TestRetentionClasses(t *testing.T) {
	v := newVault(t, nil, map[escrow.Channel]ingest.ChannelRule{"fixed": {Class: "letters"}, "gone": {Class: "abolished"}})
	for _, tt := range []struct {
		channel escrow.Channel
		asked   string
		want    string
	}{{"chat", "", "default"}, {"chat", "letters", "letters"}, {"fixed", "", "letters"}, {"fixed", "default", "letters"}, {"gone", "letters", "letters"}, {"gone", "", "default"}} {
		body := small
		if tt.asked != "" {
			body = strings.Replace(small, `"body"`, fmt.Sprintf(`"retention":%q,"body"`, tt.asked), 1)
		}
		body = strings.Replace(body, `"id":"1"`, fmt.Sprintf(`"id":"%s-%s"`, tt.channel, tt.asked), 1)
		if got := v.read(v.chat(tt.channel, body)).Header.Class; got != tt.want {
			t.Errorf("channel %s, asked %q: class %q, want %q", tt.channel, tt.asked, got, tt.want)
		}
	}
}

// The order of an erasure of messages is not that of people; one record dies without its author.
func TestEraseMessages(t *testing.T) {
	v := newVault(t, nil, nil)
	var seqs []escrow.Seq
	for i := range 6 {
		seqs = append(seqs, v.chat("chat", talk(fmt.Sprint(i), "x", "email:ana@example.org", "email:bo@example.org")))
	}
	v.eraseMessages(seqs[4], seqs[1], seqs[2])
	var alive []escrow.Seq
	for _, seq := range seqs {
		if must(v.opener.Alive(v.read(seq)))(t) {
			alive = append(alive, seq)
		}
	}
	if d := cmp.Diff([]escrow.Seq{seqs[0], seqs[3], seqs[5]}, alive); d != "" {
		t.Errorf("alive (-want +got):\n%s", d)
	}
	if present, erased := v.audit(); present != 3 || erased != 3 {
		t.Errorf("%d present, %d erased", present, erased)
	}
}
