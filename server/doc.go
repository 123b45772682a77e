// Package server answers questions about an archive and carries out orders: search, show, prove, erase, verify, reindex, status.
//
// Archive does the work; Handler offers it over HTTP with JSON; Client is the other end. Archive and Client implement the same API, so a command works
// the same with and without a running server. Every request is POST /v1/<verb> with one JSON object, and needs the bearer token. An error is
// application/problem+json (RFC 9457) with the member "kind", one of the kinds of package escrow.
package server
