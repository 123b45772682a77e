package ingest

import (
	"context"
	"encoding/hex"
	"log/slog"
	"sync/atomic"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/events/natslog"
)

// Sealer takes entries from the log in order, seals each under the keys of the people and the day it belongs to, appends them to the ledger, and only
// then acknowledges them. What it may not seal, because the courier lost, changed, doubled or reused it, becomes an incident in the ledger. It is the
// ledger's only source of messages; run one per tenant.
type Sealer struct {
	Log      *natslog.Log
	Ledger   *archive.Ledger
	Keys     Keys
	Seal     *seal.Sealer
	Recorder *Recorder
	Events   EventWriter
	Sealed   func(tags [][16]byte) // told which deduplication tags are in the ledger now; may be nil
	Now      func() time.Time
	Logger   *slog.Logger

	sequencer *natslog.Sequencer
	trouble
	done     atomic.Uint64 // last stream sequence sealed and acknowledged in this run
	unread   error         // why the ledger could not be asked for a counter
	unpurged int           // entries acknowledged since the last purge
}

// EventWriter makes event records; *Chronicle is one.
type EventWriter interface {
	Entry(f events.Fact) (archive.Entry, error)
}

// Bounds of one round of the sealer.
const (
	// sealBatch records become durable with one fsync; more would only add latency.
	sealBatch = 1000
	// sealGroup records are sealed at a time before their sizes are looked at.
	sealGroup = 64
	// sealBytes of sealed records end a batch.
	sealBytes = 32 << 20
	// sealWait is how long a round waits for a first entry.
	sealWait = 500 * time.Millisecond
	// purgeEvery is how many sealed entries may stay in the log. A purge rewrites stream state, so it is not worth doing for each batch.
	purgeEvery = 20_000
	// drainPatience rounds without an entry say that the log has nothing more to deliver; one alone may only mean that a large entry comes in parts.
	drainPatience = 3
)

// Run seals until ctx ends. While the log does not answer or the disk is full it tries again, and Trouble says why nothing is sealed. It returns nil when
// ctx ends, and otherwise an error that trying again cannot mend: keys that are gone, a ledger that takes nothing more until it is opened again.
func (s *Sealer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		_, err := s.Round(ctx, sealWait)
		if ctx.Err() != nil {
			break
		}
		s.note(s.Logger, "sealer", s.Log.Tenant(), err)
		if err == nil {
			continue
		}
		if kind := escrow.KindOf(err); kind != escrow.Unavailable && kind != escrow.NotFound { // not found: the log, while NATS starts again
			return err
		}
		if stats, serr := s.Ledger.Stats(); serr == nil && stats.Failed != nil {
			return stats.Failed
		}
		pause(ctx)
	}
	return nil
}

// Drain seals everything that is in the log now. Entries may be left in the log that a run before acknowledged as incidents and did not purge: they are
// not delivered again, and no record names their sequence.
func (s *Sealer) Drain(ctx context.Context) error {
	for empty := 0; empty < drainPatience; empty++ {
		waiting, err := s.Waiting(ctx)
		if err != nil || waiting == 0 {
			return err
		}
		n, err := s.Round(ctx, sealWait)
		if err != nil {
			return err
		}
		if n > 0 {
			empty = -1
		}
	}
	state, err := s.Log.State(ctx)
	if err == nil {
		s.done.Store(max(s.done.Load(), state.Last))
	}
	return err
}

// Waiting returns how many entries are in the log and not in the ledger.
func (s *Sealer) Waiting(ctx context.Context) (uint64, error) {
	state, err := s.Log.State(ctx)
	if err != nil {
		return 0, err
	}
	done := s.done.Load()
	if last := s.Ledger.LastSource()[s.Log.Tag()]; last <= state.Last { // not one that lost its end
		done = max(done, last)
	}
	if state.Msgs == 0 || state.Last <= done {
		return 0, nil
	}
	return min(state.Msgs, state.Last-done), nil
}

