package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"escrow"
)

// The fields of the contract, in the order of the published schema; errors list them.
const (
	messageFields     = "id, type, refers_to, conversation, sent_at, from, to, title, body, mentions, attachments, tags, metadata, purpose, basis, consent, retention"
	participantFields = "id, name, role"
	mentionFields     = "id, name, start, length"
	bodyFields        = "text, html"
	attachmentFields  = "name, media_type, data, object, sha256, transcript"
)

// ParseContract reads one message in the JSON form of the publishing contract (docs/publishing.md, docs/schema/message.schema.json), strictly. Errors
// are of kind Invalid, or Unavailable for what the contract allows and the archive does not take yet; they name field, problem and remedy and never
// quote a value. The Message shares no memory with data. Identities are normalised, repeated readers and tags folded into one, times in UTC.
func ParseContract(data []byte) (escrow.Message, error) {
	const op = "ingest.ParseContract"
	m, err := parseWhole(data)
	if err != nil {
		return escrow.Message{}, asError(op, err)
	}
	return m, nil
}

// parseWhole reads a payload that is one message and nothing else.
func parseWhole(data []byte) (escrow.Message, error) {
	r, err := newJSONReader(data)
	if err != nil {
		return escrow.Message{}, err
	}
	m, err := r.message()
	if err == nil {
		err = r.end()
	}
	return m, err
}

// message reads the contract's object.
func (r *jsonReader) message() (escrow.Message, error) {
	m := escrow.Message{Type: escrow.TypeMessage}
	err := r.object(func(key string) error {
		known, err := r.messageField(&m, key)
		if !known {
			return invalidf("unknown field %s; the fields are %s; put extras in metadata", shown(key), messageFields)
		}
		return inField(key, err)
	})
	switch {
	case err != nil:
		return m, err
	case m.ID == "":
		return m, inField("id", invalidf("is missing; it is required: the platform's own id of the message"))
	case m.From.ID == "":
		return m, inField("from", invalidf(`is missing; it is required, as {"id": "email:…"}`))
	}
	if err := placeMentions(&m); err != nil {
		return m, inField("mentions", err)
	}
	if m.RefersTo == "" && (m.Type == escrow.TypeEdit || m.Type == escrow.TypeDelete || m.Type == escrow.TypeReaction) {
		m.Defects = append(m.Defects, "refers_to: is missing, so nobody can say which message this one changes")
	}
	return m, nil
}

// messageField reads the value of one field into m.
func (r *jsonReader) messageField(m *escrow.Message, key string) (known bool, err error) {
	switch key {
	case "id":
		m.ID, err = r.boundedText(1, escrow.MaxIDBytes)
	case "type":
		m.Type, err = r.messageType()
	case "refers_to":
		m.RefersTo, err = r.boundedText(1, escrow.MaxIDBytes)
	case "conversation":
		m.Conversation, err = r.boundedText(1, escrow.MaxIDBytes)
	case "sent_at":
		m.SentAt, err = r.time()
	case "from":
		m.From, err = r.participant()
	case "to":
		m.To, err = r.participants()
	case "title":
		m.Title, err = r.boundedText(0, maxTitleBytes)
	case "body":
		err = r.body(m)
	case "mentions":
		m.Mentions, err = r.mentions()
	case "attachments":
		m.Attachments, err = r.attachments()
	case "tags":
		m.Tags, err = r.tags()
	case "metadata":
		m.Metadata, err = r.metadata()
	case "purpose":
		m.Purpose, err = r.boundedText(1, escrow.MaxIDBytes)
	case "basis":
		m.Basis, err = r.boundedText(1, escrow.MaxIDBytes)
	case "consent":
		m.Consent, err = r.boundedText(1, escrow.MaxIDBytes)
	case "retention":
		m.Retention, err = r.boundedText(1, escrow.MaxIDBytes)
	default:
		return false, nil
	}
	return true, err
}

// boundedText reads a string of least to most bytes.
func (r *jsonReader) boundedText(least, most int) (string, error) {
	s, err := r.text()
	switch {
	case err != nil:
		return "", err
	case len(s) < least:
		return "", invalidf("must not be empty")
	case len(s) > most:
		return "", invalidf("has %d bytes, the limit is %d", len(s), most)
	}
	return s, nil
}

func (r *jsonReader) messageType() (escrow.MessageType, error) {
	s, err := r.text()
	if err != nil {
		return "", err
	}
	switch t := escrow.MessageType(s); t {
	case escrow.TypeMessage, escrow.TypeEdit, escrow.TypeDelete, escrow.TypeReaction, escrow.TypeJoin, escrow.TypeLeave:
		return t, nil
	}
	return "", invalidf("must be one of message, edit, delete, reaction, join, leave")
}

