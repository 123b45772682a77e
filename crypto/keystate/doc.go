// Package keystate keeps the key trees of one tenant in a file that forgets.
//
// A directory holds two files. `state` is the whole key state, encrypted under a root key made for this one version of it, an epoch. `root` holds that
// root key in one of two fixed slots, the one the epoch's parity names; the other slot is zeros. To change the state is to
//
//  1. write a fresh root into the idle slot, in place, and sync it;
//  2. write the new state under it beside the old, sync, rename over the old, sync the directory: from here on the change is made;
//  3. overwrite the old root with zeros, in place, and sync.
//
// So every copy of `state` made before, in a backup, a snapshot or an unused block of the disk, is ciphertext under a key that no longer exists, and
// what was punctured since cannot come back out of it. No file is ever trusted to be deleted. Power lost at any point leaves a state that opens as the
// old or as the new one; Open finishes what was interrupted.
//
// Whoever restores both files from before a change undoes it: that is why the position up to which the ledger's erasures are applied is in the
// state (Applied), and a service opens only after it has applied the rest. Only one process may have the directory open; the caller sees to it.
//
// docs/format/keystate.md gives the bytes.
package keystate
