package server

import (
	"context"
	"iter"
	"regexp"
	"slices"
	"time"

	"escrow"
	"escrow/events"
	"escrow/index"
)

// defaultBasis is the right to erasure without saying which of its grounds.
const defaultBasis = "art17-1"

var (
	basisForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	caseForm  = regexp.MustCompile(`^[A-Za-z0-9._/-]{0,64}$`)
)

// checkReferences says whether basis and case can stay in the ledger for ever.
func checkReferences(basis, reference string) error {
	if basisForm.MatchString(basis) && caseForm.MatchString(reference) {
		return nil
	}
	return escrow.Errorf("server.Act", escrow.Invalid,
		"the basis is a short code such as %q and the case a reference of letters, digits and ._/- : both stay in the ledger for ever, so neither may hold personal data", defaultBasis)
}

// resolved is what a target comes to in the archive.
type resolved struct {
	scope    string
	subjects []uint32     // ascending
	messages []escrow.Seq // ascending
}

// request is the request for it, without basis and preview.
func (r resolved) request() events.ErasureRequested {
	return events.ErasureRequested{Scope: r.scope, Subjects: r.subjects, Messages: events.Ranges(r.messages)}
}

// Preview implements API.
func (a *Archive) Preview(ctx context.Context, req PreviewRequest) (PreviewAnswer, error) {
	t, err := a.living(req.Tenant)
	if err != nil {
		return PreviewAnswer{}, err
	}
	found, err := t.resolve(ctx, req.Target)
	if err != nil {
		return PreviewAnswer{}, err
	}
	counts, err := t.preview(ctx, found.request())
	return PreviewAnswer{Scope: found.scope, Preview: counts}, err
}

// preview counts what a request would do now.
func (t *Tenant) preview(ctx context.Context, f events.ErasureRequested) (events.Counts, error) {
	seqs, err := t.concerned(ctx, f)
	if err != nil {
		return events.Counts{}, err
	}
	return t.Disposal.Preview(ctx, f, seqs)
}

// concerned lists the messages a request concerns, each once.
func (t *Tenant) concerned(ctx context.Context, f events.ErasureRequested) (iter.Seq[escrow.Seq], error) {
	switch f.Scope {
	case events.ScopePerson:
		var seqs []escrow.Seq
		for _, leaf := range f.Subjects {
			of, err := t.whole(ctx, func() ([]escrow.Seq, error) { return t.Index.SubjectSeqs(ctx, leaf) })
			if err != nil {
				return nil, err
			}
			seqs = append(seqs, of...)
		}
		slices.Sort(seqs)
		return slices.Values(slices.Compact(seqs)), nil
	case events.ScopeTenant:
		size := escrow.Seq(t.Ledger.Size())
		return func(yield func(escrow.Seq) bool) {
			for seq := escrow.Seq(0); seq < size && yield(seq); seq++ {
			}
		}, nil
	}
	return events.Seqs(f.Messages), nil
}

// sealPatience is how long an erasure waits for messages that were acknowledged before it.
const sealPatience = 30 * time.Second

// sealAcknowledged waits until the ledger has every message that was acknowledged before the call. One that came later from the log would be sealed for the
// number a person gets who returns, and bring back somebody who was just erased.
func (t *Tenant) sealAcknowledged(ctx context.Context) error {
	if t.Acknowledged == nil || t.Waiting == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sealPatience)
	defer cancel()
	acknowledged := t.Acknowledged()
	for {
		size := t.Ledger.Size()
		if reached(t.Ledger.Streams(), acknowledged) {
			return nil
		}
		waiting, err := t.Waiting(ctx)
		if err == nil && waiting == 0 { // what is missing was lost, as verify says; it will not come
			return nil
		}
		if err == nil {
			err = t.Ledger.Wait(ctx, size+1)
		}
		if err != nil {
			return escrow.Errorf("server.Erase", escrow.Unavailable, "messages acknowledged before are not sealed yet, and an erasure must not overlook them; escrow status says why, then try again: %w", err)
		}
	}
}

// sealedPatience is how long the pipeline waits for the same, before it looks again later: others wait for it meanwhile.
const sealedPatience = 5 * time.Second

