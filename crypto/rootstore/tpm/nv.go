package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
)

// nv implements provider.Keys.
type nv struct {
	cfg             Config
	first           uint32
	auth, ownerAuth []byte

	device sync.Mutex // held while the TPM is open

	mu        sync.Mutex
	destroyed map[uint64]bool // roots this process has destroyed, or found to be: the TPM remembers no destroyed ones
}

const (
	nameBytes = 16
	headBytes = nameBytes + 8 + 8
	rootBytes = 32
	slotBytes = 8 + rootBytes

	method = "cryptographic erase: the NV index with the root is undefined in the TPM, at once and for good"
)

// head is what the first index says.
type head struct {
	there  bool
	newest uint64
	size   escrow.TreeSize
}

func (n *nv) label() []byte {
	digest := sha256.Sum256([]byte(n.cfg.Name))
	return digest[:nameBytes]
}

// head reads the first index. One of another name belongs to another archive.
func (n *nv) head(s *session) (head, error) {
	defined, err := s.defined(n.first, 1)
	if err != nil || len(defined) == 0 {
		return head{}, err
	}
	data, err := s.read(defined[0], headBytes)
	switch {
	case err != nil:
		return head{}, err
	case data == nil: // defined, not written
		return head{there: true}, nil
	case !bytes.Equal(data[:nameBytes], n.label()):
		return head{}, fmt.Errorf("index 0x%x belongs to another store or program; choose another range", n.first)
	}
	return head{true, binary.BigEndian.Uint64(data[nameBytes:]), escrow.TreeSize(binary.BigEndian.Uint64(data[nameBytes+8:]))}, nil
}

func (n *nv) writeHead(s *session, there bool, newest uint64, size escrow.TreeSize) error {
	if !there {
		if err := s.define(tpm2.TPMHandle(n.first), headBytes); err != nil {
			return err
		}
	}
	data := binary.BigEndian.AppendUint64(n.label(), newest)
	return s.write(tpm2.TPMHandle(n.first), binary.BigEndian.AppendUint64(data, uint64(size)))
}

// slots returns the indices by epoch, and those that are defined and hold nothing.
func (n *nv) slots(s *session) (roots map[uint64]tpm2.TPMHandle, empty []tpm2.TPMHandle, err error) {
	defined, err := s.defined(n.first+1, n.cfg.Slots)
	if err != nil {
		return nil, nil, err
	}
	roots = map[uint64]tpm2.TPMHandle{}
	for _, index := range defined {
		data, err := s.read(index, 8)
		if err != nil {
			return nil, nil, err
		}
		if data == nil {
			empty = append(empty, index)
			continue
		}
		roots[binary.BigEndian.Uint64(data)] = index
	}
	return roots, empty, nil
}

// Make implements provider.Keys.
func (n *nv) Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	return n.with(ctx, func(s *session) error {
		known, err := n.head(s)
		if err != nil {
			return err
		}
		roots, empty, err := n.slots(s)
		if err != nil {
			return err
		}
		if _, there := roots[epoch]; !there {
			index, err := n.free(s, known.newest, roots, empty)
			if err != nil {
				return err
			}
			if err := n.fill(s, index, epoch); err != nil {
				return err
			}
		}
		return n.writeHead(s, known.there, epoch, size)
	})
}

// free returns a defined index without a root in it, and undefines what an interruption left beyond the newest epoch.
func (n *nv) free(s *session, newest uint64, roots map[uint64]tpm2.TPMHandle, empty []tpm2.TPMHandle) (tpm2.TPMHandle, error) {
	if len(empty) > 0 {
		return empty[0], nil
	}
	used := map[tpm2.TPMHandle]bool{}
	for epoch, index := range roots {
		if used[index] = true; epoch > newest {
			return index, nil
		}
	}
	for slot := range uint32(n.cfg.Slots) {
		if index := tpm2.TPMHandle(n.first + 1 + slot); !used[index] {
			return index, s.define(index, slotBytes)
		}
	}
	return 0, fmt.Errorf("all %d slots hold roots; destroy old roots now, keep roots for fewer days, or raise slots", n.cfg.Slots)
}

func (n *nv) fill(s *session, index tpm2.TPMHandle, epoch uint64) error {
	data := binary.BigEndian.AppendUint64(make([]byte, 0, slotBytes), epoch)[:slotBytes]
	defer clear(data)
	if _, err := io.ReadFull(n.cfg.Rand, data[8:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	return s.write(index, data)
}

// use gives do the root of an epoch.
func (n *nv) use(ctx context.Context, epoch uint64, do func(root []byte) error) error {
	return n.with(ctx, func(s *session) error {
		known, err := n.head(s)
		if err != nil {
			return err
		}
		roots, _, err := n.slots(s)
		if err != nil {
			return err
		}
		index, there := roots[epoch]
		if !there || epoch > known.newest {
			return fmt.Errorf("%w: no NV index holds it", provider.ErrGone)
		}
		data, err := s.read(index, slotBytes)
		if err != nil {
			return err
		}
		defer clear(data)
		return do(data[8:])
	})
}

// Seal implements provider.Keys.
func (n *nv) Seal(ctx context.Context, epoch uint64, plain, aad []byte) (sealed []byte, err error) {
	err = n.use(ctx, epoch, func(root []byte) (err error) {
		sealed, err = committing.Encrypt(root, plain, aad)
		return err
	})
	return sealed, err
}

// Open implements provider.Keys.
func (n *nv) Open(ctx context.Context, epoch uint64, sealed, aad []byte) (plain []byte, err error) {
	err = n.use(ctx, epoch, func(root []byte) error {
		if plain, err = committing.Decrypt(root, sealed, aad); err != nil {
			return fmt.Errorf("%w: %w", provider.ErrMisfit, err)
		}
		return nil
	})
	return plain, err
}

// End implements provider.Keys, and reads back.
func (n *nv) End(ctx context.Context, epoch uint64) error {
	return n.with(ctx, func(s *session) error {
		known, err := n.head(s)
		if err != nil {
			return err
		}
		roots, _, err := n.slots(s)
		if err != nil {
			return err
		}
		if index, there := roots[epoch]; there {
			if err := n.end(s, index); err != nil {
				return err
			}
		}
		if epoch <= known.newest {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.destroyed[epoch] = true
		}
		return nil
	})
}

func (n *nv) end(s *session, index tpm2.TPMHandle) error {
	if err := s.undefine(index); err != nil {
		return err
	}
	left, err := s.defined(uint32(index), 1)
	if err == nil && len(left) > 0 {
		return fmt.Errorf("the TPM says it undefined index 0x%x, but it is still there", uint32(index))
	}
	return err
}

// Look implements provider.Keys.
func (n *nv) Look(ctx context.Context) (e rootstore.Evidence, err error) {
	e.Method = method
	err = n.with(ctx, func(s *session) error {
		known, err := n.head(s)
		if err != nil {
			return err
		}
		roots, _, err := n.slots(s)
		if err != nil {
			return err
		}
		e.Newest, e.Size = known.newest, known.size
		for epoch, index := range roots {
			if epoch <= known.newest {
				e.Roots = append(e.Roots, rootstore.Root{Epoch: epoch, State: rootstore.Live, Detail: fmt.Sprintf("NV index 0x%x", uint32(index))})
			}
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		for epoch := range n.destroyed {
			if _, there := roots[epoch]; !there {
				e.Roots = append(e.Roots, rootstore.Root{Epoch: epoch, State: rootstore.Destroyed, Detail: "no NV index holds it"})
			}
		}
		return nil
	})
	return e, err
}
