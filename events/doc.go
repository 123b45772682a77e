// Package events is the catalogue of what happens in an archive, in the past tense, and the form in which it is written and addressed.
//
// An event record in the ledger holds one CloudEvents 1.0 object in structured JSON:
//
//	{"specversion":"1.0","id":"<32 hex>","source":"<origin of the ledger>","type":"escrow.ErasureExecuted.v1","time":"<RFC 3339>","data":{…}}
//
// The invariant: an event holds no personal data. It names subjects by number and messages by sequence, both of which mean nothing once the keys are
// gone, so events never have to be erased and everybody who may see the ledger may read them.
package events
