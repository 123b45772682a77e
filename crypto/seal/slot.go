package seal

import (
	"encoding/binary"
	"slices"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
)

// Keys derives shares: the key state does, in production. An error of kind Erased says that the share has been destroyed.
type Keys interface {
	Share(keytree.Ref) (keytree.Share, error)
}

const (
	saltBytes = 16
	dekBytes  = 32
	wrapBytes = dekBytes + committing.BodyOverhead
	slotBytes = 2 + keytree.RefBytes + saltBytes + wrapBytes // of a slot with one reference
)

// Slot is a data key wrapped under the shares it names, all of which are needed to unwrap it. It is not secret. It opens one facet of one record only.
type Slot struct {
	Refs []keytree.Ref // in order, without repetition; at least one is a retention day or a hold
	Salt [saltBytes]byte
	Wrap [wrapBytes]byte
}

// FacetSlot is a slot that was added to a facet of a record after the record was sealed, as a hold does. It is kept apart from the record.
type FacetSlot struct {
	Facet int // place of the facet in the record
	Slot  Slot
}

// Append appends the encoding of s, which ParseSlot reads: the form slots have inside a record and in events that add one.
func (s *Slot) Append(b []byte) []byte {
	b = appendRefs(b, s.Refs)
	b = append(b, s.Salt[:]...)
	return append(b, s.Wrap[:]...)
}

// ParseSlot reads a slot from the front of b and returns the rest; kind Corrupt if there is none in canonical form.
func ParseSlot(b []byte) (Slot, []byte, error) {
	r := &reader{b: b}
	s := parseSlot(r)
	if r.err != nil {
		return Slot{}, nil, r.err
	}
	return s, r.b, nil
}

func appendRefs(b []byte, refs []keytree.Ref) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(refs)))
	for _, ref := range refs {
		b = ref.Append(b)
	}
	return b
}

func parseSlot(r *reader) (s Slot) {
	s.Refs = make([]keytree.Ref, r.count(MaxSlotRefs, keytree.RefBytes))
	for i := range s.Refs {
		ref, _, err := keytree.ParseRef(r.take(keytree.RefBytes))
		if err != nil {
			r.fail("a slot names an unknown kind of key")
			return s
		}
		if i > 0 && s.Refs[i-1].Compare(ref) >= 0 {
			r.fail("a slot's references are out of order")
		}
		s.Refs[i] = ref
	}
	if !slices.ContainsFunc(s.Refs, lifetime) {
		r.fail("a slot has no lifetime share")
	}
	s.Salt, s.Wrap = [saltBytes]byte(r.take(saltBytes)), [wrapBytes]byte(r.take(wrapBytes))
	return s
}

func lifetime(ref keytree.Ref) bool { return ref.Kind.Lifetime() }

// sorted returns the references in canonical order without repetitions. It fails with kind Invalid if they make no slot.
func sorted(refs []keytree.Ref) ([]keytree.Ref, error) {
	if len(refs) > MaxSlotRefs {
		return nil, escrow.Errorf("seal.NewSlot", escrow.Invalid, "a slot names %d shares, more than %d", len(refs), MaxSlotRefs)
	}
	if !slices.ContainsFunc(refs, lifetime) {
		return nil, escrow.Errorf("seal.NewSlot", escrow.Invalid, "every slot must name a retention day or a hold, or it would live for ever")
	}
	refs = slices.Clone(refs)
	for _, ref := range refs {
		if !ref.Kind.Valid() {
			return nil, escrow.Errorf("seal.NewSlot", escrow.Invalid, "unknown kind of key %#02x", byte(ref.Kind))
		}
	}
	slices.SortFunc(refs, keytree.Ref.Compare)
	return slices.Compact(refs), nil
}

// wrap makes a slot for dek; refs must be sorted. The hash is that of the facet's binding.
func wrap(keys Keys, hash [32]byte, refs []keytree.Ref, salt [saltBytes]byte, dek []byte) (Slot, error) {
	s := Slot{Refs: refs, Salt: salt}
	key, aad, err := s.key(keys, hash)
	if err != nil {
		return Slot{}, err
	}
	defer clear(key)
	sealed, err := committing.Encrypt(key, dek, aad)
	if err != nil {
		return Slot{}, err
	}
	s.Wrap = [wrapBytes]byte(sealed)
	return s, nil
}

// unwrap returns the data key in s.
func (s *Slot) unwrap(keys Keys, hash [32]byte) ([]byte, error) {
	key, aad, err := s.key(keys, hash)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return committing.Decrypt(key, s.Wrap[:], aad)
}

// key derives the key of the slot and returns the associated data to use it with.
func (s *Slot) key(keys Keys, hash [32]byte) (key, aad []byte, err error) {
	const label = "escrow/slot/v1\x00"
	secret := make([]byte, 0, len(s.Refs)*len(keytree.Share{}))
	defer func() { clear(secret) }()
	for _, ref := range s.Refs {
		share, err := keys.Share(ref)
		if err != nil {
			return nil, nil, err
		}
		secret = append(secret, share[:]...)
		clear(share[:])
	}
	aad = make([]byte, 0, len(label)+len(hash)+2+len(s.Refs)*keytree.RefBytes)
	aad = appendRefs(append(append(aad, label...), hash[:]...), s.Refs)
	key, err = committing.Derive(secret, s.Salt[:], aad, 32)
	return key, aad, err
}
