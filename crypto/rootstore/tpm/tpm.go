package tpm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"strconv"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"escrow"
	"escrow/crypto/rootstore/provider"
	"escrow/internal/vfs"
)

const kind = "tpm"

// Config says which TPM and which of its indices.
type Config struct {
	Name   string `json:"name"`             // as "escrow-mail-acme"
	Device string `json:"device,omitempty"` // "/dev/tpmrm0" if empty
	Socket string `json:"socket,omitempty"` // Unix socket of a virtual TPM, instead of a device
	Index  string `json:"index,omitempty"`  // first NV index that may be used; "0x1800100" if empty
	Slots  int    `json:"slots,omitempty"`  // how many may be used, by all archives on this TPM together; 0 is 64

	OwnerAuthFile string `json:"owner_auth_file,omitempty"` // password of the owner hierarchy; none: empty
	AuthFile      string `json:"auth_file,omitempty"`       // password of the indices; none: empty

	FS   vfs.FS    `json:"-"` // for the two files; nil: the real one
	Rand io.Reader `json:"-"` // for roots; nil: the system's
}

// Open returns the store. It does not call the TPM. Errors are of kind Invalid.
func Open(cfg Config) (*provider.Store, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.OS()
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Slots == 0 {
		cfg.Slots = defaultSlots
	}
	if cfg.Index == "" {
		cfg.Index = defaultIndex
	}
	first, err := cfg.check()
	if err != nil {
		return nil, err
	}
	n := &nv{cfg: cfg, first: first, owner: sha256.Sum256([]byte("escrow/tpm\x00" + cfg.Name)), destroyed: map[uint64]bool{}}
	if n.ownerAuth, err = cfg.password("owner_auth_file", cfg.OwnerAuthFile); err != nil {
		return nil, err
	}
	if n.auth, err = cfg.password("auth_file", cfg.AuthFile); err != nil {
		return nil, err
	}
	return provider.New(kind, cfg.Name, n), nil
}

func (c Config) check() (first uint32, err error) {
	const op = "tpm.Open"
	if err := escrow.CheckToken("the name of a root store", c.Name); err != nil {
		return 0, err
	}
	index, err := strconv.ParseUint(c.Index, 0, 32)
	switch {
	case c.Slots < 1 || c.Slots > maxSlots:
		return 0, escrow.Errorf(op, escrow.Invalid, "slots is %d, must be 1 to %d", c.Slots, maxSlots)
	case err != nil || index < firstOwnerIndex || index+uint64(c.Slots) > lastOwnerIndex:
		return 0, escrow.Errorf(op, escrow.Invalid, `index is %q, must be one of the owner, "0x%x" to "0x%x"`, c.Index, firstOwnerIndex, lastOwnerIndex-c.Slots)
	case c.Device != "" && c.Socket != "":
		return 0, escrow.Errorf(op, escrow.Invalid, "device and socket cannot both be given")
	}
	return uint32(index), nil
}

func (c Config) password(setting, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	content, err := provider.ReadFile(c.FS, "tpm.Open", setting, name)
	return bytes.TrimSpace(content), err
}

// connect opens the TPM.
func (c Config) connect() (transport.TPMCloser, error) {
	switch {
	case c.Socket != "":
		return linuxudstpm.Open(c.Socket)
	case c.Device != "":
		return linuxtpm.Open(c.Device)
	}
	return linuxtpm.Open("/dev/tpmrm0")
}
