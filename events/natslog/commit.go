package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
)

// errUnknown marks an error after which it is not known whether the entries were stored.
var errUnknown = errors.New("the outcome is not known yet")

// IsUnknown reports whether an error of Commit or Resolve leaves open whether the entries not reported as stored were stored or not. Then Resolve
// must be called until it says.
func IsUnknown(err error) bool { return errors.Is(err, errUnknown) }

// pending is a commit under way: messages that follow each other in the stream, and which of them ends which entry.
type pending struct {
	msgs [][]byte
	ends []int // for each entry, the index into msgs of the message that ends it
	done int   // messages known to be stored
	seqs []uint64
}

// newPending lays entries out in messages of at most size bytes: small ones together, large ones in parts.
func newPending(entries [][]byte, size int) *pending {
	p := &pending{ends: make([]int, 0, len(entries)), seqs: make([]uint64, 0, len(entries))}
	var pack []byte
	flush := func() {
		if len(pack) > 0 {
			p.msgs, pack = append(p.msgs, pack), nil
		}
	}
	for _, e := range entries {
		if len(pack)+len(e) > maxPack {
			flush()
		}
		if len(e) > maxPack {
			p.msgs = append(p.msgs, splitEntry(e, size)...)
			p.ends = append(p.ends, len(p.msgs)-1)
			continue
		}
		pack = append(pack, e...)
		p.ends = append(p.ends, len(p.msgs))
	}
	flush()
	return p
}

// advance records that the next n messages were stored from sequence first on.
func (p *pending) advance(first uint64, n int) {
	for len(p.seqs) < len(p.ends) && p.ends[len(p.seqs)] < p.done+n {
		p.seqs = append(p.seqs, first+uint64(p.ends[len(p.seqs)]-p.done))
	}
	p.done += n
}

// next returns the end of the next batch: whole entries within the limits, or a single larger entry.
func (p *pending) next() int {
	end, bytes := p.done, 0
	for i := len(p.seqs); i < len(p.ends); i++ {
		for _, m := range p.msgs[end : p.ends[i]+1] {
			bytes += len(m)
		}
		if end > p.done && (p.ends[i]+1-p.done > maxBatchMsgs || bytes > maxBatchBytes) {
			break
		}
		end = p.ends[i] + 1
	}
	return end
}

// Commit stores encoded entries and returns, for those that are durable, the sequence of their last message, in order. Small entries share a message
// and so a sequence: JetStream's work, and the fsync, is per message. If err is not nil, the
// entries beyond the sequences returned are not stored, unless IsUnknown(err): then nothing else can be committed before Resolve has found out.
//
// Every store is guarded by the last sequence: a store that was repeated because its answer was lost cannot be done twice. Errors are of kind
// Unavailable if trying again may help (no space, no server), and Conflict if someone else wrote to the stream.
func (l *Log) Commit(ctx context.Context, entries [][]byte) ([]uint64, error) {
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.pending != nil {
		return nil, escrow.Errorf("natslog.Commit", escrow.Unavailable, "an earlier commit must be resolved first")
	}
	bytes := 0
	for _, e := range entries {
		bytes += len(e)
	}
	if err := l.checkSpace(bytes); err != nil {
		return nil, err
	}
	l.pending = newPending(entries, l.conn.partSize())
	return l.settle(ctx)
}

// Resolve continues a commit whose outcome was not known: what was stored counts, what was not is stored now, if possible. It returns what Commit
// would have returned, and nil, nil if there is nothing to resolve.
func (l *Log) Resolve(ctx context.Context) ([]uint64, error) {
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.pending == nil {
		return nil, nil
	}
	if err := l.findOut(ctx, errUnknown); err != nil {
		return l.giveUp(err)
	}
	return l.settle(ctx)
}

// settle stores what is left of the pending commit, batch by batch.
func (l *Log) settle(ctx context.Context) ([]uint64, error) {
	p := l.pending
	for p.done < len(p.msgs) {
		n, err := l.attempt(ctx, p.msgs[p.done:p.next()])
		p.advance(l.last+1, n)
		l.last += uint64(n)
		if IsUnknown(err) {
			err = l.findOut(ctx, err)
		}
		if err != nil {
			return l.giveUp(err)
		}
	}
	l.pending = nil
	return p.seqs, nil
}

