// Package server answers questions about an archive and carries out orders: search, show, prove, verify, reindex, status, and what
// officers do under their signature.
//
// An act of an officer takes two calls: Draft says what an order comes to and what there is to sign, Submit takes the signature. Between them the archive
// keeps nothing, and no officer's key ever reaches it.
//
// Archive does the work; Handler offers it over HTTP with JSON; Client is the other end. Archive and Client implement the same API, so a command works
// the same with and without a running server. Every request is POST /v1/<verb> with one JSON object, and needs the bearer token. An error is
// application/problem+json (RFC 9457) with the member "kind", one of the kinds of package escrow.
package server
