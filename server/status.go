package server

import (
	"context"
	"errors"
	"slices"
	"strings"

	"escrow"
	"escrow/archive"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/index"
)

// Reindex implements API.
func (a *Archive) Reindex(ctx context.Context, req ReindexRequest) (ReindexAnswer, error) {
	start := a.Now()
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return ReindexAnswer{}, err
	}
	dead, err := t.Indexer.Rebuild(ctx)
	if err := errors.Join(err, t.Disposal.DestroyFileKeys(dead)); err != nil {
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
		s, err := t.status(ctx)
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

func (t *Tenant) status(ctx context.Context) (TenantStatus, error) {
	s := TenantStatus{
		Tenant: t.Name, Origin: t.Origin, Records: t.Ledger.Size(), Indexed: t.Index.Position(), Channels: len(t.Ledger.Streams()),
		Epoch: t.Keys.Epoch(), LastRecord: optional(t.Ledger.LastTime()), Key: t.VKey,
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
	// What does not answer is part of the answer.
	s.Partial, err = t.partial(ctx)
	troubles := []error{err}
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
