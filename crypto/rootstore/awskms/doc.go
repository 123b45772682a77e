// Package awskms keeps roots in AWS KMS, one symmetric key for each epoch, and makes a key encryption key of a key there.
//
// A root is found, and the newest epoch remembered, by the names of aliases:
//
//	alias/<name>/<epoch>/<size>   points to the root of that epoch, made when the ledger had that size
//
// An alias is made after its key, so a root exists before it is remembered. Aliases are never moved or deleted by this package; KMS deletes them with
// their key, when its waiting period is over. So the newest epoch cannot go back while its root exists, and once that is gone nothing opens.
//
// KMS deletes no key at once: ScheduleKeyDeletion makes it unusable and deletes it after 7 to 30 days, until when CancelKeyDeletion brings it back,
// disabled. Deleting imported material would be immediate, but the material can be imported again by whoever kept it, so it would prove nothing.
// Rotation keeps all old material and destroys nothing either. Keys are of one Region, since the wait of a multi-Region key begins only when all of its
// replicas are gone.
package awskms
