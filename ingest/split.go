package ingest

import (
	"slices"
	"strings"
	"unicode/utf8"

	"escrow"
)

// Split returns the places in raw that identify a participant of m or somebody mentioned in it, or are about the latter. m must be what Parse made of the same raw. They are sorted, without overlap, not empty, at
// most MaxCuts. The result depends on its arguments only.
//
// In a mail they are, in the header block of the message: each entry of an address field, with its name, for the participant whose address it is; and
// wherever else a participant's address, also as VERP and URLs write it, or full name as written stands in the value of a field. An address in Sender,
// Reply-To and the like that is nobody's belongs to the author, one in Delivered-To and the like to the recipient if there is only one.
//
// In JSON they are the strings id and name in from, to and mentions, every other string that is a person's identity, address or name and nothing else, and
// the passages of body.text that mentions mark. Otherwise text is not searched, nor is base64: what they say belongs to the body. The entry in mentions
// belongs to the person as the one mentioned, so that it goes and stays with the passage; everywhere else who takes part counts first as participant.
func Split(contentType string, raw []byte, m escrow.Message) []Cut {
	if contentType == TypeMail {
		return splitMail(raw, m)
	}
	return splitJSON(contentType, raw, m)
}

// people returns everybody in a message by the number cuts know them by.
func people(m escrow.Message) []escrow.Participant {
	list := append([]escrow.Participant{m.From}, m.To[:min(len(m.To), escrow.MaxParticipants)]...)
	return append(list, mentioned(m)...)
}

// owners maps identities to people; the first one wins.
func owners(people []escrow.Participant) map[escrow.Identity]uint16 {
	own := make(map[escrow.Identity]uint16, len(people))
	for i, p := range people {
		if _, ok := own[p.ID]; !ok {
			own[p.ID] = uint16(i)
		}
	}
	return own
}

// mailSplitter paints the bytes of a header with their owners.
type mailSplitter struct {
	h        mailHeader
	charset  string
	people   []escrow.Participant
	own      map[escrow.Identity]uint16
	paint    []uint16 // 1+participant for each byte of the header block, 0 for nobody's
	patterns *patternSet
	listed   map[string][]uint16 // participants in To, Cc, Bcc by position
}

func splitMail(raw []byte, m escrow.Message) []Cut {
	raw = lineFeeds(raw[:min(len(raw), escrow.MaxImport)])
	h := readHeader(raw, 0, len(raw), nil)
	s := mailSplitter{
		h: h, paint: make([]uint16, h.block.end), patterns: newPatternSet(), listed: map[string][]uint16{}, people: people(m),
		charset: newPart(h, "text/plain").param("charset"),
	}
	s.own = owners(s.people)
	for _, f := range h.fields {
		if kind := addressField(f.name); kind != notAddresses {
			s.addresses(f, kind)
		}
	}
	for i, p := range s.people {
		s.learn(uint16(i), p.ID, p.Name)
	}
	s.occurrences()
	return s.cuts()
}

// fieldKind says whom the entries of an address field belong to if they are nobody's address.
type fieldKind int

const (
	notAddresses  fieldKind = iota
	knownOnly               // to nobody
	ofAuthor                // to the author
	ofRecipient             // to the recipient if there is one only
	likeRecipient           // to the participant at the same place of the field without "X-"
)

func addressField(name string) fieldKind {
	switch strings.ToLower(name) {
	case "from", "to", "cc", "bcc", "apparently-to", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc", "mail-followup-to",
		"mail-reply-to", "x-forwarded-for", "x-forwarded-to", "x-loop", "errors-to", "x-beenthere":
		return knownOnly
	case "sender", "reply-to", "return-path", "x-sender", "envelope-from", "x-envelope-from", "x-from", "disposition-notification-to",
		"return-receipt-to", "x-confirm-reading-to", "x-authenticated-sender", "x-originating-email", "x-x-sender":
		return ofAuthor
	case "delivered-to", "x-delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "x-resolved-to":
		return ofRecipient
	case "x-to", "x-cc", "x-bcc":
		return likeRecipient
	}
	return notAddresses
}

