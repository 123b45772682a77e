package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"mime"
	"strings"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/keytree"
)

// FacetKind says what part of a message a facet is. The list is closed and append-only: kinds are bytes on disk.
type FacetKind byte

// The kinds of facet.
const (
	FacetBody       FacetKind = 1 // what was said, with placeholders for what other facets hold
	FacetIdentity   FacetKind = 2 // names and addresses of one participant
	FacetAttachment FacetKind = 3 // one file
	FacetMention    FacetKind = 4 // a passage of the body that is about somebody else
	FacetNote       FacetKind = 5 // what a reviewer or the archive itself added

	lastKind = FacetNote
)

// Facet is a part of a message to be sealed on its own.
type Facet struct {
	Kind        FacetKind
	Index       uint16          // counts the facets of this kind
	ContentType string          // stored in clear: a bare media type as MediaType returns, or ""
	Plain       []byte          // at most MaxPlain bytes; neither kept nor changed
	Slots       [][]keytree.Ref // AND inside a slot, OR between slots; each slot holds a retention day or a hold
}

// FacetInfo is what can be known of a sealed facet without a key.
type FacetInfo struct {
	Kind        FacetKind
	Index       uint16
	ContentType string
	PlainLen    int // the length class: the compressed plaintext with 8 bytes of lengths is at most this long. The exact length is sealed
	Slots       [][]keytree.Ref
}

// MediaType reduces a content type to what may stand in clear: the bare media type in lower case, without parameters, which can hold file names. What
// cannot be read becomes application/octet-stream, and nothing stays nothing.
func MediaType(contentType string) string {
	if strings.TrimSpace(contentType) == "" {
		return ""
	}
	t, _, _ := mime.ParseMediaType(contentType)
	if t == "" || !bareType(t) {
		return "application/octet-stream"
	}
	return t
}

// bareType reports whether s is empty or a lower-case media type without parameters, in the characters of RFC 6838.
func bareType(s string) bool {
	slashes := 0
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("!#$&-^_.+", c) >= 0:
		case c == '/':
			slashes++
		default:
			return false
		}
	}
	return s == "" || slashes == 1 && len(s) <= MaxTypeBytes && s[0] != '/' && s[len(s)-1] != '/'
}

// header is the part of a facet that is stored in clear and bound into its keys.
type header struct {
	kind        FacetKind
	index       uint16
	contentType string
	codec       codec
	size        uint32 // length class
}

func (h *header) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, byte(h.kind)), h.index)
	b = append(appendShort(b, h.contentType), byte(h.codec))
	return binary.BigEndian.AppendUint32(b, h.size)
}

func parseHeader(r *reader) (h header) {
	h.kind, h.index, h.contentType = FacetKind(r.u8()), r.u16(), r.short()
	h.codec, h.size = codec(r.u8()), r.u32()
	switch {
	case h.kind == 0 || h.kind > lastKind:
		r.fail("a facet is of no known kind")
	case !bareType(h.contentType):
		r.fail("a content type is not a bare media type")
	case h.codec > lastCodec:
		r.fail("a facet has no known codec")
	case h.size > maxClass || class(int(h.size)) != int(h.size):
		r.fail("a facet has a size that is no length class")
	}
	return h
}

// order is the position a facet must have among its record's.
func (h *header) order() int { return int(h.kind)<<16 | int(h.index) }

// binding attaches a body to its record context and facet header, both as they are encoded.
func binding(context, facet []byte) committing.Binding {
	const label = "escrow/facet/v1\x00"
	b := make([]byte, 0, 512)
	b = append(append(append(b, label...), context...), facet...)
	return committing.Binding{Label: "escrow/body/v1", Hash: sha256.Sum256(b)}
}

// check reports what is wrong with the facet, given the one before it.
func (f *Facet) check(prev *Facet) error {
	switch {
	case f.Kind == 0 || f.Kind > lastKind:
		return escrow.Errorf("seal.Seal", escrow.Invalid, "unknown kind of facet %d", f.Kind)
	case prev != nil && (f.Kind < prev.Kind || f.Kind == prev.Kind && f.Index <= prev.Index):
		return escrow.Errorf("seal.Seal", escrow.Invalid, "facets must be in order of kind and index, without repetition")
	case len(f.Plain) > MaxPlain:
		return escrow.Errorf("seal.Seal", escrow.Invalid, "a facet of %d bytes exceeds %d", len(f.Plain), MaxPlain)
	case !bareType(f.ContentType):
		return escrow.Errorf("seal.Seal", escrow.Invalid, "a content type must be a bare media type in lower case: see MediaType")
	case len(f.Slots) == 0 || len(f.Slots) > MaxSlots:
		return escrow.Errorf("seal.Seal", escrow.Invalid, "a facet must have 1 to %d slots", MaxSlots)
	}
	return nil
}

// overhead returns the number of bytes the facet takes in a blob beside its padded plaintext.
func (f *Facet) overhead() int {
	n := 1 + 2 + 1 + len(f.ContentType) + 1 + 4 + 32 + committing.BodyOverhead + 2
	for _, refs := range f.Slots {
		n += slotBytes + (len(refs)-1)*keytree.RefBytes
	}
	return n
}
