package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"runtime"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/ingest"

	"golang.org/x/sync/errgroup"
)

// maxFindings is how many findings a report lists; the others are counted.
const maxFindings = 1000

// Verify implements API. It checks every frame, leaf, root and signature of the ledger, and then that every message is either present, matching its
// leaf's commitments, or lawfully erased.
func (a *Archive) Verify(ctx context.Context, req VerifyRequest) (VerifyAnswer, error) {
	start := a.Now()
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return VerifyAnswer{}, err
	}
	size, root := t.Ledger.Root() // what arrives while this works may be looked at as well, but is not reported on
	report, err := t.Ledger.Verify(ctx, archive.VerifyOptions{})
	if err != nil {
		return VerifyAnswer{}, err
	}
	answer := VerifyAnswer{Size: size, Root: hex.EncodeToString(root[:]), Checkpoint: string(t.Ledger.Checkpoint()), Bytes: report.Bytes, Findings: []Finding{}}
	for _, f := range report.Findings {
		answer.find(f.Place.String(), f.Kind.String(), f.Text)
	}
	answer.More += int(report.Count) - len(report.Findings)
	v := audit{tenant: t, answer: &answer}
	if err := v.run(ctx); err != nil {
		return VerifyAnswer{}, err
	}
	if err := t.missing(ctx, &answer); err != nil {
		return VerifyAnswer{}, err
	}
	if err := t.continues(ctx, req.Kept, &answer); err != nil {
		return VerifyAnswer{}, err
	}
	answer.OK = len(answer.Findings) == 0
	answer.Millis = a.Now().Sub(start).Milliseconds()
	return answer, nil
}

// missing looks for messages that were acknowledged and are neither in the log nor in the ledger. Only a running intake knows.
func (t *Tenant) missing(ctx context.Context, answer *VerifyAnswer) error {
	if t.Acknowledged == nil || t.Waiting == nil {
		return nil
	}
	acknowledged := t.Acknowledged()
	waiting, err := t.Waiting(ctx)
	if err != nil || waiting > 0 {
		return err
	}
	sealed := t.Ledger.Streams()
	for tag, counter := range acknowledged {
		if counter > sealed[tag] {
			answer.find("log of channel "+hex.EncodeToString(tag[:]), escrow.Corrupt.String(),
				fmt.Sprintf("messages %d to %d were acknowledged and are neither in the log nor in the ledger; ask the platform to publish them again", sealed[tag]+1, counter))
		}
	}
	return nil
}

// continues compares the ledger with checkpoints that were kept elsewhere.
func (t *Tenant) continues(ctx context.Context, kept []string, answer *VerifyAnswer) error {
	for _, signed := range kept {
		cp, err := t.Ledger.Extends([]byte(signed))
		if err == nil {
			answer.Kept++
			continue
		}
		text := err.Error()
		if cp.Size > 0 {
			lost, err := t.lost(ctx)
			if err != nil {
				return err
			}
			if lost.Has < cp.Size && cp.Size <= lost.Had {
				text += fmt.Sprintf("; record %d says why: the records from there on were lost when the archive was restored from a copy", lost.Has)
			}
		}
		answer.find("checkpoint kept elsewhere", escrow.KindOf(err).String(), text)
	}
	return nil
}

// lost returns the largest loss of records that the ledger admits.
func (t *Tenant) lost(ctx context.Context) (most events.RecordsLost, err error) {
	err = t.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindIncident {
			return nil
		}
		e, err := chronicle.Read(rec)
		if f, ok := e.Fact.(events.RecordsLost); ok && f.Had > most.Had {
			most = f
		}
		return err
	})
	return most, err
}

func (v *VerifyAnswer) find(place, kind, text string) {
	if len(v.Findings) == maxFindings {
		v.More++
		return
	}
	v.Findings = append(v.Findings, Finding{place, kind, text})
}

// audit walks the records of one tenant twice: first the events, to learn what was ordered to be erased, then all of them.
type audit struct {
	tenant  *Tenant
	answer  *VerifyAnswer
	read    escrow.TreeSize // events among the first so many records are read
	erasure escrow.TreeSize // how many records there were with the last erasure read
	orders  orders
}

func (v *audit) run(ctx context.Context) error {
	if err := v.events(ctx); err != nil {
		return err
	}
	var batch []archive.Record
	bytes := 0
	err := v.tenant.Ledger.Scan(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindMessage {
			return nil
		}
		batch, bytes = append(batch, rec), bytes+len(rec.Blob)
		if len(batch) < auditBatch && bytes < auditBytes {
			return nil
		}
		err := v.batch(ctx, batch)
		batch, bytes = batch[:0], 0
		return err
	})
	if err != nil {
		return err
	}
	return v.batch(ctx, batch)
}

// Bounds of what is audited at once, on all cores.
const (
	auditBatch = 1000
	auditBytes = 32 << 20
)

// batch audits records on all cores and notes what was found in their order.
func (v *audit) batch(ctx context.Context, recs []archive.Record) error {
	conditions, errs := make([]ingest.Condition, len(recs)), make([]error, len(recs))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range recs {
		group.Go(func() error {
			conditions[i], errs[i] = v.tenant.Opener.Audit(recs[i], v.orders.cover)
			return gctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range recs {
		if err := v.message(ctx, recs[i], conditions[i], errs[i]); err != nil {
			return err
		}
	}
	return nil
}

// events reads the events that were not read yet, and waits until the erasures among them are carried out.
func (v *audit) events(ctx context.Context) error {
	size := v.tenant.Ledger.Size()
	err := v.tenant.Ledger.ScanEvents(ctx, escrow.Seq(v.read), func(rec archive.Record) error {
		if escrow.TreeSize(rec.Seq) >= size {
			return archive.ErrStop
		}
		v.event(rec)
		return nil
	})
	if err != nil {
		return err
	}
	v.read = size
	return v.tenant.Disposal.WaitApplied(ctx, v.erasure)
}

func (v *audit) event(rec archive.Record) {
	v.answer.Events++
	e, err := chronicle.Read(rec)
	if err != nil {
		v.fault(rec.Seq, err)
		return
	}
	switch f := e.Fact.(type) {
	case events.ErasureExecuted:
		v.erasure = escrow.TreeSize(rec.Seq) + 1
		v.orders.add(f)
	case events.LogIncident, events.RecordsLost:
		v.answer.Incidents++
	}
}

// message notes what was found about one record.
func (v *audit) message(ctx context.Context, rec archive.Record, c ingest.Condition, err error) error {
	v.answer.Messages++
	for grown := true; err != nil && grown; { // an erasure since the events were read may explain it
		if grown = v.tenant.Ledger.Size() > v.read; grown {
			if err := v.events(ctx); err != nil {
				return err
			}
		}
		c, err = v.tenant.Opener.Audit(rec, v.orders.cover)
	}
	switch {
	case err != nil:
		v.fault(rec.Seq, err)
	case !c.Present:
		v.answer.Erased++
	case c.Gone > 0:
		v.answer.Present++
		v.answer.Redacted++
	default:
		v.answer.Present++
	}
	return nil
}

func (v *audit) fault(seq escrow.Seq, err error) {
	v.answer.find(fmt.Sprintf("record %d", seq), escrow.KindOf(err).String(), err.Error())
}
