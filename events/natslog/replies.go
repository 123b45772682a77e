package natslog

import (
	"context"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// replies collects the answers to a handful of messages sent together, over one subscription that lives as long as the log.
type replies struct {
	sub    *nats.Subscription
	prefix string
	round  uint64
	inbox  string // of the present round
	want   int
}

func newReplies(nc *nats.Conn) (*replies, error) {
	prefix := nc.NewInbox() + "."
	sub, err := nc.SubscribeSync(prefix + ">")
	if err != nil {
		return nil, err
	}
	return &replies{sub: sub, prefix: prefix}, nil
}

// begin starts a round of n messages and returns the reply subject to which each appends its number. Late answers of earlier rounds are ignored.
func (r *replies) begin(n int) string {
	r.round++
	r.want = n
	r.inbox = r.prefix + strconv.FormatUint(r.round, 36) + "."
	return r.inbox
}

// wait returns the answers by number; those missing when it fails are nil.
func (r *replies) wait(ctx context.Context) ([]*nats.Msg, error) {
	answers := make([]*nats.Msg, r.want)
	for got := 0; got < r.want; {
		m, err := r.sub.NextMsgWithContext(ctx)
		if err != nil {
			return answers, err
		}
		number, ok := strings.CutPrefix(m.Subject, r.inbox)
		i, err := strconv.Atoi(number)
		if !ok || err != nil || i < 0 || i >= r.want || answers[i] != nil {
			continue
		}
		if isNoResponders(m) {
			return answers, nats.ErrNoResponders
		}
		answers[i] = m
		got++
	}
	return answers, nil
}

func isNoResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get("Status") == "503"
}

func (r *replies) close() error { return r.sub.Unsubscribe() }
