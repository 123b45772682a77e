package bench

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"escrow"
	"escrow/ingest"
)

// channel is where all messages are published.
const channel escrow.Channel = "desk"

// people of a run: agents of the firm and its customers.
const (
	agents    = 50
	customers = 2000
)

// letters makes up the messages of one purpose: the same seed and number always give the same message.
type letters struct {
	words *vocabulary
	name  string // part of the ids, so that no message is taken for another's repetition
	size  int    // bytes of a payload
	total int    // of the run; people with many and few messages depend on it
}

// letter returns the payload of message i, in the form of the publishing contract.
func (l letters) letter(i int) []byte {
	r := dice(i + 1)
	b := make([]byte, 0, l.size+64)
	b = append(b, `{"id":"`...)
	b = append(b, l.id(i)...)
	b = append(b, `","sent_at":"`...)
	b = l.sent(i).AppendFormat(b, time.RFC3339)
	b = append(b, `","from":{"id":"email:a`...)
	b = strconv.AppendInt(b, int64(r.below(agents)), 10)
	b = append(b, `@desk.example.com","role":"agent"},"to":[{"id":"`...)
	b = append(b, l.customer(i, &r)...)
	b = append(b, `","role":"customer"}],"body":{"text":"`...)
	if l.size > 4*smallBytes {
		return l.attach(b, &r)
	}
	for len(b) < l.size-3 {
		b = append(append(b, l.words.draw(&r)...), ' ')
	}
	return append(b[:len(b)-1], `"}}`...)
}

// attach finishes a large message: what makes messages large is files, and those are compressed already.
func (l letters) attach(b []byte, r *dice) []byte {
	b = append(b, `see the file"},"attachments":[{"name":"scan.jpg","media_type":"image/jpeg","data":"`...)
	raw := make([]byte, (l.size-len(b)-4)/4*3)
	for i := range raw {
		raw[i] = byte(r.next())
	}
	return append(base64.StdEncoding.AppendEncode(b, raw), `"}]}`...)
}

func (l letters) id(i int) string { return fmt.Sprintf("%s-%07d", l.name, i) }

// sent spreads the messages over a year, so that dates narrow a search.
func (l letters) sent(i int) time.Time {
	const year = 365 * 24 * 60 * 60
	return firstDay().Add(-year * time.Second).Add(time.Duration(i%year*7919%year) * time.Second)
}

// received lets all messages arrive within a month: they share a partition of the index, as traffic does.
func (l letters) received(i int) time.Time {
	const month = 28 * 24 * 60 * 60
	return firstDay().Add(time.Duration(float64(i) / float64(max(l.total, i+1)) * month * float64(time.Second)))
}

func firstDay() time.Time { return time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC) }

// customer gives half of all messages to three people, and to three others fewMessages each.
func (l letters) customer(i int, r *dice) escrow.Identity {
	if i%2 == 0 {
		return many(i / 2 % rounds)
	}
	if step := l.total / (2 * fewMessages); step > 0 && i/2%step < rounds {
		return few(i / 2 % step)
	}
	return escrow.Identity("email:c" + strconv.Itoa(r.below(customers)) + "@example.org")
}

// many and few are the people that are erased, one of each in a round.
func many(round int) escrow.Identity {
	return escrow.Identity("email:many" + strconv.Itoa(round) + "@example.org")
}

func few(round int) escrow.Identity {
	return escrow.Identity("email:few" + strconv.Itoa(round) + "@example.org")
}

// envelope returns message i as the intake hands it on.
func (l letters) envelope(i int) ingest.Envelope {
	return ingest.Envelope{
		Channel: channel, ID: string(channel) + "/" + l.id(i), ContentType: ingest.TypeJSON, Publisher: "bench", Received: l.received(i), Original: l.letter(i),
	}
}
