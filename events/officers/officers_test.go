package officers_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/officers"
)

const origin = "example.org/escrow/acme"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// office is a roster under test, with the keys of its officers and the records applied so far.
type office struct {
	t       *testing.T
	roster  officers.Roster
	signers map[string]note.Signer
	keys    map[string]string
	next    escrow.Seq
}

func newOffice(t *testing.T) *office {
	return &office{t: t, signers: map[string]note.Signer{}, keys: map[string]string{}}
}

// key makes a key under a name, different for each seed.
func (o *office) key(name string, seed byte) {
	o.t.Helper()
	secret, verifier, err := officers.NewKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)), name)
	if err != nil {
		o.t.Fatal(err)
	}
	if o.signers[name], err = officers.ParseKey(secret + "\n"); err != nil {
		o.t.Fatal(err)
	}
	o.keys[name] = verifier
}

// sign lets an officer answer for an act at a time.
func (o *office) sign(act events.Act, name string, at time.Time) events.Act {
	o.t.Helper()
	act = act.SignedBy(name, "")
	statement, err := officers.Sign(officers.Draft(origin, act, at), o.signers[name])
	if err != nil {
		o.t.Fatal(err)
	}
	return act.SignedBy(name, statement)
}

func header(seq escrow.Seq) archive.Header {
	return archive.Header{Kind: archive.KindRequest, Time: noon, Sealed: archive.Digest{SHA256: [32]byte{byte(seq)}, Len: 1}}
}

// record checks an act and applies it as the next record.
func (o *office) record(act events.Act) escrow.Seq {
	o.t.Helper()
	if err := o.roster.Check(origin, act, noon); err != nil {
		o.t.Fatalf("%s: %v", act.Type(), err)
	}
	o.next++
	if err := o.roster.Apply(archive.Record{Seq: o.next, Header: header(o.next)}, act); err != nil {
		o.t.Fatal(err)
	}
	return o.next
}

func (o *office) add(name, sponsor string, seed byte) {
	o.t.Helper()
	o.key(name, seed)
	by := sponsor
	if by == "" {
		by = name
	}
	o.record(o.sign(events.OfficerAdded{Officer: name, Key: o.keys[name]}, by, noon))
}

func leafOf(seq escrow.Seq) string {
	hash := header(seq).LeafHash()
	return hex.EncodeToString(hash[:])
}

func request(n int) events.ErasureRequested {
	return events.ErasureRequested{Scope: events.ScopePerson, Subjects: []uint32{7}, Basis: "art17-1-b", Case: fmt.Sprint("2026/", n), Preview: events.Counts{Dies: 3}}
}

func approval(seq escrow.Seq) events.ErasureApproved {
	return events.ErasureApproved{Request: seq, Leaf: leafOf(seq), Until: noon.Add(72 * time.Hour)}
}

// staffed has two founders, dpo and legal; dpo brought in dpo-2, which brought in dpo-3, and twin; legal brought in legal-2 and gone, who was removed.
func staffed(t *testing.T) *office {
	o := newOffice(t)
	o.add("dpo", "", 1)
	o.add("legal", "", 2)
	o.add("dpo-2", "dpo", 3)
	o.add("dpo-3", "dpo-2", 4)
	o.add("twin", "dpo", 5)
	o.add("legal-2", "legal", 6)
	o.add("gone", "legal", 7)
	o.record(o.sign(events.OfficerRemoved{Officer: "gone"}, "dpo", noon))
	return o
}