// Sealed reports whether everything that was acknowledged before the call is in the ledger, and waits a little for it.
func (t *Tenant) Sealed(ctx context.Context) (bool, error) {
	within, cancel := context.WithTimeout(ctx, sealedPatience)
	defer cancel()
	err := t.sealAcknowledged(within)
	if err != nil && escrow.KindOf(err) == escrow.Unavailable && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// reached reports whether every counter of want is in have.
func reached(have, want map[[16]byte]uint64) bool {
	for tag, counter := range want {
		if have[tag] < counter {
			return false
		}
	}
	return true
}

// resolve finds what a target names. The index finds the messages, so it has to know all of them first; an erasure waits as long as that takes.
func (t *Tenant) resolve(ctx context.Context, target Target) (resolved, error) {
	if err := t.sealAcknowledged(ctx); err != nil {
		return resolved{}, err
	}
	if err := t.Indexer.Follow(ctx, t.Ledger.Size()); err != nil {
		return resolved{}, err
	}
	switch named := target.named(); {
	case len(named) != 1:
		return resolved{}, escrow.Errorf("server.Erase", escrow.Invalid, "name exactly one of a person, a conversation, a message and everything")
	case named[0] == events.ScopePerson:
		return t.resolvePerson(target)
	case named[0] == events.ScopeConversation:
		return t.resolveConversation(ctx, target)
	case named[0] == events.ScopeMessage:
		return t.resolveMessage(*target.Message)
	}
	return resolved{scope: events.ScopeTenant}, nil
}

// whole asks an index that knows every record there is now: what it leaves out would not be erased, or not be held. Where the index was emptied meanwhile, to
// be built anew, it asks again.
func (t *Tenant) whole(ctx context.Context, ask func() ([]escrow.Seq, error)) ([]escrow.Seq, error) {
	size := t.Ledger.Size()
	for {
		if err := t.Indexer.Follow(ctx, size); err != nil {
			return nil, err
		}
		seqs, err := ask()
		if t.Index.Position() >= size {
			return seqs, err
		}
	}
}

// named lists the scopes a target names.
func (t Target) named() (scopes []string) {
	if len(t.Person) > 0 {
		scopes = append(scopes, events.ScopePerson)
	}
	if t.Conversation != "" {
		scopes = append(scopes, events.ScopeConversation)
	}
	if t.Message != nil {
		scopes = append(scopes, events.ScopeMessage)
	}
	if t.Everything {
		scopes = append(scopes, events.ScopeTenant)
	}
	return scopes
}

// MaxIdentities bounds the identities of one person in a request.
const MaxIdentities = 1000

func (t *Tenant) resolvePerson(target Target) (resolved, error) {
	r := resolved{scope: events.ScopePerson}
	if len(target.Person) > MaxIdentities {
		return r, escrow.Errorf("server.Erase", escrow.Invalid, "a person may be named by at most %d identities", MaxIdentities)
	}
	for _, id := range target.Person {
		leaf, err := t.subject(id, target.Channel)
		if err != nil {
			return r, err
		}
		r.subjects = append(r.subjects, leaf)
	}
	slices.Sort(r.subjects)
	r.subjects = slices.Compact(r.subjects)
	return r, nil
}

func (t *Tenant) resolveConversation(ctx context.Context, target Target) (resolved, error) {
	r := resolved{scope: events.ScopeConversation}
	if target.Channel == "" {
		return r, escrow.Errorf("server.Erase", escrow.Invalid, "a conversation belongs to a channel; name it with --channel")
	}
	var err error
	r.messages, err = t.whole(ctx, func() ([]escrow.Seq, error) {
		return t.Index.ConversationSeqs(ctx, target.Channel, target.Conversation)
	})
	if err == nil && len(r.messages) == 0 {
		err = escrow.Errorf("server.Erase", escrow.NotFound, "no message that is still readable belongs to this conversation")
	}
	slices.Sort(r.messages)
	return r, err
}

func (t *Tenant) resolveMessage(seq escrow.Seq) (resolved, error) {
	r := resolved{scope: events.ScopeMessage, messages: []escrow.Seq{seq}}
	rec, err := t.read(seq)
	if err != nil {
		return r, err
	}
	alive, err := t.Opener.Alive(rec)
	if err == nil && !alive {
		err = escrow.Errorf("server.Erase", escrow.Erased, "message %d has been erased already", seq)
	}
	return r, err
}

// MaxPage is the largest page of search results.
const MaxPage = index.MaxPage
