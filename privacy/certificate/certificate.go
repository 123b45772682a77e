package certificate

import (
	"context"
	"encoding/json"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
	"escrow/crypto/sign"
	"escrow/events/chronicle"
)

// Certificate is a certificate that was made and verified.
type Certificate struct {
	Report
	bytes []byte
}

// MarshalJSON returns the one form of the certificate in bytes, to be written as it is.
func (c *Certificate) MarshalJSON() ([]byte, error) { return c.bytes, nil }

// file is the form of a certificate on disk.
type file struct {
	Format     string          `json:"format"`
	Statement  json.RawMessage `json:"statement"`
	Note       string          `json:"note"`
	Checkpoint string          `json:"checkpoint"`
	Target     escrow.Seq      `json:"target"`   // the request or order certified
	Attested   attested        `json:"attested"` // figures that do not follow from the records
	Records    []record        `json:"records"`
}

type attested struct {
	Held []Held `json:"held,omitempty"`
}

// record is an event of the ledger with the proof that it is there.
type record struct {
	Seq   escrow.Seq  `json:"seq"`
	Leaf  string      `json:"leaf"`  // canonical text; its hash is in the tree, and it has the digest of the event
	Event string      `json:"event"` // the very bytes of the record
	Proof []tlog.Hash `json:"proof"` // RFC 6962, section 2.1.1, from the sibling of the leaf upwards
}

// Build makes the certificate of the request or order in a record, as the ledger is now, signed by the archive. It is interim as long as steps are pending.
// The same ledger gives the same bytes. It is verified before it is returned. Error kinds: NotFound, there is no such request or order; Conflict, the
// request was withdrawn; Unavailable, no checkpoint covers the records yet; Forged, the ledger does not tell a sound story; those of the ledger.
func Build(ctx context.Context, ledger *archive.Ledger, target escrow.Seq, signer *sign.Signer) (*Certificate, error) {
	d, err := draft(ctx, ledger, target)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: noteText(ledger.Origin(), target, digest(d.canonical))}, signer)
	if err != nil {
		return nil, escrow.Errorf("certificate.Build", escrow.Internal, "%w", err)
	}
	f := file{Format: format, Statement: d.canonical, Note: string(signed), Checkpoint: string(ledger.Checkpoint()), Target: target, Attested: attested{d.held}}
	checkpoint, err := openCheckpoint(f.Checkpoint, signer.Verifier())
	if err != nil {
		return nil, err
	}
	if f.Records, err = prove(ledger, checkpoint, d.records); err != nil {
		return nil, err
	}
	b, err := encode(f)
	if err != nil {
		return nil, err
	}
	report, err := Verify(b, signer.VKey())
	if err != nil {
		return nil, err
	}
	return &Certificate{report, b}, nil
}

// Digest returns the SHA-256 in hex of the statement about a request all of whose steps are done, but for certifying it: what ErasureCertified records.
// Errors are those of Build, and Unavailable while steps are pending.
func Digest(ctx context.Context, ledger *archive.Ledger, request escrow.Seq) (string, error) {
	d, err := draft(ctx, ledger, request)
	if err != nil {
		return "", err
	}
	if !d.statement.Final {
		return "", escrow.Errorf("certificate.Digest", escrow.Unavailable, "steps are pending: %q", d.statement.Pending)
	}
	return digest(d.canonical), nil
}

// drafted is a statement with what it was made from.
type drafted struct {
	statement Statement
	canonical []byte
	held      []Held
	records   []archive.Record
}

// draft makes the statement from the ledger.
func draft(ctx context.Context, ledger *archive.Ledger, target escrow.Seq) (*drafted, error) {
	c, err := collect(ctx, ledger, target)
	if err != nil {
		return nil, err
	}
	d := &drafted{held: c.held}
	var lines []line
	for _, seq := range c.records() {
		rec, err := ledger.Read(seq)
		if err != nil {
			return nil, err
		}
		e, err := chronicle.Read(rec)
		if err != nil {
			return nil, err
		}
		d.records, lines = append(d.records, rec), append(lines, line{seq, rec.Header, e})
	}
	s, err := tell(ledger.Origin(), target, lines)
	if err != nil {
		return nil, err
	}
	d.statement = s.statement(c.held)
	if d.canonical, err = encode(d.statement); err != nil {
		return nil, err
	}
	if c.certified != "" && c.certified != digest(d.canonical) {
		return nil, escrow.Errorf("certificate.Build", escrow.Forged, "the ledger certified another statement about record %d: it has the digest %s, this one %s", target, c.certified, digest(d.canonical))
	}
	return d, nil
}

// prove returns the records with their proofs in the tree of a checkpoint.
func prove(ledger *archive.Ledger, checkpoint archive.Checkpoint, all []archive.Record) ([]record, error) {
	var records []record
	for _, rec := range all {
		if escrow.TreeSize(rec.Seq) >= checkpoint.Size {
			return nil, escrow.Errorf("certificate.Build", escrow.Unavailable, "no checkpoint covers record %d yet", rec.Seq)
		}
		proof, err := ledger.Prove(rec.Seq, checkpoint.Size)
		if err != nil {
			return nil, err
		}
		records = append(records, record{rec.Seq, string(rec.Header.AppendLeaf(nil)), string(rec.Blob), append([]tlog.Hash{}, proof...)})
	}
	return records, nil
}