func TestWhoMayApprove(t *testing.T) {
	for _, test := range []struct{ requester, approver, want string }{
		{"dpo", "legal", ""},
		{"legal", "dpo", ""},
		{"dpo-3", "legal", ""},
		{"dpo-3", "legal-2", ""},
		{"legal-2", "twin", ""},
		{"dpo", "dpo", "another officer must approve"},
		{"dpo", "dpo-2", "brought in by"},
		{"dpo-2", "dpo", "brought in by"},
		{"dpo", "dpo-3", "brought in by"},
		{"dpo-3", "dpo", "brought in by"},
		{"dpo-2", "twin", "brought in by"}, // two puppets of one officer
		{"dpo-3", "twin", "brought in by"},
		{"dpo", "gone", "no officer any more"},
		{"dpo", "stranger", "no officer of this archive"},
		{"dpo", "", "none is named"},
		{"stranger", "dpo", "no officer of this archive"},
	} {
		t.Run(test.requester+" then "+test.approver, func(t *testing.T) {
			o := staffed(t)
			err := o.roster.MayApprove(events.ErasureRequested{Officer: test.requester}, test.approver)
			if test.want == "" && err != nil || test.want != "" && !refused(err, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if o.signers[test.requester] == nil || o.signers[test.approver] == nil {
				return
			}
			seq := o.record(o.sign(request(1), test.requester, noon))
			if err := o.roster.Check(origin, o.sign(approval(seq), test.approver, noon), noon); test.want == "" && err != nil || test.want != "" && !refused(err, test.want) {
				t.Errorf("signed: got %v, want %q", err, test.want)
			}
		})
	}
}

func refused(err error, want string) bool {
	return err != nil && (escrow.KindOf(err) == escrow.Denied || escrow.KindOf(err) == escrow.Invalid) && strings.Contains(err.Error(), want)
}

// TestAttacks: what somebody may try who can write to the archive, and who has the keys of some officers, but not of two lines.
func TestAttacks(t *testing.T) {
	for _, test := range []struct {
		name string
		try  func(o *office) events.Fact
		want string
	}{
		{"no statement", func(o *office) events.Fact { return request(1).SignedBy("dpo", "") }, "is missing"},
		{"nobody answers", func(o *office) events.Fact { return request(1) }, "none is named"},
		{"no officer", func(o *office) events.Fact { o.key("stranger", 30); return o.sign(request(1), "stranger", noon) }, "no officer of this archive"},
		{"removed officer", func(o *office) events.Fact { return o.sign(request(1), "gone", noon) }, "no officer any more"},
		{"same name, other key", func(o *office) events.Fact { o.key("dpo", 31); return o.sign(request(1), "dpo", noon) }, "not that of"},
		{"statement of another officer", func(o *office) events.Fact {
			_, statement := o.sign(request(1), "legal", noon).By()
			return request(1).SignedBy("dpo", statement)
		}, "not that of"},
		{"text of another officer under the own key", func(o *office) events.Fact {
			statement, _ := officers.Sign(officers.Draft(origin, request(1).SignedBy("legal", ""), noon), o.signers["dpo"])
			return request(1).SignedBy("dpo", statement)
		}, "another officer"},
		{"altered case", func(o *office) events.Fact {
			f := o.sign(request(1), "dpo", noon).(events.ErasureRequested)
			f.Case = "2026/2"
			return f
		}, "another fact"},
		{"altered subjects", func(o *office) events.Fact {
			f := o.sign(request(1), "dpo", noon).(events.ErasureRequested)
			f.Subjects = []uint32{7, 8}
			return f
		}, "another fact"},
		{"altered preview", func(o *office) events.Fact {
			f := o.sign(request(1), "dpo", noon).(events.ErasureRequested)
			f.Preview.Held++
			return f
		}, "another fact"},
		{"cooling-off cut short", func(o *office) events.Fact {
			f := o.sign(approval(o.record(o.sign(request(1), "dpo", noon))), "legal", noon).(events.ErasureApproved)
			f.Until = noon
			return f
		}, "another fact"},
		{"approval of another request", func(o *office) events.Fact {
			first, second := o.record(o.sign(request(1), "dpo", noon)), o.record(o.sign(request(2), "dpo", noon))
			_, statement := o.sign(approval(first), "legal", noon).By()
			return approval(second).SignedBy("legal", statement)
		}, "another fact"},
		{"approval of what was not shown", func(o *office) events.Fact {
			seq := o.record(o.sign(request(1), "dpo", noon))
			f := approval(seq)
			f.Leaf = leafOf(seq + 1)
			return o.sign(f, "legal", noon)
		}, "of another request"},
		{"approval of no request", func(o *office) events.Fact { return o.sign(approval(3), "legal", noon) }, "no request"},
		{"withdrawal of no request", func(o *office) events.Fact { return o.sign(events.ErasureWithdrawn{Request: 3}, "legal", noon) }, "no request"},
		{"approval as a withdrawal", func(o *office) events.Fact {
			seq := o.record(o.sign(request(1), "dpo", noon))
			_, statement := o.sign(events.ErasureWithdrawn{Request: seq}, "legal", noon).By()
			return approval(seq).SignedBy("legal", statement)
		}, "another act"},
		{"release with the statement of another hold", func(o *office) events.Fact {
			_, statement := o.sign(events.HoldReleased{Hold: 1}, "legal", noon).By()
			return events.HoldReleased{Hold: 2}.SignedBy("legal", statement)
		}, "another fact"},
		{"another archive", func(o *office) events.Fact {
			act := request(1).SignedBy("dpo", "")
			statement, _ := officers.Sign(officers.Draft("example.org/escrow/other", act, noon), o.signers["dpo"])
			return act.SignedBy("dpo", statement)
		}, "another archive"},
		{"used again", func(o *office) events.Fact {
			f := o.sign(request(1), "dpo", noon)
			o.record(f)
			return f
		}, "used before"},
		{"too old", func(o *office) events.Fact { return o.sign(request(1), "dpo", noon.Add(-officers.MaxSkew-time.Second)) }, "minutes from now"},
		{"too new", func(o *office) events.Fact { return o.sign(request(1), "dpo", noon.Add(officers.MaxSkew+time.Second)) }, "minutes from now"},
		{"second signature", func(o *office) events.Fact {
			act := request(1).SignedBy("dpo", "")
			b, _ := note.Sign(&note.Note{Text: officers.Draft(origin, act, noon)}, o.signers["dpo"], o.signers["legal"])
			return act.SignedBy("dpo", string(b))
		}, "one signature and nothing else"},
		{"text after the statement", func(o *office) events.Fact {
			act := o.sign(request(1), "dpo", noon)
			_, statement := act.By()
			return act.SignedBy("dpo", statement+"x\n")
		}, "malformed note"},
		{"endless statement", func(o *office) events.Fact {
			return request(1).SignedBy("dpo", strings.Repeat("x", officers.MaxStatementBytes+1))
		}, "at most"},
		{"time in another spelling", func(o *office) events.Fact {
			act := request(1).SignedBy("dpo", "")
			text := strings.Replace(officers.Draft(origin, act, noon), "T12:00:00Z", "T13:00:00+01:00", 1)
			statement, _ := officers.Sign(text, o.signers["dpo"])
			return act.SignedBy("dpo", statement)
		}, "another time"},
		{"more lines", func(o *office) events.Fact {
			act := request(1).SignedBy("dpo", "")
			statement, _ := officers.Sign(officers.Draft(origin, act, noon)+"and more\n", o.signers["dpo"])
			return act.SignedBy("dpo", statement)
		}, "form of one"},
		{"more after an empty line", func(o *office) events.Fact {
			act := request(1).SignedBy("dpo", "")
			statement, _ := officers.Sign(officers.Draft(origin, act, noon)+"\nand more\n", o.signers["dpo"])
			return act.SignedBy("dpo", statement)
		}, "form of one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := staffed(t)
			if err := o.roster.Check(origin, test.try(o), noon); !refused(err, test.want) {
				t.Errorf("got %v, want a refusal that says %q", err, test.want)
			}
		})
	}
}

