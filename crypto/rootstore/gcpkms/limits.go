package gcpkms

import "time"

const (
	// maxName leaves room for -E and an epoch in the 63 characters Google allows.
	maxName = 41

	// How long a version may be scheduled for destruction, in hours: what Google allows.
	minDestroyHours = 24
	maxDestroyHours = 120 * 24

	defaultDestroy = 30 * 24 * time.Hour // what Google takes for a key that was made without saying

	pageSize = 1000 // the most Google gives
	maxPages = 1000 // a million keys in a ring
)
