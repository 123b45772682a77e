package seal

import (
	"encoding/binary"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
)

// Sealer seals and parses records. It holds the compressors and scratch buffers that are too expensive to make for each record. One Sealer serves a
// whole process and is safe for concurrent use if its source of randomness is.
type Sealer struct {
	rand    io.Reader
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	scratch sync.Pool // of *[]byte, zeroed
}

// New returns a Sealer that draws data keys and salts from rand, which must be cryptographically secure; initialisation vectors come from crypto/rand.
func New(rand io.Reader) (*Sealer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(maxWindow),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, escrow.Errorf("seal.New", escrow.Internal, "setting up compression: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxPlain), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, escrow.Errorf("seal.New", escrow.Internal, "setting up decompression: %w", err)
	}
	return &Sealer{rand: rand, enc: enc, dec: dec}, nil
}

// Seal returns the blob of a record: its facets, 1 to MaxFacets of them in order of kind and index, each encrypted under a key of its own that only
// the shares named by its slots give back. It fails with kind Invalid if context or facets are malformed, a slot lacks a lifetime share or the blob
// would exceed MaxBlob, and with the kind of keys.Share, such as Erased, if a share cannot be had.
func (z *Sealer) Seal(keys Keys, ctx Context, facets []Facet) ([]byte, error) {
	if err := checkRecord(&ctx, facets); err != nil {
		return nil, err
	}
	entropy, err := z.entropy(facets)
	if err != nil {
		return nil, err
	}
	defer clear(entropy)
	remembered := &sharing{keys: keys}
	defer remembered.wipe()
	blob := ctx.append(make([]byte, 0, 1024))
	w := writer{z: z, keys: remembered, context: len(blob), entropy: entropy}
	w.blob = binary.BigEndian.AppendUint16(blob, uint16(len(facets)))
	for i := range facets {
		if err := w.facet(&facets[i]); err != nil {
			return nil, err
		}
	}
	if len(w.blob) > MaxBlob {
		return nil, escrow.Errorf("seal.Seal", escrow.Invalid, "a record of %d bytes exceeds %d", len(w.blob), MaxBlob)
	}
	return w.blob, nil
}

func checkRecord(ctx *Context, facets []Facet) error {
	if err := ctx.check(); err != nil {
		return err
	}
	if len(facets) == 0 || len(facets) > MaxFacets {
		return escrow.Errorf("seal.Seal", escrow.Invalid, "a record must have 1 to %d facets", MaxFacets)
	}
	var prev *Facet
	for i := range facets {
		if err := facets[i].check(prev); err != nil {
			return err
		}
		prev = &facets[i]
	}
	return nil
}

// entropy draws the data keys and salts of a whole record at once: one call costs as much as one key.
func (z *Sealer) entropy(facets []Facet) ([]byte, error) {
	n := 0
	for i := range facets {
		n += dekBytes + len(facets[i].Slots)*saltBytes
	}
	return z.random(n)
}

func (z *Sealer) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(z.rand, b); err != nil {
		return nil, escrow.Errorf("seal.Seal", escrow.Internal, "no randomness: %w", err)
	}
	return b, nil
}

// writer appends facets to a blob.
type writer struct {
	z       *Sealer
	keys    Keys
	blob    []byte
	context int    // the blob up to here is the record context
	entropy []byte // not used yet
}

func (w *writer) facet(f *Facet) error {
	scratch := w.z.borrow()
	defer w.z.giveBack(scratch)
	padded, how := pack(w.z.enc, (*scratch)[:0], f.Plain)
	*scratch = padded
	start := len(w.blob)
	h := header{kind: f.Kind, index: f.Index, contentType: f.ContentType, codec: how, size: uint32(len(padded))}
	w.blob = h.append(slices.Grow(w.blob, len(padded)+f.overhead()))
	bind := binding(w.blob[:w.context], w.blob[start:])
	dek := w.random(dekBytes)
	com, body, err := committing.Seal(dek, bind, padded)
	if err != nil {
		return err
	}
	w.blob = append(append(w.blob, com[:]...), body...)
	w.blob = binary.BigEndian.AppendUint16(w.blob, uint16(len(f.Slots)))
	for _, refs := range f.Slots {
		if err := w.slot(bind.Hash, refs, dek); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) slot(hash [32]byte, refs []keytree.Ref, dek []byte) error {
	refs, err := sorted(refs)
	if err != nil {
		return err
	}
	s, err := wrap(w.keys, hash, refs, [saltBytes]byte(w.random(saltBytes)), dek)
	if err != nil {
		return escrow.Errorf("seal.Seal", escrow.KindOf(err), "wrapping a data key: %w", err)
	}
	w.blob = s.Append(w.blob)
	return nil
}

func (w *writer) random(n int) []byte {
	out := w.entropy[:n]
	w.entropy = w.entropy[n:]
	return out
}

// borrow returns a scratch buffer for plaintext.
func (z *Sealer) borrow() *[]byte {
	if b, ok := z.scratch.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// giveBack zeroes a scratch buffer, as far as it was used, and keeps it for the next call unless it is large.
func (z *Sealer) giveBack(b *[]byte) {
	clear(*b)
	if cap(*b) <= maxPooled {
		z.scratch.Put(b)
	}
}

// sharing remembers the first few shares of a record: its facets have retention day, message and principal in common.
type sharing struct {
	keys   Keys
	n      int
	refs   [maxShares]keytree.Ref
	shares [maxShares]keytree.Share
}

// Share implements Keys.
func (s *sharing) Share(ref keytree.Ref) (keytree.Share, error) {
	if i := slices.Index(s.refs[:s.n], ref); i >= 0 {
		return s.shares[i], nil
	}
	share, err := s.keys.Share(ref)
	if err == nil && s.n < maxShares {
		s.refs[s.n], s.shares[s.n] = ref, share
		s.n++
	}
	return share, err
}

func (s *sharing) wipe() { clear(s.shares[:]) }
