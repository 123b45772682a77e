// Package vault keeps roots in the transit engine of HashiCorp Vault (or OpenBao), one transit key for each epoch, and makes a key encryption key of a
// transit key.
//
// # Names
//
// All that is remembered is in names of transit keys, which Vault keeps consistent and whose list is one call:
//
//	<name>.<epoch>               the root; aes256-gcm96, not exportable, no plaintext backup
//	<name>.made.<epoch>.<size>   a mark, made after the root: this epoch exists since the ledger had that size
//	<name>.gone.<epoch>.<time>   a mark, made after the root was deleted, at that Unix time
//
// Marks are never used and never deleted, so the newest epoch cannot go back while Vault itself is not set back, and a token that may not delete marks
// cannot make it. A dot is not allowed in <name>, so no store takes another one's keys for its own.
//
// # Why a key for each epoch, not a version
//
// Vault can destroy versions of one key as well: raise min_decryption_version, then trim. But only from the oldest up, so one old epoch that must stay
// would keep all newer ones; a min_decryption_version can be lowered again until the trim; and an epoch number would have to be a version number, which
// rotate alone counts up. DELETE of a key is documented to remove it with all its versions, and can be read back as 404.
//
// Deleting takes effect at once in the running Vault. Vault's storage and snapshots keep the key, encrypted under Vault's own barrier key, for as long
// as there are snapshots: snapshot_days declares how long that is, and counts as waiting time.
package vault
