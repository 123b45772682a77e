// Package archive is the ledger: it appends sealed records, reads them back, and proves that they are there and unaltered. It sees no key and no
// plaintext, and its imports show it.
//
// What is where in the directory of a ledger:
//
//	segments/…      the records: the only source of truth (package segment)
//	checkpoint      the signed root, a C2SP checkpoint
//	derived/hashes  all hashes of the Merkle tree; derived
//	derived/rows    where each record is, and its tags; derived
//	LOCK            held by the one process that may append
//
// Every record is one leaf of an RFC 6962 tree. A leaf is canonical text (docs/format/leaf.md) which is a function of the record's header alone, so
// that its hash is SHA-256(0x00 ‖ text) and can be checked by hand.
//
// Invariants:
//
//   - Append is one write and one sync. The checkpoint is signed only after the sync returned, so no root is ever signed that is not durable.
//   - After a failed sync nothing is known about what was written; the ledger then takes no more records until it is opened again. A full disk is
//     different: the write is cut off again, and Append works as soon as there is room.
//   - After a power cut the ledger holds exactly the batches acknowledged, and possibly one more, whole. Fewer records than the checkpoint has signed
//     are refused as a roll-back.
//   - Times never decrease from one record to the next.
//   - Derived files are never synced and never believed: Open checks them against the root of the last batch and rebuilds what is wrong.
package archive
