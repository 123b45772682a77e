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
}

// Opened is a record in clear, as far as it is still readable.
type Opened struct {
	Seq      escrow.Seq
	Header   archive.Header
	Envelope Envelope       // Original holds a placeholder wherever a piece of it was erased
	Message  escrow.Message // participants who were erased have the identity ErasedIdentity
	Subjects []uint32       // subject leaf of each participant still there: From, then To
	Erased   int            // participants whose identity is gone

	template []byte
	cuts     []Cut
	pieces   map[uint16][]byte
}

// From reports whether the record was made from these original bytes, as far as that can still be told: every byte is compared but those of participants who
// were erased.
func (o *Opened) From(original []byte) bool {
	if o.Erased == 0 {
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

// Open opens a message record. Errors are of kind Erased when the body is gone for ever, Forged or Corrupt when the record contradicts itself, and
// Invalid when it is not a message.
func (o *Opener) Open(rec archive.Record) (Opened, error) {
	out := Opened{Seq: rec.Seq, Header: rec.Header}
	sealed, err := o.sealed(rec)
	if err != nil {
		return out, err
	}
	plain, err := sealed.Open(o.Keys, 0)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	var head bodyHead
	template, err := parseHeaded(plain, &head)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	cuts, err := ParseCuts(head.Cuts)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	people, pieces, err := o.identities(sealed, &out)
	if err != nil {
		return out, at(rec.Seq, err)
	}
	if len(people) == 0 || len(people) != head.Participants {
		return out, at(rec.Seq, escrow.Errorf("ingest.Open", escrow.Forged, "%d identity facets, the body names %d", len(people), head.Participants))
	}
	out.Envelope = head.Envelope
	out.Envelope.Original, _ = Restore(template, cuts, pieces, Placeholder)
	out.template, out.cuts, out.pieces = template, cuts, pieces
	out.Message = understand(out.Envelope)
	out.Message.From, out.Message.To = people[0], people[1:]
	return out, nil
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

// identities opens the identity facets in order. A dead one leaves a placeholder and no piece.
func (o *Opener) identities(sealed *seal.Sealed, out *Opened) ([]escrow.Participant, map[uint16][]byte, error) {
	var people []escrow.Participant
	pieces := make(map[uint16][]byte)
	for i, f := range sealed.Facets() {
		if f.Kind != seal.FacetIdentity {
			continue
		}
		plain, err := sealed.Open(o.Keys, i)
		if err != nil && escrow.KindOf(err) != escrow.Erased {
			return nil, nil, err
		}
		if err != nil {
			people = append(people, escrow.Participant{ID: ErasedIdentity})
			out.Erased++
			continue
		}
		id, err := parseIdentity(plain)
		if err != nil {
			return nil, nil, err
		}
		people = append(people, id.person)
		pieces[f.Index] = id.piece
		out.Subjects = append(out.Subjects, subjectLeaf(f))
	}
	return people, pieces, nil
}

// subjectLeaf returns the subject an identity facet belongs to.
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

// Identity is one identity facet that is still readable: which subject an identity belongs to.
type Identity struct {
	Scope string
	Leaf  uint32
}

// Identities returns the readable identities of a message record, and the highest subject leaf named in it, readable or not. The subject directory is
// rebuilt from them. A record that is not a message has none.
func (o *Opener) Identities(rec archive.Record) (ids []Identity, highest uint32, err error) {
	if rec.Header.Kind != archive.KindMessage || rec.Blob == nil {
		return nil, 0, nil
	}
	sealed, err := o.sealed(rec)
	if err != nil {
		return nil, 0, err
	}
	for i, f := range sealed.Facets() {
		if f.Kind != seal.FacetIdentity {
			continue
		}
		leaf := subjectLeaf(f)
		highest = max(highest, leaf)
		plain, err := sealed.Open(o.Keys, i)
		if escrow.KindOf(err) == escrow.Erased {
			continue
		}
		if err != nil {
			return nil, 0, at(rec.Seq, err)
		}
		id, err := parseIdentity(plain)
		if err != nil {
			return nil, 0, at(rec.Seq, err)
		}
		ids = append(ids, Identity{id.scope, leaf})
	}
	return ids, highest, nil
}

// BodySlots returns the alternatives that open the body of a message record; each needs all of its shares.
func (o *Opener) BodySlots(rec archive.Record) ([][]keytree.Ref, error) {
	sealed, err := o.sealed(rec)
	if err != nil {
		return nil, err
	}
	return sealed.Facets()[0].Slots, nil
}

// DiesWith reports whether the body of a message record can no longer be opened once the shares of the subjects are gone, too.
func (o *Opener) DiesWith(rec archive.Record, subjects []uint32) (bool, error) {
	sealed, err := o.sealed(rec)
	if err != nil {
		return false, err
	}
	for _, refs := range sealed.Facets()[0].Slots {
		dies := slices.ContainsFunc(refs, func(ref keytree.Ref) bool {
			return ref.Kind == keytree.KindSubject && slices.Contains(subjects, ref.Leaf)
		})
		if !dies && o.allAlive(refs) {
			return false, nil
		}
	}
	return true, nil
}

// WrittenBy reports whether the author of a message record is one of the subjects.
func (o *Opener) WrittenBy(rec archive.Record, subjects []uint32) (bool, error) {
	sealed, err := o.sealed(rec)
	if err != nil {
		return false, err
	}
	for _, f := range sealed.Facets() {
		if f.Kind == seal.FacetIdentity && f.Index == 0 {
			return slices.Contains(subjects, subjectLeaf(f)), nil
		}
	}
	return false, nil
}

// Alive reports whether the body of a message record can still be opened, without decrypting it.
func (o *Opener) Alive(rec archive.Record) (bool, error) {
	sealed, err := o.sealed(rec)
	if escrow.KindOf(err) == escrow.Erased {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, refs := range sealed.Facets()[0].Slots {
		if o.allAlive(refs) {
			return true, nil
		}
	}
	return false, nil
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
