package officers

import "time"

// Limits, all inclusive.
const (
	// MaxSkew is how far the time of a statement may be from the clock of the archive: long enough to read before signing, and for clocks that are not
	// set well; short enough that a statement does not lie around.
	MaxSkew = 15 * time.Minute
	// MaxStatementBytes bounds a signed statement; with the longest origin it has under 700.
	MaxStatementBytes = 2 << 10
	// MaxOfficers bounds the officers of an archive, removed ones included: all of them go into every certificate.
	MaxOfficers = 1000
	// maxKeyBytes bounds a key in text.
	maxKeyBytes = 256
)
