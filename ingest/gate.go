package ingest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"mime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/events/natslog"
	"escrow/retention"
)

// Gate decides what the intake takes in: it validates a publish by the publishing contract, recognises what is archived already, and seals what is
// new under the ingest-day key, so that nothing readable reaches the log. It is safe for concurrent use and implements natslog.Gate.
type Gate struct {
	Tenants map[escrow.Tenant]*Entrance
}

// Entrance is what the gate knows of one tenant.
type Entrance struct {
	Keys     Keys
	Sealer   *seal.Sealer
	Ledger   *archive.Ledger
	Opener   *Opener
	Recorder *Recorder // for the rules of its channels
	OnceKey  [32]byte  // makes deduplication tags
	TagKey   [32]byte  // makes channel tags

	onceMACs, tagMACs macs
}

// Content types of the publishing contract. An empty one is TypeJSON.
const (
	TypeJSON       = "application/json"
	TypeMail       = "message/rfc822"
	TypeCloudEvent = "application/cloudevents+json"
)

// logPurpose separates keys of log entries from every other use of an ingest-day share.
const logPurpose = "escrow/log/v1"

// Admit validates a publish. Errors are of kind Invalid (with field, problem and remedy), NotFound (no such tenant), Conflict (the id is archived
// with other content) or Erased (the id is archived and was erased).
func (g *Gate) Admit(_ context.Context, a *natslog.Arrival) (natslog.Admission, error) {
	e, ok := g.Tenants[a.Tenant]
	if !ok {
		return natslog.Admission{}, escrow.Errorf("ingest.Admit", escrow.NotFound, `there is no tenant %q here; create it with "escrow init --tenant %s"`, a.Tenant, a.Tenant)
	}
	a.Received = e.notBefore(a.Received)
	env, err := e.envelope(a)
	if err != nil {
		return natslog.Admission{}, err
	}
	once := e.once(env)
	seq, known := e.Ledger.Once(once)
	if known {
		if err := e.same(seq, env); err != nil {
			return natslog.Admission{}, err
		}
	}
	plain, err := env.Marshal()
	if err != nil {
		return natslog.Admission{}, err
	}
	return natslog.Admission{
		Plain: plain, Once: once, ChannelTag: e.tagMACs.tag(e.TagKey, string(env.Channel)), Content: fingerprint(env), Known: known, Seq: uint64(seq),
	}, nil
}

// notBefore returns the time of arrival by a clock that does not go back: the keys of days the ledger has passed may be gone.
func (e *Entrance) notBefore(t time.Time) time.Time {
	if last := e.Ledger.LastTime(); t.Before(last) {
		return last
	}
	return t
}

// Seal encrypts an envelope under the share of its ingest day.
func (g *Gate) Seal(t escrow.Tenant, day uint32, aad, plain []byte) ([]byte, error) {
	e, ok := g.Tenants[t]
	if !ok {
		return nil, escrow.Errorf("ingest.Seal", escrow.NotFound, "there is no tenant %q here", t)
	}
	share, err := e.Keys.Share(e.Keys.Ref(keytree.KindIngestDay, day))
	if err != nil {
		return nil, err
	}
	return e.Sealer.SealOne(share, logPurpose, aad, plain)
}

// envelope reads headers, validates the body and decides the deduplication id.
func (e *Entrance) envelope(a *natslog.Arrival) (Envelope, error) {
	limit := escrow.MaxPayload
	if a.Import {
		limit = escrow.MaxImport
	}
	if len(a.Data) > limit {
		return Envelope{}, escrow.Errorf("ingest.Admit", escrow.Invalid, "the payload has %d bytes, at most %d are taken; send large attachments apart", len(a.Data), limit)
	}
	env := Envelope{Channel: a.Channel, Header: keptHeaders(a.Header), Publisher: a.Publisher, Received: a.Received, Original: a.Data}
	if n := headerBytes(env.Header); n > MaxHeaderBytes {
		return Envelope{}, escrow.Errorf("ingest.Admit", escrow.Invalid, "the headers kept with a message have %d bytes, at most %d are taken; put long values into the message", n, MaxHeaderBytes)
	}
	var err error
	if env.ContentType, err = contentType(a.Header); err != nil {
		return Envelope{}, err
	}
	id, err := e.validate(env)
	if err != nil {
		return Envelope{}, err
	}
	env.ID, err = dedupID(env, id, first(a.Header, "Nats-Msg-Id"))
	return env, err
}

// validate parses what can be refused and returns the id under which the publisher knows the message: that of the body, or for a CloudEvent its source
// and id. Raw mail is never refused for its content, because it is archived whole, and has no such id.
func (e *Entrance) validate(env Envelope) (string, error) {
	if env.ContentType == TypeMail {
		return "", checkMailHeaders(env.Header)
	}
	m, id, err := parsePublished(env)
	if err != nil {
		return "", err
	}
	for i, p := range append([]escrow.Participant{m.From}, m.To...) {
		if p.ID.Scheme() == ErasedIdentity.Scheme() {
			return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "participant %d: the scheme %q stands for people who were erased and is not taken", i, ErasedIdentity.Scheme())
		}
	}
	for i, at := range m.Mentions {
		if at.ID.Scheme() == ErasedIdentity.Scheme() {
			return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "mention %d: the scheme %q stands for people who were erased and is not taken", i, ErasedIdentity.Scheme())
		}
	}
	if m.Retention != "" {
		if _, err := e.Recorder.Schedule.Class(m.Retention); err != nil {
			return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "retention: there is no such class; there are %s", classNames(e.Recorder.Schedule))
		}
	}
	return id, nil
}