// Round seals one batch and returns how many entries it took from the log. After it returned nil they are in the ledger, durable, and acknowledged.
func (s *Sealer) Round(ctx context.Context, wait time.Duration) (int, error) {
	if s.sequencer == nil {
		if err := s.start(ctx); err != nil {
			return 0, err
		}
	}
	deliveries, err := s.Log.Fetch(ctx, sealBatch, wait)
	if err != nil {
		return 0, err
	}
	if len(deliveries) == 0 {
		return 0, s.purge(ctx, 1)
	}
	tags, err := s.append(ctx, deliveries)
	if err != nil {
		s.sequencer = nil // what it has seen is not in the ledger, and comes again: start rewinds the log
		return 0, err
	}
	s.sequencer.Settled()
	if s.Sealed != nil {
		s.Sealed(tags)
	}
	last := deliveries[len(deliveries)-1].Seq
	s.done.Store(last)
	s.unpurged += len(deliveries)
	if err := s.Log.Ack(ctx, last); err != nil {
		return 0, err
	}
	return len(deliveries), s.purge(ctx, purgeEvery)
}

// purge removes from the log what the ledger has, once it is worth it.
func (s *Sealer) purge(ctx context.Context, worth int) error {
	if s.unpurged < worth {
		return nil
	}
	if err := s.Log.Purge(ctx, s.done.Load()); err != nil {
		return err
	}
	s.unpurged = 0
	return nil
}

// start makes the log deliver what is not acknowledged from its beginning, learns from the ledger where each channel stands, and reports a log that is not
// the one it was.
func (s *Sealer) start(ctx context.Context) error {
	if err := s.Log.Rewind(ctx); err != nil {
		return err
	}
	state, err := s.Log.State(ctx)
	if err != nil {
		return err
	}
	tag, sealed := s.Log.Tag(), s.Ledger.LastSource()
	switch c := natslog.CheckStream(sealed, tag, state.Last); c {
	case natslog.Recreated, natslog.Rewound:
		err = s.incidentOnce(ctx, events.LogIncident{What: c.String(), Sequence: state.Last, From: state.Last + 1, To: sealed[tag],
			Detail: "the log's storage was replaced, restored from an older copy, or lost its end; entries acknowledged before may be missing"})
	}
	if err != nil {
		return err
	}
	if last := sealed[tag]; last != 0 && last <= state.Last && state.Msgs > 0 { // a run before did not purge what it had sealed
		s.done.Store(max(s.done.Load(), last))
		s.unpurged++
	}
	s.sequencer, s.unread = natslog.NewSequencer(s.Ledger.Streams(), s.known), nil
	return nil
}

// known looks a counter up in the ledger.
func (s *Sealer) known(channel [16]byte, counter uint64) (natslog.Sealed, bool) {
	seq, ok, err := s.Ledger.Find(channel, counter)
	var h archive.Header
	if err == nil && ok {
		h, err = s.Ledger.Header(seq)
	}
	if err != nil {
		s.unread = err // append looks at it before anything is decided
	}
	if err != nil || !ok {
		return natslog.Sealed{}, false
	}
	sealed := natslog.Sealed{Digest: h.Entry}
	if h.Source.Tag == s.Log.Tag() {
		sealed.Seq = h.Source.Seq
	}
	return sealed, true
}

// incidentOnce writes an incident to the ledger at once, apart from any batch, unless it is there already: a log that stays as it was found is not
// reported anew at every start.
func (s *Sealer) incidentOnce(ctx context.Context, f events.LogIncident) error {
	reported, err := s.reported(ctx, f)
	if err != nil || reported {
		return err
	}
	e, err := s.incidentEntry(f)
	if err != nil {
		return err
	}
	_, err = s.Ledger.Append(ctx, []archive.Entry{e})
	return err
}

// reported looks for an incident in the ledger.
func (s *Sealer) reported(ctx context.Context, f events.LogIncident) (found bool, err error) {
	tag := s.Log.Tag()
	f.Stream = hex.EncodeToString(tag[:])
	err = s.Ledger.ScanEvents(ctx, 0, func(rec archive.Record) error {
		if rec.Header.Kind != archive.KindIncident {
			return nil
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return err
		}
		if old, ok := e.Fact.(events.LogIncident); ok && old.What == f.What && old.Stream == f.Stream && old.To == f.To {
			found = true
			return archive.ErrStop
		}
		return nil
	})
	return found, err
}

