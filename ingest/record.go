package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/directory"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/retention"
)

// Policy says whose erasure kills the body of a message (architecture, section 5).
type Policy string

// The policies. PolicyPrincipal is the default.
const (
	PolicyPrincipal Policy = "principal" // the customers; where there are none, the author
	PolicyAllOf     Policy = "all-of"    // any participant
	PolicyAnyOf     Policy = "any-of"    // the last of the participants
)

// policyVersion numbers the meaning of the policy names; it is bound into every facet.
const policyVersion = 1

// ChannelRule is what the controller fixed for a channel. The zero value means PolicyPrincipal and the default class.
type ChannelRule struct {
	Policy Policy `json:"policy,omitempty"`
	Class  string `json:"class,omitempty"` // retention class; "" lets the message choose
}

// Keys derives key shares, and names the one a leaf has: trees have generations, and which of them a leaf belongs to is the key state's to know.
// *keystate.State is one.
type Keys interface {
	seal.Keys
	Ref(kind keytree.Kind, leaf uint32) keytree.Ref
}

// Recorder turns envelopes into sealed records. It is safe for concurrent use.
type Recorder struct {
	Tenant    escrow.Tenant
	Region    string
	Keys      Keys
	Directory *directory.Directory
	Sealer    *seal.Sealer
	Schedule  retention.Schedule
	Channels  map[escrow.Channel]ChannelRule
	Rand      io.Reader // safe for concurrent use
}

// Origin is where a record came from: what the ledger remembers of the log.
type Origin struct {
	Log     [16]byte // tag of the NATS stream
	Seq     uint64   // sequence in it
	Entry   [32]byte // digest of the log entry
	Channel [16]byte // tag of the channel
	Counter uint64   // dense counter in the channel
	Once    [16]byte // deduplication tag
}

// bodyHead precedes the template in a body facet.
type bodyHead struct {
	Envelope     Envelope `json:"envelope"`
	Secret       []byte   `json:"secret"` // opens the content commitment
	Cuts         []byte   `json:"cuts"`   // where the pieces of the identity facets belong
	Participants int      `json:"participants"`
	Mentioned    int      `json:"mentioned,omitempty"` // mention facets, one for each person
}

// secretBytes is the length of the secret of a facet from which its salts are derived.
const secretBytes = 32

// Record parses and seals one envelope as the record with number seq.
func (r *Recorder) Record(seq escrow.Seq, env Envelope, from Origin) (archive.Entry, error) {
	m := understand(env)
	rule := r.Channels[env.Channel]
	for range sealAttempts {
		p, err := r.parts(seq, env, m, rule.Policy, r.class(rule, m))
		if err != nil {
			return archive.Entry{}, err
		}
		p.context.Stream = from.Channel
		blob, err := r.Sealer.Seal(r.Keys, p.context, p.facets)
		if escrow.KindOf(err) == escrow.Erased {
			continue // a participant was erased meanwhile; the directory gives who writes now a new number
		}
		if err != nil {
			return archive.Entry{}, err
		}
		return archive.Entry{Header: header(env, from, p), Blob: blob}, nil
	}
	return archive.Entry{}, escrow.Errorf("ingest.Record", escrow.Internal, "the keys of a new record are gone already")
}

// sealAttempts bounds how often a record is begun again because an erasure overtook it.
const sealAttempts = 10

// understand parses an envelope's original. What was accepted once is archived whatever becomes of the parser: where it no longer parses, or where
// erased pieces keep it from parsing, the text stands as it is.
func understand(env Envelope) escrow.Message {
	m, err := Parse(env.ContentType, env.Header, env.Original)
	if err == nil {
		return m
	}
	return escrow.Message{
		Type: escrow.TypeMessage, From: unknownSender(), Text: string(env.Original),
		Defects: []string{"shown as raw text, because it can no longer be parsed"},
	}
}

// class is the retention class of a message: the channel's if it fixes one, else the one asked for, else the default. A class that was taken out of the
// schedule after the message was accepted counts as the default.
func (r *Recorder) class(rule ChannelRule, m escrow.Message) retention.Class {
	for _, name := range []string{rule.Class, m.Retention} {
		if name == "" {
			continue
		}
		if c, err := r.Schedule.Class(name); err == nil {
			return c
		}
	}
	c, err := r.Schedule.Class("")
	if err != nil {
		return retention.DefaultClass()
	}
	return c
}

