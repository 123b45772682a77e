package natslog

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"escrow"
	"escrow/events"
)

// shard is the part of the intake that serves one tenant, as three stages: while one group is being committed, the next is admitted and sealed, and
// the publishers of the one before are answered.
type shard struct {
	intake *Intake
	log    *Log
	mark   *Mark
	book   *book
	queue  chan *nats.Msg
	ready  chan *group
	done   chan *group
	find   sync.WaitGroup // the search for the outcome of an unknown commit
}

// group is what is committed together.
type group struct {
	items []item   // in order of arrival
	store []*item  // those to be stored
	data  [][]byte // their entries
	bytes int
	gen   uint64
}

// item is one publish on its way through the intake.
type item struct {
	msg       *nats.Msg
	arrival   Arrival
	adm       Admission
	counter   uint64
	claim     *claim // its own
	twin      *claim // of the publish it repeats
	seq       uint64
	duplicate bool
	err       error
}

// prepare is the first stage: it takes what has arrived, checks, numbers and seals it.
func (s *shard) prepare(ctx context.Context) {
	defer close(s.ready)
	for {
		g := s.collect()
		if g == nil {
			return
		}
		s.book.begin()
		s.admit(ctx, g)
		s.book.assign(g)
		if err := s.seal(g); err != nil {
			g.fail(err)
		}
		s.ready <- g
	}
}

// collect waits for a message and takes with it what else has arrived, up to the bounds of one commit. It returns nil when the queue is closed.
func (s *shard) collect() *group {
	m, ok := <-s.queue
	if !ok {
		return nil
	}
	g := &group{items: make([]item, 0, min(len(s.queue)+1, maxGroup))}
	s.take(g, m)
	for len(g.items) < maxGroup && g.bytes < maxBatchBytes {
		select {
		case m, ok := <-s.queue:
			if !ok {
				return g
			}
			s.take(g, m)
		default:
			return g
		}
	}
	return g
}

func (s *shard) take(g *group, m *nats.Msg) {
	g.items = append(g.items, item{msg: m})
	g.bytes += m.Size()
	s.intake.bytes.Add(-int64(m.Size()))
}

// admit asks the gate about every item, on all cores.
func (s *shard) admit(ctx context.Context, g *group) {
	now := s.intake.cfg.Now().UTC()
	parallel(len(g.items), func(i int) {
		it := &g.items[i]
		if it.err = s.arrive(it); it.err != nil {
			return
		}
		it.arrival.Received = now
		it.adm, it.err = s.intake.gate.Admit(ctx, &it.arrival)
	})
}

// arrive checks what the intake itself decides and fills in the arrival.
func (s *shard) arrive(it *item) error {
	const op = "natslog.Intake"
	m, a := it.msg, &it.arrival
	a.Publisher = s.intake.publisher(m)
	if err := checkHeaders(m.Header, m.Reply, s.log.name); err != nil {
		return err
	}
	var err error
	if a.Tenant, a.Channel, err = events.ParseInSubject(m.Subject); err != nil {
		return err
	}
	limit := s.intake.cfg.MaxPayload
	if _, a.Import = m.Header[ImportHeader]; a.Import {
		limit = escrow.MaxImport
		if !s.intake.mayImport(a.Publisher) {
			return escrow.Errorf(op, escrow.Denied, "header %s: this platform may not import; leave it out or ask the archive's operator", ImportHeader)
		}
	}
	if len(m.Data) > limit {
		return escrow.Errorf(op, escrow.Invalid, "the payload has %d bytes, the limit is %d", len(m.Data), limit)
	}
	if len(m.Data) == 0 {
		return escrow.Errorf(op, escrow.Invalid, "the payload is empty: publish a message")
	}
	delete(m.Header, requestInfoHeader)
	a.Header, a.Data = m.Header, m.Data
	return nil
}

