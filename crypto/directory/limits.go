package directory

const (
	// MaxEntries bounds the identities of one tenant: about 2 GB of memory.
	MaxEntries = 1 << 26
	// maxSnapshotBytes bounds the snapshot file: MaxEntries entries and what is around them.
	maxSnapshotBytes = MaxEntries*entryBytes + 4096
)
