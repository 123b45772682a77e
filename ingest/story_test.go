package ingest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/events/officers"
	"escrow/ingest"
	"escrow/retention"
	"escrow/retention/disposal"

	"github.com/google/go-cmp/cmp"
)

// office is the two officers of a vault.
type office struct {
	*vault
	keys map[string]string
}

func newOffice(v *vault) *office {
	v.t.Helper()
	o := &office{v, map[string]string{}}
	for _, name := range []string{"dpo", "legal"} {
		secret, public, err := officers.NewKey(rand.Reader, name)
		check(v.t, err)
		o.keys[name] = secret
		o.act(name, events.OfficerAdded{Officer: name, Key: public})
	}
	return o
}

// act records what an officer does and returns its record.
func (o *office) act(name string, act events.Act) escrow.Seq {
	o.t.Helper()
	act = act.SignedBy(name, "")
	signer := must(officers.ParseKey(o.keys[name]))(o.t)
	statement := must(officers.Sign(officers.Draft(o.ledger.Origin(), act, o.clock()), signer))(o.t)
	return must(o.pipeline.Record(context.Background(), act.SignedBy(name, statement)))(o.t)
}

// restrict requests an erasure and approves it, which restricts what it concerns; advance carries it out.
func (o *office) restrict(f events.ErasureRequested) escrow.Seq {
	o.t.Helper()
	f.Basis = "art17-1"
	request := o.act("dpo", f)
	h := must(o.ledger.Header(request))(o.t)
	leaf := h.LeafHash()
	o.act("legal", events.ErasureApproved{Request: request, Leaf: fmt.Sprintf("%x", leaf[:]), Until: o.pipeline.Until()})
	return request
}

func (o *office) restrictPerson(id string) escrow.Seq {
	o.t.Helper()
	return o.restrict(events.ErasureRequested{Scope: events.ScopePerson, Subjects: []uint32{o.leaf(id, "chat")}})
}

func (o *office) hold(seqs ...escrow.Seq) uint32 {
	o.t.Helper()
	number := o.pipeline.NextHold()
	o.act("legal", events.HoldPlaced{Hold: number, Matter: "m-1", Messages: events.Ranges(seqs)})
	return number
}

func (o *office) advance() disposal.Report {
	o.t.Helper()
	return must(o.pipeline.Advance(context.Background(), disposal.Options{ClockIsRight: true}))(o.t)
}

// texts returns what a reader sees of messages: the text and who takes part, or the kind of error.
func (v *vault) texts(seqs ...escrow.Seq) []string {
	v.t.Helper()
	var out []string
	for _, seq := range seqs {
		o, err := v.open(seq)
		if err != nil {
			out = append(out, escrow.KindOf(err).String())
			continue
		}
		line := o.Message.Text + " |"
		for _, p := range append([]escrow.Participant{o.Message.From}, o.Message.To...) {
			line += " " + p.ID.Value()
		}
		out = append(out, line)
	}
	return out
}

// same checks that the index is as if it were built now.
func (s *shelf) same() {
	s.t.Helper()
	s.follow()
	all := func(x *shelf) (words []string) {
		check(s.t, second(x.index.Purge(context.Background()))) // deleted documents count in dictionaries until then
		for _, field := range []string{"body", "stem", "title", "file", "tag", "meta", "from", "to", "key", "time"} {
			terms := must(x.index.Terms(context.Background(), field, ""))(s.t)
			slices.Sort(terms)
			for _, t := range slices.Compact(terms) {
				words = append(words, field+":"+t)
			}
		}
		return words
	}
	fresh := newShelf(s.t, s.vault)
	s.pipeline.Attach(s.indexer)
	fresh.follow()
	if d := cmp.Diff(all(fresh), all(s)); d != "" {
		s.t.Errorf("the index (-built now, +followed):\n%s", d)
	}
}

func second[T any](_ T, err error) error { return err }

