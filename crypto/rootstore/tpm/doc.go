// Package tpm keeps roots in the non-volatile memory of a TPM 2.0, one NV index for each epoch.
//
// All archives use one range of indices together; each takes the first that is free. An index belongs to a store by its authPolicy, which is the SHA-256
// of the store's name and permits nothing. By its size it is one of two things, numbers big endian:
//
//	head   newest epoch (8 bytes) ‖ size of the ledger then (8)
//	root   epoch (8) ‖ root (32)
//
// Indices are the owner's, ordinary, without dictionary attack protection. A root is written before the head names its epoch; one that is defined and
// not written, or whose epoch is beyond the head, was left by an interruption and is used again. TPM2_NV_UndefineSpace destroys a root: the TPM keeps
// no copy, there is no waiting time, and nobody can take it back.
//
// A root is read into the memory of this process for each use, since few TPMs encrypt for others. On its way it is encrypted by the TPM (a salted HMAC
// session), so that it is not in clear on the bus of a discrete TPM. Whoever has the password of the indices, which may be empty, and may open
// the device, can read the roots as this process does.
package tpm