// TestNewOfficers: who may be brought in, and how.
func TestNewOfficers(t *testing.T) {
	for _, test := range []struct {
		name string
		try  func(o *office) events.Fact
		want string
	}{
		{"third founder", func(o *office) events.Fact { return o.newcomer("fourth", "", 40) }, "needs a sponsor"},
		{"by a stranger", func(o *office) events.Fact { o.key("stranger", 41); return o.newcomer("fourth", "stranger", 40) }, "no officer of this archive"},
		{"by somebody removed", func(o *office) events.Fact { return o.newcomer("fourth", "gone", 40) }, "no officer any more"},
		{"name in use", func(o *office) events.Fact { return o.newcomer("dpo-2", "dpo", 40) }, "a name is given once"},
		{"name of one removed", func(o *office) events.Fact { return o.newcomer("gone", "dpo", 40) }, "a name is given once"},
		{"key of another", func(o *office) events.Fact { return o.newcomer("fourth", "dpo", 2) }, `same key as "legal"`},
		{"key of one removed", func(o *office) events.Fact { return o.newcomer("fourth", "dpo", 7) }, `same key as "gone"`},
		{"key under another name", func(o *office) events.Fact {
			o.key("other", 40)
			return o.sign(events.OfficerAdded{Officer: "fourth", Key: o.keys["other"]}, "dpo", noon)
		}, "under the name of the officer"},
		{"key exchanged after signing", func(o *office) events.Fact {
			f := o.newcomer("fourth", "dpo", 40).(events.OfficerAdded)
			o.key("fourth", 41)
			f.Key = o.keys["fourth"]
			return f
		}, "another fact"},
		{"sponsor exchanged", func(o *office) events.Fact {
			f := o.newcomer("fourth", "dpo", 40).(events.OfficerAdded)
			f.Sponsor = "legal"
			return f
		}, "not that of"},
		{"sponsor left out", func(o *office) events.Fact {
			f := o.newcomer("fourth", "dpo", 40).(events.OfficerAdded)
			f.Sponsor = ""
			return f
		}, "needs a sponsor"},
		{"own sponsor", func(o *office) events.Fact {
			f := o.newcomer("fourth", "", 40).(events.OfficerAdded)
			f.Sponsor = "fourth"
			return f
		}, "no officer of this archive"},
		{"sound", func(o *office) events.Fact { return o.newcomer("fourth", "legal-2", 40) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := staffed(t)
			if err := o.roster.Check(origin, test.try(o), noon); test.want == "" && err != nil || test.want != "" && !refused(err, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func (o *office) newcomer(name, sponsor string, seed byte) events.Act {
	o.t.Helper()
	old, had := o.signers[name]
	o.key(name, seed)
	by := sponsor
	if by == "" {
		by = name
	}
	f := o.sign(events.OfficerAdded{Officer: name, Key: o.keys[name]}, by, noon)
	if had {
		o.signers[name] = old
	}
	return f
}

// TestNames: a name that looks like another, or that breaks the form of a note, is no name.
func TestNames(t *testing.T) {
	o := newOffice(t)
	o.key("dpo", 1)
	for _, name := range []string{"", "dрo" /* Cyrillic */, "ｄｐｏ" /* full width */, "DPO", "dpo ", "d po", "dpo+x", "dpo\nact x", "dpo\u200b", "-dpo", strings.Repeat("d", 65)} {
		if _, _, err := officers.NewKey(bytes.NewReader(make([]byte, 32)), name); err == nil || escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("NewKey(%q) = %v, want an error of kind invalid", name, err)
		}
		verifier := name + o.keys["dpo"][len("dpo"):]
		if err := o.roster.Check(origin, events.OfficerAdded{Officer: name, Key: verifier}, noon); err == nil || escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("officer %q: %v, want an error of kind invalid", name, err)
		}
	}
}

// TestKeys: what is no key, and keys that are no secret.
func TestKeys(t *testing.T) {
	o := newOffice(t)
	o.key("dpo", 1)
	weak := func(hexKey string) string {
		b, err := hex.DecodeString(hexKey)
		if err != nil {
			t.Fatal(err)
		}
		v, err := note.NewEd25519VerifierKey("dpo", b)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	keys := map[string]string{
		"none":       "",
		"no parts":   "dpo",
		"other hash": "dpo+00000000+" + strings.SplitN(o.keys["dpo"], "+", 3)[2],
		"space":      o.keys["dpo"] + "\n",
		"cut":        o.keys["dpo"][:len(o.keys["dpo"])-4],
		"long":       o.keys["dpo"] + strings.Repeat("A", 256),
	}
	for _, point := range smallOrder() {
		keys["small order "+point] = weak(point)
		if !forgeable(t, point) {
			t.Errorf("%s is not of small order: the test is wrong", point)
		}
	}
	for name, key := range keys {
		f := events.OfficerAdded{Officer: "dpo", Key: key}
		if err := o.roster.Check(origin, o.sign(f, "dpo", noon), noon); err == nil || escrow.KindOf(err) != escrow.Invalid {
			t.Errorf("%s: %v, want an error of kind invalid", name, err)
		}
		if err := o.roster.Apply(archive.Record{}, f); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("%s, in the ledger: %v, want an error of kind corrupt", name, err)
		}
	}
	for name, secret := range map[string]string{"none": "", "verifier key": o.keys["dpo"], "long": strings.Repeat("x", 300), "cut": "PRIVATE+KEY+dpo+00"} {
		_, err := officers.ParseKey(secret)
		if err == nil || escrow.KindOf(err) != escrow.Invalid || secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("ParseKey, %s: %v, want an error of kind invalid that does not quote it", name, err)
		}
	}
	secret, _, err := note.GenerateKey(bytes.NewReader(make([]byte, 32)), "Not A Token"[:3])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := officers.ParseKey(secret); err == nil || escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("a key under a name no officer can have: %v", err)
	}
	if _, _, err := officers.NewKey(bytes.NewReader(nil), "dpo"); err == nil || escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("without randomness: %v", err)
	}
}

