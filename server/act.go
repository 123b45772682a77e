package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/officers"
	"escrow/index"
	"escrow/retention/disposal"
)

// Draft implements API: it writes an act down for an officer to sign, and records nothing.
func (a *Archive) Draft(ctx context.Context, order ActOrder) (ActDraft, error) {
	t, err := a.living(order.Tenant)
	if err != nil {
		return ActDraft{}, err
	}
	draft := ActDraft{Order: order}
	act, err := t.write(ctx, order, &draft, a.Now())
	if err != nil {
		return ActDraft{}, err
	}
	draft.Text = officers.Draft(t.Origin, act, a.Now())
	draft.Fact, err = json.Marshal(act)
	if err != nil || draft.Text == "" {
		return ActDraft{}, escrow.Errorf("server.Draft", escrow.Internal, "write the act down: %w", err)
	}
	return draft, nil
}

// Check says whether the text to sign is about the fact shown: whoever signs looks at the fact.
func (d ActDraft) Check() error {
	act, err := readAct(d.Order.Act, d.Fact)
	if err != nil {
		return err
	}
	digest, err := officers.Digest(act)
	if err != nil {
		return err
	}
	if !strings.Contains(d.Text, "\nfact sha256:"+digest+"\n") {
		return escrow.Errorf("server.Check", escrow.Forged, "the text to be signed is about something else than what was shown; nothing was signed")
	}
	return nil
}

// Submit implements API. Nothing in it is believed: the act is derived from the order again and must come out as it was signed, and the pipeline checks
// signature, rights and state before it records it. What was approved is restricted when it returns.
func (a *Archive) Submit(ctx context.Context, signed SignedAct) (ActAnswer, error) {
	t, err := a.living(signed.Order.Tenant)
	if err != nil {
		return ActAnswer{}, err
	}
	act, err := readAct(signed.Order.Act, signed.Fact)
	if err != nil {
		return ActAnswer{}, err
	}
	if officer, _ := act.By(); officer != signed.Order.Officer {
		return ActAnswer{}, escrow.Errorf("server.Submit", escrow.Invalid, "the act names %q as the officer, the order %q", officer, signed.Order.Officer)
	}
	act = act.SignedBy(signed.Order.Officer, signed.Statement)
	now := a.Now()
	if err := t.Disposal.Roster().Check(t.Origin, act, now); err != nil { // before anything is looked for on behalf of somebody unknown
		return ActAnswer{}, err
	}
	again, err := t.write(ctx, signed.Order, nil, now)
	if err != nil {
		return ActAnswer{}, err
	}
	if err := same(act, again); err != nil {
		return ActAnswer{}, err
	}
	answer := ActAnswer{Act: signed.Order.Act}
	describeAct(act, &answer)
	answer.Event, err = t.Disposal.Record(ctx, act)
	return answer, err
}

// readAct reads the fact of an act, strictly.
func readAct(kind Act, fact json.RawMessage) (events.Act, error) {
	switch kind {
	case ActAddOfficer:
		return strict[events.OfficerAdded](fact)
	case ActRemoveOfficer:
		return strict[events.OfficerRemoved](fact)
	case ActRequest:
		return strict[events.ErasureRequested](fact)
	case ActApprove:
		return strict[events.ErasureApproved](fact)
	case ActWithdraw:
		return strict[events.ErasureWithdrawn](fact)
	case ActPlaceHold:
		return strict[events.HoldPlaced](fact)
	case ActReleaseHold:
		return strict[events.HoldReleased](fact)
	}
	return nil, escrow.Errorf("server.Act", escrow.Invalid, "there is no act %q", kind)
}

func strict[T events.Act](fact json.RawMessage) (events.Act, error) {
	var f T
	d := json.NewDecoder(bytes.NewReader(fact))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, escrow.Errorf("server.Act", escrow.Invalid, "read the act: %w", err)
	}
	return f, nil
}

// maxDrift is how far the end of the cooling-off time may lie from where it would be if the act were drafted now: the time an officer has to sign.
const maxDrift = officers.MaxSkew

