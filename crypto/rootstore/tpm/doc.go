// Package tpm keeps roots in the non-volatile memory of a TPM 2.0, one NV index for each epoch.
//
// The index given in the configuration is the head, the ones after it are slots. All are of the owner, ordinary, without dictionary attack protection:
//
//	head   SHA-256 of the name of the store (16 bytes) ‖ newest epoch (8) ‖ size of the ledger then (8)
//	slot   epoch (8) ‖ root (32)
//
// numbers big endian. A slot is written before the head names its epoch; one that is defined and not written, or has an epoch beyond the head, was
// left by an interruption and is used again. TPM2_NV_UndefineSpace destroys a root: the TPM keeps no copy, there is no waiting time, and nobody can
// take it back.
//
// A root is read into the memory of this process for each use, since few TPMs encrypt for others. On its way it is encrypted by the TPM (a salted HMAC
// session), so that it is not in clear on the bus of a discrete TPM. Whoever has the password of the indices, which may be empty, and may open
// the device, can read the roots as this process does.
package tpm
