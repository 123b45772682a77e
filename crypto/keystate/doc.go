// Package keystate keeps the key trees of one tenant in a file that forgets.
//
// The file `state` is the whole key state, encrypted under 32 fresh random bytes at every change. Those are wrapped by one or more root stores, each
// under its root of the present epoch, and by the tenant's own key, if there is one:
//
//	KEK( root of the epoch ( 32 bytes ))          once for each root store; each alone opens the state
//
// A change that takes keys away, or adds trees whose loss must be noticed, begins an epoch: a fresh root in every store. The root before is retired, and
// destroyed by DestroyRoots once somebody decides that no earlier copy of the state may be needed any more. From then on every copy of `state` made
// before, in a backup, a snapshot or an unused block of the disk, is ciphertext under a key that no longer exists, and what was punctured since
// cannot come back out of it. No file is ever trusted to be deleted (package rootstore says why).
//
// A change goes through these steps:
//
//  1. make the root of the epoch in every store, if it is a new one;
//  2. draw 32 bytes, wrap them, seal the new state under them;
//  3. write it beside the old, sync, read it back and compare, rename it over the old, sync the directory: from here on the change is made.
//
// So a change needs every root store, and opening needs any one. Power lost at any point leaves a state that opens as the old or as the new one.
//
// The stores remember the newest epoch. A state under an older one is a copy brought back (Stale): it opens, while its root lives, but it can only be
// changed together with the keys of the index files (RenewIndexTree), because what it knows of them is out of date. A crash between steps 1 and 3
// looks the same, and costs a new index.
//
// # Memory
//
// All keys are in memory while a state is open. What a change takes away is overwritten when the change is made, not before: the nodes of the trees,
// the path last derived in each, the encoded state, the sealing bytes. Out of reach are the copies that the runtime makes when it moves a stack, the key
// schedules inside the cipher and hash, what a root store's client keeps, and shares handed out. They last until their memory is used again, or until the
// process ends. Go's runtime/secret would reach most of them, and is an experiment that its compatibility promise leaves out. So core dumps and swap are
// to be off, and who wants to be sure restarts the process after an erasure.
//
// The caller sees to it that only one process has the directory open. docs/format/keystate.md gives the bytes.
package keystate