// parts is a message taken apart for sealing.
type parts struct {
	context seal.Context
	facets  []seal.Facet
	content [32]byte
	fields  int
	kref    [32]byte
}

func (r *Recorder) parts(seq escrow.Seq, env Envelope, m escrow.Message, policy Policy, class retention.Class) (parts, error) {
	if seq > math.MaxUint32 { // the tree of messages ends here; beyond it shares of other messages would be used again
		return parts{}, escrow.Errorf("ingest.Record", escrow.Unavailable, "the key tree of messages is used up after 2³² records; it needs a new generation")
	}
	takePart, about := append([]escrow.Participant{m.From}, m.To...), mentioned(m)
	everybody := append(takePart, about...)
	subjects, err := r.subjects(everybody, env.Channel)
	if err != nil {
		return parts{}, err
	}
	life := []keytree.Ref{
		{Kind: keytree.KindRetention, Tree: class.Number, Leaf: uint32(class.Due(env.Received))},
		r.Keys.Ref(keytree.KindMessage, uint32(seq)),
	}
	secrets, err := r.secrets(1 + len(everybody))
	if err != nil {
		return parts{}, err
	}
	cuts := Split(env.ContentType, env.Original, m)
	template, pieces := Cutout(env.Original, cuts)

	p := parts{context: r.context(seq, env, policy, class)}
	if _, err := io.ReadFull(r.Rand, p.context.Message[:]); err != nil {
		return parts{}, escrow.Errorf("ingest.Record", escrow.Internal, "read randomness: %w", err)
	}
	slots := bodySlots(policy, m, subjects, life)
	body, err := appendHeaded(bodyHead{env, secrets[0], AppendCuts(nil, cuts), len(takePart), len(about)}, template)
	if err != nil {
		return parts{}, err
	}
	p.facets = append(p.facets, seal.Facet{Kind: seal.FacetBody, ContentType: env.ContentType, Plain: body, Slots: slots})
	fields := commitments(env, secrets[0])
	for i, who := range everybody {
		f := identityFacet{who, who.ID.Scoped(env.Channel), secrets[1+i], pieces[uint16(i)]}
		facet := seal.Facet{Kind: seal.FacetIdentity, Index: uint16(i), Plain: f.marshal(), Slots: [][]keytree.Ref{slot(subjects[i:i+1], life)}}
		if i >= len(takePart) {
			facet = seal.Facet{Kind: seal.FacetMention, Index: uint16(i - len(takePart)), Plain: mentionFacet{subjects[i].Leaf, f}.marshal(),
				Slots: mentionSlots(slots, subjects[i])}
		}
		p.facets = append(p.facets, facet)
		fields = append(fields, personField(len(fields), facet.Kind, secrets[1+i], facet.Plain))
	}
	p.content, p.fields = seal.ContentRoot(fields), len(fields)
	p.kref = keyReference(secrets[0], slots)
	return p, nil
}

// subjects returns the shares of people, by number, and gives those who are new one.
func (r *Recorder) subjects(people []escrow.Participant, c escrow.Channel) ([]keytree.Ref, error) {
	refs := make([]keytree.Ref, len(people))
	for i, who := range people {
		leaf, _, err := r.Directory.Assign(who.ID.Scoped(c))
		if err != nil {
			return nil, err
		}
		refs[i] = r.Keys.Ref(keytree.KindSubject, leaf)
	}
	return refs, nil
}

func (r *Recorder) context(seq escrow.Seq, env Envelope, policy Policy, class retention.Class) seal.Context {
	if policy == "" {
		policy = PolicyPrincipal
	}
	return seal.Context{Tenant: string(r.Tenant), Region: r.Region, Seq: seq, Policy: seal.PolicyID{Name: string(policy), Version: policyVersion}, Class: class.Name}
}

