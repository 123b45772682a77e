package natslog

import (
	"github.com/nats-io/nkeys"

	"escrow"
)

// NewSeed makes the credentials of a platform: the seed, which only the platform keeps, and the public key by which the server knows it.
func NewSeed() (seed []byte, public string, err error) {
	const op = "natslog.NewSeed"
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", escrow.Errorf(op, escrow.Internal, "create a key: %w", err)
	}
	if seed, err = pair.Seed(); err != nil {
		return nil, "", escrow.Errorf(op, escrow.Internal, "encode a key: %w", err)
	}
	if public, err = pair.PublicKey(); err != nil {
		return nil, "", escrow.Errorf(op, escrow.Internal, "encode a key: %w", err)
	}
	return seed, public, nil
}

// CheckPlatforms returns an error of kind Invalid that says which of the platforms is wrong, and how.
func CheckPlatforms(platforms []Platform) error { return checkPlatforms(platforms) }
