package keystate

const (
	// MaxStateBytes bounds the state file: twenty million subjects of which half were erased at random take half of it, in three buffers at once while
	// it is written. A change that would exceed it is refused.
	MaxStateBytes = 512 << 20
	// MaxTrees bounds the key trees: seven kinds, and a tree for each retention class there ever was.
	MaxTrees = 4096
	// MaxSigningKeyBytes bounds the serialised signing keyset; one Ed25519 key takes about 100 bytes.
	MaxSigningKeyBytes = 16 << 10

	// slotStride separates the two slots of the root file, so that writing one cannot tear the other in one sector or block.
	slotStride = 4096
	// rootFileBytes is the exact size of the root file.
	rootFileBytes = 2 * slotStride
)
