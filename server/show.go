package server

import (
	"context"
	"encoding/json"
	"slices"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/ingest"
)

// Show implements API.
func (a *Archive) Show(ctx context.Context, req ShowRequest) (ShowAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return ShowAnswer{}, err
	}
	rec, err := t.read(req.ID)
	if err != nil {
		return ShowAnswer{}, err
	}
	answer := ShowAnswer{ID: rec.Seq, Kind: string(rec.Header.Kind), State: "present", Archived: rec.Header.Time, Leaf: string(rec.Header.AppendLeaf(nil))}
	if rec.Header.Kind != archive.KindMessage {
		return answer, showEvent(rec, &answer)
	}
	o, err := t.Opener.Open(rec)
	switch {
	case err == nil:
	case escrow.KindOf(err) == escrow.Erased || t.Keys.Terminated():
		answer.State = "erased"
		answer.ErasedBy, err = t.erasedBy(ctx, rec)
		return answer, err
	case escrow.KindOf(err) == escrow.Denied:
		answer.State = "restricted"
		return answer, nil
	default:
		return ShowAnswer{}, err
	}
	if class, err := t.Schedule.Class(rec.Header.Class); err == nil {
		answer.KeptTo = class.Due(o.Envelope.Received).String()
	}
	answer.Defects, answer.Gone, answer.Withheld = o.Message.Defects, o.Erased+o.Cut-o.Withheld, o.Withheld
	answer.Message = shown(o, req.Original)
	return answer, nil
}

func showEvent(rec archive.Record, answer *ShowAnswer) error {
	e, err := chronicle.Read(rec)
	if err != nil {
		return err
	}
	if f, ok := e.Fact.(events.LogIncident); ok {
		f.Quarantined = nil // still sealed, and long
		e.Fact = f
	}
	b, err := events.Marshal(e)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, &answer.Event)
}

func shown(o ingest.Opened, original bool) *ShownMessage {
	m := o.Message
	s := &ShownMessage{
		MessageID: m.ID, Type: string(m.Type), RefersTo: m.RefersTo, Conversation: m.Conversation, Channel: o.Envelope.Channel,
		Publisher: o.Envelope.Publisher, ContentType: o.Envelope.ContentType, Sent: optional(m.SentAt), Received: o.Envelope.Received,
		From: m.From, To: m.To, Title: printable(m.Title), Text: printable(m.Text), Tags: m.Tags, Metadata: m.Metadata,
	}
	for _, a := range m.Attachments {
		s.Attachments = append(s.Attachments, ShownAttachment{a.Name, a.MediaType, len(a.Data), a.Transcript})
	}
	if original {
		s.Original = o.Envelope.Original
	}
	return s
}

// erasedBy finds the event with which the last way to open a record was gone, nil if none ordered it.
func (t *Tenant) erasedBy(ctx context.Context, rec archive.Record) (*escrow.Seq, error) {
	slots, err := t.Opener.BodySlots(rec)
	if err != nil {
		return nil, err
	}
	var found *escrow.Seq
	err = t.Ledger.ScanEvents(ctx, 0, func(event archive.Record) error {
		if event.Header.Kind != archive.KindErase {
			return nil
		}
		e, err := chronicle.Read(event)
		if err != nil {
			return err
		}
		if f, ok := e.Fact.(events.ErasureExecuted); ok {
			var o orders
			o.add(f)
			slots = slices.DeleteFunc(slots, func(refs []keytree.Ref) bool { return slices.ContainsFunc(refs, o.cover) })
		}
		if len(slots) > 0 {
			return nil
		}
		found = &event.Seq
		return archive.ErrStop
	})
	return found, err
}

// Proof implements API.
func (a *Archive) Proof(_ context.Context, req ProofRequest) (ProofAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return ProofAnswer{}, err
	}
	rec, err := t.read(req.ID)
	if err != nil {
		return ProofAnswer{}, err
	}
	proof, err := t.Ledger.InclusionProof(rec.Seq)
	if err != nil {
		return ProofAnswer{}, err
	}
	return ProofAnswer{ID: rec.Seq, Leaf: string(rec.Header.AppendLeaf(nil)), Proof: string(proof), Key: t.Signer.VKey()}, nil
}
