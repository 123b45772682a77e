package officers

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/events"
)

// Officer is one entry of the roster.
type Officer struct {
	Name    string
	Key     string     // verifier key
	Sponsor string     // who brought the officer in, "" for a founder
	Line    string     // the founder this officer descends from; a founder's own name
	Added   escrow.Seq // record of the OfficerAdded event
	Removed bool
}

// Roster is the officers of an archive as its ledger tells them. The zero Roster has none. It is safe for concurrent use.
type Roster struct {
	mu       sync.RWMutex
	officers []*member // in the order they were added
	requests map[escrow.Seq]request
	used     map[[sha256.Size]byte]bool // texts of statements
}

type member struct {
	Officer
	key *key
}

type request struct {
	leaf    string
	officer string
}

// Apply takes in a fact of the ledger, in order; facts that concern no officer are ignored. What is in the ledger counts: it was checked before it was
// written. The error, of kind Corrupt, is of a fact that cannot be understood.
func (r *Roster) Apply(rec archive.Record, f events.Fact) error {
	act, ok := f.(events.Act)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used == nil {
		r.used, r.requests = map[[sha256.Size]byte]bool{}, map[escrow.Seq]request{}
	}
	switch f := f.(type) {
	case events.OfficerAdded:
		if err := r.add(rec.Seq, f); err != nil {
			return &escrow.Error{Op: "officers.Apply", Kind: escrow.Corrupt, Record: &rec.Seq, Err: err}
		}
	case events.OfficerRemoved:
		if m := r.find(f.Officer); m != nil {
			m.Removed = true
		}
	case events.ErasureRequested:
		leaf := rec.Header.LeafHash()
		r.requests[rec.Seq] = request{hex.EncodeToString(leaf[:]), f.Officer}
	}
	_, statement := act.By()
	r.used[statementID(statement)] = true
	return nil
}

func (r *Roster) add(seq escrow.Seq, f events.OfficerAdded) error {
	k, err := publicKey(f.Officer, f.Key)
	if err != nil {
		return err
	}
	o := Officer{Name: f.Officer, Key: f.Key, Sponsor: f.Sponsor, Line: f.Officer, Added: seq}
	if f.Sponsor != "" {
		sponsor := r.find(f.Sponsor)
		if sponsor == nil {
			return denied("%q was brought in by %q, who is no officer", f.Officer, f.Sponsor)
		}
		o.Line = sponsor.Line
	}
	r.officers = append(r.officers, &member{o, k})
	return nil
}

// Officers returns everybody who ever was one, in the order they were added.
func (r *Roster) Officers() []Officer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []Officer
	for _, m := range r.officers {
		all = append(all, m.Officer)
	}
	return all
}