// smallOrder is every encoding of a point of order 1, 2, 4 or 8, the unusual ones included.
func smallOrder() []string {
	mid := strings.Repeat("0", 60)
	high := strings.Repeat("f", 60)
	return []string{
		"01" + mid + "00", "01" + mid + "80", "00" + mid + "00", "00" + mid + "80",
		"ec" + high + "7f", "ec" + high + "ff", "ed" + high + "7f", "ed" + high + "ff", "ee" + high + "7f", "ee" + high + "ff",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	}
}

// forgeable says whether a signature made of the neutral point and zero holds for some message under a key.
func forgeable(t *testing.T, point string) bool {
	key, err := hex.DecodeString(point)
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = 1
	for i := range byte(200) {
		if ed25519.Verify(key, []byte{i}, signature) {
			return true
		}
	}
	return false
}

// TestRemoval: nobody removes himself, and each line keeps an officer.
func TestRemoval(t *testing.T) {
	o := staffed(t)
	for _, test := range []struct{ officer, by, want string }{
		{"dpo", "dpo", "another officer must do it"},
		{"dpo", "gone", "no officer any more"},
		{"dpo", "stranger", "no officer of this archive"},
		{"gone", "dpo", "no officer any more"},
		{"stranger", "dpo", "no officer of this archive"},
		{"legal", "dpo", ""},
		{"legal-2", "dpo", "no two officers would be left"},
		{"dpo", "legal-2", ""},
		{"dpo-2", "legal-2", ""},
		{"twin", "dpo-3", ""},
		{"dpo-3", "legal-2", "no two officers would be left"},
	} {
		o.keyFor(test.by)
		f := o.sign(events.OfficerRemoved{Officer: test.officer}, test.by, noon.Add(time.Second))
		err := o.roster.Check(origin, f, noon)
		if test.want != "" {
			if !refused(err, test.want) {
				t.Errorf("%s by %s: got %v, want %q", test.officer, test.by, err, test.want)
			}
			continue
		}
		o.record(f)
	}
	// What is left works: the two who remain approve each other's requests.
	o.record(o.sign(approval(o.record(o.sign(request(9), "dpo-3", noon))), "legal-2", noon))
	var names []string
	for _, m := range o.roster.Officers() {
		if !m.Removed {
			names = append(names, m.Name+" of "+m.Line)
		}
	}
	if got := strings.Join(names, ", "); got != "dpo-3 of dpo, legal-2 of legal" {
		t.Errorf("left: %s", got)
	}
}

