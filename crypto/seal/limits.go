package seal

import "escrow"

const (
	// MaxPlain bounds the plaintext of one facet: the largest message accepted, and a mebibyte for the envelope around it.
	MaxPlain = escrow.MaxImport + 1<<20
	// MaxBlob bounds a record: the largest body with its padding and about as much again in other facets.
	MaxBlob = 160 << 20
	// MaxFacets bounds the facets of a record: every participant, every attachment, the body, and some notes.
	MaxFacets = 16 << 10
	// MaxSlots bounds the slots of a facet: under the any-of policy every participant has one.
	MaxSlots = 16 << 10
	// MaxSlotRefs bounds the shares of a slot: under the all-of policy every participant has one.
	MaxSlotRefs = 16 << 10
	// MaxNameBytes bounds tenant, region, policy and class: short names of our own making, in every record.
	MaxNameBytes = 64
	// MaxTypeBytes bounds a content type: two names of at most 127 characters (RFC 6838, section 4.2) and the slash.
	MaxTypeBytes = 255

	// minClass is the smallest length class: names and addresses differ by a few bytes, and those bytes would be telling.
	minClass = 64
	// maxWindow bounds the zstd window on both sides, so a frame cannot ask the decoder for more history.
	maxWindow = 4 << 20
	// maxPooled bounds the scratch buffers kept between calls; larger ones are left to the garbage collector.
	maxPooled = 4 << 20
	// maxShares bounds the shares remembered while one record is sealed: body and identities use the same few.
	maxShares = 16
)
