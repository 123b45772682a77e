// Package kekfile makes a key encryption key of a file that the customer holds: an AEAD keyset in Tink's JSON form, as tinkey writes it.
//
// The file is read at each use and nothing of it is kept, so taking it away (a stick, a mount) takes effect at the next: from then on the key state
// can be neither opened nor changed. Who deletes every copy of the file has erased the archive. It is a long-lived key, not a root: it destroys nothing
// that somebody is to be forgotten by, and must not lie where backups of the archive are.
package kekfile

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore/provider"
	"escrow/internal/vfs"
)

// Config says where the file is.
type Config struct {
	Path string `json:"path"` // mode 0600 or less

	FS vfs.FS `json:"-"` // nil: the real one
}

const kind = "kekfile"

// Open returns the key encryption key. It does not read the file. Errors of Open are of kind Invalid; those of the key are told by provider.NewKEK,
// where a file that is missing, unsafe or no keyset is of kind Unavailable.
func Open(cfg Config) (tink.AEAD, error) {
	if cfg.Path == "" {
		return nil, escrow.Errorf("kekfile.Open", escrow.Invalid, "path is missing: where the keyset of the customer lies")
	}
	if cfg.FS == nil {
		cfg.FS = vfs.OS()
	}
	return provider.NewKEK(kind, cfg.Path, key{cfg}), nil
}

type key struct{ cfg Config }

// aead reads the file. Errors do not quote it.
func (k key) aead() (tink.AEAD, error) {
	info, err := k.cfg.FS.Stat(k.cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("the file of the key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("the file of the key has mode %04o; others can read it, make it 0600", mode)
	}
	content, err := provider.ReadFile(k.cfg.FS, "kekfile.Open", "path", k.cfg.Path)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, fmt.Errorf("the file of the key is no keyset in Tink's JSON form") // opaque: the parser may quote what it read
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("the keyset is not for authenticated encryption: %w", err)
	}
	return primitive, nil
}

// Seal implements provider.Key.
func (k key) Seal(_ context.Context, plain, aad []byte) ([]byte, error) {
	primitive, err := k.aead()
	if err != nil {
		return nil, err
	}
	return primitive.Encrypt(plain, aad)
}

// Open implements provider.Key.
func (k key) Open(_ context.Context, sealed, aad []byte) ([]byte, error) {
	primitive, err := k.aead()
	if err != nil {
		return nil, err
	}
	plain, err := primitive.Decrypt(sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", provider.ErrMisfit, err)
	}
	return plain, nil
}
