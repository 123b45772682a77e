package file

const (
	// DefaultStripes are the stripes of a root, 4 MiB: far more than what a disk sets aside of one neighbourhood for remapped blocks.
	DefaultStripes = 4 << 20 / rootBytes
	// MaxSlots bounds the roots that exist at once, 2 GiB of them: 73 epochs a day when they are kept for a week.
	MaxSlots = 512
	// maxStripes bounds what a damaged header can make us read: 1 GiB a root.
	maxStripes = 1 << 30 / rootBytes

	// blockBytes is the unit everything is aligned to, so that writing one thing cannot tear another in one sector or block.
	blockBytes = 4096
	// headerBytes is the space of one of the two headers.
	headerBytes = 7 * blockBytes
)