// addresses paints the entries of one address field.
func (s *mailSplitter) addresses(f mailField, kind fieldKind) {
	name := strings.ToLower(f.name)
	var boxes []mailbox
	readAddresses(s.h.raw, f.value, s.charset, func(b mailbox) bool {
		boxes = append(boxes, b)
		return len(boxes) < MaxCuts
	})
	for i, b := range boxes {
		who, ok := s.own[identityOf(b)]
		if !ok {
			who, ok = s.substitute(kind, strings.TrimPrefix(name, "x-"), i, len(boxes))
		}
		if !ok {
			continue
		}
		if kind == knownOnly {
			s.listed[name] = append(s.listed[name], who)
		}
		s.fill(b.at, who)
		s.learn(who, identityOf(b), b.name)
		if b.phrase.end > b.phrase.start {
			s.patterns.add(string(s.h.raw[b.phrase.start:b.phrase.end]), pattern{who: who, name: true})
		}
	}
}

// substitute finds the owner of entry i of n that is nobody's address.
func (s *mailSplitter) substitute(kind fieldKind, like string, i, n int) (who uint16, ok bool) {
	switch kind {
	case ofAuthor:
		return 0, true
	case ofRecipient:
		return 1, len(s.people) == 2
	case likeRecipient:
		if list := s.listed[like]; len(list) == n {
			return list[i], true
		}
	}
	return 0, false
}

// learn adds what a participant is called to the patterns.
func (s *mailSplitter) learn(who uint16, id escrow.Identity, name string) {
	value := id.Value()
	if id.Scheme() == "email" {
		local, domain := value[:strings.LastIndexByte(value, '@')], value[strings.LastIndexByte(value, '@')+1:]
		s.patterns.add(value, pattern{who: who})
		s.patterns.add(local+"="+domain, pattern{who: who, inner: true})
		s.patterns.add(local+"%40"+domain, pattern{who: who, inner: true})
	} else if id.Scheme() != "unknown" {
		s.patterns.add(value, pattern{who: who, name: true})
	}
	s.patterns.add(name, pattern{who: who, name: true})
}

func (s *mailSplitter) fill(at span, who uint16) {
	for i := at.start; i < at.end; i++ {
		s.paint[i] = 1 + who
	}
}

// occurrences paints addresses and names outside the entries of address fields.
func (s *mailSplitter) occurrences() {
	if at := envelopeSender(&s.h); at.end > at.start {
		who := s.own[identityOf(mailbox{addr: string(s.h.raw[at.start:at.end])})] // the author, under whatever address, if it is nobody else's
		s.fill(at, who)
	}
	t := newFoldedText(s.h.block.end + len(s.h.fields) + len(s.h.strays) + 1)
	t.add(s.h.raw, s.h.envelope)
	for _, l := range s.h.strays {
		t.add(s.h.raw, l)
	}
	for _, f := range s.h.fields {
		t.add(s.h.raw, f.value)
	}
	s.patterns.find(t.bytes, func(i, j int, p pattern) {
		at := span{int(t.at[i]), int(t.at[j-1]) + 1}
		if s.free(at, p, t.bytes, i, j) {
			s.fill(at, p.who)
		}
	})
}

// free reports whether an occurrence may be painted: nobody else's entry is there, except that a whole address inside another's entry is its owner's.
func (s *mailSplitter) free(at span, p pattern, text []byte, i, j int) bool {
	clear := true
	for k := at.start; k < at.end; k++ {
		clear = clear && s.paint[k] == 0
	}
	joins := addressByte
	if p.inner {
		joins = wordByteAt
	}
	return clear || !p.name && !joins(text, i-1) && !joins(text, j)
}

func addressByte(b []byte, i int) bool {
	return wordByteAt(b, i) || i >= 0 && i < len(b) && strings.IndexByte(".-_+=%@'", b[i]) >= 0
}

