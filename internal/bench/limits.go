package bench

// Limits and sizes, each with its reason.
const (
	// MinMessages is the least a run can be made with: every person of the erase row needs messages.
	MinMessages = 100
	// MaxMessages keeps a run within an hour and some GiB of disk.
	MaxMessages = 5_000_000
	// DefaultMessages finish within about a minute on two busy cores.
	DefaultMessages = 10_000

	// rounds is how often each side runs; the best counts.
	rounds = 3
	// chunk is how many messages are made up and held in memory at once.
	chunk = 20_000
	// batch is how many records become durable together, as in the service.
	batch = 1000
	// sampleMessages is how many different messages the bare side of the seal row works on, over and over.
	sampleMessages = 2000
	// largeBytes is the size of a large message.
	largeBytes = 1 << 20
	// largeBatch large messages become durable together: with more the service would begin a new batch.
	largeBatch = 16
	// smallBytes is the size of an ordinary message.
	smallBytes = 300
	// window is how many publishes wait for their acknowledgement: enough to fill one commit while the one before is on its way to the disk.
	window = 4000
	// syncProbes is how many writes the latency of the disk is measured with.
	syncProbes = 50
	// queriesPerKind of each of the five kinds make up the mix of one round.
	queriesPerKind = 60
	// pageHits is the page a person looks at.
	pageHits = 20
	// fewMessages is how many messages a person who wrote little has.
	fewMessages = 10
)
