package certificate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"escrow"
	"escrow/events"
)

const format = "escrow/certificate@v1"

// Kind says what is certified.
type Kind string

// The kinds of certificate.
const (
	Erasure     Kind = "erasure"     // of a person, a conversation or messages, on request
	Termination Kind = "termination" // of everything, on request
	Expiry      Kind = "expiry"      // of retention days that are over
	Release     Kind = "release"     // of what only a hold kept readable
	Order       Kind = "order"       // of a batch, or of ingest days
)

// Statement is what a certificate says. Its canonical form is its compact JSON.
type Statement struct {
	Format      string         `json:"format"`
	Archive     string         `json:"archive"` // origin of the ledger
	Certificate Kind           `json:"certificate"`
	Final       bool           `json:"final"` // false: steps are pending
	Scope       string         `json:"scope"`
	Basis       string         `json:"basis"`
	Case        string         `json:"case,omitempty"`
	Request     *escrow.Seq    `json:"request,omitempty"`
	Order       *escrow.Seq    `json:"order,omitempty"`
	Extent      Extent         `json:"extent"`
	Preview     *events.Counts `json:"preview,omitempty"` // what the officers were shown
	Steps       []Step         `json:"steps"`
	Pending     []string       `json:"pending,omitempty"`
	Keys        *Keys          `json:"keys,omitempty"`
	Index       *Index         `json:"index,omitempty"`
	Facets      *Facets        `json:"facets,omitempty"`
	Held        []Held         `json:"held,omitempty"`
	Roots       []Root         `json:"roots,omitempty"`
	Claims      []Claim        `json:"claims"`
	Remains     []Remaining    `json:"remains"`
}

// Extent says what was to be destroyed, by number.
type Extent struct {
	Subjects   int      `json:"subjects,omitempty"`
	Messages   uint64   `json:"messages,omitempty"`    // named one by one
	Days       []Days   `json:"days,omitempty"`        // of retention classes
	IngestDays []Days   `json:"ingest_days,omitempty"` // of the log
	Holds      []uint32 `json:"holds,omitempty"`
	Everything bool     `json:"everything,omitempty"`
}

// Days is a range of days in UTC, both included.
type Days struct {
	Class *uint16 `json:"class,omitempty"` // number of the retention class
	From  string  `json:"from"`            // 2006-01-02
	To    string  `json:"to"`
}

// Step is something that happened, in the order of the ledger.
type Step struct {
	Step    string     `json:"step"`
	Record  escrow.Seq `json:"record"`
	Time    time.Time  `json:"time"`              // of the record
	Officer string     `json:"officer,omitempty"` // who answers for it
	Until   *time.Time `json:"until,omitempty"`   // end of the cooling-off time
}

// Names of steps, in their order.
const (
	Requested  = "requested"
	Approved   = "approved"
	Restricted = "restricted"
	Ordered    = "ordered"
	Committed  = "committed"
	Purged     = "purged"
	Destroyed  = "roots destroyed"
)

// Keys says what became of the key state.
type Keys struct {
	Before  *uint64 `json:"before,omitempty"`  // epoch recorded last before the order
	Epoch   uint64  `json:"epoch"`             // epoch that carries the order out
	Cleaned *uint64 `json:"cleaned,omitempty"` // epoch without the keys of the index files replaced, if it is another
	State   string  `json:"state"`             // SHA-256 of the sealed state, hex
	Shares  int     `json:"shares"`            // destroyed with this change
}

// Index says what became of the search index.
type Index struct {
	Removed  int `json:"removed"`  // documents
	Redacted int `json:"redacted"` // documents
	Files    int `json:"files"`    // whose keys were destroyed
}

// Facets says what was found when the whole ledger was read again: what became of every facet sealed for a share the orders carried out together name.
type Facets struct {
	Messages uint64 `json:"messages"` // that have such a facet
	Dead     uint64 `json:"dead"`     // no key opens them any more
	Held     uint64 `json:"held"`     // kept by holds
	Others   uint64 `json:"others"`   // stay for other people, as the policy of the channel has it
}

// Held says how many facets stay readable under a hold.
type Held struct {
	Hold   uint32 `json:"hold"`
	Facets uint64 `json:"facets"`
}

// Root is the evidence of one root store for the root of one epoch.
type Root struct {
	Epoch  uint64     `json:"epoch"`
	Store  string     `json:"store"`
	Method string     `json:"method"`
	State  string     `json:"state"`
	Due    *time.Time `json:"due,omitempty"`
	Record escrow.Seq `json:"record"`
}

// Claim is one sentence of a certificate.
type Claim struct {
	Basis   string       `json:"basis"` // Proven or Attested
	Text    string       `json:"text"`
	Records []escrow.Seq `json:"records,omitempty"` // from which it follows, or in which it was said
}

// What a claim rests on.
const (
	Proven   = "proven"   // it follows from signatures and inclusion proofs in the file
	Attested = "attested" // the archive says so
)

// Remaining is something that is still there.
type Remaining struct {
	What  string `json:"what"`
	Until string `json:"until"`
}

// encode returns the canonical form of a statement or certificate: compact JSON in the order of the fields.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, escrow.Errorf("certificate.Build", escrow.Internal, "%w", err)
	}
	return b, nil
}

// digest returns the SHA-256 of a canonical statement, in hex.
func digest(statement []byte) string {
	sum := sha256.Sum256(statement)
	return hex.EncodeToString(sum[:])
}
