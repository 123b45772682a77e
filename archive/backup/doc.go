// Package backup copies an archive while it grows, and puts a copy back. It sees sealed records, sealed key states and public configuration, never a key:
// the key state comes in as bytes, through a function.
//
// A backup has two destinations, kept apart. The archive may be kept as long as one likes:
//
//	BACKUP         which archive this is a backup of
//	manifest.json  the newest complete backup: its number, every file with its digest, each ledger's checkpoint
//	LOCK           held by the one process that writes
//	<n>/<path>     files that were new or changed in backup n
//
// The keys are the part that forgets, and are worthless once the root they are sealed under is destroyed:
//
//	BACKUP, LOCK   as above
//	<tenant>/<version>-<digest>.state
//
// Invariants:
//
//   - The manifest is written last, in one rename, after everything it names was synced and read back. No byte that the manifest before names is ever
//     written over: what grows is appended to, what changed gets a new place. So an interrupted backup leaves the one before as it was, and the next one
//     continues it.
//   - The key state is taken before the ledger, so the ledger is never older than the keys. One key state is kept for each tenant, that of the newest
//     backup: an older one could open more and serve nobody. The one before goes only after the manifest is written.
//   - A restored directory is no archive until its configuration gets its name, which is the last thing that happens.
package backup
