package directory

const (
	// MaxEntries bounds the identities of one tenant: about 2 GB of memory.
	MaxEntries = 1 << 26
	// maxSnapshotBytes bounds the snapshot file: MaxEntries entries and what is around them.
	maxSnapshotBytes = MaxEntries*entryBytes + 4096
	// skipped is how many leaves of snapshots an older copy of the keys leaves out: a snapshot takes one for each erasure, and one each time an erasure is
	// tried again.
	skipped = 1 << 20
)
