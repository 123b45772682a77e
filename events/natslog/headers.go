package natslog

import (
	"encoding/json"
	"strings"
	"sync"

	"escrow"
)

// requestInfoHeader is set by the NATS server on what crosses accounts; it names who sent it.
const requestInfoHeader = "Nats-Request-Info"

// allowedHeaders are the Nats- headers that may stay: deduplication and tracing, which the gate sees, and the stream name, which is checked here.
var allowedHeaders = map[string]bool{
	"Nats-Msg-Id": true, expectedStreamHeader: true, requestInfoHeader: true, "Nats-Trace-Dest": true, "Nats-Trace-Hop": true,
	"Nats-Trace-Origin-Account": true, "Nats-Trace-Only": true,
}

const expectedStreamHeader = "Nats-Expected-Stream"

// refusedHeaders says why, for headers that would change what a publish means.
var refusedHeaders = map[string]string{
	"Nats-Rollup":                                 "nothing in the archive is replaced or removed by publishing",
	"Nats-TTL":                                    "how long a message is kept is decided by the archive's retention rules",
	"Nats-Expected-Last-Sequence":                 "sequences belong to the archive's log, not to the publisher",
	"Nats-Expected-Last-Subject-Sequence":         "sequences belong to the archive's log, not to the publisher",
	"Nats-Expected-Last-Subject-Sequence-Subject": "sequences belong to the archive's log, not to the publisher",
	"Nats-Expected-Last-Msg-Id":                   "the archive does not keep messages in the publisher's order of ids",
	"Nats-Batch-Id":                               "the archive groups messages itself; publish them one by one, asynchronously if there are many",
	"Nats-Batch-Sequence":                         "the archive groups messages itself; publish them one by one, asynchronously if there are many",
	"Nats-Batch-Commit":                           "the archive groups messages itself; publish them one by one, asynchronously if there are many",
}

// fastBatchSuffix ends the reply subject of JetStream's fast batches, which need a conversation the intake does not speak.
const fastBatchSuffix = ".$FI"

// checkHeaders refuses the headers that would change what a publish means if they were obeyed, and mislead the publisher if they were not.
func checkHeaders(h map[string][]string, reply, stream string) error {
	const op = "natslog.Intake"
	if strings.HasSuffix(reply, fastBatchSuffix) {
		return escrow.Errorf(op, escrow.Invalid, "fast batches are not supported: use an ordinary or asynchronous JetStream publish")
	}
	for name, values := range h {
		if len(name) < 5 || !strings.EqualFold(name[:5], "Nats-") || allowedHeaders[name] {
			continue
		}
		if why, ok := refusedHeaders[name]; ok {
			return escrow.Errorf(op, escrow.Invalid, "header %s is not supported: %s; leave it out", name, why)
		}
		return escrow.Errorf(op, escrow.Invalid, "header %.64q (%d values) is not supported: leave it out", name, len(values))
	}
	if want := h[expectedStreamHeader]; len(want) > 0 && want[0] != stream {
		return escrow.Errorf(op, escrow.Conflict, "header %s does not name the stream of this subject, %s: correct it or leave it out", expectedStreamHeader, stream)
	}
	return nil
}

// publishers finds out who sent a message. The server's header is the same for all messages of a connection, so the answer is remembered.
type publishers struct {
	mu    sync.Mutex
	cache map[string]string
}

// name returns the platform named in the server's header, or "".
func (p *publishers) name(h map[string][]string) string {
	info := h[requestInfoHeader]
	if len(info) == 0 {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if name, ok := p.cache[info[0]]; ok {
		return name
	}
	var who struct {
		Account string `json:"acc"`
	}
	if json.Unmarshal([]byte(info[0]), &who) != nil {
		return ""
	}
	if p.cache == nil || len(p.cache) >= maxPublishers {
		p.cache = map[string]string{}
	}
	name := strings.TrimPrefix(who.Account, platformPrefix)
	p.cache[info[0]] = name
	return name
}
