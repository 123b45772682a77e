package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"escrow"
	"escrow/crypto/committing"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
)

// nv implements provider.Keys.
type nv struct {
	cfg             Config
	first           uint32
	owner           [sha256.Size]byte // what marks an index as of this store
	auth, ownerAuth []byte

	device sync.Mutex // held while the TPM is open

	mu        sync.Mutex
	destroyed map[uint64]bool // roots this process has destroyed, or found to be: the TPM remembers no destroyed ones
}

const (
	headBytes = 8 + 8
	rootBytes = 8 + 32

	method = "cryptographic erase: the NV index with the root is undefined in the TPM, at once and for good"
)

// contents is what the TPM holds of this store.
type contents struct {
	head   *index // nil: none
	newest uint64
	size   escrow.TreeSize
	roots  map[uint64]index
	spare  []index // for a root, without one that counts
	all    []index // of everybody
}

// contents reads all that is there.
func (n *nv) contents(s *session) (c contents, err error) {
	c.roots = map[uint64]index{}
	if c.all, err = s.indices(); err != nil {
		return c, err
	}
	for _, x := range c.all {
		if bytes.Equal(x.owner, n.owner[:]) {
			if err := n.take(s, &c, x); err != nil {
				return c, err
			}
		}
	}
	for epoch, x := range c.roots {
		if epoch > c.newest {
			c.spare = append(c.spare, x)
			delete(c.roots, epoch)
		}
	}
	return c, nil
}

func (n *nv) take(s *session, c *contents, x index) error {
	switch {
	case x.size == headBytes:
		if c.head = &x; !x.written {
			return nil
		}
		data, err := s.read(x, headBytes)
		if err != nil {
			return err
		}
		c.newest, c.size = binary.BigEndian.Uint64(data), escrow.TreeSize(binary.BigEndian.Uint64(data[8:]))
	case x.size == rootBytes && !x.written:
		c.spare = append(c.spare, x)
	case x.size == rootBytes:
		data, err := s.read(x, 8)
		if err != nil {
			return err
		}
		c.roots[binary.BigEndian.Uint64(data)] = x
	}
	return nil
}

// Make implements provider.Keys. What an interruption left without being remembered is overwritten.
func (n *nv) Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	return n.with(ctx, func(s *session) error {
		c, err := n.contents(s)
		if err != nil {
			return err
		}
		if _, there := c.roots[epoch]; !there {
			if err := n.makeRoot(s, c, epoch); err != nil {
				return err
			}
		}
		return n.remember(s, c, epoch, size)
	})
}

func (n *nv) makeRoot(s *session, c contents, epoch uint64) error {
	var x index
	if len(c.spare) > 0 {
		x = c.spare[0]
	} else {
		var err error
		if x, err = s.define(rootBytes, c.all); err != nil {
			return err
		}
	}
	data := binary.BigEndian.AppendUint64(make([]byte, 0, rootBytes), epoch)[:rootBytes]
	defer clear(data)
	if _, err := io.ReadFull(n.cfg.Rand, data[8:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	return s.write(x, data)
}

func (n *nv) remember(s *session, c contents, epoch uint64, size escrow.TreeSize) error {
	if c.head == nil {
		x, err := s.define(headBytes, c.all)
		if err != nil {
			return err
		}
		c.head = &x
	}
	data := binary.BigEndian.AppendUint64(nil, epoch)
	return s.write(*c.head, binary.BigEndian.AppendUint64(data, uint64(size)))
}

// use gives do the root of an epoch.
func (n *nv) use(ctx context.Context, epoch uint64, do func(root []byte) error) error {
	return n.with(ctx, func(s *session) error {
		c, err := n.contents(s)
		if err != nil {
			return err
		}
		x, there := c.roots[epoch]
		if !there {
			return fmt.Errorf("%w: no NV index holds it", provider.ErrGone)
		}
		data, err := s.read(x, rootBytes)
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
		c, err := n.contents(s)
		if err != nil {
			return err
		}
		if x, there := c.roots[epoch]; there {
			if err := s.undefine(x); err != nil {
				return err
			}
			if c, err = n.contents(s); err != nil {
				return err
			}
			if x, there := c.roots[epoch]; there {
				return fmt.Errorf("the TPM says it undefined index 0x%x, but it is still there", uint32(x.Handle))
			}
		}
		if epoch <= c.newest {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.destroyed[epoch] = true
		}
		return nil
	})
}

// Look implements provider.Keys.
func (n *nv) Look(ctx context.Context) (e rootstore.Evidence, err error) {
	err = n.with(ctx, func(s *session) error {
		c, err := n.contents(s)
		if err != nil {
			return err
		}
		e = rootstore.Evidence{Method: method, Newest: c.newest, Size: c.size}
		for epoch, x := range c.roots {
			e.Roots = append(e.Roots, rootstore.Root{Epoch: epoch, State: rootstore.Live, Detail: fmt.Sprintf("NV index 0x%x", uint32(x.Handle))})
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		for epoch := range n.destroyed {
			if _, there := c.roots[epoch]; !there {
				e.Roots = append(e.Roots, rootstore.Root{Epoch: epoch, State: rootstore.Destroyed, Detail: "no NV index holds it"})
			}
		}
		return nil
	})
	return e, err
}
