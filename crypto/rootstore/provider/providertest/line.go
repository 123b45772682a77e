// Package providertest is what stores at providers are tested with beside storetest: a line to a fake provider that can be cut and disturbed, and
// the tests of what must hold then.
package providertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Line lies before a fake provider. It is safe for concurrent use.
type Line struct {
	handler http.Handler

	mu       sync.Mutex
	requests int
	broken   func(request int) Break
}

// Break is what becomes of a request.
type Break uint8

// What may become of a request.
const (
	Whole     Break = iota // it is answered
	Refused                // 503, the fake never saw it
	Throttled              // 429, the fake never saw it
	Lost                   // the fake carried it out, and the connection breaks before its answer
	Cut                    // the connection breaks, the fake never saw it
	Hangs                  // there is no answer, until the caller gives up
)

// Listen starts a fake on the loopback interface and returns the line to it and its address.
func Listen(t *testing.T, fake http.Handler) (*Line, string) {
	line := &Line{handler: fake}
	server := httptest.NewServer(line)
	t.Cleanup(server.Close)
	return line, server.URL
}

// Disturb has a function decide what becomes of each request from now on, counted from 0; nil: all are answered.
func (l *Line) Disturb(broken func(request int) Break) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests, l.broken = 0, broken
}

// Requests returns how many requests there were since Disturb.
func (l *Line) Requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

func (l *Line) next() Break {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if l.broken == nil {
		return Whole
	}
	return l.broken(l.requests - 1)
}

// ServeHTTP implements http.Handler.
func (l *Line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch l.next() {
	case Whole:
		l.handler.ServeHTTP(w, r)
	case Refused:
		http.Error(w, `{"errors":["not now"]}`, http.StatusServiceUnavailable)
	case Throttled:
		http.Error(w, `{"errors":["too many"],"__type":"ThrottlingException"}`, http.StatusTooManyRequests)
	case Lost:
		l.handler.ServeHTTP(httptest.NewRecorder(), r)
		hangUp(w)
	case Cut:
		hangUp(w)
	case Hangs:
		if _, err := io.Copy(io.Discard, r.Body); err == nil { // the server sees that the caller hangs up only after that
			<-r.Context().Done()
		}
	}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}