func (s *Sealer) incidentEntry(f events.LogIncident) (archive.Entry, error) {
	tag := s.Log.Tag()
	f.Stream, f.Noticed = hex.EncodeToString(tag[:]), s.Now().UTC()
	s.Logger.Error("log incident", "what", f.What, "sequence", f.Sequence, "from", f.From, "to", f.To)
	return s.Events.Entry(f)
}

// append seals what deliveries hold and appends it. It returns the deduplication tags of the messages among them.
func (s *Sealer) append(ctx context.Context, deliveries []natslog.Delivery) (tags [][16]byte, err error) {
	plans, taken := make([]plan, 0, len(deliveries)), make(map[[16]byte]bool, len(deliveries))
	for i := range deliveries {
		plans = append(plans, s.plan(&deliveries[i], taken)...)
	}
	if s.unread != nil {
		return nil, s.unread
	}
	for _, p := range plans {
		if p.delivery != nil {
			tags = append(tags, p.delivery.Entry.Once)
		}
	}
	for len(plans) > 0 {
		n, err := s.appendSome(ctx, plans)
		if err != nil {
			return nil, err
		}
		plans = plans[n:]
	}
	return tags, nil
}

// appendSome appends as many of the plans as fit into one batch, at least one, and returns how many. Records are sealed for the number they will have, so
// when an event was written meanwhile they are sealed again, half as many each time: an erasure or a large hold writes many events, and one record is sealed
// in the time between two.
func (s *Sealer) appendSome(ctx context.Context, plans []plan) (int, error) {
	for range appendAttempts {
		size := s.Ledger.Size()
		entries, err := s.entries(ctx, escrow.Seq(size), plans)
		if err != nil {
			return 0, err
		}
		err = s.Ledger.AppendAt(ctx, size, entries)
		if err == nil {
			return len(entries), nil
		}
		if escrow.KindOf(err) != escrow.Conflict || s.Ledger.Size() == size {
			return 0, err
		}
		plans = plans[:(len(plans)+1)/2]
	}
	return 0, escrow.Errorf("ingest.Seal", escrow.Unavailable, "other records kept coming between; it is tried again")
}

// appendAttempts bounds how often a batch is sealed again because an event came between.
const appendAttempts = 100

// plan is one record to be: an incident, or else a message.
type plan struct {
	incident *events.LogIncident
	delivery *natslog.Delivery
	late     bool // its counter cannot stand in the ledger, which has gone on already
}

// plan says what becomes of one delivery: incidents, a message, both or nothing. taken are the deduplication tags of the messages before it in the batch.
func (s *Sealer) plan(d *natslog.Delivery, taken map[[16]byte]bool) []plan {
	v := s.sequencer.Observe(d.Observed())
	plans := gaps(d, v)
	note := &events.LogIncident{What: v.Class.String(), Sequence: d.Seq, Channel: hex.EncodeToString(d.Entry.Channel[:]), From: d.Entry.Counter, To: d.Entry.Counter}
	_, known := s.Ledger.Once(d.Entry.Once)
	known = known || taken[d.Entry.Once]
	switch {
	case v.Class == natslog.Redelivered:
		return plans
	case v.Class == natslog.Damaged:
		note.Channel, note.Quarantined, note.Detail = "", d.Data, "the log delivered bytes that are not the entry that was stored: "+d.Err.Error()
		return append(plans, plan{incident: note})
	case v.Class == natslog.Reused:
		note.Detail, note.Quarantined = "this counter belongs to another entry already; it is kept here, still sealed", d.Data
		return append(plans, plan{incident: note})
	case v.Class == natslog.Doubled || known:
		note.What, note.Detail = natslog.Doubled.String(), "the log holds this entry twice; it is archived once"
		return append(plans, plan{incident: note})
	}
	if d.Entry.Once != ([16]byte{}) {
		taken[d.Entry.Once] = true
	}
	if v.Class == natslog.Late {
		note.Detail = "an entry that was missing has arrived after all; it follows, without its counter"
		return append(plans, plan{incident: note}, plan{delivery: d, late: true})
	}
	return append(plans, plan{delivery: d})
}