// Check says whether a signed act may be written into the ledger with this origin now: that its statement is the officer's, about this act, and fresh,
// and that the officer may do it. Facts that are no acts pass. The error is of kind Denied and says why in plain words, or Invalid for a bad key or name.
func (r *Roster) Check(origin string, f events.Fact, now time.Time) error {
	act, ok := f.(events.Act)
	if !ok {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	officer, statement := act.By()
	k, err := r.keyFor(act, officer)
	if err != nil {
		return err
	}
	text, err := open(statement, officer, k)
	if err != nil {
		return err
	}
	at, err := check(text, origin, act)
	if err != nil {
		return err
	}
	if skew := now.Sub(at).Abs(); skew > MaxSkew {
		return denied("the statement is of %s, more than %d minutes from now; sign again, and check the clocks", at.UTC().Format(time.RFC3339), int(MaxSkew.Minutes()))
	}
	if r.used[statementID(statement)] {
		return denied("this statement was used before; sign again")
	}
	return r.rights(act, officer)
}

// keyFor returns the key that must have signed an act.
func (r *Roster) keyFor(act events.Act, officer string) (*key, error) {
	added, ok := act.(events.OfficerAdded)
	if ok {
		if err := r.checkNew(added); err != nil {
			return nil, err
		}
		if added.Sponsor == "" {
			return publicKey(added.Officer, added.Key)
		}
	}
	return r.active(officer)
}

// active returns the key of somebody who is an officer now.
func (r *Roster) active(officer string) (*key, error) {
	m := r.find(officer)
	switch {
	case officer == "":
		return nil, denied("an officer must answer for this, and none is named")
	case m == nil:
		return nil, denied("%q is no officer of this archive", officer)
	case m.Removed:
		return nil, denied("%q is no officer any more", officer)
	}
	return m.key, nil
}

// checkNew says whether somebody can become an officer: name and key were never used before, and only the first two come without a sponsor.
func (r *Roster) checkNew(f events.OfficerAdded) error {
	if err := escrow.CheckToken("officer", f.Officer); err != nil {
		return err
	}
	k, err := publicKey(f.Officer, f.Key)
	if err != nil {
		return err
	}
	if len(r.officers) >= MaxOfficers {
		return denied("there are %d officers, removed ones included; there cannot be more", MaxOfficers)
	}
	founders := 0
	for _, m := range r.officers {
		switch {
		case m.Name == f.Officer:
			return denied("%q is or was an officer; a name is given once", f.Officer)
		case m.key.public.Equal(k.public):
			return denied("%q would have the same key as %q; each officer needs a key of his own", f.Officer, m.Name)
		case m.Sponsor == "":
			founders++
		}
	}
	if f.Sponsor == "" && founders >= 2 {
		return denied("%q needs a sponsor: only the first two officers come without one", f.Officer)
	}
	return nil
}

// rights says whether an officer whose statement holds may do the act.
func (r *Roster) rights(act events.Act, officer string) error {
	switch f := act.(type) {
	case events.OfficerRemoved:
		return r.mayRemove(f)
	case events.ErasureApproved:
		req, known := r.requests[f.Request]
		if !known {
			return denied("record %d is no request for an erasure", f.Request)
		}
		if req.leaf != f.Leaf {
			return denied("the approval is of another request than the one in record %d", f.Request)
		}
		return r.mayApprove(req.officer, officer)
	case events.ErasureWithdrawn:
		if _, known := r.requests[f.Request]; !known {
			return denied("record %d is no request for an erasure", f.Request)
		}
	}
	return nil
}

func (r *Roster) mayRemove(f events.OfficerRemoved) error {
	if f.Officer == f.Remover {
		return denied("%q cannot remove itself: another officer must do it", f.Officer)
	}
	if _, err := r.active(f.Officer); err != nil {
		return err
	}
	var lines []string
	for _, m := range r.officers {
		if !m.Removed && m.Name != f.Officer && !slices.Contains(lines, m.Line) {
			lines = append(lines, m.Line)
		}
	}
	if len(lines) < 2 {
		return denied("%q cannot be removed: no two officers would be left who can approve each other's requests; add a successor first", f.Officer)
	}
	return nil
}

// MayApprove says whether an officer may approve a request: one who is an officer now, other than the requester, and in another line. The error is of
// kind Denied.
func (r *Roster) MayApprove(request events.ErasureRequested, approver string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mayApprove(request.Officer, approver)
}

func (r *Roster) mayApprove(requester, approver string) error {
	if requester == approver {
		return denied("%q made the request; another officer must approve it", approver)
	}
	if _, err := r.active(approver); err != nil {
		return err
	}
	a, q := r.find(approver), r.find(requester)
	if q == nil {
		return denied("the request was made by %q, who is no officer of this archive", requester)
	}
	if a.Line == q.Line {
		return denied("%q and %q were brought in by %q, directly or through others, or are it; somebody not in this line must approve", requester, approver, a.Line)
	}
	return nil
}

func (r *Roster) find(name string) *member {
	for _, m := range r.officers {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// statementID is the digest by which a statement is recognised when it is used again: of the signed text, for the signature says nothing more.
func statementID(statement string) [sha256.Size]byte {
	text, _, _ := strings.Cut(statement, "\n\n")
	return sha256.Sum256([]byte(text))
}