// same reports whether an act that was signed is what the order still comes to. Counts may have moved: they say what the officer was shown.
func same(signed, again events.Act) error {
	switch f := signed.(type) {
	case events.ErasureRequested:
		g, _ := again.(events.ErasureRequested)
		g.Preview = f.Preview
		again = g
	case events.ErasureApproved:
		g, _ := again.(events.ErasureApproved)
		if f.Until.Before(g.Until.Add(-maxDrift)) || f.Until.After(g.Until.Add(maxDrift)) {
			return escrow.Errorf("server.Submit", escrow.Conflict, "the end of the cooling-off time is not the one that is configured; approve again")
		}
		g.Until = f.Until
		again = g
	}
	officer, statement := signed.By()
	if !reflect.DeepEqual(signed, events.Fact(again.SignedBy(officer, statement))) {
		return escrow.Errorf("server.Submit", escrow.Conflict, "the archive has changed since this was drafted, and the order would come to something else now; draft it again, look at it, and sign that")
	}
	return nil
}

func describeAct(act events.Act, answer *ActAnswer) {
	switch f := act.(type) {
	case events.ErasureApproved:
		answer.Until = &f.Until
	case events.HoldPlaced:
		answer.Hold, answer.Messages = &f.Hold, count(f.Messages)
	case events.HoldReleased:
		answer.Hold = &f.Hold
	}
}

func count(ranges []events.SeqRange) (n uint64) {
	for _, r := range ranges {
		n += uint64(r.To-r.From) + 1
	}
	return n
}

// write turns an order into the act it comes to now, with the officer but without a statement. It fills in what an officer is shown, unless draft is nil:
// counting takes long.
func (t *Tenant) write(ctx context.Context, order ActOrder, draft *ActDraft, now time.Time) (act events.Act, err error) {
	switch order.Act {
	case ActAddOfficer:
		act = events.OfficerAdded{Officer: order.Name, Key: order.Key}
	case ActRemoveOfficer:
		act = events.OfficerRemoved{Officer: order.Name}
	case ActRequest:
		act, err = t.writeRequest(ctx, order, draft)
	case ActApprove:
		act, err = t.writeApproval(ctx, order, draft)
	case ActWithdraw:
		act, err = t.writeWithdrawal(order)
	case ActPlaceHold:
		act, err = t.writeHold(ctx, order, draft, now)
	case ActReleaseHold:
		act, err = t.writeRelease(order)
	default:
		err = escrow.Errorf("server.Act", escrow.Invalid, "there is no act %q", order.Act)
	}
	if err != nil {
		return nil, err
	}
	return act.SignedBy(order.Officer, ""), nil
}

func (t *Tenant) writeRequest(ctx context.Context, order ActOrder, draft *ActDraft) (events.Act, error) {
	if order.Target == nil {
		return nil, escrow.Errorf("server.Act", escrow.Invalid, "say what to erase: a person, a conversation, a message or everything")
	}
	if order.Basis == "" {
		order.Basis = defaultBasis
	}
	if err := checkReferences(order.Basis, order.Case); err != nil {
		return nil, err
	}
	found, err := t.resolve(ctx, *order.Target)
	if err != nil {
		return nil, err
	}
	f := found.request()
	f.Basis, f.Case = order.Basis, order.Case
	if draft != nil {
		f.Preview, err = t.preview(ctx, f)
		draft.Scope, draft.Preview = f.Scope, &f.Preview
	}
	return f, err
}

// request returns an erasure that was requested, and its record.
func (t *Tenant) request(order ActOrder) (events.ErasureRequested, archive.Record, error) {
	if order.Request == nil {
		return events.ErasureRequested{}, archive.Record{}, escrow.Errorf("server.Act", escrow.Invalid, "say which request is meant")
	}
	rec, err := t.read(*order.Request)
	if err != nil {
		return events.ErasureRequested{}, rec, err
	}
	none := escrow.Errorf("server.Act", escrow.NotFound, "record %d is no request for an erasure; escrow erase status lists them", *order.Request)
	if rec.Header.Kind != archive.KindRequest {
		return events.ErasureRequested{}, rec, none
	}
	e, err := chronicle.Read(rec)
	if err != nil {
		return events.ErasureRequested{}, rec, err
	}
	f, ok := e.Fact.(events.ErasureRequested)
	if !ok {
		return events.ErasureRequested{}, rec, none
	}
	return f, rec, nil
}

