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

// RecordsLost says that records which were signed once are not in the ledger any more: it was restored from a copy made before them, and an operator
// accepted that because there is no newer one. It is the first record after the copy's last. Counts and dates only; what was lost is not known.
type RecordsLost struct {
	Has     escrow.TreeSize `json:"has"`    // records of the copy: the number of this record
	Had     escrow.TreeSize `json:"had"`    // records there were at least, by what root stores and kept checkpoints say
	Backup  time.Time       `json:"backup"` // when the copy was made
	Noticed time.Time       `json:"noticed"`
}

// Type implements Fact.
func (RecordsLost) Type() string { return "escrow.RecordsLost.v1" }

// ArchiveFounded is the first record of every ledger.
type ArchiveFounded struct {
	Tenant escrow.Tenant `json:"tenant"`
	Region string        `json:"region"`
	Format int           `json:"format"` // version of the data directory
}

// Type implements Fact.
func (ArchiveFounded) Type() string { return "escrow.ArchiveFounded.v1" }