func parsePublished(env Envelope) (escrow.Message, string, error) {
	if IsCloudEvent(env.ContentType, env.Header) {
		return ParseCloudEvent(env.ContentType, env.Header, env.Original)
	}
	m, err := Parse(env.ContentType, env.Header, env.Original)
	return m, m.ID, err
}

func classNames(s retention.Schedule) string {
	var names []string
	for _, c := range s.Classes() {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// contentType returns the media type of a publish in lower case without parameters, or an error of kind Invalid that lists the ones taken.
func contentType(h map[string][]string) (string, error) {
	value := first(h, "Content-Type")
	if value == "" {
		return TypeJSON, nil
	}
	t, params, err := mime.ParseMediaType(value)
	if err == nil && params["charset"] != "" && t != TypeMail && !strings.EqualFold(params["charset"], "utf-8") {
		return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "Content-Type: JSON must be in UTF-8; leave charset out")
	}
	switch {
	case err == nil && (t == TypeJSON || t == TypeMail || t == TypeCloudEvent):
		return t, nil
	}
	return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "Content-Type: must be %s, %s or %s", TypeJSON, TypeMail, TypeCloudEvent)
}

// keptHeaders returns the headers that belong to the message.
func keptHeaders(h map[string][]string) map[string][]string {
	var kept map[string][]string
	for name, values := range h {
		lower := strings.ToLower(name)
		if strings.EqualFold(name, natslog.ImportHeader) {
			continue
		}
		if strings.HasPrefix(lower, "escrow-") || strings.HasPrefix(lower, "ce-") || lower == "traceparent" || lower == "tracestate" {
			if kept == nil {
				kept = make(map[string][]string)
			}
			kept[name] = values
		}
	}
	return kept
}

// MaxHeaderBytes bounds names and values of the headers kept with a message. They are sealed in front of it, within the same facet.
const MaxHeaderBytes = 64 << 10

func headerBytes(h map[string][]string) (n int) {
	for name, values := range h {
		n += len(name)
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// first returns the first value of a header, whatever the case of its name.
func first(h map[string][]string, name string) string {
	for k, values := range h {
		if strings.EqualFold(k, name) && len(values) > 0 {
			return strings.TrimSpace(values[0])
		}
	}
	return ""
}

// dedupID returns the id under which a publish is recognised when it comes again: the header Nats-Msg-Id, else channel and id of the message, which
// for raw mail is the digest of its bytes.
func dedupID(env Envelope, id, header string) (string, error) {
	switch {
	case len(header) > MaxDedupBytes:
		return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "Nats-Msg-Id: has %d bytes, at most %d are taken", len(header), MaxDedupBytes)
	case !utf8.ValidString(header):
		return "", escrow.Errorf("ingest.Admit", escrow.Invalid, "Nats-Msg-Id: is not valid UTF-8; encode it as UTF-8")
	case header != "":
		return header, nil
	case env.ContentType == TypeMail:
		digest := sha256.Sum256(env.Original)
		return string(env.Channel) + "/sha256:" + hex.EncodeToString(digest[:]), nil
	}
	return string(env.Channel) + "/" + id, nil
}

// MaxDedupBytes bounds Nats-Msg-Id: a channel, a slash and the longest id fit.
const MaxDedupBytes = escrow.MaxIDBytes + escrow.MaxTokenBytes + 64

// once is the deduplication tag: who holds the tenant's secret can recompute it from channel and id, nobody else can link it to either.
func (e *Entrance) once(env Envelope) [16]byte {
	return e.onceMACs.tag(e.OnceKey, string(env.Channel), env.ID)
}

// ChannelTag is the pseudonym of a channel in log entries and leaves.
func ChannelTag(key [32]byte, c escrow.Channel) [16]byte { return new(macs).tag(key, string(c)) }

// macs keeps HMAC states of one key, because to begin with the key costs more than a tag does.
type macs struct{ idle sync.Pool }

func (m *macs) tag(key [32]byte, parts ...string) [16]byte {
	mac, ok := m.idle.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, key[:])
	}
	for _, p := range parts {
		mac.Write([]byte(p))
		mac.Write([]byte{0})
	}
	var sum [sha256.Size]byte
	out := [16]byte(mac.Sum(sum[:0]))
	mac.Reset()
	m.idle.Put(mac)
	return out
}

// fingerprint compares two publishes with one id that are both still on their way. It never leaves memory.
func fingerprint(env Envelope) [32]byte {
	h := sha256.New()
	h.Write([]byte(env.ContentType))
	h.Write([]byte{0})
	h.Write(env.Original)
	return [32]byte(h.Sum(nil))
}

// same returns nil if record seq holds what env brings again.
func (e *Entrance) same(seq escrow.Seq, env Envelope) error {
	rec, err := e.Ledger.Read(seq)
	if err != nil {
		return err
	}
	opener := *e.Opener
	opener.Guard = nil // nobody reads it here, and what a hold alone keeps is erased to the publisher
	old, err := opener.Open(rec)
	switch {
	case escrow.KindOf(err) == escrow.Erased:
		return escrow.Errorf("ingest.Admit", escrow.Erased, "this id was archived and has been erased since; it is not taken again")
	case err != nil:
		return err
	case old.Envelope.ContentType != env.ContentType || !old.From(env.Original):
		return escrow.Errorf("ingest.Admit", escrow.Conflict,
			`this id is archived in this channel with other content; publish a change as type "edit" with refers_to, or under an id of its own`)
	}
	return nil
}