func (r *jsonReader) time() (time.Time, error) {
	s, err := r.text()
	if err != nil {
		return time.Time{}, err
	}
	return parseTime(s)
}

// parseTime reads RFC 3339, which time.Parse and UnmarshalText only resemble: they take one-digit hours and commas.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !hasTimeForm(s) || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}, invalidf(`must be a time as in RFC 3339, "2026-01-31T23:59:59Z"`)
	}
	return t.UTC(), nil
}

// hasTimeForm reports whether s has the punctuation of RFC 3339 in the right places.
func hasTimeForm(s string) bool {
	const form = "0000-00-00T00:00:00"
	if len(s) <= len(form) {
		return false
	}
	for i, c := range []byte(form) {
		if digit := s[i] >= '0' && s[i] <= '9'; c == '0' != digit || c != '0' && s[i] != c {
			return false
		}
	}
	return strings.IndexByte(s, ',') < 0
}

func (r *jsonReader) participant() (escrow.Participant, error) {
	p := escrow.Participant{Role: escrow.RoleMember}
	err := r.object(func(key string) (err error) {
		switch key {
		case "id":
			p.ID, err = r.identity()
		case "name":
			p.Name, err = r.boundedText(0, escrow.MaxNameBytes)
		case "role":
			p.Role, err = r.role()
		default:
			return invalidf("unknown field %s; the fields are %s; put extras in metadata", shown(key), participantFields)
		}
		return inField(key, err)
	})
	if err == nil && p.ID == "" {
		err = inField("id", invalidf(`is missing; it is required, as "email:…", "tel:+…" or "user:…"`))
	}
	return p, err
}

func (r *jsonReader) identity() (escrow.Identity, error) {
	s, err := r.text()
	if err != nil {
		return "", err
	}
	id := escrow.Identity(s)
	if err := id.Check(); err != nil {
		if e, ok := errors.AsType[*escrow.Error](err); ok {
			err = e.Err
		}
		return "", invalidf("%v", err) // opaque: the text is all there is to it
	}
	id = id.Normalise()
	switch value := id.Value(); {
	case value == "":
		return "", invalidf("must not be empty after the colon")
	case id.Scheme() == "email" && !isAddress(value):
		return "", invalidf(`must be a mail address after "email:", as local@domain; use another scheme for anything else`)
	case id.Scheme() == "tel" && !isE164(value):
		return "", invalidf(`must be an E.164 number after "tel:", as +4930123456; use another scheme for short codes and extensions`)
	}
	return id, nil
}

// isAddress reports whether s can be a mail address: something on both sides of its last @, and no white space in the domain.
func isAddress(s string) bool {
	i := strings.LastIndexByte(s, '@')
	return i > 0 && i < len(s)-1 && !strings.ContainsAny(s[i:], " \t<>,;")
}

func isE164(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	return ok && len(digits) >= minTelDigits && len(digits) <= maxTelDigits && strings.Trim(digits, "0123456789") == ""
}

func (r *jsonReader) role() (escrow.Role, error) {
	s, err := r.text()
	if err != nil {
		return "", err
	}
	switch role := escrow.Role(s); role {
	case escrow.RoleCustomer, escrow.RoleAgent, escrow.RoleMember, escrow.RoleSystem:
		return role, nil
	}
	return "", invalidf("must be one of customer, agent, member, system")
}

func (r *jsonReader) participants() ([]escrow.Participant, error) {
	var list []escrow.Participant
	known := participantSet{}
	err := r.array(func(i int) error {
		if i >= escrow.MaxParticipants {
			return invalidf("more than %d participants", escrow.MaxParticipants)
		}
		p, err := r.participant()
		if err == nil && known.add(p.ID) {
			list = append(list, p)
		}
		return err
	})
	return list, err
}

// participantSet remembers identities.
type participantSet map[escrow.Identity]bool

// add reports whether id is new.
func (s participantSet) add(id escrow.Identity) bool {
	if s[id] {
		return false
	}
	s[id] = true
	return true
}

func (r *jsonReader) body(m *escrow.Message) error {
	var text string
	err := r.object(func(key string) (err error) {
		switch key {
		case "text":
			text, err = r.boundedText(0, escrow.MaxTextBytes)
		case "html":
			m.HTML, err = r.boundedText(0, escrow.MaxTextBytes)
		default:
			return invalidf("unknown field %s; the fields are %s; put extras in metadata", shown(key), bodyFields)
		}
		return inField(key, err)
	})
	if err != nil {
		return err
	}
	m.Text = joinAlternatives(text, m.HTML)
	if len(m.Text) > escrow.MaxTextBytes {
		m.Text = truncate(m.Text, escrow.MaxTextBytes)
		m.Defects = append(m.Defects, "body: text and html together are longer than the limit; the end is not searched")
	}
	return nil
}