func (o *office) keyFor(name string) {
	if o.signers[name] == nil {
		o.key(name, 99)
	}
}

// TestOneFounder: until there are two lines, nothing can be approved, and a second founder can still come.
func TestOneFounder(t *testing.T) {
	o := newOffice(t)
	o.add("dpo", "", 1)
	o.add("dpo-2", "dpo", 2)
	seq := o.record(o.sign(request(1), "dpo", noon))
	if err := o.roster.Check(origin, o.sign(approval(seq), "dpo-2", noon), noon); !refused(err, "brought in by") {
		t.Errorf("approved within one line: %v", err)
	}
	o.add("legal", "", 3)
	o.record(o.sign(approval(seq), "legal", noon))
}

// TestFactsThatAreNoActs need nobody's statement.
func TestFactsThatAreNoActs(t *testing.T) {
	var r officers.Roster
	for _, f := range []events.Fact{events.IndexPurged{}, events.ErasureRestricted{Request: 1}, events.ErasureExecuted{Scope: events.ScopeExpiry}} {
		if err := r.Check(origin, f, noon); err != nil {
			t.Errorf("%s: %v", f.Type(), err)
		}
		if err := r.Apply(archive.Record{}, f); err != nil {
			t.Errorf("%s: %v", f.Type(), err)
		}
	}
}

