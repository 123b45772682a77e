// Package gcpkms keeps roots in Google Cloud KMS, one key with one version for each epoch, all in one key ring, and makes a key encryption key of a key
// there.
//
// A root is the key <name>-E<epoch>; its label escrow-size says how long the ledger was when it was made. Key and label are made by one call, so there
// is nothing between a root and its being remembered, and Google keeps the name of a key after its material is gone: the newest epoch cannot go back,
// and each destroyed root stays listed with the time of its end. No capital letter is allowed in <name>, so no store takes another one's keys for its own.
//
// Google destroys no version at once: it is scheduled, and can be restored, to the state DISABLED, until destroyScheduledDuration is over, which is
// fixed when the key is made. The shortest that Google allows is 24 hours; what Google takes if nothing is said is 30 days. Evidence reports the longest
// of all roots that still have material, whatever the configuration says.
//
// Google applies a change of state everywhere within seconds, at most within three hours (cloud.google.com/kms/docs/enable-disable). What a key may be used
// for is therefore read from the key itself, which is consistent, before each use.
package gcpkms