// A person's erasure that was approved and withdrawn leaves no trace, and in between nobody is shown anything of the person.
func TestRestrictedAndWithdrawn(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	o := newOffice(s.vault)
	own := s.chat("chat", talk("1", "theremin", "email:ana@example.org=Anastasia", "email:bo@example.net=Bo"))
	to := s.chat("chat", talk("2", "umbrella", "email:bo@example.net=Bo", "email:ana@example.org=Anastasia"))
	about := s.chat("chat", mentioning("3", "email:bo@example.net=Bo", nil, "ask ", about{"email:ana@example.org", "Anastasia", "Anastasia"}, " about it"))
	s.follow()
	before := s.texts(own, to, about)
	request := o.restrictPerson("email:ana@example.org")

	want := []string{"denied", "umbrella | bo@example.net person", "ask erased:person about it | bo@example.net"}
	if d := cmp.Diff(want, s.texts(own, to, about)); d != "" {
		t.Error(d)
	}
	_, err := s.open(own)
	wantKind(t, err, escrow.Denied, "restricted: ", fmt.Sprintf("record %d", own))
	if x := must(s.open(to))(t); x.Erased != 1 || x.Withheld != 1 || !must(s.opener.Alive(s.read(own)))(t) {
		t.Errorf("%d erased, %d withheld", x.Erased, x.Withheld)
	}
	meanwhile := s.chat("chat", talk("4", "accordion", "email:ana@example.org=Anastasia"))
	s.follow()
	for _, q := range []string{"theremin", "with:ana@example.org", "with:anastasia", "body:anastasia", "accordion"} {
		s.found(q)
	}
	s.found("umbrella", to)
	s.found("about", about)
	s.same()
	if present, _ := s.audit(); present != 4 {
		t.Errorf("%d messages are present to an auditor", present)
	}
	adm := must(s.admit(natslog.Arrival{Data: []byte(talk("1", "theremin", "email:ana@example.org=Anastasia", "email:bo@example.net=Bo"))}))(t)
	if !adm.Known || adm.Seq != uint64(own) {
		t.Errorf("a restricted message that comes again: %+v", adm.Known)
	}

	o.act("dpo", events.ErasureWithdrawn{Request: request})
	if d := cmp.Diff(before, s.texts(own, to, about)); d != "" {
		t.Error(d)
	}
	s.follow()
	s.found("theremin", own)
	s.found("with:anastasia", own, to, meanwhile)
	s.found("body:anastasia", about)
	s.found("accordion", meanwhile)
	s.same()
	if report := o.advance(); report.Order != nil && len(report.Requests) > 0 {
		t.Errorf("a withdrawn request was carried out: %+v", report)
	}
	s.found("theremin", own)
}

// Messages and a whole tenant are restricted and freed like people.
func TestRestrictedMessages(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	o := newOffice(s.vault)
	one := s.chat("chat", talk("1", "apple", "email:ana@example.org"))
	two := s.chat("chat", talk("2", "banana", "email:ana@example.org"))
	s.follow()
	request := o.restrict(events.ErasureRequested{Scope: events.ScopeMessage, Messages: events.Ranges([]escrow.Seq{two})})
	s.follow()
	s.found("apple OR banana", one)
	o.act("legal", events.ErasureWithdrawn{Request: request})
	s.follow()
	s.found("apple OR banana", one, two)

	request = o.restrict(events.ErasureRequested{Scope: events.ScopeTenant})
	if got := s.texts(one, two); !slices.Equal(got, []string{"denied", "denied"}) {
		t.Errorf("%v", got)
	}
	three := s.chat("chat", talk("3", "cherry", "email:ana@example.org"))
	s.follow()
	s.found("cherry")
	o.act("legal", events.ErasureWithdrawn{Request: request})
	s.follow()
	s.found("apple OR banana OR cherry", one, two, three)
	s.same()
}