// TestStandardTools: keys and statements are those of the note package, nothing of our own.
func TestStandardTools(t *testing.T) {
	secret, verifier, err := officers.NewKey(bytes.NewReader(bytes.Repeat([]byte{1}, 32)), "dpo")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := officers.Sign(officers.Draft(origin, request(1).SignedBy("dpo", ""), noon), signer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(verifier)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open([]byte(statement), note.VerifierList(v)); err != nil {
		t.Error(err)
	}
	if _, err := officers.Sign("", signer); err == nil || escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("nothing was signed: %v", err)
	}
}

func FuzzStatement(f *testing.F) {
	o := newOffice(&testing.T{})
	o.key("dpo", 1)
	o.add("dpo", "", 1)
	act := o.sign(request(1), "dpo", noon)
	_, good := act.By()
	f.Add(good)
	f.Add(strings.Replace(good, "\n", "\r\n", 1))
	f.Add(good[:len(good)-1])
	f.Add("")
	f.Fuzz(func(t *testing.T, statement string) {
		if err := o.roster.Check(origin, act.SignedBy("dpo", statement), noon); err == nil && statement != good {
			t.Errorf("another statement is taken: %q", statement)
		} else if err != nil && escrow.KindOf(err) != escrow.Denied {
			t.Errorf("kind %s", escrow.KindOf(err))
		}
	})
}

func FuzzKey(f *testing.F) {
	_, verifier, err := officers.NewKey(bytes.NewReader(bytes.Repeat([]byte{1}, 32)), "dpo")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(verifier)
	f.Add("dpo+00000000+")
	f.Fuzz(func(t *testing.T, key string) {
		var r officers.Roster
		if err := r.Apply(archive.Record{}, events.OfficerAdded{Officer: "dpo", Key: key}); err != nil {
			return
		}
		if v, err := note.NewVerifier(key); err != nil || v.Name() != "dpo" {
			t.Errorf("%q is taken, and no verifier key: %v", key, err)
		}
	})
}
