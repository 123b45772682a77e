// Package crypto holds no code; its subpackages hold all cryptography of the archive, and only they import Tink.
//
// # Key hierarchy
//
// Each level dies when the one above it dies.
//
//	root      made for one epoch by each root store, which never gives it out and destroys it some days after the next has begun (rootstore)
//	          and a key of the tenant, perhaps in the customer's hands, without which no root opens anything (optional)
//	sealer    32 random bytes for each version of the key state, wrapped by the roots of its epoch, any of which opens (keystate)
//	key state the living nodes of the key trees, one file sealed under the sealer (keystate, keytree)
//	share     a leaf of a tree: one for each subject, retention day and class, message, hold, index file, day of arrival (keytree)
//	slot key  HKDF over the shares a slot names: AND inside a slot (seal)
//	data key  32 random bytes for each facet of a record, wrapped in its slots: OR between slots (seal)
//	K_enc ‖ K_com  HKDF of the data key and a hash of everything the facet belongs to (committing)
//
// Erasing somebody is puncturing a leaf: the state keeps the keys beside the path to it, forgets those on it, and is sealed under a fresh root. Every
// facet that needs the share is then unreadable with the state of now, in the ledger, in its copies and in its backups, at the same moment and whatever
// their number; and with any copy of the state, once the roots of before are destroyed.
//
// # What this protects against
//
//   - Whoever obtains disks, backups or a log without the key state and root of the same epoch reads nothing, and learns of a message its time, its
//     length within 12 %, and the numbers of the subjects.
//   - Whoever obtains all of it after an erasure and the destruction of the roots before it, the operator included, cannot read what was erased, also
//     with the help of any older copy of the state, because the roots of older epochs no longer exist.
//   - Whoever can write the disk cannot change, swap, move or truncate anything without being noticed: every ciphertext is bound to its record, tenant,
//     position and kind, and to one key only (two readings of one ciphertext are refused, even if an insider prepared them).
//   - Whoever can make the archive decrypt what he wrote cannot exhaust its memory: sizes are authenticated, and checked before anything is allocated.
//
// # What it does not
//
//   - Whoever copied the living key state with its root before an erasure can read until then sealed and erased messages from a copy of the ledger. No
//     backup may hold roots.
//   - The root store in a file relies on the file system overwriting in place, which flash and copy-on-write file systems do not promise, and on the
//     splitting of roots where they do not. Better is the encryption of the disk, a hardware root store or a key service.
//   - A process that can read our memory reads what we read. Keys are overwritten after use where the language lets us; copies the runtime or a library
//     made stay until they are reused. Core dumps and swap should be off.
//   - Nothing here is secret against a break of AES-256, SHA-256 or Ed25519, nor deniable against who holds the signing key.
package crypto
