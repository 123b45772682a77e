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
	tpm    transport.TPM
	key    tpm2.TPMHandle
	public tpm2.TPMTPublic
	reader tpm2.Session // authorises reading, and has what is read encrypted
	nv     *nv
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
	s := &session{tpm: device, nv: n}
	if err := s.open(); err != nil {
		return err
	}
	defer func() {
		_, flushErr := tpm2.FlushContext{FlushHandle: s.key}.Execute(s.tpm)
		err = errors.Join(err, meaning("FlushContext", flushErr))
	}()
	reader, end, err := tpm2.HMACSession(device, tpm2.TPMAlgSHA256, 16, tpm2.Auth(n.auth), tpm2.Salted(s.key, s.public), tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return meaning("StartAuthSession", err)
	}
	defer func() { err = errors.Join(err, meaning("FlushContext", end())) }()
	s.reader = reader
	return do(s)
}

// open makes the storage primary key of the TCG template, which a TPM derives anew each time, for salting.
func (s *session) open() error {
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(s.nv.ownerAuth)},
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

// salted authorises one command with a password that does not cross the bus.
func (s *session) salted(password []byte, more ...tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, append(more, tpm2.Auth(password), tpm2.Salted(s.key, s.public))...)
}

// encrypted has the first parameter of a command encrypted.
func encrypted() tpm2.AuthOption { return tpm2.AESEncryption(128, tpm2.EncryptIn) }

// index is an NV index as the TPM describes it.
type index struct {
	tpm2.NamedHandle
	owner   []byte
	size    int
	written bool
}

// indices lists what is defined in the range, whoever it belongs to.
func (s *session) indices() ([]index, error) {
	var all []index
	next, end := s.nv.first, s.nv.first+uint32(s.nv.cfg.Slots)
	for next < end {
		answer, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: next, PropertyCount: end - next}.Execute(s.tpm)
		if err != nil {
			return nil, meaning("GetCapability", err)
		}
		handles, err := answer.CapabilityData.Data.Handles()
		if err != nil {
			return nil, fmt.Errorf("the list of NV indices: %w", err)
		}
		for _, h := range handles.Handle {
			if next = uint32(h) + 1; next > end {
				return all, nil
			}
			found, err := s.describe(h)
			if err != nil {
				return nil, err
			}
			all = append(all, found)
		}
		if !answer.MoreData || len(handles.Handle) == 0 {
			return all, nil
		}
	}
	return all, nil
}

func (s *session) describe(h tpm2.TPMHandle) (index, error) {
	answer, err := tpm2.NVReadPublic{NVIndex: h}.Execute(s.tpm)
	if err != nil {
		return index{}, meaning("NV_ReadPublic", err)
	}
	public, err := answer.NVPublic.Contents()
	if err != nil {
		return index{}, fmt.Errorf("the public part of index 0x%x: %w", uint32(h), err)
	}
	return index{tpm2.NamedHandle{Handle: h, Name: answer.NVName}, public.AuthPolicy.Buffer, int(public.DataSize), public.Attributes.Written}, nil
}

// define makes an index of a size at the first number that is free. Another archive may take a number while this one looks.
func (s *session) define(size int, taken []index) (index, error) {
	used := map[uint32]bool{}
	for _, x := range taken {
		used[uint32(x.Handle)] = true
	}
	for number := s.nv.first; number < s.nv.first+uint32(s.nv.cfg.Slots); number++ {
		if used[number] {
			continue
		}
		_, err := tpm2.NVDefineSpace{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s.salted(s.nv.ownerAuth, encrypted())},
			Auth:       tpm2.TPM2BAuth{Buffer: s.nv.auth},
			PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm2.TPMHandle(number), NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(size),
				AuthPolicy: tpm2.TPM2BDigest{Buffer: s.nv.owner[:]},
				Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, WriteAll: true, NoDA: true, NT: tpm2.TPMNTOrdinary}}),
		}.Execute(s.tpm)
		if errors.Is(err, tpm2.TPMRCNVDefined) {
			continue
		}
		if err != nil {
			return index{}, meaning("NV_DefineSpace", err)
		}
		return s.describe(tpm2.TPMHandle(number))
	}
	return index{}, fmt.Errorf("all %d indices of the range are taken; destroy old roots now, keep roots for fewer days, or raise slots", s.nv.cfg.Slots)
}

func (s *session) undefine(x index) error {
	_, err := tpm2.NVUndefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s.salted(s.nv.ownerAuth)}, NVIndex: x.NamedHandle,
	}.Execute(s.tpm)
	return meaning("NV_UndefineSpace", err)
}

// write replaces all of an index, which the TPM does as a whole or not at all.
func (s *session) write(x index, data []byte) error {
	_, err := tpm2.NVWrite{
		AuthHandle: tpm2.AuthHandle{Handle: x.Handle, Name: x.Name, Auth: s.salted(s.nv.auth, encrypted())},
		NVIndex:    x.NamedHandle, Data: tpm2.TPM2BMaxNVBuffer{Buffer: data},
	}.Execute(s.tpm)
	return meaning("NV_Write", err)
}

// read returns the first size bytes of an index that was written.
func (s *session) read(x index, size int) ([]byte, error) {
	answer, err := tpm2.NVRead{
		AuthHandle: tpm2.AuthHandle{Handle: x.Handle, Name: x.Name, Auth: s.reader}, NVIndex: x.NamedHandle, Size: uint16(size),
	}.Execute(s.tpm)
	if err != nil {
		return nil, meaning("NV_Read", err)
	}
	if len(answer.Data.Buffer) != size {
		return nil, fmt.Errorf("index 0x%x gives %d bytes, want %d", uint32(x.Handle), len(answer.Data.Buffer), size)
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
