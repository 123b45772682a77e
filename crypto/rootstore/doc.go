// Package rootstore is what the key state asks of a place that can forget: make a root key, wrap with it, unwrap with it, destroy it, and say what
// was done.
//
// # Why no file system is trusted
//
// Destroying keys works only if no copy of them is left. Of files there are always copies. "Replaced" and "removed" leave the old blocks where they
// were until something else is written there; journals and copy-on-write file systems keep what was overwritten; flash moves each write to another
// cell; and snapshots, replicas and backups are made so that nothing is ever lost. So the key state never relies on a file being gone. Every version of
// it is encrypted under 32 fresh random bytes, those are wrapped under a root that only a root store has, and what makes all copies of an old version
// unreadable, wherever they lie, is that the root store destroys one key.
//
// # Epochs and K
//
// An epoch is the time for which one root wraps. A change of the key state that takes keys away, or adds trees whose loss must be noticed, begins an epoch:
// a fresh root in every store. The root before is then retired: nothing new is wrapped under it, but it can still open the copies of the key state made
// under it, which is what saves an archive whose newest key state was lost. It is destroyed K days after it was retired; until then whatever
// was erased could be recovered by somebody who has an old copy of the key state and this store. So K is a disaster window bought with a delay of
// forgetting, and K = 0 is a legitimate choice: erasure is final at once, and a lost key state is a lost archive unless there is a copy of the newest.
// The provider's own delay between Destroy and the end of the key material comes on top; Evidence tells it.
//
// With several stores each alone can open, so that the failure of one loses nothing; and all must destroy, so the slowest decides.
//
// # The memory outside the backups
//
// A store remembers the newest epoch it ever made and how long the ledger was then. Backups do not hold the store, so whoever brings back an old
// key state, with or without the ledger of that day, meets a store that knows better.
package rootstore
