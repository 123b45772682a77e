package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/rootstore"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/index"
	"escrow/retention"
	"escrow/retention/disposal"
)

// Reindex implements API.
func (a *Archive) Reindex(ctx context.Context, req ReindexRequest) (ReindexAnswer, error) {
	start := a.Now()
	t, err := a.living(req.Tenant)
	if err != nil {
		return ReindexAnswer{}, err
	}
	dead, err := t.Indexer.Rebuild(ctx)
	if err := errors.Join(err, t.Disposal.DestroyFileKeys(ctx, dead)); err != nil {
		return ReindexAnswer{}, err
	}
	return ReindexAnswer{Position: t.Index.Position(), Millis: a.Now().Sub(start).Milliseconds()}, nil
}

// Status implements API.
func (a *Archive) Status(ctx context.Context, req StatusRequest) (StatusAnswer, error) {
	answer := StatusAnswer{Version: a.Version, Server: !a.Started.IsZero(), NATS: a.NATS, Started: optional(a.Started)}
	for _, t := range a.Tenants {
		if req.Tenant != "" && req.Tenant != t.Name {
			continue
		}
		s, err := t.status(ctx, a.Now())
		if err != nil {
			return StatusAnswer{}, err
		}
		answer.Tenants = append(answer.Tenants, s)
	}
	if req.Tenant != "" && len(answer.Tenants) == 0 {
		return StatusAnswer{}, escrow.Errorf("server.Status", escrow.NotFound, "there is no tenant %q in this archive", req.Tenant)
	}
	slices.SortFunc(answer.Tenants, func(x, y TenantStatus) int { return strings.Compare(string(x.Tenant), string(y.Tenant)) })
	return answer, nil
}

func (t *Tenant) status(ctx context.Context, now time.Time) (TenantStatus, error) {
	s := TenantStatus{
		Tenant: t.Name, Origin: t.Origin, Terminated: t.Keys.Terminated(), Records: t.Ledger.Size(), Channels: len(t.Ledger.Streams()),
		Epoch: t.Keys.Epoch(), LastRecord: optional(t.Ledger.LastTime()), Key: t.Signer.VKey(),
	}
	stats, err := t.Ledger.Stats()
	if err != nil {
		return s, err
	}
	s.Bytes, s.Checkpoint = stats.Bytes, string(t.Ledger.Checkpoint())
	err = t.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		switch rec.Header.Kind {
		case archive.KindIncident:
			s.Incidents++
		case archive.KindErase:
			s.Erasures++
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	t.erasureStatus(ctx, &s, now)
	// What does not answer is part of the answer.
	troubles := []error{t.indexStatus(ctx, &s)}
	if t.Waiting != nil {
		s.Waiting, err = t.Waiting(ctx)
		troubles = append(troubles, err)
	}
	if t.Intake != nil {
		stats := t.Intake()
		s.Intake = &stats
	}
	if t.Halted != nil {
		troubles = append(troubles, t.Halted())
	}
	if err := errors.Join(troubles...); err != nil {
		s.Halted = err.Error()
	}
	return s, nil
}

func (t *Tenant) indexStatus(ctx context.Context, s *TenantStatus) (err error) {
	if t.Index == nil { // of a tenant that was erased as a whole
		return nil
	}
	s.Indexed = t.Index.Position()
	s.Partial, err = t.partial(ctx)
	return err
}

// erasureStatus fills in what is erased, waits, or is held, and until when copies of the keys can be opened.
func (t *Tenant) erasureStatus(ctx context.Context, s *TenantStatus, now time.Time) {
	terms := t.Disposal.Terms()
	s.Terms = spell(terms)
	for _, r := range t.Keys.Retired() {
		s.Retired = append(s.Retired, RetiredRoot{Epoch: r.Epoch, Retired: r.At, Goes: r.At.Add(terms.KeepRoots)})
	}
	s.Requests, s.Expired = []Case{}, t.classes()
	for _, c := range t.Disposal.Cases() {
		if c.Certified == nil && c.Withdrawn == nil {
			s.Requests = append(s.Requests, t.summary(c, now))
		}
	}
	for _, h := range t.Disposal.Holds() {
		if h.Released == nil {
			s.Holds++
		}
	}
	s.Restricted = len(t.Disposal.RestrictedSubjects())
	if day := t.Disposal.Ingested(); day > 0 && !s.Terminated {
		s.Readable = retention.Day(day).String()
	}
	s.Stores = t.stores(ctx)
}

// spell writes the arithmetic of the times, from the approval of an erasure to the end of the last root that opens an earlier copy of the keys.
func spell(t disposal.Terms) string {
	return fmt.Sprintf("%v cooling-off + %v for the index + %v roots kept + %v of the slowest root store = %v, at most %v",
		t.CoolingOff, disposal.IndexTime, t.KeepRoots, t.Wait, t.Total(), disposal.MaxErasureTime)
}

// stores asks the root stores. One that does not answer is part of the answer.
func (t *Tenant) stores(ctx context.Context) []StoreStatus {
	evidence, err := t.Keys.Evidence(ctx)
	list := []StoreStatus{}
	for _, e := range evidence {
		list = append(list, NewStoreStatus(e))
	}
	if err != nil {
		list = append(list, StoreStatus{Store: "root store", Problem: err.Error()})
	}
	return list
}

// NewStoreStatus sums up what a root store says of itself.
func NewStoreStatus(e rootstore.Evidence) StoreStatus {
	s := StoreStatus{Store: e.Store, Method: e.Method}
	if e.Wait > 0 {
		s.Wait = e.Wait.String()
	}
	for _, r := range e.Roots {
		switch r.State {
		case rootstore.Live:
			s.Live++
		case rootstore.Pending:
			s.Pending++
		}
	}
	return s
}

// partial counts the indexed messages that were not fully understood.
func (t *Tenant) partial(ctx context.Context) (uint64, error) {
	res, err := t.Index.Search(ctx, index.Request{})
	return res.Partial, err
}

// SetPlatform implements API.
func (a *Archive) SetPlatform(_ context.Context, req PlatformRequest) (PlatformAnswer, error) {
	if a.Platforms == nil {
		return PlatformAnswer{}, escrow.Errorf("server.SetPlatform", escrow.Unavailable, "no credentials can be changed here")
	}
	if req.Remove {
		list, err := a.Platforms.Remove(req.Name)
		return PlatformAnswer{list}, err
	}
	for _, s := range req.Publish {
		if _, _, err := events.ParseInSubject(strings.NewReplacer("*", "any").Replace(s)); err != nil {
			return PlatformAnswer{}, err
		}
	}
	list, err := a.Platforms.Set(natslog.Platform{Name: req.Name, NKey: req.NKey, Publish: req.Publish})
	return PlatformAnswer{list}, err
}
