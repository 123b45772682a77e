package server

import (
	"context"
	"regexp"
	"slices"
	"time"

	"escrow"
	"escrow/index"
	"escrow/retention/disposal"
)

// defaultBasis is the right to erasure without saying which of its grounds.
const defaultBasis = "art17-1"

var (
	basisForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	caseForm  = regexp.MustCompile(`^[A-Za-z0-9._/-]{0,64}$`)
)

// Erase implements API.
func (a *Archive) Erase(ctx context.Context, req EraseRequest) (EraseAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return EraseAnswer{}, err
	}
	if req.Basis == "" {
		req.Basis = defaultBasis
	}
	if !basisForm.MatchString(req.Basis) || !caseForm.MatchString(req.Case) {
		return EraseAnswer{}, escrow.Errorf("server.Erase", escrow.Invalid,
			"the basis is a short code such as %q and the case a reference of letters, digits and ._/- : both stay in the ledger for ever, so neither may hold personal data", defaultBasis)
	}
	// An erasure ordered before that a full disk stopped half-way is completed first: the index waits for it.
	if _, err := t.Disposal.Complete(ctx); err != nil {
		return EraseAnswer{}, err
	}
	if err := t.sealAcknowledged(ctx); err != nil {
		return EraseAnswer{}, err
	}
	// The index finds the messages, so it has to know all of them; an erasure waits as long as that takes.
	if err := t.Indexer.Follow(ctx, t.Ledger.Size()); err != nil {
		return EraseAnswer{}, err
	}
	order, answer, err := t.order(ctx, req)
	if err != nil || req.DryRun {
		return answer, err
	}
	out, err := t.Disposal.Erase(ctx, order)
	if err != nil && out.Seq != 0 {
		return answer, escrow.Errorf("server.Erase", escrow.KindOf(err), "the erasure is ordered by event %d and is not complete; it is tried again by itself, and at the next start: %w", out.Seq, err)
	}
	if err != nil {
		return answer, err
	}
	answer.Executed, answer.Event, answer.Epoch = true, &out.Seq, out.Epoch
	answer.Removed, answer.Redacted, answer.FileKeys = out.Removed, out.Redacted, out.Files
	answer.Remaining = []string{
		"sealed copies in the message log can be opened by the operator until their ingest-day key is destroyed",
		"older backups of the key state, if any were made, still open what was erased",
	}
	return answer, nil
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

// reached reports whether every counter of want is in have.
func reached(have, want map[[16]byte]uint64) bool {
	for tag, counter := range want {
		if have[tag] < counter {
			return false
		}
	}
	return true
}

// order resolves what a request names, and counts what it destroys.
func (t *Tenant) order(ctx context.Context, req EraseRequest) (disposal.Order, EraseAnswer, error) {
	o := disposal.Order{Basis: req.Basis, Case: req.Case}
	var err error
	switch {
	case len(req.Person) > 0 && req.Conversation == "" && req.Message == nil:
		o.Scope = "person"
		return t.orderPerson(ctx, req, o)
	case len(req.Person) == 0 && req.Conversation != "" && req.Channel == "" && req.Message == nil:
		err = escrow.Errorf("server.Erase", escrow.Invalid, "a conversation belongs to a channel; name it with --channel")
	case len(req.Person) == 0 && req.Conversation != "" && req.Message == nil:
		o.Scope = "conversation"
		o.Messages, err = t.Index.ConversationSeqs(ctx, req.Channel, req.Conversation)
		if err == nil && len(o.Messages) == 0 {
			err = escrow.Errorf("server.Erase", escrow.NotFound, "no message that is still readable belongs to this conversation")
		}
	case len(req.Person) == 0 && req.Conversation == "" && req.Message != nil:
		o.Scope = "message"
		o.Messages, err = t.orderMessage(*req.Message)
	default:
		err = escrow.Errorf("server.Erase", escrow.Invalid, "name exactly one of a person, a conversation and a message")
	}
	return o, EraseAnswer{Scope: o.Scope, Dies: uint64(len(o.Messages))}, err
}

func (t *Tenant) orderMessage(seq escrow.Seq) ([]escrow.Seq, error) {
	rec, err := t.read(seq)
	if err != nil {
		return nil, err
	}
	alive, err := t.Opener.Alive(rec)
	if err == nil && !alive {
		err = escrow.Errorf("server.Erase", escrow.Erased, "message %d has been erased already", seq)
	}
	return []escrow.Seq{seq}, err
}

func (t *Tenant) orderPerson(ctx context.Context, req EraseRequest, o disposal.Order) (disposal.Order, EraseAnswer, error) {
	answer := EraseAnswer{Scope: o.Scope}
	if len(req.Person) > MaxIdentities {
		return o, answer, escrow.Errorf("server.Erase", escrow.Invalid, "a person may be named by at most %d identities", MaxIdentities)
	}
	var seqs []escrow.Seq
	for _, id := range req.Person {
		leaf, err := t.subject(id, req.Channel)
		if err != nil {
			return o, answer, err
		}
		if slices.Contains(o.Subjects, leaf) {
			continue
		}
		o.Subjects = append(o.Subjects, leaf)
		of, err := t.Index.SubjectSeqs(ctx, leaf)
		if err != nil {
			return o, answer, err
		}
		seqs = append(seqs, of...)
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	if !req.DryRun {
		seqs = seqs[:min(len(seqs), eraseCount)]
	}
	return o, answer, t.count(&answer, seqs, o.Subjects)
}

// MaxIdentities bounds the identities of one person in a request.
const MaxIdentities = 1000

// eraseCount bounds the counting before an erasure that is carried out, so that the time to unreadable does not depend on how much a person wrote. A dry
// run counts everything.
const eraseCount = 100_000

// count says of each message whether it dies with the subjects or only loses an identity.
func (t *Tenant) count(answer *EraseAnswer, seqs []escrow.Seq, subjects []uint32) error {
	for _, seq := range seqs {
		rec, err := t.Ledger.Read(seq)
		if err != nil {
			return err
		}
		dies, err := t.Opener.DiesWith(rec, subjects)
		if err != nil {
			return err
		}
		if dies {
			answer.Dies++
			own, err := t.Opener.WrittenBy(rec, subjects)
			if err != nil {
				return err
			}
			if !own {
				answer.DiesOfOthers++
			}
		} else {
			answer.Loses++
		}
	}
	return nil
}

// MaxPage is the largest page of search results.
const MaxPage = index.MaxPage
