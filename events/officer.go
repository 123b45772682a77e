package events

// Act is a fact an officer answers for with a signed statement, which package officers makes and checks.
type Act interface {
	Fact
	// By returns the officer who answers for it, and the statement.
	By() (officer, statement string)
	// SignedBy returns a copy for which another officer answers, with another statement; with none for either it is what a statement's digest is over.
	SignedBy(officer, statement string) Act
}

// OfficerAdded gives somebody the right to request, approve, withdraw, hold and release. Officers are named by function ("dpo", "legal-2"), never by
// personal name: the name stays for ever. The first two have no sponsor and sign for themselves.
type OfficerAdded struct {
	Officer   string `json:"officer"`           // a token as escrow.CheckToken wants it
	Key       string `json:"key"`               // C2SP verifier key under the officer's name, Ed25519
	Sponsor   string `json:"sponsor,omitempty"` // the officer who brought this one in, "" for the first two
	Statement string `json:"statement,omitempty"`
}

// Type implements Fact.
func (OfficerAdded) Type() string { return "escrow.OfficerAdded.v1" }

// By implements Act: the sponsor, or the officer where there is none.
func (f OfficerAdded) By() (officer, statement string) {
	if f.Sponsor == "" {
		return f.Officer, f.Statement
	}
	return f.Sponsor, f.Statement
}

// SignedBy implements Act: the officer answers as the sponsor, unless it is the one added.
func (f OfficerAdded) SignedBy(officer, statement string) Act {
	f.Sponsor, f.Statement = officer, statement
	if officer == f.Officer {
		f.Sponsor = ""
	}
	return f
}

// OfficerRemoved takes an officer's rights. What the officer signed before stays valid, and the name is not given to anybody again.
type OfficerRemoved struct {
	Officer   string `json:"officer"`      // who is removed
	Remover   string `json:"by,omitempty"` // who removes; another officer
	Statement string `json:"statement,omitempty"`
}

// Type implements Fact.
func (OfficerRemoved) Type() string { return "escrow.OfficerRemoved.v1" }

// By implements Act.
func (f OfficerRemoved) By() (officer, statement string) { return f.Remover, f.Statement }

// SignedBy implements Act.
func (f OfficerRemoved) SignedBy(officer, statement string) Act {
	f.Remover, f.Statement = officer, statement
	return f
}
