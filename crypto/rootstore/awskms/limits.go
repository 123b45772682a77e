package awskms

// The waiting period of ScheduleKeyDeletion, in days. KMS allows 7 to 30 and takes 30 if nothing is said.
const (
	minPendingDays = 7
	maxPendingDays = 30
)

// maxPages bounds a list of aliases, 100 to a page: an account has at most a few thousand.
const maxPages = 1000

// maxCiphertext is the longest ciphertext Decrypt takes, in bytes.
const maxCiphertext = 6144