// secrets returns n fresh secrets from one read of randomness.
func (r *Recorder) secrets(n int) ([][]byte, error) {
	b := make([]byte, n*secretBytes)
	if _, err := io.ReadFull(r.Rand, b); err != nil {
		return nil, escrow.Errorf("ingest.Record", escrow.Internal, "read randomness: %w", err)
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = b[i*secretBytes : (i+1)*secretBytes : (i+1)*secretBytes]
	}
	return out, nil
}

// slot returns the shares that must all exist: those of the subjects, of the retention day and of the message itself.
func slot(subjects, life []keytree.Ref) []keytree.Ref {
	refs := make([]keytree.Ref, 0, len(subjects)+len(life))
	seen := make(map[keytree.Ref]bool, len(subjects))
	for _, ref := range subjects {
		if !seen[ref] {
			seen[ref] = true
			refs = append(refs, ref)
		}
	}
	return append(refs, life...)
}

// bodySlots returns the alternatives that open the body. subjects[0] is the author, the next ones are those of m.To, in order.
func bodySlots(policy Policy, m escrow.Message, subjects, life []keytree.Ref) [][]keytree.Ref {
	takePart := subjects[:1+len(m.To)]
	switch policy {
	case PolicyAllOf:
		return [][]keytree.Ref{slot(takePart, life)}
	case PolicyAnyOf:
		var slots [][]keytree.Ref
		seen := make(map[keytree.Ref]bool, len(takePart))
		for _, ref := range takePart {
			if !seen[ref] {
				seen[ref] = true
				slots = append(slots, slot([]keytree.Ref{ref}, life))
			}
		}
		return slots
	}
	return [][]keytree.Ref{slot(principals(m, takePart), life)}
}

// principals returns the customers, or the author where there are none.
func principals(m escrow.Message, takePart []keytree.Ref) []keytree.Ref {
	var out []keytree.Ref
	if m.From.Role == escrow.RoleCustomer {
		out = append(out, takePart[0])
	}
	for i, to := range m.To {
		if to.Role == escrow.RoleCustomer {
			out = append(out, takePart[1+i])
		}
	}
	if out == nil {
		out = takePart[:1]
	}
	return out
}

// mentionSlots returns the alternatives that open what is about one person: whatever opens the body, and the share of that person.
func mentionSlots(body [][]keytree.Ref, about keytree.Ref) [][]keytree.Ref {
	slots := make([][]keytree.Ref, len(body))
	for i, refs := range body {
		slots[i] = append(slices.Clone(refs), about) // seal drops it where it is there already
	}
	return slots
}

// commitments are the fields of the body in the hiding content commitment (evidence.md section 2); those of people follow them.
func commitments(env Envelope, secret []byte) []seal.Field {
	digest := sha256.Sum256(env.Original)
	fields := []seal.Field{
		{Name: "original", Value: digest[:]},
		{Name: "content-type", Value: []byte(env.ContentType)},
		{Name: "channel", Value: []byte(env.Channel)},
		{Name: "id", Value: []byte(env.ID)},
		{Name: "received", Value: []byte(env.Received.UTC().Format(time.RFC3339Nano))},
	}
	for i := range fields {
		fields[i].Secret, fields[i].Index = [32]byte(secret), uint32(i)
	}
	return fields
}

// keyReference hides which keys open the body: SHA-256(secret ‖ for each slot its number of shares and their references in ascending order).
func keyReference(secret []byte, slots [][]keytree.Ref) [32]byte {
	b := append([]byte(nil), secret...)
	for _, refs := range slots {
		b = binary.BigEndian.AppendUint16(b, uint16(len(refs)))
		for _, ref := range slices.SortedFunc(slices.Values(refs), keytree.Ref.Compare) {
			b = ref.Append(b)
		}
	}
	return sha256.Sum256(b)
}

func header(env Envelope, from Origin, p parts) archive.Header {
	return archive.Header{
		Kind:    archive.KindMessage,
		Time:    env.Received.UTC(),
		Source:  archive.Source{Tag: from.Log, Seq: from.Seq},
		Entry:   from.Entry,
		Stream:  archive.Stream{Tag: from.Channel, Counter: from.Counter},
		Once:    from.Once,
		Content: archive.Content{Root: p.content, Fields: uint32(p.fields)},
		KRef:    p.kref,
		Class:   p.context.Class,
	}
}
