package ingest

import (
	"encoding/binary"

	"escrow"
)

// identityFacet is what an identity facet holds. Mails have many recipients, so it is kept compact:
//
//	secret (32) ‖ role (1) ‖ id ‖ name ‖ scope ‖ piece
//
// where id, name and scope have their length before them as an unsigned varint, scope is empty if it is the normalised id, and piece is the rest.
type identityFacet struct {
	person escrow.Participant
	scope  string // the identity as the directory knows it
	secret []byte // opens the content commitment
	piece  []byte // of the original bytes
}

// roles gives each role its byte; unknown roles do not exist behind the gate.
func roles() []escrow.Role {
	return []escrow.Role{"", escrow.RoleCustomer, escrow.RoleAgent, escrow.RoleMember, escrow.RoleSystem}
}

func (f identityFacet) marshal() []byte {
	b := make([]byte, 0, secretBytes+1+len(f.person.ID)+len(f.person.Name)+len(f.scope)+len(f.piece)+8)
	b = append(b, f.secret...)
	role := byte(0)
	for i, r := range roles() {
		if r == f.person.Role {
			role = byte(i)
		}
	}
	b = append(b, role)
	scope := f.scope
	if scope == string(f.person.ID.Normalise()) {
		scope = ""
	}
	for _, s := range []string{string(f.person.ID), f.person.Name, scope} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return append(b, f.piece...)
}

// parseIdentity is the inverse of marshal. piece shares memory with b. Errors are of kind Corrupt.
func parseIdentity(b []byte) (f identityFacet, err error) {
	if len(b) < secretBytes+1 || int(b[secretBytes]) >= len(roles()) {
		return f, escrow.Errorf("ingest.Identity", escrow.Corrupt, "an identity facet is malformed")
	}
	f.secret, f.person.Role, b = b[:secretBytes], roles()[b[secretBytes]], b[secretBytes+1:]
	var fields [3]string
	for i := range fields {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return f, escrow.Errorf("ingest.Identity", escrow.Corrupt, "an identity facet ends too early")
		}
		fields[i], b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	f.person.ID, f.person.Name, f.scope, f.piece = escrow.Identity(fields[0]), fields[1], fields[2], b
	if f.scope == "" {
		f.scope = string(f.person.ID.Normalise())
	}
	return f, nil
}
