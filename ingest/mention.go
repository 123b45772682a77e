package ingest

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"escrow"
	"escrow/crypto/seal"
)

// mentions reads the list of marked passages; whether they fit the text is seen when the whole message was read.
func (r *jsonReader) mentions() ([]escrow.Mention, error) {
	var list []escrow.Mention
	err := r.array(func(i int) error {
		if i >= escrow.MaxMentions {
			return invalidf("more than %d mentions", escrow.MaxMentions)
		}
		m, err := r.mention()
		list = append(list, m)
		return err
	})
	return list, err
}

func (r *jsonReader) mention() (escrow.Mention, error) {
	m := escrow.Mention{Start: -1, Length: -1}
	err := r.object(func(key string) (err error) {
		switch key {
		case "id":
			m.ID, err = r.identity()
		case "name":
			m.Name, err = r.boundedText(0, escrow.MaxNameBytes)
		case "start":
			m.Start, err = r.integer(escrow.MaxTextBytes)
		case "length":
			m.Length, err = r.integer(escrow.MaxTextBytes)
		default:
			return invalidf("unknown field %s; the fields are %s; put extras in metadata", shown(key), mentionFields)
		}
		return inField(key, err)
	})
	switch {
	case err != nil:
		return m, err
	case m.ID == "":
		return m, inField("id", invalidf(`is missing; it is required, as "email:…", "tel:+…" or "user:…"`))
	case m.Start < 0:
		return m, inField("start", invalidf("is missing; it is required: where the passage begins in body.text, in bytes of UTF-8"))
	case m.Length < 0:
		return m, inField("length", invalidf("is missing; it is required: how long the passage is, in bytes of UTF-8"))
	case m.Length == 0:
		return m, inField("length", invalidf("must be at least 1"))
	}
	return m, nil
}

// placeMentions checks the mentions of a message that was read as a whole, and puts them in order. The mention of somebody who was erased since says where
// its passage stood in the original text; it is given the place where the placeholder for it stands now. Paths of errors begin within the list.
func placeMentions(m *escrow.Message) error {
	if len(m.Mentions) == 0 {
		return nil
	}
	if m.HTML != "" {
		return invalidf("need a body of text alone: passages cannot be taken out of body.html when the person is erased; leave it out")
	}
	order := make([]int, len(m.Mentions))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m.Mentions[a].Start, m.Mentions[b].Start) })
	placed, end, shift := make([]escrow.Mention, 0, len(order)), 0, 0
	for _, i := range order {
		at := m.Mentions[i]
		if at.Start < end {
			return inField("["+strconv.Itoa(i)+"]", invalidf("overlaps another mention; a passage is about one person"))
		}
		end = at.Start + at.Length
		at.Start += shift
		if at.ID == ErasedIdentity {
			shift += len(Placeholder) - at.Length
			at.Name, at.Length = "", len(Placeholder)
		}
		if err := checkPassage(m.Text, at); err != nil {
			return inField("["+strconv.Itoa(i)+"]", err)
		}
		placed = append(placed, at)
	}
	m.Mentions = placed
	if people, takePart := len(mentioned(*m)), 1+len(m.To); people*takePart > escrow.MaxMentionKeys {
		return invalidf("%d people mentioned among %d participants; the product must be at most %d", people, takePart, escrow.MaxMentionKeys)
	}
	return nil
}

func checkPassage(text string, at escrow.Mention) error {
	end := at.Start + at.Length
	switch {
	case end > len(text):
		return invalidf("ends at byte %d, but body.text has %d bytes; start and length count bytes of UTF-8", end, len(text))
	case !utf8.RuneStart(text[at.Start]) || end < len(text) && !utf8.RuneStart(text[end]):
		return invalidf("begins or ends inside a character; start and length count bytes of UTF-8, not characters")
	case at.ID == ErasedIdentity && text[at.Start:end] != Placeholder:
		return invalidf("is about somebody erased, and the passage is still there")
	}
	return nil
}

// mentioned returns the people mentioned in a message, each once, by first appearance. Where one is mentioned under several names the first is kept.
func mentioned(m escrow.Message) []escrow.Participant {
	if len(m.Mentions) == 0 {
		return nil
	}
	var people []escrow.Participant
	known := participantSet{}
	for _, at := range m.Mentions {
		if known.add(at.ID) {
			people = append(people, escrow.Participant{ID: at.ID, Name: at.Name})
		}
	}
	return people
}

// mentionFacet is what a mention facet holds: everything a message has about one person mentioned in it.
//
//	subject leaf as an unsigned varint ‖ an identity facet
type mentionFacet struct {
	leaf uint32
	identityFacet
}

func (f mentionFacet) marshal() []byte {
	return append(binary.AppendUvarint(nil, uint64(f.leaf)), f.identityFacet.marshal()...)
}

// readPerson is the inverse of marshal for facet i of a record, a mention, or an identity, whose leaf is that of its only subject. piece shares memory with
// plain. Errors are of kind Corrupt.
func readPerson(facets []seal.FacetInfo, i int, plain []byte) (f mentionFacet, err error) {
	leaf, n := uint64(subjectLeaf(facets[i])), 0
	if facets[i].Kind == seal.FacetMention {
		if leaf, n = binary.Uvarint(plain); n <= 0 || leaf > math.MaxUint32 {
			return f, escrow.Errorf("ingest.Mention", escrow.Corrupt, "a mention facet is malformed")
		}
	}
	f.leaf = uint32(leaf)
	f.identityFacet, err = parseIdentity(plain[n:])
	return f, err
}

// withoutPlaceholders returns the text of a message as it is searched: where the words about somebody erased stood there is a sign that is no word.
func withoutPlaceholders(m escrow.Message) string {
	if !slices.ContainsFunc(m.Mentions, func(at escrow.Mention) bool { return at.ID == ErasedIdentity }) {
		return m.Text
	}
	var b strings.Builder
	end := 0
	for _, at := range m.Mentions {
		if at.ID == ErasedIdentity {
			b.WriteString(m.Text[end:at.Start])
			b.WriteString("…")
			end = at.Start + at.Length
		}
	}
	b.WriteString(m.Text[end:])
	return b.String()
}
