package ingest

import (
	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// guardedKeys are the keys as readers of one record may use them.
type guardedKeys struct {
	seal.Keys
	guard Guard
	seq   escrow.Seq
}

// Share implements seal.Keys. What is gone is gone, restricted or not.
func (k guardedKeys) Share(ref keytree.Ref) (keytree.Share, error) {
	share, err := k.Keys.Share(ref)
	if err == nil && k.guard.Restricted(k.seq, ref) {
		clear(share[:])
		err = escrow.Errorf("ingest.Open", escrow.Denied, "restricted: an erasure of it is approved")
	}
	return share, err
}

// guarded returns the keys with which a reader opens a record.
func (o *Opener) guarded(seq escrow.Seq) seal.Keys {
	if o.Guard == nil {
		return o.Keys
	}
	return guardedKeys{o.Keys, o.Guard, seq}
}

// held is sealed with the slots that holds added. Whether such a slot belongs to its facet shows when it is used.
func (o *Opener) held(rec archive.Record) (*seal.Sealed, error) {
	sealed, err := o.sealed(rec)
	if err != nil || o.Guard == nil {
		return sealed, err
	}
	slots, err := o.Guard.Slots(rec.Seq)
	if err != nil {
		return nil, at(rec.Seq, err)
	}
	for _, s := range slots {
		if err := sealed.AddSlot(s.Facet, s.Slot); err != nil {
			return nil, at(rec.Seq, err)
		}
	}
	return sealed, nil
}
