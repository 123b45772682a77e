package ingest

import (
	"bytes"
	"crypto/subtle"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// Condition is what an audit found of one message record.
type Condition struct {
	Present    bool // the body opens
	Identities int  // identity and mention facets that open
	Gone       int  // identity and mention facets that do not, lawfully
}

// Audit proves a message record present or lawfully erased: what opens must match every commitment in its header, and what does not open must depend on
// a share whose destruction the ledger orders. ordered reports that of a share. Errors are of kind Forged when commitments do not match, Corrupt when a
// facet is unreadable without a lawful reason, and Internal when an erasure was ordered but the facet still opens.
func (o *Opener) Audit(rec archive.Record, ordered func(keytree.Ref) bool) (Condition, error) {
	var c Condition
	sealed, err := o.sealed(rec)
	if escrow.KindOf(err) == escrow.Erased {
		return c, nil // reclaimed; the ledger vouches for the leaf
	}
	if err != nil {
		return c, err
	}
	plains := make([][]byte, len(sealed.Facets()))
	for i, f := range sealed.Facets() {
		plains[i], err = o.auditFacet(sealed, i, f, ordered)
		if err == nil && plains[i] == nil {
			plains[i], err = o.auditHeld(rec, i)
		}
		if err != nil {
			return c, at(rec.Seq, err)
		}
		switch {
		case i > 0 && plains[i] != nil:
			c.Identities++
		case i > 0:
			c.Gone++
		}
	}
	c.Present = plains[0] != nil
	if !c.Present || c.Gone > 0 {
		return c, nil // the commitment can no longer be recomputed; K_com and the sealed digest still bind what is left
	}
	return c, o.auditContent(rec, sealed, plains)
}

// auditFacet opens facet i, or returns nil if it is dead for a lawful reason.
func (o *Opener) auditFacet(sealed *seal.Sealed, i int, f seal.FacetInfo, ordered func(keytree.Ref) bool) ([]byte, error) {
	doomed := true
	for _, refs := range f.Slots {
		doomed = doomed && anyOrdered(refs, ordered)
	}
	plain, err := sealed.Open(o.Keys, i)
	switch {
	case err == nil && doomed:
		return nil, escrow.Errorf("ingest.Audit", escrow.Internal, "facet %d was ordered to be erased and still opens; restart the service to complete the erasure", i)
	case err == nil:
		return plain, nil
	case escrow.KindOf(err) == escrow.Erased && doomed:
		return nil, nil
	case escrow.KindOf(err) == escrow.Erased:
		return nil, escrow.Errorf("ingest.Audit", escrow.Corrupt, "facet %d cannot be opened and no erasure explains it; restore the key state", i)
	}
	return nil, err
}

// auditHeld opens a facet that is dead by the slots it was sealed with, if a hold keeps it; nil if none does.
func (o *Opener) auditHeld(rec archive.Record, i int) ([]byte, error) {
	if o.Guard == nil {
		return nil, nil
	}
	if slots, err := o.Guard.Slots(rec.Seq); err != nil || len(slots) == 0 {
		return nil, err
	}
	held, err := o.held(rec)
	if err != nil {
		return nil, err
	}
	plain, err := held.Open(o.Keys, i)
	if escrow.KindOf(err) == escrow.Erased {
		return nil, nil
	}
	return plain, err
}

func anyOrdered(refs []keytree.Ref, ordered func(keytree.Ref) bool) bool {
	for _, ref := range refs {
		if ordered(ref) {
			return true
		}
	}
	return false
}

// auditContent recomputes the hiding content commitment and the key reference.
func (o *Opener) auditContent(rec archive.Record, sealed *seal.Sealed, plains [][]byte) error {
	head, template, err := parseBody(plains[0], sealed.Facets())
	if err != nil {
		return at(rec.Seq, err)
	}
	cuts, err := ParseCuts(head.Cuts)
	if err != nil {
		return at(rec.Seq, err)
	}
	pieces, secrets := make(map[uint16][]byte, len(plains)), make([][]byte, 0, len(plains))
	for i, plain := range plains[1:] {
		p, err := readPerson(sealed.Facets(), 1+i, plain)
		if err != nil {
			return at(rec.Seq, err)
		}
		pieces[uint16(i)], secrets = p.piece, append(secrets, p.secret)
	}
	if len(head.Secret) != secretBytes {
		return at(rec.Seq, escrow.Errorf("ingest.Audit", escrow.Forged, "the secret of the body has %d bytes", len(head.Secret)))
	}
	head.Envelope.Original, _ = Restore(template, cuts, pieces, Placeholder)
	fields := commitments(head.Envelope, head.Secret)
	for i, s := range secrets {
		fields = append(fields, personField(len(fields), sealed.Facets()[1+i].Kind, s, plains[1+i]))
	}
	root, kref := seal.ContentRoot(fields), keyReference(head.Secret, sealed.Facets()[0].Slots)
	if subtle.ConstantTimeCompare(root[:], rec.Header.Content.Root[:]) != 1 || int(rec.Header.Content.Fields) != len(fields) {
		return at(rec.Seq, escrow.Errorf("ingest.Audit", escrow.Forged, "what the record says does not match the content commitment in its leaf"))
	}
	if !bytes.Equal(kref[:], rec.Header.KRef[:]) {
		return at(rec.Seq, escrow.Errorf("ingest.Audit", escrow.Forged, "the keys named in the record are not those its leaf commits to"))
	}
	return nil
}

// personField is what the content commitment says of an identity or mention facet.
func personField(index int, kind seal.FacetKind, secret, plain []byte) seal.Field {
	name := "identity"
	if kind == seal.FacetMention {
		name = "mention"
	}
	return seal.Field{Secret: [32]byte(secret), Index: uint32(index), Name: name, Value: plain}
}
