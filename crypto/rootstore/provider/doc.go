// Package provider is what root stores outside the machine have in common: when a root may be made, what a refusal means, how long is waited and how
// often tried again. What differs from one provider to the next is behind Keys.
//
// Every key is wrapped together with a digest of the store's name, the epoch and the associated data, and the digest is compared when it is unwrapped. So
// what was wrapped for one archive, epoch or purpose does not open for another even where the provider ignores associated data, as Vault does for
// some keys.
package provider
