package certificate

// Limits, all inclusive.
const (
	// MaxBytes bounds a certificate. The largest event is an order that names messages one by one, about 50 bytes each: a million.
	MaxBytes = 64 << 20
	// MaxRecords bounds the records of one: all officers that can be, added and removed, the steps, and the roots of years.
	MaxRecords = 4096
	// maxProofHashes bounds an inclusion proof: a tree has no more levels.
	maxProofHashes = 64
	// maxTextBytes bounds a text from elsewhere, such as what a root store says about its way of destroying.
	maxTextBytes = 512
)
