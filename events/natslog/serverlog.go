package natslog

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

// serverLog passes the NATS server's warnings and errors on to slog. Their arguments can hold what clients chose, subjects and names, so a line is
// passed on as its format string alone, apart from those about the store, whose arguments are ours: stream names, paths and error texts.
type serverLog struct {
	log    *slog.Logger
	broken atomic.Bool // JetStream reported an error after which it does not write any more

	mu   sync.Mutex
	dead string // first fatal line
}

func (l *serverLog) reset() {
	l.broken.Store(false)
	l.mu.Lock()
	l.dead = ""
	l.mu.Unlock()
}

func (l *serverLog) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// aboutStore matches the format strings of lines that concern the store.
var aboutStore = regexp.MustCompile(`(?i)jetstream|filestore|recover|corrupt|orphan|write error|checksum`)

// aboutClient matches lines about a connection. The server formats them, names and subjects included, before they get here.
var aboutClient = regexp.MustCompile(` - [a-z]+:[0-9]+ - `)

// stopsWriting matches the lines after which JetStream refuses writes until it is restarted.
var stopsWriting = regexp.MustCompile(`(?i)critical write error|will be disabled|resources exceeded`)

func (l *serverLog) pass(level slog.Level, format string, args []any) {
	text, store := strings.TrimSpace(format), false
	switch {
	case aboutClient.MatchString(format):
		text = "a connection broke its permissions or limits, or failed"
	case aboutStore.MatchString(format):
		text, store = strings.TrimSpace(fmt.Sprintf(format, args...)), true
	}
	if store && level >= slog.LevelWarn && stopsWriting.MatchString(text) {
		l.broken.Store(true)
	}
	l.log.Log(context.Background(), level, "nats server", slog.String("line", text), slog.Bool("store", store))
}

// Noticef passes notices about the store on as debug lines and drops the others: banner, version, addresses.
func (l *serverLog) Noticef(format string, args ...any) {
	if aboutStore.MatchString(format) {
		l.pass(slog.LevelDebug, format, args)
	}
}

// intended matches warnings about what is configured on purpose: the payload limit leaves room for imports.
var intended = regexp.MustCompile(`(?i)^maximum payloads over`)

// Warnf passes warnings on.
func (l *serverLog) Warnf(format string, args ...any) {
	if intended.MatchString(format) {
		return
	}
	l.pass(slog.LevelWarn, format, args)
}

// Errorf passes errors on.
func (l *serverLog) Errorf(format string, args ...any) { l.pass(slog.LevelError, format, args) }

// Fatalf passes the line on and keeps the first for StartServer; it does not end the process.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.pass(slog.LevelError, format, args)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead == "" {
		l.dead = fmt.Sprintf(format, args...)
	}
}

// Debugf drops the line: it may hold what clients sent.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef drops the line: it holds what clients sent.
func (l *serverLog) Tracef(string, ...any) {}
