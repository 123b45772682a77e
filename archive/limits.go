package archive

// Limits, all inclusive.
const (
	// MaxLeafBytes bounds the text of a leaf: it must fit into every proof, and the longest possible has under 900.
	MaxLeafBytes = 1 << 10
	// MaxClassBytes bounds the name of a retention class.
	MaxClassBytes = 64
	// MaxBatchRecords bounds the records of one Append; beyond this one sync more or less makes no difference.
	MaxBatchRecords = 65_536
	// MaxBatchBytes bounds the blobs of one Append: a batch is assembled in memory. One record of the largest size fits, and its identities.
	MaxBatchBytes = 128 << 20
	// DefaultSegmentBytes is the size at which the next segment is begun: small enough that the last one is checked in a moment at start, large
	// enough that a terabyte is not a million files.
	DefaultSegmentBytes = 64 << 20
	// maxSegmentBytes bounds what may be configured.
	maxSegmentBytes = 1 << 40
	// maxCheckpointBytes bounds a checkpoint with its signatures and those of many witnesses.
	maxCheckpointBytes = 64 << 10
	// maxProofBytes bounds an inclusion proof: 64 hashes, extra data, and a checkpoint.
	maxProofBytes = maxCheckpointBytes + 64<<10
	// maxOpenSegments bounds the segment files kept open for reading.
	maxOpenSegments = 64
	// maxFindings bounds the findings Verify lists; more are counted.
	maxFindings = 1000
	// keepBatchBytes is how much of the buffer of a batch is kept for the next one: the sealer's batches have up to about as much, and making and
	// clearing a new one costs more than writing it.
	keepBatchBytes = 32 << 20
	// keepBatchRecords is the same for what is kept for each record, about 600 bytes.
	keepBatchRecords = 10_000
	// rowChunk is how many rows are read at once.
	rowChunk = 4096
)
