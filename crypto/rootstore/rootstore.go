package rootstore

import (
	"context"
	"time"

	"escrow"
)

// Store keeps the roots of one key state. Its methods are safe for concurrent use. Errors are of kind Unavailable unless a method says otherwise.
type Store interface {
	// Create makes the root of an epoch and remembers epoch and size, the number of records in the ledger at that moment, as the newest. Both are durable on
	// return. Called again for the newest epoch it keeps the root and the larger size. Kind Conflict for an epoch older than the newest, for the newest once
	// it is destroyed, and where no further root has room: roots never come back.
	Create(ctx context.Context, epoch uint64, size escrow.TreeSize) error
	// Wrap encrypts a key under the root of an epoch; aad must be given again to Unwrap. A root that does not exist is of kind NotFound, a destroyed one
	// of kind Erased.
	Wrap(ctx context.Context, epoch uint64, key, aad []byte) ([]byte, error)
	// Unwrap returns what was wrapped. The error is of kind Erased if the root is destroyed or scheduled to be, NotFound if there never was one, and
	// Forged if wrapped or aad do not fit.
	Unwrap(ctx context.Context, epoch uint64, wrapped, aad []byte) ([]byte, error)
	// Destroy makes the root of an epoch unusable before it returns; Evidence says how and until when its material exists at the provider. It is idempotent.
	Destroy(ctx context.Context, epoch uint64) error
	// Evidence describes the store as its provider does at this moment.
	Evidence(ctx context.Context) (Evidence, error)
}

// Evidence is what a store can say of its roots. It holds no secrets.
type Evidence struct {
	Store  string          // kind of store: "file", "vault", "awskms", "gcpkms", "tpm"
	Method string          // what Destroy does, in the words of NIST SP 800-88
	Wait   time.Duration   // between Destroy and the end of the key material at the provider
	Newest uint64          // newest epoch ever created, 0 if there is none
	Size   escrow.TreeSize // records in the ledger when it was created
	Roots  []Root          // ascending by epoch: all that are not destroyed, and destroyed ones as far as the store knows them
}

// Root describes the root of one epoch.
type Root struct {
	Epoch  uint64
	State  State
	Due    time.Time // when the material is gone; for Pending
	Detail string    // in the provider's words
}

// Of returns what the evidence says of the root of an epoch.
func (e Evidence) Of(epoch uint64) (Root, bool) {
	for _, r := range e.Roots {
		if r.Epoch == epoch {
			return r, true
		}
	}
	return Root{}, false
}

// State is what has become of a root.
type State uint8

// The states of a root.
const (
	Live      State = iota // usable
	Pending                // unusable, its material waits for its end at the provider
	Destroyed              // gone
)

var stateNames = [...]string{"live", "pending", "destroyed"}

// String returns the state in lower case, as it is printed and recorded.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}
