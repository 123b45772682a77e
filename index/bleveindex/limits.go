package bleveindex

import "time"

// Limits of the index, each with its reason.
const (
	// maxWordBytes bounds one word as it is kept; longer runs of letters (encoded data) are cut into pieces of this size that follow each other,
	// in messages and queries alike, so that they are still found whole.
	maxWordBytes = 120
	// maxExpansion bounds the dictionary words one * or ~ stands for: each becomes a list to be read.
	maxExpansion = 1024
	// maxStems bounds the inflected forms a query word is looked up by; eight languages seldom give more than four.
	maxStems = 16
	// maxSnippet bounds the text of a snippet in bytes.
	maxSnippet = 4096
	// sampleBytes of a text are enough to tell its language.
	sampleBytes = 1024
	// chunkDocs is how many documents become one segment in memory: large enough that shared words pay, small enough for two cores to share an
	// ordinary batch of a thousand.
	chunkDocs = 500
	// chunkBytes bounds the text of such a segment, for messages of megabytes.
	chunkBytes = 8 << 20
	// maxWorkers bounds the segments built at the same time, and so the memory of Apply.
	maxWorkers = 4
	// maxSegmentDocs bounds the segments that merging makes: an erasure rewrites whole segments, 50 µs a document.
	maxSegmentDocs = 200_000
	// gatherChunks is how many segments are kept in memory to be written as one file.
	gatherChunks = 8
	// stemCache is how many words an analyser remembers the stems of; a language has about that many common ones.
	stemCache = 1 << 14
	// slabBytes is the unit in which sealed chunks are allocated; most chunks have under a hundred bytes.
	slabBytes = 64 << 10
	// maxStateBytes bounds the state file: a line for each partition, a few hundred in a lifetime.
	maxStateBytes = 1 << 20
	// defaultTimeout and defaultSearches are used where Config says nothing.
	defaultTimeout  = 10 * time.Second
	defaultSearches = 4
	// closePatience is how long closing a partition may take; the engine finishes what it writes, which takes seconds.
	closePatience = 30 * time.Second
	// drainPatience is how long Purge waits for the engine to remove replaced files. It takes seconds at most; beyond it the caller is told to purge again.
	drainPatience = time.Minute
	// purgeRounds bounds how often Purge starts again because of deletions that arrived meanwhile.
	purgeRounds = 8
	// pollInterval is how often Purge looks whether the engine has removed replaced files; it offers no notice of it.
	pollInterval = 10 * time.Millisecond
	// backoff slows the engine's endless retries after an error, such as a full disk.
	backoff = time.Second
)