func (t *Tenant) writeApproval(ctx context.Context, order ActOrder, draft *ActDraft) (events.Act, error) {
	f, rec, err := t.request(order)
	if err != nil {
		return nil, err
	}
	if err := t.Disposal.Roster().MayApprove(f, order.Officer); err != nil {
		return nil, err
	}
	c, err := t.open(*order.Request)
	if err == nil && c.Approved != nil {
		err = escrow.Errorf("server.Act", escrow.Conflict, "request %d is approved already, by record %d", *order.Request, c.Approved.Seq)
	}
	if err != nil {
		return nil, err
	}
	leaf, until := rec.Header.LeafHash(), t.Disposal.Until()
	if draft != nil {
		counts, err := t.preview(ctx, f)
		if err != nil {
			return nil, err
		}
		draft.Scope, draft.Preview, draft.Asked, draft.Until = f.Scope, &counts, &f.Preview, &until
	}
	return events.ErasureApproved{Request: *order.Request, Leaf: hex.EncodeToString(leaf[:]), Until: until}, nil
}

func (t *Tenant) writeWithdrawal(order ActOrder) (events.Act, error) {
	if _, _, err := t.request(order); err != nil {
		return nil, err
	}
	_, err := t.open(*order.Request)
	return events.ErasureWithdrawn{Request: *order.Request}, err
}

// open returns a case in which officers can still act.
func (t *Tenant) open(request escrow.Seq) (disposal.Case, error) {
	c, err := t.Disposal.Case(request)
	switch {
	case err != nil:
	case c.Withdrawn != nil:
		err = escrow.Errorf("server.Act", escrow.Conflict, "request %d was withdrawn by record %d", request, c.Withdrawn.Seq)
	case c.Executed != nil:
		err = escrow.Errorf("server.Act", escrow.Conflict, "request %d is carried out since record %d; it is too late for that", request, c.Executed.Seq)
	}
	return c, err
}

func (t *Tenant) writeHold(ctx context.Context, order ActOrder, draft *ActDraft, now time.Time) (events.Act, error) {
	if order.Matter == "" || !caseForm.MatchString(order.Matter) {
		return nil, escrow.Errorf("server.Act", escrow.Invalid, "the matter is a reference of letters, digits and ._/- : it stays in the ledger for ever, so it must not hold personal data")
	}
	seqs := order.Messages
	if (order.Query == "") == (len(seqs) == 0) {
		return nil, escrow.Errorf("server.Act", escrow.Invalid, "say which messages to hold: a query or their ids, one of the two")
	}
	if order.Query != "" {
		q, err := index.Parse(order.Query, now)
		if err != nil {
			return nil, err
		}
		if seqs, err = t.everyHit(ctx, q); err != nil {
			return nil, err
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	for _, seq := range seqs {
		if err := t.holdable(seq); err != nil {
			return nil, err
		}
	}
	if draft != nil {
		draft.Messages = uint64(len(seqs))
	}
	return events.HoldPlaced{Hold: t.Disposal.NextHold(), Matter: order.Matter, Messages: events.Ranges(seqs)}, nil
}

// everyHit returns all that match, in an index that knows everything acknowledged.
func (t *Tenant) everyHit(ctx context.Context, q *index.Query) ([]escrow.Seq, error) {
	if err := t.sealAcknowledged(ctx); err != nil {
		return nil, err
	}
	seqs, err := t.whole(ctx, func() ([]escrow.Seq, error) { return t.Index.Matches(ctx, q) })
	if err == nil && len(seqs) == 0 {
		err = escrow.Errorf("server.Act", escrow.NotFound, "the query finds no message, so there is nothing to hold")
	}
	return seqs, err
}

// holdable says whether a message can be held: it is one, and still readable.
func (t *Tenant) holdable(seq escrow.Seq) error {
	rec, err := t.read(seq)
	if err != nil {
		return err
	}
	alive, err := t.Opener.Alive(rec)
	if err == nil && !alive {
		err = escrow.Errorf("server.Act", escrow.Erased, "message %d was erased; a hold comes too late for it", seq)
	}
	return err
}

func (t *Tenant) writeRelease(order ActOrder) (events.Act, error) {
	if order.Hold == nil {
		return nil, escrow.Errorf("server.Act", escrow.Invalid, "say which hold is meant")
	}
	return events.HoldReleased{Hold: *order.Hold}, nil
}
