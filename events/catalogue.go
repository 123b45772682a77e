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

// ErasureExecuted orders the destruction of key shares (GDPR Art. 17): of the subjects named, of the single messages named, or both. It is written
// before anything is destroyed, so that a crash in between is completed at the next start.
type ErasureExecuted struct {
	Scope    string     `json:"scope"`              // "person", "conversation" or "message"
	Subjects []uint32   `json:"subjects,omitempty"` // leaves of the subject tree
	Messages []SeqRange `json:"messages,omitempty"` // sorted, disjoint
	Basis    string     `json:"basis"`              // legal basis, a short code such as "art17-1-b"
	Case     string     `json:"case,omitempty"`     // reference of the case file, [A-Za-z0-9._/-], no personal data
}

// Type implements Fact.
func (ErasureExecuted) Type() string { return "escrow.ErasureExecuted.v1" }

// IndexPurged says that no file of the search index holds a word of what the erasures before UpTo destroyed.
type IndexPurged struct {
	UpTo     escrow.TreeSize `json:"up_to"`
	Removed  int             `json:"removed"`  // documents removed
	Redacted int             `json:"redacted"` // documents indexed again without a dead facet
	Files    int             `json:"files"`    // index files whose keys were destroyed
}

// Type implements Fact.
func (IndexPurged) Type() string { return "escrow.IndexPurged.v1" }

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
