// Package certificate makes and verifies certificates of erasure: one file that says what was destroyed, when, by whose order and with what evidence,
// and that anybody can verify without the archive.
//
// A certificate holds
//
//	statement   what is certified, as canonical JSON
//	note        a C2SP signed note of the archive over the SHA-256 of the statement
//	checkpoint  the signed root of the ledger
//	records     the events the statement follows from: leaf, event, RFC 6962 inclusion proof against the checkpoint
//	attested    the figures that do not follow from the records
//
// Verifying computes the statement again from records and attested figures, and compares it byte for byte. So each claim in it is either *proven*, it
// follows from signatures and proofs in the file, or *attested*, the archive says so, and is marked as such. docs/format/certificate.md is for auditors.
//
// The invariants: a certificate holds no personal data, for events hold none; the same ledger gives the same bytes; a final statement does not change
// when the ledger grows.
package certificate
