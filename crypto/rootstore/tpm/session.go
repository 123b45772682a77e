package tpm

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"escrow/crypto/rootstore/provider"
)

// session is an open TPM, with a key of it under which parameters are encrypted.
type session struct {
	tpm       transport.TPM
	key       tpm2.TPMHandle
	public    tpm2.TPMTPublic
	auth      []byte // of the indices
	ownerAuth []byte
}

// with opens the TPM for one piece of work. One at a time: a TPM without resource manager has few places.
func (n *nv) with(ctx context.Context, do func(*session) error) (err error) {
	n.device.Lock()
	defer n.device.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	device, err := n.cfg.connect()
	if err != nil {
		return fmt.Errorf("opening the TPM: %w; is the service allowed to, and is there one?", err)
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	s := &session{tpm: device, auth: n.auth, ownerAuth: n.ownerAuth}
	if err := s.open(); err != nil {
		return err
	}
	defer func() {
		_, flushErr := tpm2.FlushContext{FlushHandle: s.key}.Execute(s.tpm)
		err = errors.Join(err, meaning("FlushContext", flushErr))
	}()
	return do(s)
}

// open makes the storage primary key of the TCG template, which a TPM derives anew each time, for salting.
func (s *session) open() error {
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(s.ownerAuth)},
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(s.tpm)
	if err != nil {
		return meaning("CreatePrimary", err)
	}
	public, err := made.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("the public part of the primary key: %w", err)
	}
	s.key, s.public = made.ObjectHandle, *public
	return nil
}

// salted authorises with a password that never crosses the bus.
func (s *session) salted(password []byte, more ...tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, append(more, tpm2.Auth(password), tpm2.Salted(s.key, s.public))...)
}

// toTPM has the first parameter of a command encrypted, fromTPM that of the answer.
func toTPM() tpm2.AuthOption   { return tpm2.AESEncryption(128, tpm2.EncryptIn) }
func fromTPM() tpm2.AuthOption { return tpm2.AESEncryption(128, tpm2.EncryptOut) }

// defined lists the NV indices from first on, at most count.
func (s *session) defined(first uint32, count int) ([]tpm2.TPMHandle, error) {
	answer, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: uint32(count)}.Execute(s.tpm)
	if err != nil {
		return nil, meaning("GetCapability", err)
	}
	handles, err := answer.CapabilityData.Data.Handles()
	if err != nil {
		return nil, fmt.Errorf("the list of NV indices: %w", err)
	}
	var within []tpm2.TPMHandle
	for _, h := range handles.Handle {
		if uint32(h) >= first && uint32(h) < first+uint32(count) {
			within = append(within, h)
		}
	}
	return within, nil
}

// name returns an index with the name its authorisation needs, and whether it was ever written.
func (s *session) name(index tpm2.TPMHandle) (h tpm2.NamedHandle, written bool, err error) {
	answer, err := tpm2.NVReadPublic{NVIndex: index}.Execute(s.tpm)
	if err != nil {
		return h, false, meaning("NV_ReadPublic", err)
	}
	public, err := answer.NVPublic.Contents()
	if err != nil {
		return h, false, fmt.Errorf("the public part of index 0x%x: %w", uint32(index), err)
	}
	return tpm2.NamedHandle{Handle: index, Name: answer.NVName}, public.Attributes.Written, nil
}

func (s *session) define(index tpm2.TPMHandle, size int) error {
	_, err := tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s.salted(s.ownerAuth, toTPM())},
		Auth:       tpm2.TPM2BAuth{Buffer: s.auth},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(size),
			Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, WriteAll: true, NoDA: true, NT: tpm2.TPMNTOrdinary}}),
	}.Execute(s.tpm)
	return meaning("NV_DefineSpace", err)
}

func (s *session) undefine(index tpm2.TPMHandle) error {
	h, _, err := s.name(index)
	if err != nil {
		return err
	}
	_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s.salted(s.ownerAuth)}, NVIndex: h}.Execute(s.tpm)
	return meaning("NV_UndefineSpace", err)
}

// write replaces all of an index, which the TPM does as a whole or not at all.
func (s *session) write(index tpm2.TPMHandle, data []byte) error {
	h, _, err := s.name(index)
	if err != nil {
		return err
	}
	_, err = tpm2.NVWrite{
		AuthHandle: tpm2.AuthHandle{Handle: index, Name: h.Name, Auth: s.salted(s.auth, toTPM())},
		NVIndex:    h, Data: tpm2.TPM2BMaxNVBuffer{Buffer: data},
	}.Execute(s.tpm)
	return meaning("NV_Write", err)
}

// read returns the first size bytes of an index; nil if it was never written.
func (s *session) read(index tpm2.TPMHandle, size int) ([]byte, error) {
	h, written, err := s.name(index)
	if err != nil || !written {
		return nil, err
	}
	answer, err := tpm2.NVRead{
		AuthHandle: tpm2.AuthHandle{Handle: index, Name: h.Name, Auth: s.salted(s.auth, fromTPM())},
		NVIndex:    h, Size: uint16(size),
	}.Execute(s.tpm)
	if err != nil {
		return nil, meaning("NV_Read", err)
	}
	if len(answer.Data.Buffer) != size {
		return nil, fmt.Errorf("index 0x%x gives %d bytes, want %d", uint32(index), len(answer.Data.Buffer), size)
	}
	return answer.Data.Buffer, nil
}

// meaning says how to mend what the TPM refuses.
func meaning(command string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tpm2.TPMRCNVSpace):
		return fmt.Errorf("%s: %w; the TPM is full: destroy old roots now, keep roots for fewer days, or free indices of others", command, err)
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		return fmt.Errorf("%s: %w; see owner_auth_file and auth_file in the configuration", command, err)
	case errors.Is(err, tpm2.TPMRCRetry), errors.Is(err, tpm2.TPMRCYielded), errors.Is(err, tpm2.TPMRCTesting):
		return fmt.Errorf("%w: %s: %w", provider.ErrBusy, command, err)
	}
	return fmt.Errorf("%s: %w", command, err)
}
