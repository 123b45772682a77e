package segment

// Limits on what is read from a file, all inclusive.
const (
	// MaxBlobBytes bounds one sealed record: escrow.MaxImport, sealed facet by facet and padded, with room to spare.
	MaxBlobBytes = 96 << 20
	// MaxMetaBytes bounds the header of one record: the leaf it stands for has at most 1 KiB.
	MaxMetaBytes = 1 << 10
	// maxPayload bounds a frame, so that a damaged length cannot ask for more memory than a record ever needs.
	maxPayload = 2 + MaxMetaBytes + MaxBlobBytes
	// window is how much of a file is read at a time: large enough that a disk reads in sequence, small beside the rest of the process.
	window = 1 << 20
)