// A hold keeps exactly its messages, complete and findable, through restriction and erasure; its release ends them, and nothing is left in the index.
func TestHeldThroughErasure(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	o := newOffice(s.vault)
	held := s.chat("chat", talk("1", "theremin", "email:ana@example.org=Anastasia", "email:bo@example.net=Bo"))
	free := s.chat("chat", talk("2", "accordion", "email:ana@example.org=Anastasia"))
	about := s.chat("chat", mentioning("3", "email:bo@example.net=Bo", nil, "ask ", about{"email:ana@example.org", "Anastasia", "Anastasia"}, "!"))
	s.follow()
	before := s.texts(held, free, about)
	hold := o.hold(held, about)
	o.restrictPerson("email:ana@example.org")
	s.follow()
	if d := cmp.Diff([]string{before[0], "denied", before[2]}, s.texts(held, free, about)); d != "" {
		t.Error(d)
	}
	s.found("with:anastasia", held)
	leaf := s.leaf("email:ana@example.org", "chat")
	report := o.advance()
	if report.Removed+report.Redacted != 0 && report.Slots == 0 {
		t.Errorf("%+v", report)
	}
	if s.keys.Alive(s.keys.Ref(keytree.KindSubject, leaf)) {
		t.Fatal("the key is still there")
	}
	if d := cmp.Diff([]string{before[0], "erased", before[2]}, s.texts(held, free, about)); d != "" {
		t.Error(d)
	}
	s.found("theremin OR accordion OR body:anastasia", held, about)
	s.unknown("body", "accordion")
	s.same()
	s.audit()
	if ids, _, err := s.opener.Identities(s.read(held)); err != nil || len(ids) != 1 || ids[0].Scope != "email:bo@example.net" {
		t.Errorf("a directory that is built again would learn %v, %v", ids, err)
	}
	_, err := s.admit(natslog.Arrival{Data: []byte(talk("1", "theremin", "email:ana@example.org=Anastasia", "email:bo@example.net=Bo"))})
	wantKind(t, err, escrow.Erased)
	if again := s.chat("chat", talk("5", "back", "email:ana@example.org")); s.leaf("email:ana@example.org", "chat") == leaf {
		t.Errorf("record %d has the number of who was erased", again)
	}

	o.act("dpo", events.HoldReleased{Hold: hold})
	if d := cmp.Diff([]string{"erased", "erased", "ask erased:person! | bo@example.net"}, s.texts(held, free, about)); d != "" {
		t.Error(d)
	}
	if report := o.advance(); report.Removed != 1 || report.Redacted != 1 {
		t.Errorf("%+v", report)
	}
	if d := cmp.Diff([]string{"erased", "erased", "ask erased:person! | bo@example.net"}, s.texts(held, free, about)); d != "" {
		t.Error(d)
	}
	s.found("theremin")
	s.unknown("body", "theremin", "anastasia")
	s.unknown("from", "anastasia")
	s.same()
}

// A hold placed while an erasure is cooling off brings its messages back into view.
func TestHoldOnRestricted(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	o := newOffice(s.vault)
	held := s.chat("chat", talk("1", "theremin", "email:ana@example.org"))
	s.chat("chat", talk("2", "theremin", "email:ana@example.org"))
	s.follow()
	o.restrictPerson("email:ana@example.org")
	s.follow()
	s.found("theremin")
	o.hold(held)
	s.follow()
	s.found("theremin", held)
	s.same()
	o.advance()
	s.found("theremin", held)
	s.same()
}

// At the end of a tenant nothing can be opened or found, and whoever follows the ledger comes to its end.
func TestTenantEnds(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	o := newOffice(s.vault)
	one := s.chat("chat", talk("1", "apple", "email:ana@example.org"))
	s.follow()
	o.restrict(events.ErasureRequested{Scope: events.ScopeTenant})
	o.advance()
	wantKind(t, second(s.open(one)), escrow.Erased)
	s.follow()
	s.found("apple")
	if n := must(s.index.Count(context.Background()))(t); n != 0 || s.index.Position() != s.ledger.Size() {
		t.Errorf("%d documents, the index is at %d of %d", n, s.index.Position(), s.ledger.Size())
	}
}