// seal seals and encodes the items to be stored, on all cores. It fails as a whole, because a message left out would leave a hole in the counters.
func (s *shard) seal(g *group) error {
	g.data = make([][]byte, len(g.store))
	var failure atomic.Pointer[error]
	parallel(len(g.store), func(i int) {
		it := g.store[i]
		e := Entry{
			Tenant: it.arrival.Tenant, Channel: it.adm.ChannelTag, Counter: it.counter, Day: dayOf(it.arrival.Received),
			Received: it.arrival.Received, Once: it.adm.Once,
		}
		header := e.AppendHeader(make([]byte, 0, entryOverhead))
		sealed, err := s.intake.gate.Seal(e.Tenant, e.Day, header, it.adm.Plain)
		if err == nil && len(sealed) > maxSealed {
			err = escrow.Errorf("natslog.Intake", escrow.Invalid, "the message is too large: %d bytes when sealed, the limit is %d", len(sealed), maxSealed)
		}
		if err != nil {
			failure.CompareAndSwap(nil, &err)
			return
		}
		g.data[i] = appendEntry(make([]byte, 0, len(header)+len(sealed)+4+32), header, sealed)
		it.adm.Plain = nil
	})
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes a group one that cannot be stored.
func (g *group) fail(err error) {
	g.data = nil
	for _, it := range g.store {
		it.err = err
	}
}

// commit is the second stage: it stores groups in order.
func (s *shard) commit(ctx context.Context) {
	defer s.find.Wait()
	defer close(s.done)
	for g := range s.ready {
		if len(g.store) > 0 {
			s.store(ctx, g)
		}
		s.done <- g
	}
}

// store makes a group durable and raises the watermark.
func (s *shard) store(ctx context.Context, g *group) {
	const op = "natslog.Intake"
	if g.data == nil {
		s.book.settle(g, nil, g.store[0].err)
		return
	}
	if !s.book.current(g) {
		s.book.settle(g, nil, escrow.Errorf(op, escrow.Unavailable, "the messages before this one could not be stored: publish again"))
		return
	}
	work, cancel := context.WithTimeout(ctx, s.intake.cfg.CommitTimeout+slowDisk(g.bytes))
	defer cancel()
	seqs, err := s.log.Commit(work, g.data)
	s.settle(g, seqs, err)
	if IsUnknown(err) {
		s.find.Go(func() { s.findOut(ctx, g) })
	}
}

// settle records what was stored, in the book and in the watermark, before anybody is told.
func (s *shard) settle(g *group, seqs []uint64, err error) {
	s.book.settle(g, seqs, err)
	if err != nil {
		s.intake.cfg.Logger.Warn("a commit failed", slog.String("tenant", string(s.log.cfg.Tenant)), slog.Any("error", err))
	}
	if len(seqs) == 0 {
		return
	}
	s.intake.stats.committed(s.intake.cfg.Now())
	if s.mark == nil {
		return
	}
	if err := s.mark.Raise(s.book.marks(g)); err != nil {
		s.intake.cfg.Logger.Error("the watermark could not be written", slog.Any("error", err))
	}
}

// findOut finds out what became of a commit, for as long as that takes. Meanwhile publishers are told to come back.
func (s *shard) findOut(ctx context.Context, g *group) {
	for {
		work, cancel := context.WithTimeout(ctx, s.intake.cfg.CommitTimeout)
		seqs, err := s.log.Resolve(work)
		cancel()
		if !IsUnknown(err) {
			s.settle(g, seqs, err)
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// answers is the third stage.
func (s *shard) answers() {
	for g := range s.done {
		s.answer(g)
	}
}

// answer tells every publisher of a group what became of its message, in order of arrival.
func (s *shard) answer(g *group) {
	buf := make([]byte, 0, 128)
	for i := range g.items {
		it := &g.items[i]
		seq, duplicate, err := s.book.outcome(it)
		if err != nil {
			s.intake.refuse(it.msg, s.log.name, it.arrival.Publisher, err)
			continue
		}
		s.intake.stats.ack(duplicate)
		buf = appendAck(buf[:0], s.log.name, seq, duplicate)
		s.intake.respond(it.msg, buf)
	}
}

// minParallel is the number of items below which starting goroutines costs more than it saves.
const minParallel = 8

// parallel calls f for 0 … n-1, on all cores if that is worth it.
func parallel(n int, f func(int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if n < minParallel || workers == 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var done sync.WaitGroup
	for range workers {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	done.Wait()
}
