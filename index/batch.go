package index

import "escrow"

// Batch is what changes at once in an index that follows a ledger.
type Batch struct {
	Docs     []Document      // to index, replacing what was indexed under the same Seq
	Delete   []escrow.Seq    // to forget; what is not there is no error
	Position escrow.TreeSize // records the index reflects afterwards; it may stay, but not go back
}