// Retention days end for whole classes at once, but not what is held.
func TestExpiredDaysLeaveIndex(t *testing.T) {
	s := newShelf(t, newVault(t, nil, map[escrow.Channel]ingest.ChannelRule{"letters": {Class: "letters"}}))
	o := newOffice(s.vault)
	chat := s.chat("chat", talk("1", "apple", "email:ana@example.org"))
	letter := s.chat("letters", talk("2", "banana", "email:ana@example.org"))
	held := s.chat("letters", talk("3", "cherry", "email:ana@example.org"))
	s.follow()
	o.hold(held)
	due := must(s.open(letter))(t).Due
	if class := must(s.recorder.Schedule.Class("letters"))(t); due.Tree != class.Number || due.Leaf != uint32(class.Due(s.read(letter).Header.Time)) {
		t.Errorf("due %+v", due)
	}
	expire := func(at time.Time) {
		s.mu.Lock()
		s.now = at
		s.mu.Unlock()
		o.advance()
	}
	expire(retention.Day(due.Leaf).Time().Add(12 * time.Hour))
	s.found("apple OR banana OR cherry", chat, letter, held)
	expire(retention.Day(due.Leaf + 1).Time().Add(12 * time.Hour))
	s.found("apple OR banana OR cherry", chat, held)
	s.unknown("body", "banana")
	if d := cmp.Diff([]string{"apple | ana@example.org", "erased", "cherry | ana@example.org"}, s.texts(chat, letter, held)); d != "" {
		t.Error(d)
	}
	s.same()
	s.audit()
}

// Two people, three messages, every policy, every order of erasure, a hold on one of the messages or on none: what is readable follows from the letter of the
// policy and the hold alone.
func TestPoliciesWithHolds(t *testing.T) {
	for _, policy := range []ingest.Policy{ingest.PolicyPrincipal, ingest.PolicyAllOf, ingest.PolicyAnyOf} {
		for _, order := range permutations([]person{ana, bo}) {
			for held := -1; held < 3; held++ {
				t.Run(fmt.Sprintf("%s/%s%s/hold=%d", policy, order[0].name[:2], order[1].name[:2], held), func(t *testing.T) {
					v := newVault(t, nil, map[escrow.Channel]ingest.ChannelRule{"chat": {Policy: policy}})
					o := newOffice(v)
					forms := []struct{ customers, takePart []person }{{[]person{ana}, []person{ana, bo}}, {nil, []person{bo, ana}}, {[]person{bo}, []person{ana, bo}}}
					var seqs []escrow.Seq
					for i, f := range forms {
						mark := func(p person) string {
							if slices.Contains(f.customers, p) {
								return "!" + p.id
							}
							return p.id
						}
						seqs = append(seqs, v.chat("chat", talk(fmt.Sprint(i), "text", mark(f.takePart[0]), mark(f.takePart[1]))))
					}
					hold := uint32(0)
					if held >= 0 {
						hold = o.hold(seqs[held])
					}
					whole := v.texts(seqs...)
					expect := func(gone []person, held int) {
						t.Helper()
						for i, f := range forms {
							want := whole[i]
							if i != held {
								want = afterErasure(policy, whole[i], f.customers, f.takePart, gone)
							}
							if got := v.texts(seqs[i])[0]; got != want {
								t.Errorf("%d erased, message %d, hold %d: %q, want %q", len(gone), i, held, got, want)
							}
						}
						v.audit()
					}
					for n := range order {
						o.restrictPerson(order[n].id)
						o.advance()
						expect(order[:n+1], held)
					}
					if held >= 0 {
						o.act("dpo", events.HoldReleased{Hold: hold})
						o.advance()
						expect(order, -1)
					}
				})
			}
		}
	}
}

// afterErasure is what the policy leaves of a message without hold.
func afterErasure(policy ingest.Policy, whole string, customers, takePart, gone []person) string {
	owners := takePart
	if policy == ingest.PolicyPrincipal {
		if owners = customers; len(owners) == 0 {
			owners = takePart[:1]
		}
	}
	left := 0
	for _, p := range owners {
		if !slices.Contains(gone, p) {
			left++
		}
	}
	if left == 0 || policy != ingest.PolicyAnyOf && left < len(owners) {
		return "erased"
	}
	for _, p := range gone {
		whole = strings.ReplaceAll(whole, escrow.Identity(p.id).Value(), ingest.ErasedIdentity.Value())
	}
	return whole
}