func wordByteAt(b []byte, i int) bool { return i >= 0 && i < len(b) && isWordByte(b[i]) }

// cuts turns painted runs into cuts.
func (s *mailSplitter) cuts() []Cut {
	var cuts []Cut
	for i := 0; i < len(s.paint) && len(cuts) < MaxCuts; {
		who, start := s.paint[i], i
		for i++; i < len(s.paint) && s.paint[i] == who; {
			i++
		}
		if who > 0 {
			cuts = append(cuts, Cut{uint32(start), who - 1, uint32(i - start)})
		}
	}
	return cuts
}

// jsonSplitter finds strings that identify people in a JSON text, and passages about them.
type jsonSplitter struct {
	r         *jsonReader
	message   []string // where in the text the message is: nowhere deeper, or under "data"
	path      []string // where the reader is
	own       map[escrow.Identity]uint16
	bare      map[string]uint16 // addresses, numbers and accounts without their scheme
	names     map[string]uint16
	mentions  []escrow.Mention
	mentioned map[escrow.Identity]uint16 // the people mentioned, as such
	cuts      []Cut
}

func splitJSON(contentType string, raw []byte, m escrow.Message) []Cut {
	r, err := newJSONReader(raw)
	if err != nil {
		return nil
	}
	everybody := people(m)
	s := jsonSplitter{r: r, path: make([]string, 0, maxJSONDepth), own: owners(everybody), bare: map[string]uint16{}, names: map[string]uint16{}, mentions: m.Mentions}
	if contentType == TypeCloudEvent {
		s.message = []string{"data"}
	}
	for i, p := range everybody {
		if value := strings.ToLower(p.ID.Value()); distinctive(p.ID.Scheme(), value) {
			setFirst(s.bare, value, uint16(i))
		}
		if len(p.Name) >= minNameAnywhere {
			setFirst(s.names, p.Name, uint16(i))
		}
	}
	if len(m.Mentions) > 0 {
		takePart := min(1+len(m.To), 1+escrow.MaxParticipants)
		s.mentioned = owners(everybody[takePart:])
		for id := range s.mentioned {
			s.mentioned[id] += uint16(takePart)
		}
	}
	if err := s.value(""); err != nil {
		return nil // not what Parse accepted
	}
	slices.SortFunc(s.cuts, func(a, b Cut) int { return int(a.Offset) - int(b.Offset) })
	return s.cuts
}

func setFirst(m map[string]uint16, key string, who uint16) {
	if _, ok := m[key]; !ok {
		m[key] = who
	}
}

// distinctive reports whether the value of an identity means the person also where it stands without its scheme.
func distinctive(scheme, value string) bool {
	const word, number = 3, 6
	switch {
	case scheme == "email" || scheme == "tel":
		return true
	case strings.Trim(value, "0123456789") == "":
		return len(value) >= number
	}
	return len(value) >= word
}

// value visits the next value, which belongs to key.
func (s *jsonSplitter) value(key string) error {
	switch s.r.peek() {
	case '"':
		if s.mentions != nil && s.in("body", "text") {
			return s.passages()
		}
		at, text, err := s.string()
		if err == nil {
			s.visit(key, at, text)
		}
		return err
	case '[':
		return s.r.array(func(int) error { return s.value(key) })
	case '{':
		switch {
		case s.in("from") || s.in("to"):
			return s.person(s.own)
		case s.mentions != nil && s.in("mentions"):
			return s.person(s.mentioned)
		}
		return s.r.object(func(k string) error {
			if key == "metadata" {
				s.visit("", s.r.key, k)
			}
			s.path = append(s.path, k)
			name := k
			if key == "metadata" {
				name = "" // chosen by the platform: it says nothing about the value
			}
			err := s.value(name)
			s.path = s.path[:len(s.path)-1]
			return err
		})
	}
	return s.r.skip()
}

// in reports whether the value ahead is the field of the message with this path.
func (s *jsonSplitter) in(path ...string) bool {
	n := len(s.message)
	return len(s.path) == n+len(path) && slices.Equal(s.path[:n], s.message) && slices.Equal(s.path[n:], path)
}

