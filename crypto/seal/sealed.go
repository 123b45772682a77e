package seal

import (
	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
)

// Sealed is a parsed record. It shares memory with the blob it was parsed from. Reading methods are safe for concurrent use; AddSlot is not.
type Sealed struct {
	z      *Sealer
	ctx    Context
	facets []sealedFacet
}

type sealedFacet struct {
	header
	bind  committing.Binding
	com   committing.Commitment
	body  []byte
	slots []Slot
}

// Parse reads a blob made by Seal, without any key. It accepts only what Seal writes, at most MaxBlob bytes, and fails with kind Corrupt otherwise.
// The blob must not be changed while the result is in use.
func (z *Sealer) Parse(blob []byte) (*Sealed, error) {
	if len(blob) > MaxBlob {
		return nil, escrow.Errorf("seal.Parse", escrow.Corrupt, "not a sealed record: %d bytes exceed %d", len(blob), MaxBlob)
	}
	r := &reader{b: blob}
	s := &Sealed{z: z, ctx: parseContext(r)}
	context := blob[:len(blob)-len(r.b)]
	s.facets = make([]sealedFacet, r.count(MaxFacets, slotBytes))
	order := 0
	for i := range s.facets {
		f := &s.facets[i]
		f.parse(r, context)
		if f.order() <= order {
			r.fail("its facets are out of order")
		}
		if order = f.order(); r.err != nil {
			return nil, r.err
		}
	}
	if len(r.b) > 0 {
		r.fail("something follows it")
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

func (f *sealedFacet) parse(r *reader, context []byte) {
	from := r.b
	f.header = parseHeader(r)
	if r.err != nil {
		return
	}
	f.bind = binding(context, from[:len(from)-len(r.b)])
	f.com = committing.Commitment(r.take(len(f.com)))
	f.body = r.take(int(f.size) + committing.BodyOverhead)
	f.slots = make([]Slot, r.count(MaxSlots, slotBytes))
	for i := range f.slots {
		if f.slots[i] = parseSlot(r); r.err != nil {
			return
		}
	}
}

// Context returns which record this is, as bound into every facet.
func (s *Sealed) Context() Context { return s.ctx }

// Facets lists the facets in order of kind and index. The references are copies.
func (s *Sealed) Facets() []FacetInfo {
	out := make([]FacetInfo, len(s.facets))
	for i := range s.facets {
		f := &s.facets[i]
		out[i] = FacetInfo{Kind: f.kind, Index: f.index, ContentType: f.contentType, PlainLen: int(f.size)}
		for k := range f.slots {
			out[i].Slots = append(out[i].Slots, append([]keytree.Ref(nil), f.slots[k].Refs...))
		}
	}
	return out
}

// Open decrypts facet i, trying slot by slot. Kinds: Erased if every slot names a destroyed share; Forged if something opens but is not authentic;
// Corrupt if what was authentically sealed is malformed; NotFound if there is no facet i; else the kind of keys.Share. The caller owns the result.
func (s *Sealed) Open(keys Keys, i int) ([]byte, error) {
	if err := s.has(i); err != nil {
		return nil, err
	}
	f := &s.facets[i]
	dek, key, err := f.unlock(keys)
	if err != nil {
		return nil, s.wrong("seal.Open", err)
	}
	clear(dek)
	defer key.Wipe()
	padded, err := key.Open(f.body)
	if err != nil {
		return nil, s.wrong("seal.Open", err)
	}
	plain, err := unpack(s.z.dec, padded, f.codec)
	if err != nil {
		return nil, s.wrong("seal.Open", err)
	}
	if f.codec != codecRaw {
		clear(padded)
	}
	return plain, nil
}

// NewSlot makes another slot for facet i, under refs, from one of its living slots: a hold, or a prolonged retention period. It changes nothing; the
// slot has to be kept with the record and handed to AddSlot before Open. Kinds are those of Seal and Open.
func (s *Sealed) NewSlot(keys Keys, i int, refs []keytree.Ref) (Slot, error) {
	if err := s.has(i); err != nil {
		return Slot{}, err
	}
	refs, err := sorted(refs)
	if err != nil {
		return Slot{}, err
	}
	dek, key, err := s.facets[i].unlock(keys)
	if err != nil {
		return Slot{}, s.wrong("seal.NewSlot", err)
	}
	defer clear(dek)
	key.Wipe()
	salt, err := s.z.random(saltBytes)
	if err != nil {
		return Slot{}, err
	}
	slot, err := wrap(keys, s.facets[i].bind.Hash, refs, [saltBytes]byte(salt), dek)
	if err != nil {
		return Slot{}, s.wrong("seal.NewSlot", err)
	}
	return slot, nil
}

// AddSlot lets facet i be opened by slot too, in memory. Whether the slot belongs to the facet shows when it is opened. It fails with kind Invalid if
// the facet has MaxSlots already.
func (s *Sealed) AddSlot(i int, slot Slot) error {
	if err := s.has(i); err != nil {
		return err
	}
	if len(s.facets[i].slots) >= MaxSlots {
		return s.wrong("seal.AddSlot", escrow.Errorf("seal.AddSlot", escrow.Invalid, "facet %d has %d slots already", i, MaxSlots))
	}
	s.facets[i].slots = append(s.facets[i].slots, slot)
	return nil
}

// unlock returns the data key, and the key of the body, from the first slot that holds a data key the facet is committed to.
func (f *sealedFacet) unlock(keys Keys) ([]byte, *committing.Key, error) {
	worst := error(escrow.Errorf("seal.Open", escrow.Erased, "every key to this part has been destroyed"))
	for i := range f.slots {
		dek, err := f.slots[i].unwrap(keys, f.bind.Hash)
		if err == nil {
			var key *committing.Key
			if key, err = committing.Unlock(dek, f.bind, f.com); err == nil {
				return dek, key, nil
			}
			clear(dek)
		}
		if severity(err) > severity(worst) {
			worst = err
		}
	}
	return nil, nil, worst
}

// severity ranks what a slot can fail with: a record is called erased only if nothing else was wrong with any slot.
func severity(err error) int {
	switch escrow.KindOf(err) {
	case escrow.Erased:
		return 0
	case escrow.Forged:
		return 2
	}
	return 1
}

func (s *Sealed) has(i int) error {
	if i < 0 || i >= len(s.facets) {
		return s.wrong("seal.Open", escrow.Errorf("seal.Open", escrow.NotFound, "there is no facet %d among %d", i, len(s.facets)))
	}
	return nil
}

// wrong names the operation and the record in an error, keeping its kind.
func (s *Sealed) wrong(op string, err error) error {
	seq := s.ctx.Seq
	return &escrow.Error{Op: op, Kind: escrow.KindOf(err), Record: &seq, Err: err}
}
