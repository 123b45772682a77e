package index

import (
	"time"

	"escrow"
)

// Request asks for one page of the hits of a query.
type Request struct {
	Query  *Query // nil: every message
	Limit  int    // hits wanted, 0 … MaxPage; 0 only counts
	Offset int    // hits to skip first; Offset+Limit ≤ MaxReach
	Newest bool   // newest first, by Document.Date; else by relevance

	// Exclude are the people, and Hidden says which are the messages, of whom nothing may be found, although the index has not followed yet. A nil Hidden
	// hides none; it is asked for every message that matches, and must be safe for concurrent use.
	Exclude []uint32
	Hidden  func(escrow.Seq) bool
}

// Check returns an error of kind Invalid that names the limit if the page is out of bounds.
func (r Request) Check() error {
	switch {
	case r.Limit < 0 || r.Limit > MaxPage:
		return escrow.Errorf("index.Request", escrow.Invalid, "a page must have 0 to %d hits, not %d", MaxPage, r.Limit)
	case r.Offset < 0 || r.Offset > MaxReach-r.Limit:
		return escrow.Errorf("index.Request", escrow.Invalid, "only the first %d hits can be paged through: narrow the query", MaxReach)
	}
	return nil
}

// Result is one page of hits and what the answer rests on.
type Result struct {
	Total    uint64          // matching messages, not only those of the page
	Hits     []Hit           // the page
	Position escrow.TreeSize // records of the ledger the index reflects; fewer than the ledger has means the answer may lack the newest
	Excluded bool            // messages may have been left out because of Request.Exclude or Hidden
	Partial  uint64          // indexed messages, hits or not, of which a part could not be indexed
	Took     time.Duration
}

// Hit is one matching message.
type Hit struct {
	Seq     escrow.Seq
	Score   float64 // relevance, comparable within one result only; 0 when sorted by date
	Partial bool    // a part of this message could not be indexed
}

// Span is a range of bytes, from Start up to but without End.
type Span struct{ Start, End int }