// A hold that ends while an erasure waits for its time leaves nothing of the person in the index, and what was withdrawn comes back.
func TestHoldReleasedInTheCoolingOffTime(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	o := newOffice(s.vault)
	own := s.chat("chat", talk("1", "theremin", "email:ana@example.org"))
	to := s.chat("chat", talk("2", "umbrella", "email:bo@example.net", "email:ana@example.org"))
	s.follow()
	hold := o.hold(own, to)
	request := o.restrictPerson("email:ana@example.org")
	s.follow()
	s.found("with:ana", own, to)
	o.act("dpo", events.HoldReleased{Hold: hold})
	s.follow()
	s.found("theremin")
	s.found("with:ana")
	s.found("umbrella", to)
	s.same()
	o.act("dpo", events.ErasureWithdrawn{Request: request})
	s.follow()
	s.found("with:ana", own, to)
	s.same()
}

// Everything that came with a message dies with it: names of files, transcripts, tags, metadata, title, conversation. No field of the index keeps a word.
func TestEverythingDiesWithTheMessage(t *testing.T) {
	s := newShelf(t, newVault(t, nil, nil))
	seq := s.chat("chat", `{"id":"zqid","from":{"id":"email:zqaddress@example.org","name":"Zqname"},"to":[{"id":"user:zqreader","name":"Zqother"}],"conversation":"zqroom",
		"title":"zqtitle","body":{"html":"<p>zqhtml <img alt='zqalt'> <a href='https://zqlink.example/'>x</a>"},"tags":["zqtag"],"metadata":{"zqkey":"zqvalue"},
		"attachments":[{"name":"zqfile.pdf","data":"aGk=","transcript":"zqspoken"}]}`)
	stays := s.chat("chat", talk("2", "something else", "email:bo@example.net"))
	s.follow()
	words := []string{"zqaddress", "zqname", "zqreader", "zqother", "zqtitle", "zqhtml", "zqalt", "zqlink", "zqtag", "zqkey", "zqvalue", "zqfile", "zqspoken", "id:zqid", "in:zqroom"}
	for _, w := range words {
		s.found(w, seq)
	}
	s.erase("email:zqaddress@example.org", "chat")
	for _, w := range words {
		s.found(w)
	}
	for _, field := range []string{"body", "stem", "title", "file", "tag", "meta", "from", "to"} {
		if terms := must(s.index.Terms(context.Background(), field, "zq"))(t); len(terms) > 0 {
			t.Errorf("%s keeps %q", field, terms)
		}
	}
	if seqs := must(s.index.ConversationSeqs(context.Background(), "chat", "zqroom"))(t); len(seqs) > 0 {
		t.Errorf("the conversation is still %v", seqs)
	}
	s.found("else", stays)
	s.same()
}

// stranger is a guard whose slots come from elsewhere.
type stranger struct{ slots []seal.FacetSlot }

func (stranger) Restricted(escrow.Seq, keytree.Ref) bool      { return false }
func (g stranger) Slots(escrow.Seq) ([]seal.FacetSlot, error) { return g.slots, nil }
func (g stranger) opener(o *ingest.Opener) (changed ingest.Opener) {
	changed = *o
	changed.Guard = g
	return
}

