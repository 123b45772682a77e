package events

import "escrow"

// HoldPlaced forbids the destruction of messages for a legal matter.
type HoldPlaced struct {
	Hold      uint32     `json:"hold"`     // leaf of the hold tree, never used again
	Matter    string     `json:"matter"`   // reference of the matter, [A-Za-z0-9._/-], no personal data
	Messages  []SeqRange `json:"messages"` // sorted, disjoint
	Officer   string     `json:"officer,omitempty"`
	Statement string     `json:"statement,omitempty"`
}

// Type implements Fact.
func (HoldPlaced) Type() string { return "escrow.HoldPlaced.v1" }

// By implements Act.
func (f HoldPlaced) By() (officer, statement string) { return f.Officer, f.Statement }

// SignedBy implements Act.
func (f HoldPlaced) SignedBy(officer, statement string) Act {
	f.Officer, f.Statement = officer, statement
	return f
}

// HoldReleased ends a hold; what only the hold kept readable is then destroyed.
type HoldReleased struct {
	Hold      uint32 `json:"hold"`
	Officer   string `json:"officer,omitempty"`
	Statement string `json:"statement,omitempty"`
}

// Type implements Fact.
func (HoldReleased) Type() string { return "escrow.HoldReleased.v1" }

// By implements Act.
func (f HoldReleased) By() (officer, statement string) { return f.Officer, f.Statement }

// SignedBy implements Act.
func (f HoldReleased) SignedBy(officer, statement string) Act {
	f.Officer, f.Statement = officer, statement
	return f
}

// HoldSlotsAdded keeps facets readable under a hold that the next order would kill: the data key of each, wrapped under the share of the hold.
type HoldSlotsAdded struct {
	Hold  uint32     `json:"hold"`
	Slots []HoldSlot `json:"slots"` // at most MaxHoldSlots
}

// HoldSlot is a slot added to a facet of a record.
type HoldSlot struct {
	Seq   escrow.Seq `json:"seq"`
	Facet int        `json:"facet"` // its place in the record
	Slot  []byte     `json:"slot"`
}

// MaxHoldSlots bounds the slots of one HoldSlotsAdded: a record is read whole.
const MaxHoldSlots = 1000

// Type implements Fact.
func (HoldSlotsAdded) Type() string { return "escrow.HoldSlotsAdded.v1" }