func (r *jsonReader) attachments() ([]escrow.Attachment, error) {
	var list []escrow.Attachment
	err := r.array(func(i int) error {
		if i >= escrow.MaxAttachments {
			return invalidf("more than %d attachments", escrow.MaxAttachments)
		}
		a, err := r.attachment()
		list = append(list, a)
		return err
	})
	return list, err
}

func (r *jsonReader) attachment() (escrow.Attachment, error) {
	a := escrow.Attachment{MediaType: "application/octet-stream"}
	hasData := false
	err := r.object(func(key string) (err error) {
		switch key {
		case "name":
			a.Name, err = r.boundedText(0, escrow.MaxNameBytes)
		case "media_type":
			a.MediaType, err = r.mediaType()
		case "data":
			hasData = true
			a.Data, err = r.base64()
		case "object":
			a.Object, err = r.boundedText(1, escrow.MaxIDBytes)
		case "sha256":
			a.SHA256, err = r.digest()
		case "transcript":
			a.Transcript, err = r.boundedText(0, escrow.MaxTextBytes)
		default:
			return invalidf("unknown field %s; the fields are %s; put extras in metadata", shown(key), attachmentFields)
		}
		return inField(key, err)
	})
	if err != nil {
		return a, err
	}
	return a, checkAttachment(a, hasData)
}

func checkAttachment(a escrow.Attachment, hasData bool) error {
	switch {
	case hasData && a.Object != "":
		return invalidf("has both data and object; send one of them")
	case a.Object != "":
		// Taking the reference without the bytes would archive half a message.
		return &problem{kind: escrow.Unavailable, path: "object", text: "attachment objects are not accepted yet; send the bytes in data"}
	case !hasData:
		return inField("data", invalidf("is missing; it is required: the file in base64"))
	}
	if a.SHA256 == "" {
		return nil
	}
	if sum := sha256.Sum256(a.Data); hex.EncodeToString(sum[:]) != a.SHA256 {
		return inField("sha256", invalidf("is not the digest of data; the file was changed or cut on its way"))
	}
	return nil
}

func (r *jsonReader) mediaType() (string, error) {
	s, err := r.boundedText(1, maxMediaTypeBytes)
	if err != nil {
		return "", err
	}
	kind, _, _ := strings.Cut(s, ";")
	major, minor, ok := strings.Cut(strings.TrimSpace(kind), "/")
	if !ok || major == "" || minor == "" || strings.ContainsAny(kind, " \t\"") {
		return "", invalidf("must be a media type, as image/png")
	}
	return s, nil
}

func (r *jsonReader) digest() (string, error) {
	s, err := r.text()
	if err != nil {
		return "", err
	}
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return "", invalidf("must be a SHA-256 digest: 64 hexadecimal digits")
	}
	return strings.ToLower(s), nil
}

func (r *jsonReader) tags() ([]string, error) {
	var list []string
	seen := keySet{}
	err := r.array(func(i int) error {
		if i >= escrow.MaxTags {
			return invalidf("more than %d tags", escrow.MaxTags)
		}
		tag, err := r.boundedText(1, escrow.MaxTagBytes)
		if err == nil && seen.add(tag) {
			list = append(list, tag)
		}
		return err
	})
	return list, err
}

// metadata reads string → string. Its errors count entries instead of naming keys, which may be personal.
func (r *jsonReader) metadata() (map[string]string, error) {
	entries := make(map[string]string)
	r.quiet = true
	defer func() { r.quiet = false }()
	err := r.object(func(key string) error {
		n := len(entries) + 1
		switch {
		case n > escrow.MaxMetadata:
			return invalidf("more than %d entries", escrow.MaxMetadata)
		case key == "":
			return invalidf("entry %d: the key must not be empty", n)
		case len(key) > escrow.MaxMetadataBytes:
			return invalidf("entry %d: the key has %d bytes, the limit is %d", n, len(key), escrow.MaxMetadataBytes)
		}
		value, err := r.boundedText(0, escrow.MaxMetadataBytes)
		if err != nil {
			return invalidf("entry %d: %v", n, err) // opaque: a problem has a text only
		}
		if _, taken := entries[key]; taken {
			key += " " + strconv.Itoa(n)
		}
		entries[key] = value
		return nil
	})
	return entries, err
}