// passages consumes the text of the message and cuts out what is about people mentioned: the bytes it is written with, escapes included.
func (s *jsonSplitter) passages() error {
	raw, escaped, err := s.r.token()
	if err != nil {
		return err
	}
	start := s.r.pos - 1 - len(raw)
	walk := escapeWalk{raw: raw, escaped: escaped}
	for _, m := range s.mentions {
		if from, to := walk.to(m.Start), walk.to(m.Start+m.Length); to > from {
			s.cuts = append(s.cuts, cutOf(span{start + from, start + to}, s.mentioned[m.ID]))
		}
	}
	return nil
}

// escapeWalk finds places of a text in the JSON string it is written as.
type escapeWalk struct {
	raw     []byte
	escaped bool
	at      int // in raw
	text    int // the same place in the text
}

// to returns where in the string the byte of the text is; it must not be before the one asked for last.
func (w *escapeWalk) to(text int) int {
	if !w.escaped {
		return min(text, len(w.raw))
	}
	for w.text < text && w.at < len(w.raw) {
		r, n := jsonElement(w.raw[w.at:])
		w.at, w.text = w.at+max(n, 1), w.text+utf8.RuneLen(r)
	}
	return w.at
}

// string consumes a string and returns where it stands; text is "" if it is too long to be anybody's name.
func (s *jsonSplitter) string() (at span, text string, err error) {
	raw, escaped, err := s.r.token()
	if err != nil {
		return at, "", err
	}
	at = span{s.r.pos - 1 - len(raw), s.r.pos - 1}
	const escapeBytes = 6 // of the longest escape for one byte
	if len(raw) > escrow.MaxNameBytes*escapeBytes {
		return at, "", nil
	}
	if !escaped {
		return at, string(raw), nil
	}
	text, _ = unescapeJSON(raw)
	return at, text, nil
}

// person visits the object of a participant or a mention: id and name belong to whom the id names.
func (s *jsonSplitter) person(people map[escrow.Identity]uint16) error {
	var own []span
	var id escrow.Identity
	err := s.r.object(func(key string) error {
		if key == "role" || s.r.peek() != '"' { // nor are the numbers of a mention anybody's
			return s.r.skip()
		}
		at, text, err := s.string()
		if own = append(own, at); key == "id" {
			id = escrow.Identity(text)
		}
		return err
	})
	who, ok := people[id.Normalise()]
	for _, at := range own {
		if ok && at.end > at.start {
			s.cuts = append(s.cuts, cutOf(at, who))
		}
	}
	return err
}

// visit cuts a string that identifies somebody.
func (s *jsonSplitter) visit(key string, at span, text string) {
	switch key {
	case "type", "role", "sent_at", "time", "media_type", "data", "data_base64", "sha256", "specversion", "datacontenttype", "purpose", "basis", "retention":
		return
	}
	if text == "" {
		return
	}
	if who, ok := s.own[escrow.Identity(text).Normalise()]; ok {
		s.cut(at, who)
		return
	}
	lower := strings.ToLower(text)
	who, ok := s.bare[lower]
	if ok && (key == "id" || key == "refers_to") && !strings.ContainsAny(lower, "@+") {
		return // an account and a message may have the same number
	}
	if !ok {
		who, ok = s.names[text]
	}
	if ok {
		s.cut(at, who)
	}
}

// cut takes a string that is nobody's entry. There may be any number of them in the extensions of a CloudEvent; what goes too far stays with the body.
func (s *jsonSplitter) cut(at span, who uint16) {
	const entries = 2 * (1 + escrow.MaxParticipants + escrow.MaxMentions)
	if at.end > at.start && len(s.cuts) < MaxCuts-entries-escrow.MaxMentions {
		s.cuts = append(s.cuts, cutOf(at, who))
	}
}

func cutOf(at span, owner uint16) Cut {
	return Cut{Offset: uint32(at.start), Owner: owner, Len: uint32(at.end - at.start)}
}