// A slot opens the facet it was made for, and no other: not of another message, not another of the same message.
func TestForeignSlots(t *testing.T) {
	v := newVault(t, nil, nil)
	one := v.chat("chat", talk("1", "one", "email:ana@example.org"))
	two := v.chat("chat", talk("2", "two", "email:ana@example.org"))
	hold := []keytree.Ref{v.keys.Ref(keytree.KindHold, 7)}
	slotOf := func(seq escrow.Seq, facet int) seal.Slot {
		sealed := must(v.sealer.Parse(v.read(seq).Blob))(t)
		return must(sealed.NewSlot(v.keys, facet, hold))(t)
	}
	body, identity, other := slotOf(one, 0), slotOf(one, 1), slotOf(two, 0)
	v.erase("email:ana@example.org", "chat")
	for name, tt := range map[string]struct {
		slots []seal.FacetSlot
		kind  escrow.Kind
	}{
		"its own":           {[]seal.FacetSlot{{Facet: 0, Slot: body}, {Facet: 1, Slot: identity}}, escrow.Internal},
		"of another":        {[]seal.FacetSlot{{Facet: 0, Slot: other}}, escrow.Forged},
		"of another facet":  {[]seal.FacetSlot{{Facet: 0, Slot: identity}}, escrow.Forged},
		"for no facet":      {[]seal.FacetSlot{{Facet: 9, Slot: body}}, escrow.NotFound},
		"identity withheld": {[]seal.FacetSlot{{Facet: 0, Slot: body}, {Facet: 1, Slot: body}}, escrow.Forged},
	} {
		t.Run(name, func(t *testing.T) {
			opener := stranger{tt.slots}.opener(v.opener)
			o, err := opener.Open(v.read(one))
			if name != "its own" {
				wantKind(t, err, tt.kind)
				return
			}
			if err != nil || o.Message.Text != "one" || o.Message.From.ID != "email:ana@example.org" {
				t.Errorf("%v, %q", err, o.Message.Text)
			}
			if slots := must(opener.BodySlots(v.read(one)))(t); len(slots) != 2 || slots[1][0].Kind != keytree.KindHold {
				t.Errorf("%v", slots)
			}
		})
	}
}

// failing is a guard that cannot read its slots.
type failing struct{ stranger }

func (failing) Slots(escrow.Seq) ([]seal.FacetSlot, error) { return nil, errors.New("no") }

// Slots that cannot be read are an error, not a message that seems to be erased.
func TestUnreadableSlots(t *testing.T) {
	v := newVault(t, nil, nil)
	rec := v.read(v.chat("chat", talk("1", "one", "email:ana@example.org")))
	opener := *v.opener
	opener.Guard = failing{}
	_, err := opener.Open(rec)
	wantKind(t, err, escrow.Internal)
	_, err = opener.Alive(rec)
	wantKind(t, err, escrow.Internal)
}

// New generations of trees are used from their first leaf on, and what is sealed under them is erased like everything else.
func TestGenerations(t *testing.T) {
	v := newVault(t, nil, nil)
	old := v.chat("chat", talk("1", "old", "email:ana@example.org"))
	first, people := uint32(v.ledger.Size())+1, v.leaf("email:ana@example.org", "chat")+1
	check(t, v.keys.Update(func(tx *keystate.Tx) error {
		tx.StartGeneration(keytree.KindMessage, first)
		tx.StartGeneration(keytree.KindSubject, people)
		return nil
	}))
	v.chat("chat", talk("2", "between", "email:ana@example.org"))
	for escrow.TreeSize(first) > v.ledger.Size() {
		v.chat("chat", talk(fmt.Sprint("f", v.ledger.Size()), "fill", "email:ana@example.org"))
	}
	young := v.chat("chat", talk("3", "new", "email:bo@example.net"))
	generations := func(seq escrow.Seq) (g string) {
		for _, ref := range must(v.opener.BodySlots(v.read(seq)))(t)[0] {
			if ref.Kind != keytree.KindRetention {
				g += fmt.Sprintf("%c%d", ref.Kind, ref.Tree)
			}
		}
		return g
	}
	if a, b := generations(old), generations(young); a != "M0S0" || b != "M1S1" {
		t.Errorf("generations %s and %s", a, b)
	}
	if got := v.texts(old, young); !slices.Equal(got, []string{"old | ana@example.org", "new | bo@example.net"}) {
		t.Error(got)
	}
	v.erase("email:bo@example.net", "chat")
	if got := v.texts(old, young); !slices.Equal(got, []string{"old | ana@example.org", "erased"}) {
		t.Error(got)
	}
	check(t, v.ledger.Scan(context.Background(), 0, func(archive.Record) error { return nil }))
}
