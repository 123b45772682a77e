package seal

import (
	"encoding/binary"

	"escrow"
)

// PolicyID names the version of the policy that decided which subjects a facet belongs to.
type PolicyID struct {
	Name    string
	Version uint16
}

// Context says which record a facet belongs to. It is stored in clear and bound into every key, so it holds no personal data.
type Context struct {
	Tenant     string // see escrow.Tenant
	Region     string
	Seq        escrow.Seq
	Message    [16]byte // random identifier
	Stream     [16]byte // tag of the channel
	Policy     PolicyID
	Class      string // retention class
	Generation uint32 // of the key trees
}

// magic opens every blob; the last byte is the version of the format.
const magic = "ESCR\x01"

func (c *Context) check() error {
	if err := escrow.Tenant(c.Tenant).Check(); err != nil {
		return escrow.Errorf("seal.Context", escrow.Invalid, "%w", err)
	}
	if plainName(c.Region) && plainName(c.Policy.Name) && plainName(c.Class) {
		return nil
	}
	return escrow.Errorf("seal.Context", escrow.Invalid, "region, policy and class must have at most %d printable ASCII characters", MaxNameBytes)
}

// plainName reports whether s is at most MaxNameBytes of printable ASCII.
func plainName(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return len(s) <= MaxNameBytes
}

func (c *Context) append(b []byte) []byte {
	b = append(b, magic...)
	b = appendShort(b, c.Tenant)
	b = appendShort(b, c.Region)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Seq))
	b = append(b, c.Message[:]...)
	b = append(b, c.Stream[:]...)
	b = appendShort(b, c.Policy.Name)
	b = binary.BigEndian.AppendUint16(b, c.Policy.Version)
	b = appendShort(b, c.Class)
	return binary.BigEndian.AppendUint32(b, c.Generation)
}

// appendShort appends s behind its length in one byte.
func appendShort(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func parseContext(r *reader) (c Context) {
	if string(r.take(len(magic))) != magic {
		r.fail("it does not start with the magic and version of a sealed record")
	}
	c.Tenant, c.Region = r.short(), r.short()
	c.Seq = escrow.Seq(r.u64())
	c.Message, c.Stream = [16]byte(r.take(16)), [16]byte(r.take(16))
	c.Policy = PolicyID{Name: r.short(), Version: r.u16()}
	c.Class, c.Generation = r.short(), r.u32()
	if err := c.check(); err != nil {
		r.fail("its context is not well-formed")
	}
	return c
}
