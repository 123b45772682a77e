package server

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"escrow"
)

const (
	// maxRequestBytes bounds a request; the longest is a query.
	maxRequestBytes = 1 << 20
	// maxActBytes bounds an act, which may name half a million ranges of messages; see disposal.MaxNamed.
	maxActBytes = 64 << 20
)

// Handler offers an API over HTTP to who knows the token.
func Handler(api API, token string) http.Handler {
	mux := http.NewServeMux()
	route(mux, "ping", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	route(mux, "search", api.Search)
	route(mux, "show", api.Show)
	route(mux, "proof", api.Proof)
	route(mux, "subject", api.Subject)
	route(mux, "preview", api.Preview)
	routeUpTo(mux, "draft", maxActBytes, api.Draft)
	routeUpTo(mux, "submit", maxActBytes, api.Submit)
	route(mux, "advance", api.Advance)
	route(mux, "cases", api.Cases)
	route(mux, "certificate", api.Certificate)
	route(mux, "holds", api.Holds)
	route(mux, "officers", api.Officers)
	route(mux, "retention", api.Retention)
	route(mux, "verify", api.Verify)
	route(mux, "reindex", api.Reindex)
	route(mux, "status", api.Status)
	route(mux, "platform", api.SetPlatform)
	route(mux, "backup", api.Backup)
	route(mux, "backup-progress", api.BackupProgress)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, escrow.Errorf("server", escrow.NotFound, "there is no such request; requests are POST /v1/<verb>"))
	})
	return authorised(mux, token)
}

// authorised lets only requests with the bearer token through.
func authorised(next http.Handler, token string) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			problem(w, escrow.Errorf("server", escrow.Denied, "this needs the bearer token of the running server"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func route[Req, Answer any](mux *http.ServeMux, verb string, f func(context.Context, Req) (Answer, error)) {
	routeUpTo(mux, verb, maxRequestBytes, f)
}

func routeUpTo[Req, Answer any](mux *http.ServeMux, verb string, limit int64, f func(context.Context, Req) (Answer, error)) {
	mux.HandleFunc("POST /v1/"+verb, func(w http.ResponseWriter, r *http.Request) {
		var req Req
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			problem(w, escrow.Errorf("server", escrow.Invalid, "read request: %w", err))
			return
		}
		if _, err := d.Token(); err != io.EOF {
			problem(w, escrow.Errorf("server", escrow.Invalid, "there is something after the request"))
			return
		}
		answer, err := f(r.Context(), req)
		if err != nil {
			problem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
	})
}

// problemDetails is RFC 9457 with what makes our error again at the other end.
type problemDetails struct {
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail"`
	Kind   string      `json:"kind"`
	Op     string      `json:"op,omitempty"`
	Record *escrow.Seq `json:"record,omitempty"`
}

func problem(w http.ResponseWriter, err error) {
	kind := escrow.KindOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status(kind))
	p := problemDetails{Title: kind.String(), Status: status(kind), Detail: err.Error(), Kind: kind.String()}
	if e, ok := errors.AsType[*escrow.Error](err); ok && e.Error() == err.Error() && e.Err != nil {
		p.Op, p.Record, p.Detail = e.Op, e.Record, e.Err.Error()
	}
	_ = json.NewEncoder(w).Encode(p) // as above
}

// status maps a kind of failure to an HTTP status (RFC 9110).
func status(k escrow.Kind) int {
	switch k {
	case escrow.Invalid:
		return http.StatusBadRequest
	case escrow.NotFound:
		return http.StatusNotFound
	case escrow.Conflict:
		return http.StatusConflict
	case escrow.Denied:
		return http.StatusForbidden
	case escrow.Held:
		return http.StatusLocked
	case escrow.Erased:
		return http.StatusGone
	case escrow.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
