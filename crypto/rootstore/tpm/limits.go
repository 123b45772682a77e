package tpm

const (
	// The owner's range of NV indices by the registry of the Trusted Computing Group.
	firstOwnerIndex = 0x01800000
	lastOwnerIndex  = 0x01BFFFFF

	// Where the range begins if nothing is said, and how long it is: a head for each tenant, and the roots of K days. TPMs have room for some dozens of
	// small indices, whatever the range.
	defaultIndex = "0x1800100"
	defaultSlots = 64
	maxSlots     = 1024
)
