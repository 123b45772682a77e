package events

import (
	"time"

	"escrow"
)

// Scopes of an erasure. The first four may be requested; the others are orders of the schedule, of a hold that was released, or a batch of several.
const (
	ScopePerson       = "person"
	ScopeConversation = "conversation"
	ScopeMessage      = "message"
	ScopeTenant       = "tenant"
	ScopeExpiry       = "expiry"
	ScopeIngestDay    = "ingest-day"
	ScopeHold         = "hold"
	ScopeDue          = "due"
)

// Counts says what an erasure does to messages.
type Counts struct {
	Dies          uint64            `json:"dies"`           // messages of the person that become unreadable
	DiesOfOthers  uint64            `json:"dies_of_others"` // of them, those that are unreadable for other people as well
	LosesIdentity uint64            `json:"loses_identity"` // messages that stay, without this person's identity and mentions
	Stays         uint64            `json:"stays"`          // messages that stay although the person takes part in them
	Held          uint64            `json:"held"`           // messages that stay readable under a hold
	Why           map[string]uint64 `json:"why,omitempty"`  // rule → messages that stay because of it; names of policies and classes, no personal data
}

// ErasureRequested asks for an erasure (GDPR Art. 17). Its record number is the number of the request.
type ErasureRequested struct {
	Scope     string     `json:"scope"`              // "person", "conversation", "message" or "tenant"
	Subjects  []uint32   `json:"subjects,omitempty"` // leaves of the subject tree, ascending
	Messages  []SeqRange `json:"messages,omitempty"` // sorted, disjoint
	Basis     string     `json:"basis"`              // legal basis, a short code such as "art17-1-b"
	Case      string     `json:"case,omitempty"`     // reference of the case file, [A-Za-z0-9._/-], no personal data
	Preview   Counts     `json:"preview"`            // what the officers were shown
	Officer   string     `json:"officer,omitempty"`
	Statement string     `json:"statement,omitempty"`
}

// Type implements Fact.
func (ErasureRequested) Type() string { return "escrow.ErasureRequested.v1" }

// By implements Act.
func (f ErasureRequested) By() (officer, statement string) { return f.Officer, f.Statement }

// SignedBy implements Act.
func (f ErasureRequested) SignedBy(officer, statement string) Act {
	f.Officer, f.Statement = officer, statement
	return f
}

// ErasureApproved is the consent of a second officer. From here on the request is carried out by itself at the end of the cooling-off time.
type ErasureApproved struct {
	Request   escrow.Seq `json:"request"`
	Leaf      string     `json:"leaf"`  // hash of the request's leaf in the Merkle tree, hex: the very request that was approved
	Until     time.Time  `json:"until"` // end of the cooling-off time
	Officer   string     `json:"officer,omitempty"`
	Statement string     `json:"statement,omitempty"`
}

// Type implements Fact.
func (ErasureApproved) Type() string { return "escrow.ErasureApproved.v1" }

// By implements Act.
func (f ErasureApproved) By() (officer, statement string) { return f.Officer, f.Statement }

// SignedBy implements Act.
func (f ErasureApproved) SignedBy(officer, statement string) Act {
	f.Officer, f.Statement = officer, statement
	return f
}

// ErasureRestricted says that nobody is shown any more what the request concerns (GDPR Art. 18).
type ErasureRestricted struct {
	Request escrow.Seq `json:"request"`
}

// Type implements Fact.
func (ErasureRestricted) Type() string { return "escrow.ErasureRestricted.v1" }

// ErasureWithdrawn ends a request before anything was destroyed.
type ErasureWithdrawn struct {
	Request   escrow.Seq `json:"request"`
	Officer   string     `json:"officer,omitempty"`
	Statement string     `json:"statement,omitempty"`
}

// Type implements Fact.
func (ErasureWithdrawn) Type() string { return "escrow.ErasureWithdrawn.v1" }

// By implements Act.
func (f ErasureWithdrawn) By() (officer, statement string) { return f.Officer, f.Statement }

// SignedBy implements Act.
func (f ErasureWithdrawn) SignedBy(officer, statement string) Act {
	f.Officer, f.Statement = officer, statement
	return f
}

// DayRange is the days From … To of a retention class, both included, counted as the retention trees count them.
type DayRange struct {
	Class uint16 `json:"class"`
	From  uint32 `json:"from"`
	To    uint32 `json:"to"`
}

