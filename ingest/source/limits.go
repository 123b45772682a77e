package source

import "time"

// Limits, each with its reason. All are inclusive.
const (
	// sniffBytes is how much of a file is looked at to decide what it is: a header block shows itself in its first lines.
	sniffBytes = 1 << 10

	// tarHeaderBytes is the size of the first block of a tar file, which names the format.
	tarHeaderBytes = 512

	// readBuffer is the buffer of a file being read; it must hold two separator lines of an mbox.
	readBuffer = 64 << 10

	// maxLine bounds one object of a JSONL file: base64 in an object of a platform reaches this size, and it must fit several times into memory.
	maxLine = 64 << 20

	// maxSeparator bounds a From_ line of an mbox together with the beginning of the line after it. Mail addresses have at most 254 bytes.
	maxSeparator = 1 << 10

	// variantWindow is how much of an mbox is read before its variant is decided. It is held in memory, and a larger mbox that grows later is
	// still read the same way.
	variantWindow = 16 << 20

	// maxMailHeader bounds the header block searched for a Content-Length.
	maxMailHeader = 1 << 20

	// maxWrongLengths is how many wrong Content-Length fields an mbox of a stated variant may have. Each makes up to one message be read twice.
	maxWrongLengths = 16

	// maxExpansion is how many times larger than its compressed form a file may grow, once it has passed freeExpansion. Chat logs reach 30;
	// bombs reach 1,000 and more.
	maxExpansion = 250

	// freeExpansion is what a compressed file may always grow to: this much costs little time and no memory.
	freeExpansion = 256 << 20

	// maxZstdWindow bounds the memory of the zstd decoder; it is what `zstd --long` uses.
	maxZstdWindow = 1 << 27

	// maxZipDirectory bounds what is read to list a ZIP archive, because the list is held in memory.
	maxZipDirectory = 64 << 20

	// maxDepth bounds nested folders; no mail store comes near, and paths must stay printable.
	maxDepth = 64

	// maxFolderName bounds the folder that is sent along as a header.
	maxFolderName = 512

	// DefaultWindow is how many messages may wait for their acknowledgement at once. A batch of the archive holds about as many.
	DefaultWindow = 256

	// MaxWindow bounds Config.Window.
	MaxWindow = 8192

	// windowBytes bounds the bytes that wait for an acknowledgement; one larger message is sent alone.
	windowBytes = 32 << 20

	// firstBackoff and lastBackoff bound the pause before a message is sent again. The first is about the time of an fsync under load, the last
	// keeps an operator who restarts the server from waiting.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second

	// answerWait is how long to wait for the answer to one message: several times what a server under load takes, for asking again costs it twice.
	answerWait = 30 * time.Second

	// DefaultRetryFor is how long one message is tried again before the import gives up: a restart of the server takes seconds.
	DefaultRetryFor = 2 * time.Minute

	// DefaultDrain is how long an interrupted import waits for acknowledgements under way.
	DefaultDrain = 10 * time.Second

	// maxReasons bounds the different reasons of a Report; what is beyond is counted as "other".
	maxReasons = 64

	// maxReasonBytes bounds one reason, so that a report stays readable.
	maxReasonBytes = 200

	// maxPlaces bounds the failing places, and the ignored files, that a Report names.
	maxPlaces = 20

	// lineEvery is the time between two progress lines where there is no terminal.
	lineEvery = 10 * time.Second
)
