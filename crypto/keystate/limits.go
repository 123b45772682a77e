package keystate

const (
	// MaxStateBytes bounds the state file: ten million subjects of which a third was erased at random, the worst case, take somewhat more than a quarter
	// of it, in two buffers at once while it is written. A change that would exceed it is refused.
	MaxStateBytes = 512 << 20
	// MaxTrees bounds the key trees: seven kinds, their generations, and a tree for each retention class there ever was.
	MaxTrees = 4096
	// MaxSigningKeyBytes bounds the serialised signing keyset; one Ed25519 key takes about 100 bytes.
	MaxSigningKeyBytes = 16 << 10
	// MaxStores bounds the root stores of one state: each takes part in every change.
	MaxStores = 3
	// MaxRetired bounds the roots that are retired and not yet destroyed, so that an archive whose roots are never destroyed is noticed.
	MaxRetired = 4096

	// maxWrapBytes bounds the root key as one store wraps it; key services add about 200 bytes to 32.
	maxWrapBytes = 4096
)