// giveUp ends a commit with an error; unless the outcome is unknown, it is no longer pending.
func (l *Log) giveUp(err error) ([]uint64, error) {
	seqs := l.pending.seqs
	if !IsUnknown(err) {
		l.pending = nil
	}
	return seqs, err
}

// findOut is called after an attempt without a clear answer. It looks at what the stream has until that succeeds or ctx ends; nil means that the
// commit is up to date and can go on.
func (l *Log) findOut(ctx context.Context, cause error) error {
	for {
		select {
		case <-ctx.Done():
			return escrow.Errorf("natslog.Commit", escrow.Unavailable, "the log does not answer in time: publish again: %w", errors.Join(errUnknown, cause))
		case <-time.After(retryPause):
		}
		if l.conn.broken() {
			if err := l.checkSpace(0); err != nil {
				return escrow.Errorf("natslog.Commit", escrow.Unavailable, "%w", errors.Join(err, errUnknown))
			}
		}
		err := l.catchUp(ctx)
		if err == nil || escrow.KindOf(err) == escrow.Conflict {
			return err
		}
		cause = err
	}
}

// catchUp compares the stream with the pending commit: messages of ours beyond the last known sequence were stored by an attempt whose answer was
// lost. Anything else there means that someone else writes to the stream.
func (l *Log) catchUp(ctx context.Context) error {
	if err := l.conn.repair(ctx); err != nil {
		return err
	}
	state, err := l.State(ctx)
	if err != nil {
		return err
	}
	if !state.Created.Equal(l.Created()) || state.Last < l.last {
		return escrow.Errorf("natslog.Commit", escrow.Conflict, "the stream %s was recreated or lost its end: restart the service", l.name)
	}
	p := l.pending
	for seq := l.last + 1; seq <= state.Last; seq++ {
		msg, err := l.message(ctx, seq)
		if err != nil {
			return err
		}
		if p.done == len(p.msgs) || string(msg) != string(p.msgs[p.done]) {
			return escrow.Errorf("natslog.Commit", escrow.Conflict, "someone else writes to the stream %s: only one intake may serve a tenant", l.name)
		}
		p.advance(seq, 1)
		l.last = seq
	}
	return nil
}

func (l *Log) message(ctx context.Context, seq uint64) ([]byte, error) {
	ctx, cancel := l.conn.request(ctx, requestTimeout)
	defer cancel()
	m, err := l.stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, apiError("natslog.Commit", err)
	}
	return m.Data, nil
}

// attempt stores messages after the last known sequence and returns how many surely are stored. An error for which IsUnknown is false says that the
// others surely are not.
func (l *Log) attempt(ctx context.Context, msgs [][]byte) (int, error) {
	bytes, whole := 0, len(msgs) >= minAtomic
	for _, m := range msgs {
		bytes += len(m)
		whole = whole || isPart(m)
	}
	ctx, cancel := l.conn.request(ctx, attemptTimeout+slowDisk(bytes))
	defer cancel()
	if whole {
		return l.storeBatch(ctx, msgs)
	}
	return l.storeEach(ctx, msgs)
}

// slowDisk is the time a slow disk takes for a number of bytes.
func slowDisk(bytes int) time.Duration { return time.Duration(bytes) * time.Second / slowDiskRate }

// storeBatch stores messages as one atomic batch: all or nothing, one group of fsyncs.
func (l *Log) storeBatch(ctx context.Context, msgs [][]byte) (int, error) {
	l.batch++
	id := strconv.FormatUint(l.last, 36) + "-" + strconv.FormatUint(l.batch, 36)
	number := []string{""}
	first := nats.Header{jetstream.ExpectedLastSeqHeader: {strconv.FormatUint(l.last, 10)}, batchIDHeader: {id}, batchSeqHeader: number}
	other := nats.Header{batchIDHeader: {id}, batchSeqHeader: number}
	for i, data := range msgs[:len(msgs)-1] {
		m := &nats.Msg{Subject: l.subject, Header: other, Data: data}
		if i == 0 {
			m.Header = first
		}
		number[0] = strconv.Itoa(i + 1)
		if err := l.conn.nc.PublishMsg(m); err != nil {
			return 0, l.unanswered(err)
		}
	}
	number[0] = strconv.Itoa(len(msgs))
	other[batchCommitHeader] = []string{"1"}
	reply, err := l.conn.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: l.subject, Header: other, Data: msgs[len(msgs)-1]})
	if err != nil {
		return 0, l.unanswered(err)
	}
	if err := l.ack(reply.Data, l.last+uint64(len(msgs))); err != nil {
		return 0, err
	}
	return len(msgs), nil
}

