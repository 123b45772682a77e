package server

import (
	"context"
	"slices"

	"escrow"
	"escrow/ingest"
)

const (
	// subjectSample is how many of a person's messages are opened to list identities, names and channels; counting needs none of them opened.
	subjectSample = 2000
	// subjectRecent is how many records are listed.
	subjectRecent = 20
)

// Subject implements API.
func (a *Archive) Subject(ctx context.Context, req SubjectRequest) (SubjectAnswer, error) {
	t, err := a.living(req.Tenant)
	if err != nil {
		return SubjectAnswer{}, err
	}
	leaf, err := t.subject(req.Identity, req.Channel)
	if err == nil && slices.Contains(t.Disposal.RestrictedSubjects(), leaf) {
		err = escrow.Errorf("server.Subject", escrow.Denied, "the erasure of this person is approved; nothing about the person is shown any more")
	}
	if err != nil {
		return SubjectAnswer{}, err
	}
	complete, err := t.catchUp(ctx, indexPatience)
	if err != nil {
		return SubjectAnswer{}, err
	}
	seqs, err := t.Index.SubjectSeqs(ctx, leaf)
	if err != nil {
		return SubjectAnswer{}, err
	}
	seqs = slices.DeleteFunc(seqs, t.Disposal.RestrictedMessages)
	slices.Sort(seqs)
	slices.Reverse(seqs)
	answer := SubjectAnswer{Subject: leaf, Messages: uint64(len(seqs)), Channels: map[string]uint64{}, Complete: complete, Recent: seqs[:min(len(seqs), subjectRecent)]}
	for _, seq := range seqs[:min(len(seqs), subjectSample)] {
		if err := t.describe(&answer, seq, leaf); err != nil {
			return SubjectAnswer{}, err
		}
	}
	return answer, nil
}

// subject resolves an identity to the number of its subject.
func (t *Tenant) subject(id escrow.Identity, c escrow.Channel) (uint32, error) {
	if err := id.Check(); err != nil {
		return 0, err
	}
	if id.Scheme() == "user" && c == "" {
		return 0, escrow.Errorf("server.Subject", escrow.Invalid, `a "user:" identity belongs to a channel; name it with --channel`)
	}
	leaf, ok := t.Directory.Lookup(id.Scoped(c))
	if !ok {
		return 0, escrow.Errorf("server.Subject", escrow.NotFound, "nobody is known under this identity; the person was never archived or has been erased")
	}
	return leaf, nil
}

// describe adds one message to what is said about a subject.
func (t *Tenant) describe(answer *SubjectAnswer, seq escrow.Seq, leaf uint32) error {
	rec, err := t.Ledger.Read(seq)
	if err != nil {
		return err
	}
	o, err := t.Opener.Open(rec)
	if kind := escrow.KindOf(err); err != nil && (kind == escrow.Erased || kind == escrow.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	answer.Channels[string(o.Envelope.Channel)]++
	received := rec.Header.Time
	if answer.Last == nil {
		answer.Last = &received
	}
	answer.First = &received
	if t.is(o.Message.From, leaf, o) {
		answer.Authored++
	}
	for _, p := range o.People() {
		if !t.is(p, leaf, o) {
			continue
		}
		if id := p.ID.Normalise(); !slices.Contains(answer.Identities, id) {
			answer.Identities = append(answer.Identities, id)
		}
		if p.Name != "" && !slices.Contains(answer.Names, p.Name) {
			answer.Names = append(answer.Names, p.Name)
		}
	}
	return nil
}

func (t *Tenant) is(p escrow.Participant, leaf uint32, o ingest.Opened) bool {
	l, ok := t.Directory.Lookup(p.ID.Scoped(o.Envelope.Channel))
	return ok && l == leaf
}
