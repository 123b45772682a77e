// Package seal turns the facets of a message into one immutable blob that can be forgotten piece by piece.
//
// Every facet has a random data key (DEK) and is encrypted with a commitment to it (package committing). The DEK is wrapped in one or more slots.
// A slot opens when every share it names can be derived: AND inside a slot, OR between slots. Each slot names a lifetime share, a retention day or
// a hold, so nothing outlives its schedule; the other shares are those of the data subjects the facet belongs to and of the message itself.
//
//	h               = SHA-256("escrow/facet/v1" ‖ 0x00 ‖ record context ‖ facet header)
//	K_enc ‖ K_com   = HKDF(DEK, salt "", info "escrow/body/v1" ‖ 0x00 ‖ h, 64)
//	body            = AES-256-GCM(K_enc, pad(zstd(plain)), aad = h ‖ K_com)
//	d_j             = "escrow/slot/v1" ‖ 0x00 ‖ h ‖ n:u16 ‖ (kind, tree, leaf)*
//	K_j             = HKDF(share_1 ‖ … ‖ share_n, salt_j, info d_j, 32)
//	wrap_j          = AES-256-GCM(K_j, DEK, aad = d_j)
//
// Invariants: a blob has one encoding only; nothing in it depends on the plaintext but ciphertext, the codec and a length class of at most 12 %
// width (PADMÉ), at least 64 bytes; nothing can be moved between facets, records or tenants without being refused; one blob has one reading.
// docs/format/record.md gives the bytes with a worked example.
package seal
