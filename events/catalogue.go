package events

import (
	"time"

	"escrow"
)

// Fact is one kind of event. The catalogue below is closed; kinds are added, never changed.
type Fact interface {
	// Type is the CloudEvents type: "escrow.<Name>.v<n>".
	Type() string
}

// SeqRange is the records From … To, both included.
type SeqRange struct {
	From escrow.Seq `json:"from"`
	To   escrow.Seq `json:"to"`
}

// LogIncident says that the courier between intake and ledger lost, changed, doubled or reused something. What arrived is kept in Quarantine.
type LogIncident struct {
	What        string    `json:"what"`    // "damaged", "foreign", "lost", "gap", "late", "doubled", "reused", "rewound" or "recreated"
	Stream      string    `json:"stream"`  // tag of the NATS stream, hex
	Sequence    uint64    `json:"seq"`     // stream sequence at which it was noticed
	Channel     string    `json:"channel"` // tag of the channel, hex; "" if unknown
	From        uint64    `json:"from"`    // first counter concerned
	To          uint64    `json:"to"`      // last counter concerned
	Detail      string    `json:"detail"`  // in plain words, without content
	Noticed     time.Time `json:"noticed"`
	Quarantined []byte    `json:"quarantined,omitempty"` // the bytes delivered, still sealed
}

// Type implements Fact.
func (LogIncident) Type() string { return "escrow.LogIncident.v1" }

// ArchiveFounded is the first record of every ledger.
type ArchiveFounded struct {
	Tenant escrow.Tenant `json:"tenant"`
	Region string        `json:"region"`
	Format int           `json:"format"` // version of the data directory
}

// Type implements Fact.
func (ArchiveFounded) Type() string { return "escrow.ArchiveFounded.v1" }
