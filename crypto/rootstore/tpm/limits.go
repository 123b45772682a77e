package tpm

const (
	// Owner's range of NV indices by the registry of the Trusted Computing Group.
	firstOwnerIndex = 0x01800000
	lastOwnerIndex  = 0x01BFFFFF

	// Roots alive at one time: one for each epoch of the last K days. TPMs have room for some dozens of small indices.
	defaultSlots = 32
	maxSlots     = 128
)