const (
	batchIDHeader     = "Nats-Batch-Id"
	batchSeqHeader    = "Nats-Batch-Sequence"
	batchCommitHeader = "Nats-Batch-Commit"
)

// storeEach stores a few messages one by one, sent together. Each is guarded, so the stored ones are a prefix.
func (l *Log) storeEach(ctx context.Context, msgs [][]byte) (int, error) {
	inbox := l.replies.begin(len(msgs))
	for i, data := range msgs {
		h := nats.Header{jetstream.ExpectedLastSeqHeader: {strconv.FormatUint(l.last+uint64(i), 10)}}
		if err := l.conn.nc.PublishMsg(&nats.Msg{Subject: l.subject, Reply: inbox + strconv.Itoa(i), Header: h, Data: data}); err != nil {
			return 0, l.unanswered(err)
		}
	}
	answers, err := l.replies.wait(ctx)
	for i := range msgs {
		if answers[i] == nil {
			return i, l.unanswered(err)
		}
		if err := l.ack(answers[i].Data, l.last+uint64(i)+1); err != nil {
			return i, err
		}
	}
	return len(msgs), nil
}

// unanswered says what it means that a store got no answer: nothing at all.
func (l *Log) unanswered(err error) error {
	const op = "natslog.Commit"
	if errors.Is(err, nats.ErrMaxPayload) {
		return escrow.Errorf(op, escrow.Invalid, "an entry exceeds the NATS server's max_payload: %w", err)
	}
	return escrow.Errorf(op, escrow.Unavailable, "the log does not answer: %w", errors.Join(errUnknown, err))
}

// pubAck is what JetStream answers to a store.
type pubAck struct {
	Stream string          `json:"stream"`
	Seq    uint64          `json:"seq"`
	Error  *pubAckAPIError `json:"error"`
}

type pubAckAPIError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// ack interprets an answer; want is the sequence a stored message must have got.
func (l *Log) ack(data []byte, want uint64) error {
	const op = "natslog.Commit"
	var a pubAck
	if err := json.Unmarshal(data, &a); err != nil {
		return escrow.Errorf(op, escrow.Unavailable, "the log answers nonsense: %w", errUnknown)
	}
	switch {
	case a.Error != nil:
		return a.Error.translate()
	case a.Stream != l.name:
		return escrow.Errorf(op, escrow.Conflict, "another stream, %s, takes the log's subject: remove it", a.Stream)
	case a.Seq != want:
		return escrow.Errorf(op, escrow.Unavailable, "the log stored at an unexpected sequence: %w", errUnknown)
	}
	return nil
}

// JetStream's error codes that say that nothing was stored.
const (
	codeAccountFull    = 10002
	codeNoResources    = 10023
	codeNoStorage      = 10047
	codeTooLarge       = 10054
	codeNotEnabled     = 10076
	codeStoreFailed    = 10077
	codeNotThatManyYet = 10167
	codeBatchDisabled  = 10174
	codeBatchTooLarge  = 10199
	codeTooManyBatches = 10210
)

// translate says what an error answer means: surely not stored, or anybody's guess.
func (e *pubAckAPIError) translate() error {
	const op = "natslog.Commit"
	switch e.ErrCode {
	case codeAccountFull, codeNoResources, codeNoStorage:
		return escrow.Errorf(op, escrow.Unavailable, "the log's storage is used up (%d): make room or raise its limits, then publish again", e.ErrCode)
	case codeNotEnabled, codeNotThatManyYet, codeTooManyBatches:
		return escrow.Errorf(op, escrow.Unavailable, "the log is not ready (%d): publish again", e.ErrCode)
	case codeTooLarge, codeBatchDisabled, codeBatchTooLarge:
		return escrow.Errorf(op, escrow.Internal, "the log's stream is not configured as it must be (%d)", e.ErrCode)
	case codeStoreFailed:
		if strings.Contains(e.Description, "maximum") { // checked before anything is written; other failures may leave something behind
			return escrow.Errorf(op, escrow.Unavailable, "the log is full: let the sealer catch up or raise the log's size, then publish again")
		}
	}
	return escrow.Errorf(op, escrow.Unavailable, "the log did not store (%d): %w", e.ErrCode, errUnknown)
}
