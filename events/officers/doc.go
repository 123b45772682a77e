// Package officers holds who may order what, and makes and checks the statements with which officers answer for it.
//
// A statement is a C2SP signed note (https://c2sp.org/signed-note) under the officer's own Ed25519 key:
//
//	escrow/statement@v1
//	archive <origin of the ledger>
//	act escrow.ErasureApproved.v1
//	officer legal
//	time 2026-11-22T09:00:03Z
//	fact sha256:<digest of the fact as JSON, without officer and statement>
//
//	— legal <base64 of key hash and signature>
//
// It is made where the officer is, kept in the event it is about, and verified by whoever holds the officers' public keys, without the archive
// (docs/format/statement.md).
//
// The invariants:
//
//   - a statement is good for one act in one archive, once, within MaxSkew of its time;
//   - a name and a key belong to one officer for ever;
//   - every officer is in the line of one of the two founders: brought in by it, directly or through others. Whoever approves is in another line than
//     who requested, so that nobody can approve alone, however many officers he brings in;
//   - each of the two lines always has an officer.
package officers