// LeafRange is the leaves From … To of a tree, both included.
type LeafRange struct {
	From uint32 `json:"from"`
	To   uint32 `json:"to"`
}

// ErasureExecuted orders the destruction of key shares. It is written before anything is destroyed, so that a crash in between is completed at the next
// start; whoever opens the archive carries out what its keys have not applied yet.
type ErasureExecuted struct {
	Scope      string       `json:"scope"`                 // one of the scopes
	Subjects   []uint32     `json:"subjects,omitempty"`    // leaves of the subject tree
	Messages   []SeqRange   `json:"messages,omitempty"`    // sorted, disjoint
	Days       []DayRange   `json:"days,omitempty"`        // retention days that are over
	IngestDays []LeafRange  `json:"ingest_days,omitempty"` // days on which log entries were sealed
	Holds      []uint32     `json:"holds,omitempty"`       // holds released
	Tenant     bool         `json:"tenant,omitempty"`      // every key there is
	Requests   []escrow.Seq `json:"requests,omitempty"`    // the requests that are carried out
	Basis      string       `json:"basis"`                 // legal basis, a short code such as "art17-1-b"
	Case       string       `json:"case,omitempty"`        // reference of the case file, [A-Za-z0-9._/-], no personal data
}

// Type implements Fact.
func (ErasureExecuted) Type() string { return "escrow.ErasureExecuted.v1" }

// EpochCommitted says that the key state, without the shares destroyed, is sealed under the root of a new epoch and was read back.
type EpochCommitted struct {
	Epoch   uint64          `json:"epoch"`
	State   string          `json:"state"`   // SHA-256 of the sealed state file, hex
	Applied escrow.TreeSize `json:"applied"` // orders among so many records are carried out in it
	Trees   int             `json:"trees"`   // key trees it has
	Shares  int             `json:"shares"`  // destroyed by this change
}

// Type implements Fact.
func (EpochCommitted) Type() string { return "escrow.EpochCommitted.v1" }

// IndexPurged says that no file of the search index holds a word of what the erasures before UpTo destroyed.
type IndexPurged struct {
	UpTo     escrow.TreeSize `json:"up_to"`
	Removed  int             `json:"removed"`           // documents removed
	Redacted int             `json:"redacted"`          // documents indexed again without a dead facet
	Files    int             `json:"files"`             // index files whose keys were destroyed
	Counted  *FacetCount     `json:"counted,omitempty"` // of what requests named; nil where none was carried out
}

// FacetCount is what was found when the whole ledger was read again after the keys were destroyed: what became of every facet that was sealed for a share
// named in an order.
type FacetCount struct {
	Messages uint64 `json:"messages"` // that have such a facet
	Dead     uint64 `json:"dead"`     // facets no key opens any more
	Held     uint64 `json:"held"`     // facets a hold keeps
	Others   uint64 `json:"others"`   // facets that stay for other people, as the policy of the channel has it
}

// Type implements Fact.
func (IndexPurged) Type() string { return "escrow.IndexPurged.v1" }

// RootDestroyed is what one root store says of the root of one epoch.
type RootDestroyed struct {
	Epoch  uint64     `json:"epoch"`
	Store  string     `json:"store"`            // "file", "vault", "awskms", "gcpkms" or "tpm"
	Method string     `json:"method"`           // what was done, in the words of NIST SP 800-88
	State  string     `json:"state"`            // "destroyed", or "pending" while the provider waits
	Due    *time.Time `json:"due,omitempty"`    // when the key material is gone at the provider, if it waits
	Detail string     `json:"detail,omitempty"` // the provider's words, without secrets
}

// States of a root that was destroyed.
const (
	RootGone    = "destroyed"
	RootPending = "pending"
)

// RootsDestroyed says that roots of earlier epochs cannot be used any more: no earlier copy of the key state opens again.
type RootsDestroyed struct {
	Roots []RootDestroyed `json:"roots"`
}

// Type implements Fact.
func (RootsDestroyed) Type() string { return "escrow.RootsDestroyed.v1" }

// ErasureCertified ends a request: a certificate with this digest can be made from the records before this one.
type ErasureCertified struct {
	Request escrow.Seq `json:"request"`
	Digest  string     `json:"digest"` // SHA-256 of the certificate's statement, hex
}

// Type implements Fact.
func (ErasureCertified) Type() string { return "escrow.ErasureCertified.v1" }
