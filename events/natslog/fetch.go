package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"escrow"
)

// Delivery is one entry as it came out of the log, or the bytes that should have been one.
type Delivery struct {
	First   uint64    // stream sequence of its first message
	Seq     uint64    // stream sequence of its last message, the one to acknowledge
	Created time.Time // when the stream was created
	Time    time.Time // when JetStream stored it, by its clock, which may jump
	Data    []byte    // the encoded entry
	Entry   Entry     // parsed from Data; shares its memory
	Digest  [32]byte  // of the entry
	Err     error     // of kind Corrupt if Data is not an entry; then Entry and Digest are empty
}

// parsed returns d with its data parsed.
func (d Delivery) parsed() Delivery {
	d.Entry, d.Digest, d.Err = ParseEntry(d.Data)
	return d
}

// Observed is what the Sequencer wants to know about the delivery.
func (d Delivery) Observed() Observed {
	return Observed{Channel: d.Entry.Channel, Counter: d.Entry.Counter, Digest: d.Digest, First: d.First, Seq: d.Seq, Damaged: d.Err != nil}
}

// pullRequest is the body of a request to $JS.API.CONSUMER.MSG.NEXT. With no_wait and an expiry the server answers as soon as it has anything.
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes"`
	Expires  time.Duration `json:"expires"`
	NoWait   bool          `json:"no_wait"`
}

// Fetch returns what is in the log and was not delivered since the last Rewind, in order: about max entries, as soon as there are any, and nothing
// after wait. Entries that share a message come together, so there may be more than max; memory is bounded by 4 KiB for each of max. Stream sequences that are missing are really missing: what was lost between server and archive is asked for again.
// Errors are of kind Unavailable or NotFound.
func (l *Log) Fetch(ctx context.Context, max int, wait time.Duration) ([]Delivery, error) {
	l.fetchMu.Lock()
	defer l.fetchMu.Unlock()
	for {
		out, err := l.fetch(ctx, min(max, maxFetch), wait)
		if err != nil || len(out) > 0 || !l.join.advanced {
			return out, err
		}
	}
}

// fetch makes one round. It returns nothing either because there is nothing, or because all that came are parts of an entry with more to follow.
func (l *Log) fetch(ctx context.Context, max int, wait time.Duration) ([]Delivery, error) {
	l.join.advanced = false
	if err := l.resume(ctx); err != nil {
		return nil, err
	}
	msgs, err := l.pull(ctx, max, wait)
	if err != nil {
		return nil, err
	}
	if i := l.firstGap(msgs); i >= 0 {
		if msgs, err = l.pullAgain(ctx, msgs, i, max, wait); err != nil {
			return nil, err
		}
	}
	out := make([]Delivery, 0, len(msgs))
	for _, m := range msgs {
		if m.First <= l.delivered { // asked for twice
			continue
		}
		l.delivered = m.First
		l.unacked = append(l.unacked, unacked{m.First, m.reply})
		out = append(out, l.join.add(m.Delivery)...)
	}
	return out, nil
}

// resume asks for everything not delivered yet once more if messages may have been lost on their way here. Without it they would wait in the
// consumer until the next message shows the gap.
func (l *Log) resume(ctx context.Context) error {
	if n := l.conn.nc.Stats().Reconnects; n != l.reconnects {
		l.reconnects, l.unsure = n, true
	}
	if !l.unsure {
		return nil
	}
	if err := l.rewindTo(ctx, l.delivered+1); err != nil {
		return err
	}
	l.unsure = false
	return nil
}

// received is a message of the stream with the subject that acknowledges it.
type received struct {
	Delivery
	reply string
}

type unacked struct {
	seq   uint64
	reply string
}

// firstGap returns the index of the first message that does not follow the one before it, or -1. Messages before what was delivered already do no
// harm.
func (l *Log) firstGap(msgs []received) int {
	at := l.delivered
	for i, m := range msgs {
		if m.First > at+1 {
			return i
		}
		at = max(at, m.First)
	}
	return -1
}

// pullAgain asks for the messages from a gap on once more. Either they come, because a delivery was lost on the way, or they are not in the stream.
// AckAll would otherwise acknowledge what nobody has seen.
func (l *Log) pullAgain(ctx context.Context, msgs []received, gap, max int, wait time.Duration) ([]received, error) {
	from := l.delivered + 1
	if gap > 0 {
		from = msgs[gap-1].First + 1
	}
	if err := l.rewindTo(ctx, from); err != nil {
		return nil, err
	}
	again, err := l.pull(ctx, max, wait)
	if err != nil {
		return nil, err
	}
	return append(msgs[:gap:gap], again...), nil
}

