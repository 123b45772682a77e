package certificate

// Limits, all inclusive.
const (
	// MaxBytes bounds a certificate. The largest events are a request and an order that names half a million ranges of messages (disposal.MaxNamed), up to 41
	// bytes each.
	MaxBytes = 64 << 20
	// MaxRecords bounds the records of one: all officers that can be, added and removed, the steps, and the roots of years.
	MaxRecords = 4096
	// maxProofHashes bounds an inclusion proof: a tree has no more levels.
	maxProofHashes = 64
	// maxTextBytes bounds a text from elsewhere, such as what a root store says about its way of destroying.
	maxTextBytes = 512
)
