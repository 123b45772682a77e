package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	tinkgcp "github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/api/cloudkms/v1"

	"escrow/crypto/rootstore/provider"
)

// key is one key, by its full name.
type key struct {
	conn *connection
	name string
}

// read describes the key; ErrGone if there is none.
func (k key) read(ctx context.Context) (found *cloudkms.CryptoKey, err error) {
	err = k.conn.try(ctx, "reading the key", func(ctx context.Context, keys *cloudkms.ProjectsLocationsKeyRingsCryptoKeysService) error {
		found, err = keys.Get(k.name).Context(ctx).Do()
		return err
	})
	return found, err
}

// usable returns why a key cannot be used, nil if it can.
func usable(found *cloudkms.CryptoKey) error {
	if found.Primary == nil {
		return fmt.Errorf("%w: it has no primary version", provider.ErrGone)
	}
	switch found.Primary.State {
	case "ENABLED":
		return nil
	case "DISABLED":
		return fmt.Errorf("%w: its state is DISABLED", provider.ErrDisabled)
	case "PENDING_GENERATION":
		return fmt.Errorf("%w: it is being generated", provider.ErrBusy)
	}
	return fmt.Errorf("%w: its state is %s", provider.ErrGone, found.Primary.State)
}

func (k key) aead(ctx context.Context) (tink.AEAD, error) {
	client, err := tinkgcp.NewClient(ctx, "gcp-kms://", tinkgcp.WithTransport(tinkgcp.TransportREST),
		tinkgcp.WithGoogleAPIClientOptions(k.conn.options(ctx)...))
	if err != nil {
		return nil, err
	}
	return client.GetAEAD("gcp-kms://" + k.name)
}

// use lets do encrypt or decrypt, if the state of the key allows it.
func (k key) use(ctx context.Context, what string, do func(tink.AEAD) ([]byte, error)) (result []byte, err error) {
	found, err := k.read(ctx)
	if err == nil {
		err = usable(found)
	}
	if err != nil {
		return nil, err
	}
	err = k.conn.calls.Try(ctx, func(ctx context.Context) error {
		aead, err := k.aead(ctx)
		if err == nil {
			result, err = do(aead)
		}
		return meaning(what, err)
	})
	return result, err
}

// Seal implements provider.Key.
func (k key) Seal(ctx context.Context, plain, aad []byte) ([]byte, error) {
	return k.use(ctx, "encrypting", func(aead tink.AEAD) ([]byte, error) { return aead.Encrypt(plain, aad) })
}

// Open implements provider.Key.
func (k key) Open(ctx context.Context, sealed, aad []byte) ([]byte, error) {
	plain, err := k.use(ctx, "decrypting", func(aead tink.AEAD) ([]byte, error) { return aead.Decrypt(sealed, aad) })
	if is(err, http.StatusBadRequest) && !errors.Is(err, provider.ErrGone) {
		return nil, fmt.Errorf("%w: %w", provider.ErrMisfit, err)
	}
	return plain, err
}