// pull makes one request and collects what comes.
func (l *Log) pull(ctx context.Context, max int, wait time.Duration) ([]received, error) {
	const op = "natslog.Fetch"
	l.discard()
	l.unsure = true
	limit := min(maxFetchBytes, minFetchBytes+max*fetchBytesEach)
	body, err := json.Marshal(pullRequest{Batch: max, MaxBytes: limit, Expires: wait, NoWait: true})
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "%w", err)
	}
	if err := l.conn.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+l.name+"."+consumerName, l.inbox.Subject, body); err != nil {
		return nil, escrow.Errorf(op, escrow.Unavailable, "no connection to the log: %w", err)
	}
	ctx, cancel := l.conn.request(ctx, wait+attemptTimeout)
	defer cancel()
	created := l.Created()
	var out []received
	for bytes, want := 0, max; len(out) < want && bytes < limit; {
		m, err := l.inbox.NextMsgWithContext(ctx)
		if err != nil {
			return out, l.fetchError(err)
		}
		d, ok := delivery(m, created)
		if !ok {
			stop, err := l.status(m)
			if err != nil {
				return out, err
			}
			if stop {
				want = min(want, max-undelivered(m, max-len(out)))
			}
			continue
		}
		bytes += m.Size()
		out = append(out, received{d, m.Reply})
	}
	l.unsure = false
	return out, nil
}

// undelivered returns how many of the messages asked for the server did not send, where the end of a request says so. With replicas that end overtakes
// messages, which are sent only when a majority has noted it: they are still to come.
func undelivered(end *nats.Msg, otherwise int) int {
	n, err := strconv.Atoi(end.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		return otherwise
	}
	return n
}

// discard drops what is left in the inbox of an earlier request that was given up; its messages will be missed and asked for again.
func (l *Log) discard() {
	for {
		if _, err := l.inbox.NextMsg(0); err != nil {
			return
		}
	}
}

func (l *Log) fetchError(err error) error {
	const op = "natslog.Fetch"
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return escrow.Errorf(op, escrow.Unavailable, "the log does not answer: %w", err)
	}
	return escrow.Errorf(op, escrow.Unavailable, "%w", err)
}

// status interprets a message that is no delivery and reports whether it ends the request.
func (l *Log) status(m *nats.Msg) (bool, error) {
	const op = "natslog.Fetch"
	switch m.Header.Get("Status") {
	case "100": // heartbeat
		return false, nil
	case "404", "408", "409": // nothing there, expired, or enough for this request; consumer deleted is also 409 and shows with the next request
		return true, nil
	case "503":
		return true, escrow.Errorf(op, escrow.NotFound, "the stream or its consumer is gone, or JetStream is not running")
	}
	return true, escrow.Errorf(op, escrow.Unavailable, "the log refuses the request: status %s", m.Header.Get("Status"))
}

// delivery reads place and time from the acknowledgement subject:
// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>, or with domain and account hash after $JS.ACK.
func delivery(m *nats.Msg, created time.Time) (Delivery, bool) {
	tokens := strings.Split(m.Reply, ".")
	if len(tokens) < 9 || tokens[0] != "$JS" || tokens[1] != "ACK" {
		return Delivery{}, false
	}
	if len(tokens) >= 11 {
		tokens = tokens[2:]
	}
	seq, err1 := strconv.ParseUint(tokens[5], 10, 64)
	stamp, err2 := strconv.ParseInt(tokens[7], 10, 64)
	if err1 != nil || err2 != nil {
		return Delivery{}, false
	}
	return Delivery{First: seq, Seq: seq, Created: created, Time: time.Unix(0, stamp).UTC(), Data: m.Data}, true
}

// Ack tells the consumer that everything up to and including a sequence is in the ledger and waits until it has taken note. The note is a courtesy
// to whoever looks at the consumer, and saves redelivery after a restart; what counts is the ledger. Sequences not delivered since the last
// Rewind are ignored.
func (l *Log) Ack(ctx context.Context, seq uint64) error {
	l.fetchMu.Lock()
	defer l.fetchMu.Unlock()
	n := sort.Search(len(l.unacked), func(i int) bool { return l.unacked[i].seq > seq })
	if n == 0 {
		return nil
	}
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	if _, err := l.conn.nc.RequestWithContext(ctx, l.unacked[n-1].reply, nil); err != nil {
		return apiError("natslog.Ack", err)
	}
	l.unacked = append(l.unacked[:0], l.unacked[n:]...)
	return nil
}

// Rewind makes Fetch deliver again everything that was not acknowledged. OpenLog does it, and the sealer must after an append that failed.
func (l *Log) Rewind(ctx context.Context) error {
	l.fetchMu.Lock()
	defer l.fetchMu.Unlock()
	return l.rewindTo(ctx, 0)
}

// rewindTo moves the consumer to a sequence, or to what was acknowledged if it is zero, and with it the place from which Fetch watches for gaps.
func (l *Log) rewindTo(ctx context.Context, seq uint64) error {
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	if seq != 0 {
		_, err := l.stream.ResetConsumerToSequence(ctx, consumerName, seq)
		return apiError("natslog.Fetch", err)
	}
	resp, err := l.stream.ResetConsumer(ctx, consumerName)
	if err != nil {
		return apiError("natslog.Fetch", err)
	}
	l.join, l.delivered, l.unacked = joiner{}, resp.ResetSeq-1, nil
	return nil
}
