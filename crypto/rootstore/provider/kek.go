package provider

import (
	"context"
	"errors"

	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
)

// Key is one key at a provider, with the errors of Keys.
type Key interface {
	Seal(ctx context.Context, plain, aad []byte) ([]byte, error)
	Open(ctx context.Context, sealed, aad []byte) ([]byte, error)
}

// kek is a key encryption key at a provider.
type kek struct {
	kind, name string
	key        Key
}

// kekName is bound to what a key encryption key encrypts, in place of the name of the key: the same key may be called by alias today and by number tomorrow.
const kekName = "kek"

// NewKEK returns a key encryption key on a key that exists already; name is how errors call it. Errors are of kind Forged for what was not
// encrypted by it so, Erased if the key is gone, Denied if its holder disabled it, else Unavailable. It is safe for concurrent use.
func NewKEK(kind, name string, key Key) tink.AEAD { return kek{kind, name, key} }

// Encrypt implements tink.AEAD.
func (k kek) Encrypt(plain, aad []byte) ([]byte, error) {
	bound := bind(kekName, 0, plain, aad)
	defer clear(bound)
	sealed, err := k.key.Seal(context.Background(), bound, aad)
	if err != nil {
		return nil, k.explain("Encrypt", err)
	}
	return sealed, nil
}

// Decrypt implements tink.AEAD.
func (k kek) Decrypt(sealed, aad []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, escrow.Errorf(k.kind+".Decrypt", escrow.Forged, "key %s: nothing to decrypt", k.name)
	}
	bound, err := k.key.Open(context.Background(), sealed, aad)
	if err != nil {
		return nil, k.explain("Decrypt", err)
	}
	defer clear(bound)
	plain, ok := release(kekName, 0, bound, aad)
	if !ok {
		return nil, escrow.Errorf(k.kind+".Decrypt", escrow.Forged, "key %s: this was encrypted for another purpose", k.name)
	}
	return plain, nil
}

func (k kek) explain(op string, cause error) error {
	kind, hint := escrow.Unavailable, ""
	switch {
	case errors.Is(cause, ErrMisfit):
		kind = escrow.Forged
	case errors.Is(cause, ErrGone):
		kind, hint = escrow.Erased, "; only its holder can say whether a scheduled deletion can be cancelled"
	case errors.Is(cause, ErrDisabled):
		kind, hint = escrow.Denied, "; its holder can enable it again"
	}
	return escrow.Errorf(k.kind+"."+op, kind, "key %s: %w%s", k.name, cause, hint)
}
