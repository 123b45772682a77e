package source

import (
	"context"
	"errors"
	"iter"
	"time"

	"escrow"
	"escrow/events/natslog"
)

// Publisher sends messages in the order of the calls; *natslog.Publisher is one. PublishAsync does not wait for the acknowledgement. Unless it fails,
// it calls done exactly once, from any goroutine. An error of kind Unavailable, and context.DeadlineExceeded, mean that the same message may be sent
// again.
type Publisher interface {
	PublishAsync(ctx context.Context, m natslog.PublishMsg, done func(natslog.Ack, error)) error
}

// Progress shows how far an import is. Show is called often, from the goroutine of Run; r is valid during the call.
type Progress interface {
	Show(r *Report)
}

// Config holds what Run may be told; the zero value is usable.
type Config struct {
	Window   int                                    // messages under way at once, 0: DefaultWindow, at most MaxWindow
	RetryFor time.Duration                          // pauses before the same message is given up, in sum; 0: DefaultRetryFor
	Drain    time.Duration                          // how long to wait for acknowledgements after an interrupt; 0: DefaultDrain
	Progress Progress                               // nil: none
	After    func(d time.Duration) <-chan time.Time // nil: time.After
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = DefaultWindow
	}
	c.Window = min(c.Window, MaxWindow)
	if c.RetryFor <= 0 {
		c.RetryFor = DefaultRetryFor
	}
	if c.Drain <= 0 {
		c.Drain = DefaultDrain
	}
	if c.After == nil {
		c.After = time.After
	}
	return c
}

// errInterrupted ends a run whose context was cancelled.
var errInterrupted = errors.New("interrupted")

// Run publishes the items in their order. Messages are sent again while the server is unavailable. The Report is right in every case, and Read = New +
// Duplicate + Failed: a message counts as read once its fate is known.
//
// A message that had to be sent again may count as a duplicate of its own first attempt.
//
// The error is nil if every item was handed over or counted as failed (look at Report.Failed). It is of kind Unavailable when the server was away for
// too long, or when ctx was cancelled, after waiting for what was under way; then it wraps the cause, such as context.Canceled. It is of kind Denied
// when the server refuses this publisher. Running the import again then completes it.
func Run(ctx context.Context, items iter.Seq[Item], pub Publisher, cfg Config) (Report, error) {
	sendCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	im := &importer{ctx: ctx, sendCtx: sendCtx, pub: pub, cfg: cfg.withDefaults(), report: newReport()}
	err := im.run(items)
	if err != nil {
		im.drain(err)
	}
	return im.report, err
}

type importer struct {
	ctx     context.Context
	sendCtx context.Context // outlives an interrupt, for what is under way
	pub     Publisher
	cfg     Config
	report  Report
	queue   []*flight // under way, in the order in which they were sent
	bytes   int       // in queue
}

// flight is a message under way.
type flight struct {
	place  string
	msg    natslog.PublishMsg
	result chan outcome // of the last attempt; holds one
}

type outcome struct {
	ack natslog.Ack
	err error
}

func (im *importer) run(items iter.Seq[Item]) error {
	for it := range items {
		if err := im.take(it); err != nil {
			return err
		}
	}
	for len(im.queue) > 0 {
		if err := im.settle(); err != nil {
			return err
		}
	}
	return im.interrupted()
}

func (im *importer) interrupted() error {
	if im.ctx.Err() == nil {
		return nil
	}
	return escrow.Errorf("source.Run", escrow.Unavailable, "%w; run it again to complete it: %w", errInterrupted, context.Cause(im.ctx))
}

// take handles one item; a message is sent as soon as the window has room.
func (im *importer) take(it Item) error {
	defer im.show()
	switch {
	case it.Ignored != "":
		im.report.ignored(it.Place(), it.Ignored)
		return nil
	case it.Err != nil:
		im.report.failed(it.Place(), reason(it.Err))
		return nil
	}
	for im.full(len(it.Data)) || im.ready() {
		if err := im.settle(); err != nil {
			return err
		}
	}
	if err := im.interrupted(); err != nil {
		return err
	}
	f := &flight{place: it.Place(), msg: message(it)}
	im.queue = append(im.queue, f)
	im.bytes += len(it.Data)
	im.send(f)
	return nil
}

