package retention

// Limits of a schedule, all inclusive.
const (
	// MinDays is the shortest period: the keys of a due day are destroyed after that day, so nothing finer than a day exists.
	MinDays = 1
	// MaxDays is the longest period, 100 years: longer ones are typing errors, and a tree of key leaves must cover every due day.
	MaxDays = 36525
	// MaxClasses bounds the classes of one schedule: each costs a key tree in the key state, which is rewritten whole at every erasure.
	MaxClasses = 1000
	// MaxScheduleBytes bounds the JSON of a schedule: MaxClasses at about 100 bytes each, several times over.
	MaxScheduleBytes = 1 << 20
	// MaxDay is 9999-12-31, the last day whose year has four digits, as dates and index partitions are written.
	MaxDay Day = 2932896
)
