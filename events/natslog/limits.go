package natslog

import (
	"time"

	"escrow"
)

// Limits, each with its reason.
const (
	// maxSealed bounds the sealed part of an entry: the largest import, what the envelope adds (headers, at most 64 KiB), and what sealing adds.
	maxSealed = escrow.MaxImport + 1<<20
	// maxEntry bounds a whole entry.
	maxEntry = maxSealed + entryOverhead
	// maxPart is the largest message put into the stream. JetStream refuses records above 32 MiB, external servers by default payloads above
	// 1 MiB, and large records were measured slower than records of about 1 MB. The rest of the MiB is for headers.
	maxPart = 1<<20 - 4<<10
	// maxPack bounds what small entries share one message: beyond some hundred KiB an fsync becomes slower in proportion, and JetStream loses a
	// whole message to one bad bit. It must not exceed minPart.
	maxPack = 128 << 10
	// minPart is the smallest part size that keeps an entry of maxEntry bytes within one atomic batch.
	minPart = 128 << 10
	// partSlack is kept free below a server's max_payload for our headers: batch id, sequence, guard.
	partSlack = 4 << 10

	// maxBatchMsgs bounds an atomic batch, and the entries of a group commit; it is JetStream's own default limit.
	maxBatchMsgs = 1000
	// maxBatchBytes bounds a commit, so that one batch cannot delay the others' acknowledgements by more than some tenths of a second. A single
	// larger entry is committed alone.
	maxBatchBytes = 32 << 20
	// minAtomic is the number of messages from which an atomic batch (four fsyncs, about 2.5 ms) beats single publishes (0.2 ms each). Parts of one
	// entry always go as a batch.
	minAtomic = 12

	// DefaultMinFree is the free space below which the log refuses new entries: enough for the sealer, the index and erasures to go on while
	// the operator makes room, and JetStream itself never meets a full disk, from which it does not recover by itself.
	DefaultMinFree = 64 << 20
	// DefaultMaxBytes bounds a tenant's stream: days of backlog at ordinary rates.
	DefaultMaxBytes = 16 << 30

	// maxAckPending bounds what is delivered and not yet acknowledged, hence redelivered after a crash.
	maxAckPending = 20_000
	// maxFetchBytes bounds the memory of one fetch. It must exceed maxPart.
	maxFetchBytes = 32 << 20
	// maxFetch bounds the number of messages asked for in one fetch, and minFetchBytes and fetchBytesEach the bytes: a message can hold hundreds of
	// small entries, and what a fetch returns is kept in memory several times over.
	maxFetch       = 10_000
	minFetchBytes  = 2 << 20
	fetchBytesEach = 4 << 10

	// DefaultMaxWaiting bounds publishes that were received and not yet taken into a batch, per tenant: five times what a client keeps in flight
	// by default.
	DefaultMaxWaiting = 20_000
	// DefaultMaxWaitingBytes bounds their payloads, over all tenants: two imports of the largest size.
	DefaultMaxWaitingBytes = 128 << 20
	// maxUnread bounds what the client library has read and not yet handed to receive, which is quick: this is never reached unless the processor is
	// starved. What is beyond is dropped, counted and logged, and published again because nobody acknowledged it.
	maxUnread = 256 << 20
	// maxGroup bounds the messages of one group commit; one group is one atomic batch if it can be.
	maxGroup = maxBatchMsgs

	// attemptTimeout is how long one attempt to store may stay unanswered before its outcome is looked up. A slow disk takes seconds.
	attemptTimeout = 2 * time.Second
	// slowDiskRate is added to that for large batches: bytes per second of a disk that is slow or busy.
	slowDiskRate = 8 << 20
	// DefaultCommitTimeout is how long publishers are kept waiting for a commit before they are told to try again. Clients give up after 5 s.
	DefaultCommitTimeout = 4 * time.Second
	// requestTimeout bounds a request to the JetStream API.
	requestTimeout = 5 * time.Second
	// retryPause is the pause between attempts that fail at once, for example while a connection is down.
	retryPause = 50 * time.Millisecond
	// drainTimeout bounds how long Run keeps committing what had arrived when it was told to stop.
	drainTimeout = 10 * time.Second

	// maxDescription bounds the text of an error answer.
	maxDescription = 1024
	// maxPublishers bounds the cache of request-info headers, one per connection.
	maxPublishers = 1024
	// maxMarkFile bounds a watermark file: 32 bytes for each of a million channels.
	maxMarkFile = 32 << 20

	// serverSlack is added to the largest import for headers and NATS framing to give max_payload.
	serverSlack = 1 << 20
	// serverMaxPending is what the server buffers for one connection before it cuts it off: a few of the largest messages.
	serverMaxPending = 256 << 20
	// serverMaxBuffered bounds what waits inside the server for one stream, above our own bounds so that it is never reached.
	serverMaxBuffered = 256 << 20
	// maxBlockSpan is the largest distance of sequences within one of JetStream's block files that is taken for undamaged: blocks hold 8 MiB, so
	// never more than some hundred thousand records.
	maxBlockSpan = 1 << 24
	// startTimeout bounds how long the embedded server may take to recover its store: damaged blocks have been seen to keep it busy for ever.
	startTimeout = 60 * time.Second
	// maxPlatforms bounds the accounts of the embedded server.
	maxPlatforms = 1000
	// maxPlatformConns and maxPlatformSubs bound what one platform may occupy.
	maxPlatformConns = 256
	maxPlatformSubs  = 4096
)
