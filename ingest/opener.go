package ingest

import (
	"bytes"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// Opener opens sealed records. It is safe for concurrent use.
type Opener struct {
	Tenant escrow.Tenant
	Keys   Keys
	Sealer *seal.Sealer
	Guard  Guard // nil: nothing is restricted and nothing held
}

// Guard says what readers must not see although its keys exist, and what they may see although its keys are gone. It must be safe for concurrent use, and
// fast: it is asked for every record opened.
type Guard interface {
	// Restricted reports whether a share may not be used for a record, because an erasure of what it stands for is being carried out. A record that is
	// held is exempt.
	Restricted(seq escrow.Seq, ref keytree.Ref) bool
	// Slots returns the slots that holds added to the facets of a record.
	Slots(seq escrow.Seq) ([]seal.FacetSlot, error)
}

// Opened is a record in clear, as far as it is still readable.
type Opened struct {
	Seq       escrow.Seq
	Header    archive.Header
	Envelope  Envelope       // Original holds a placeholder wherever a piece of it was erased
	Message   escrow.Message // participants and people mentioned who were erased have the identity ErasedIdentity
	Subjects  []uint32       // subject leaf of each participant still there: From, then To
	Mentioned []uint32       // subject leaf of each person mentioned who is still there
	Due       keytree.Ref    // the retention day it ends on, in the tree of its class
	Erased    int            // participants whose identity is gone
	Cut       int            // people mentioned of whom the words are gone
	Withheld  int            // how many of Erased and Cut are restricted only, and may come back

	template []byte
	cuts     []Cut
	pieces   map[uint16][]byte
}

// People returns everybody the message names, as far as they are still there: the author first, then the readers, then the people mentioned.
func (o *Opened) People() []escrow.Participant {
	everybody := append([]escrow.Participant{o.Message.From}, o.Message.To...)
	return slices.DeleteFunc(append(everybody, mentioned(o.Message)...), func(p escrow.Participant) bool { return p.ID == ErasedIdentity })
}

// From reports whether the record was made from these original bytes, as far as that can still be told: every byte is compared but those of people who were
// erased.
func (o *Opened) From(original []byte) bool {
	if o.Erased+o.Cut == 0 {
		return bytes.Equal(o.Envelope.Original, original)
	}
	n := len(o.template)
	for _, c := range o.cuts {
		n += int(c.Len)
	}
	if n != len(original) {
		return false
	}
	template, pieces := Cutout(original, o.cuts)
	for who, piece := range o.pieces {
		if !bytes.Equal(piece, pieces[who]) {
			return false
		}
	}
	return bytes.Equal(template, o.template)
}

// ErasedIdentity stands for a participant who was erased.
const ErasedIdentity escrow.Identity = "erased:person"

// Placeholder stands in the original bytes for a piece that was erased. It is a well-formed identity, so that what is left still parses.
const Placeholder = string(ErasedIdentity)

// Open opens a message record. Errors are of kind Erased when the body is gone for ever, Denied when it is restricted, Forged or Corrupt when the record
// contradicts itself, and Invalid when it is not a message.
func (o *Opener) Open(rec archive.Record) (Opened, error) {
	out := Opened{Seq: rec.Seq, Header: rec.Header}
	sealed, err := o.held(rec)
	if err != nil {
		return out, err
	}
	keys := o.guarded(rec.Seq)
	plain, err := sealed.Open(keys, 0)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	facets := sealed.Facets()
	head, template, err := parseBody(plain, facets)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	if out.cuts, err = ParseCuts(head.Cuts); err != nil {
		return out, at(rec.Seq, err)
	}
	open := func(i int) ([]byte, error) { return sealed.Open(keys, i) }
	people, err := out.people(open, facets, head)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	out.Due, out.template = dueOf(facets[0]), template
	out.Envelope = head.Envelope
	out.Envelope.Original, _ = Restore(template, out.cuts, out.pieces, Placeholder)
	out.Message = understand(out.Envelope)
	out.Message.From, out.Message.To = people[0], people[1:]
	return out, nil
}

// parseBody reads a body facet, and checks that the facets are those it names: one for each participant, then one for each person mentioned.
func parseBody(plain []byte, facets []seal.FacetInfo) (head bodyHead, template []byte, err error) {
	if template, err = parseHeaded(plain, &head); err != nil {
		return head, nil, err
	}
	fits := head.Participants > 0 && head.Mentioned >= 0 && len(facets) == 1+head.Participants+head.Mentioned
	for i := 1; fits && i < len(facets); i++ {
		kind, index := seal.FacetIdentity, i-1
		if index >= head.Participants {
			kind, index = seal.FacetMention, index-head.Participants
		}
		fits = facets[i].Kind == kind && int(facets[i].Index) == index
	}
	if !fits {
		return head, nil, escrow.Errorf("ingest.Open", escrow.Forged, "the facets are not those of the %d participants and %d people mentioned that the body names",
			head.Participants, head.Mentioned)
	}
	return head, template, nil
}

// dueOf returns the retention day of a message, which is in every slot it was sealed with.
func dueOf(body seal.FacetInfo) keytree.Ref {
	for _, refs := range body.Slots {
		for _, ref := range refs {
			if ref.Kind == keytree.KindRetention {
				return ref
			}
		}
	}
	return keytree.Ref{}
}

// sealed parses the blob and checks that it is this record's own.
func (o *Opener) sealed(rec archive.Record) (*seal.Sealed, error) {
	if rec.Header.Kind != archive.KindMessage {
		return nil, at(rec.Seq, escrow.Errorf("ingest.Open", escrow.Invalid, "this record is of kind %q, not a message", rec.Header.Kind))
	}
	if rec.Blob == nil {
		return nil, at(rec.Seq, escrow.Errorf("ingest.Open", escrow.Erased, "erased, and its sealed bytes reclaimed"))
	}
	sealed, err := o.Sealer.Parse(rec.Blob)
	if err != nil {
		return nil, at(rec.Seq, err)
	}
	c := sealed.Context()
	if c.Seq != rec.Seq || c.Tenant != string(o.Tenant) || c.Class != rec.Header.Class || c.Stream != rec.Header.Stream.Tag {
		return nil, at(rec.Seq, escrow.Errorf("ingest.Open", escrow.Forged, "the sealed part belongs to another record"))
	}
	return sealed, nil
}

// people opens the facets of people. A dead one leaves a placeholder and no piece.
func (out *Opened) people(open func(facet int) ([]byte, error), facets []seal.FacetInfo, head bodyHead) (takePart []escrow.Participant, err error) {
	out.pieces = make(map[uint16][]byte, len(facets))
	for i := range head.Participants + head.Mentioned {
		plain, err := open(1 + i)
		if kind := escrow.KindOf(err); err != nil && kind != escrow.Erased && kind != escrow.Denied {
			return nil, err
		}
		isMention := i >= head.Participants
		if err != nil {
			takePart = out.without(takePart, isMention, escrow.KindOf(err) == escrow.Denied)
			continue
		}
		p, err := readPerson(facets, 1+i, plain)
		if err != nil {
			return nil, err
		}
		out.pieces[uint16(i)] = p.piece
		if isMention {
			out.Mentioned = append(out.Mentioned, p.leaf)
			continue
		}
		takePart, out.Subjects = append(takePart, p.person), append(out.Subjects, p.leaf)
	}
	return takePart, nil
}

// without counts somebody who cannot be named.
func (out *Opened) without(takePart []escrow.Participant, isMention, restricted bool) []escrow.Participant {
	if restricted {
		out.Withheld++
	}
	if isMention {
		out.Cut++
		return takePart
	}
	out.Erased++
	return append(takePart, escrow.Participant{ID: ErasedIdentity})
}

// subjectLeaf returns the first subject a facet belongs to, for an identity facet the only one.
func subjectLeaf(f seal.FacetInfo) uint32 {
	for _, refs := range f.Slots {
		for _, ref := range refs {
			if ref.Kind == keytree.KindSubject {
				return ref.Leaf
			}
		}
	}
	return 0
}

// Identity is what a message that is still readable says of one person: which subject an identity belongs to.
type Identity struct {
	Scope string
	Leaf  uint32
}

// Identities returns the readable identities of the people in a message record, mentioned ones included, and the highest subject leaf named in it, readable
// or not. The subject directory is rebuilt from them, so what is restricted counts as readable, and what only a hold keeps does not. A record that is not a
// message has none.
func (o *Opener) Identities(rec archive.Record) (ids []Identity, highest uint32, err error) {
	if rec.Header.Kind != archive.KindMessage || rec.Blob == nil {
		return nil, 0, nil
	}
	sealed, err := o.sealed(rec)
	if err != nil {
		return nil, 0, err
	}
	facets := sealed.Facets()
	for i, f := range facets {
		for _, refs := range f.Slots {
			highest = max(highest, highestSubject(refs))
		}
		if f.Kind != seal.FacetIdentity && f.Kind != seal.FacetMention {
			continue
		}
		plain, err := sealed.Open(o.Keys, i)
		if escrow.KindOf(err) == escrow.Erased {
			continue
		}
		if err != nil {
			return nil, 0, at(rec.Seq, err)
		}
		p, err := readPerson(facets, i, plain)
		if err != nil {
			return nil, 0, at(rec.Seq, err)
		}
		ids = append(ids, Identity{p.scope, p.leaf})
	}
	return ids, highest, nil
}

func highestSubject(refs []keytree.Ref) (leaf uint32) {
	for _, ref := range refs {
		if ref.Kind == keytree.KindSubject {
			leaf = max(leaf, ref.Leaf)
		}
	}
	return leaf
}

// BodySlots returns the alternatives that open the body of a message record, those that holds added included; each needs all of its shares.
func (o *Opener) BodySlots(rec archive.Record) ([][]keytree.Ref, error) {
	sealed, err := o.held(rec)
	if err != nil {
		return nil, err
	}
	return sealed.Facets()[0].Slots, nil
}

// Alive reports whether the body of a message record can still be opened, be it for a hold only, without decrypting it. What is restricted is alive.
func (o *Opener) Alive(rec archive.Record) (bool, error) {
	sealed, err := o.held(rec)
	if escrow.KindOf(err) == escrow.Erased {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(sealed.Facets()[0].Slots, o.allAlive), nil
}

func (o *Opener) allAlive(refs []keytree.Ref) bool {
	for _, ref := range refs {
		if _, err := o.Keys.Share(ref); err != nil {
			return false
		}
	}
	return true
}

// at names the record an error is about.
func at(seq escrow.Seq, err error) error {
	if e, ok := err.(*escrow.Error); ok && e.Record == nil {
		return &escrow.Error{Op: e.Op, Kind: e.Kind, Record: &seq, Err: e.Err}
	}
	return &escrow.Error{Op: "ingest.Open", Kind: escrow.KindOf(err), Record: &seq, Err: err}
}