// gaps reports what is missing before a delivery, whatever becomes of the delivery itself.
func gaps(d *natslog.Delivery, v natslog.Verdict) []plan {
	var plans []plan
	if v.LostFrom != 0 {
		plans = append(plans, plan{incident: &events.LogIncident{What: "lost", Sequence: d.Seq, From: v.LostFrom, To: v.LostTo,
			Detail: "these stream sequences are missing from the log's storage"}})
	}
	if v.Class == natslog.Gap {
		plans = append(plans, plan{incident: &events.LogIncident{What: v.Class.String(), Sequence: d.Seq, Channel: hex.EncodeToString(d.Entry.Channel[:]),
			From: v.From, To: v.To, Detail: "entries with these counters were acknowledged and are missing from the log"}})
	}
	return plans
}

// entries turns plans into ledger entries, in order, sealing some at a time on all cores until they make a batch. A record may be far larger than its log
// entry, which is compressed as a whole: each of ten thousand readers of a mail has a facet.
func (s *Sealer) entries(ctx context.Context, first escrow.Seq, plans []plan) ([]archive.Entry, error) {
	out := make([]archive.Entry, 0, len(plans))
	for bytes := 0; len(out) < len(plans) && bytes < sealBytes; {
		some := plans[len(out):min(len(out)+sealGroup, len(plans))]
		entries := make([]archive.Entry, len(some))
		from := first + escrow.Seq(len(out))
		err := eachParallel(ctx, len(some), func(i int) (err error) {
			entries[i], err = s.entry(from+escrow.Seq(i), some[i])
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			if bytes > 0 && bytes+len(e.Blob) > archive.MaxBatchBytes {
				return append(out, entries[:i]...), nil
			}
			bytes += len(e.Blob)
		}
		out = append(out, entries...)
	}
	return out, nil
}

func (s *Sealer) entry(seq escrow.Seq, p plan) (archive.Entry, error) {
	if p.incident != nil {
		return s.incidentEntry(*p.incident)
	}
	return s.record(seq, p)
}

// record opens a log entry and seals what is in it as record seq. An entry that does not open is kept as an incident under the same number.
func (s *Sealer) record(seq escrow.Seq, p plan) (archive.Entry, error) {
	d := p.delivery
	share, err := s.Keys.Share(s.Keys.Ref(keytree.KindIngestDay, d.Entry.Day))
	if err != nil {
		return archive.Entry{}, err
	}
	plain, err := s.Seal.OpenOne(share, logPurpose, d.Entry.AppendHeader(nil), d.Entry.Sealed)
	if err != nil {
		return s.incidentEntry(foreign(d, "the entry is well-formed but does not open under its day's key"))
	}
	env, err := ParseEnvelope(plain)
	if err != nil {
		return s.incidentEntry(foreign(d, "the entry opens but is not an envelope"))
	}
	from := Origin{Log: s.Log.Tag(), Seq: d.Seq, Entry: d.Digest, Channel: d.Entry.Channel, Counter: d.Entry.Counter, Once: d.Entry.Once}
	if p.late {
		from.Channel, from.Counter = [16]byte{}, 0
	}
	e, err := s.Recorder.Record(seq, env, from)
	if escrow.KindOf(err) == escrow.Invalid { // one message must not stop all that come after it
		return s.incidentEntry(foreign(d, "the message cannot be sealed: "+err.Error()))
	}
	return e, err
}

// foreign is the incident of an entry that this archive's intake did not make.
func foreign(d *natslog.Delivery, detail string) events.LogIncident {
	return events.LogIncident{What: "foreign", Sequence: d.Seq, Channel: hex.EncodeToString(d.Entry.Channel[:]), From: d.Entry.Counter, To: d.Entry.Counter,
		Detail: detail, Quarantined: d.Data}
}