func message(it Item) natslog.PublishMsg {
	h := make(map[string][]string)
	if it.Folder != "" {
		h["Escrow-Meta-Folder"] = []string{it.Folder}
	}
	if it.Flags != "" {
		h["Escrow-Meta-Flags"] = []string{it.Flags}
	}
	if len(h) == 0 {
		h = nil
	}
	return natslog.PublishMsg{ID: it.ID, ContentType: it.ContentType, Header: h, Data: it.Data}
}

func (im *importer) full(next int) bool {
	return len(im.queue) >= im.cfg.Window || len(im.queue) > 0 && im.bytes+next > windowBytes
}

// ready reports whether the fate of the oldest message is known already.
func (im *importer) ready() bool {
	return len(im.queue) > 0 && len(im.queue[0].result) > 0
}

func (im *importer) send(f *flight) {
	result := make(chan outcome, 1) // a late answer to an earlier attempt meets nobody
	f.result = result
	err := im.pub.PublishAsync(im.sendCtx, f.msg, func(a natslog.Ack, err error) { result <- outcome{a, err} })
	if err != nil {
		result <- outcome{err: err}
	}
}

// settle waits until the fate of the oldest message is known, sending it again as often as it takes. The later ones keep their place: in the order in
// which they were read, an edit comes after what it edits.
func (im *importer) settle() error {
	f := im.queue[0]
	pause, paused := firstBackoff, time.Duration(0)
	for {
		out, err := im.await(f)
		if err != nil {
			return err
		}
		if !transient(out.err) {
			im.pop()
			return im.count(f, out)
		}
		f.result = answered(out) // for drain, should the run end here
		if paused >= im.cfg.RetryFor {
			return escrow.Errorf("source.Run", escrow.Unavailable, "the server was not available for %v; run it again to complete it: %w", paused, out.err)
		}
		select {
		case <-im.cfg.After(pause):
		case <-im.ctx.Done():
			return im.interrupted()
		}
		im.show()
		im.send(f)
		paused, pause = paused+pause, min(2*pause, lastBackoff)
	}
}

// await returns what became of the last attempt to send f. An attempt without an answer may be repeated.
func (im *importer) await(f *flight) (outcome, error) {
	if len(f.result) > 0 {
		return <-f.result, nil
	}
	select {
	case out := <-f.result:
		return out, nil
	case <-im.cfg.After(answerWait):
		return outcome{err: escrow.Errorf("source.Run", escrow.Unavailable, "no answer within %v", answerWait)}, nil
	case <-im.ctx.Done():
		return outcome{}, im.interrupted()
	}
}

func answered(out outcome) chan outcome {
	c := make(chan outcome, 1)
	c <- out
	return c
}

func (im *importer) pop() {
	im.bytes -= len(im.queue[0].msg.Data)
	im.queue[0] = nil
	im.queue = im.queue[1:]
}

// count enters what became of f. A refusal of the publisher, not of the message, ends the run: it would meet every message.
func (im *importer) count(f *flight, out outcome) error {
	im.report.settled(f.place, out)
	if out.err != nil && escrow.KindOf(out.err) == escrow.Denied {
		return escrow.Errorf("source.Run", escrow.Denied, "the server refuses this import: %w", out.err)
	}
	return nil
}

// drain waits for what is under way after the run has ended early with err, and counts as failed what is not known to be in the archive.
func (im *importer) drain(err error) {
	late := im.cfg.After(im.cfg.Drain)
	for _, f := range im.queue {
		out := outcome{err: unconfirmed(err)}
		if late != nil {
			select {
			case out = <-f.result:
			case <-late:
				late = nil
			}
		}
		select {
		case out = <-f.result:
		default:
		}
		if transient(out.err) {
			out.err = unconfirmed(err)
		}
		im.report.settled(f.place, out)
	}
	im.queue = nil
}

func unconfirmed(err error) error {
	if errors.Is(err, errInterrupted) {
		return escrow.Errorf("source.Run", escrow.Internal, "interrupted before it was acknowledged")
	}
	return escrow.Errorf("source.Run", escrow.Internal, "not acknowledged by the server")
}

func transient(err error) bool {
	return err != nil && (escrow.KindOf(err) == escrow.Unavailable || errors.Is(err, context.DeadlineExceeded))
}

func (im *importer) show() {
	if im.cfg.Progress != nil {
		im.cfg.Progress.Show(&im.report)
	}
}
