package certificate

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
	"escrow/archive"
	"escrow/crypto/sign"
	"escrow/events"
)

// Report is what a verified certificate says.
type Report struct {
	Statement Statement
	Digest    string          // SHA-256 of the statement, hex: what ErasureCertified records
	Size      escrow.TreeSize // of the ledger when the certificate was made
	Root      tlog.Hash       // of that ledger: compare it with a checkpoint kept elsewhere
}

// Verify verifies a certificate, with or without a newline at its end, with the verifier key of the archive ("origin+hash+base64") and nothing else:
// signatures, proofs, statements of officers, the order of steps, and that the statement is the one that follows. The error is of kind Invalid for a bad
// key, Corrupt where this is no certificate, and Forged where it is not true.
func Verify(b []byte, vkey string) (Report, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return Report{}, escrow.Errorf("certificate.Verify", escrow.Invalid, `the key must be a verifier key of an archive, "name+hash+base64": %w`, err)
	}
	f, err := parse(b)
	if err != nil {
		return Report{}, err
	}
	return f.verify(verifier)
}

func parse(b []byte) (*file, error) {
	if len(b) > MaxBytes {
		return nil, corrupt("a certificate has at most %d bytes", MaxBytes)
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	var f file
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, corrupt("this is no certificate: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, corrupt("bytes after the end of the certificate")
	}
	if f.Format != format {
		return nil, corrupt("the format is %q, not %q", f.Format, format)
	}
	if len(f.Records) > MaxRecords {
		return nil, corrupt("a certificate has at most %d records", MaxRecords)
	}
	canonical, err := encode(f)
	if err != nil {
		return nil, corrupt("this is no certificate: %w", err)
	}
	if !bytes.Equal(canonical, b) {
		return nil, corrupt("the certificate is not in its one canonical form, from byte %d on", differ(canonical, b))
	}
	return &f, nil
}

// differ returns the first place at which two byte strings differ.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func (f *file) verify(verifier note.Verifier) (Report, error) {
	checkpoint, err := openCheckpoint(f.Checkpoint, verifier)
	if err != nil {
		return Report{}, err
	}
	var lines []line
	for _, r := range f.Records {
		l, err := r.open(checkpoint)
		if err != nil {
			return Report{}, err
		}
		lines = append(lines, l)
	}
	if err := checkHeld(f.Attested.Held); err != nil {
		return Report{}, err
	}
	s, err := tell(checkpoint.Origin, f.Target, lines)
	if err != nil {
		return Report{}, err
	}
	statement := s.statement(f.Attested.Held)
	canonical, err := encode(statement)
	if err != nil {
		return Report{}, err
	}
	if !bytes.Equal(canonical, f.Statement) {
		return Report{}, forged("the statement does not follow from the records, from its byte %d on", differ(canonical, f.Statement))
	}
	if err := f.checkNote(verifier, canonical); err != nil {
		return Report{}, err
	}
	return Report{Statement: statement, Digest: digest(canonical), Size: checkpoint.Size, Root: checkpoint.Root}, nil
}

func openCheckpoint(signed string, verifier note.Verifier) (archive.Checkpoint, error) {
	text, err := sign.Open(signed, verifier)
	if err != nil {
		return archive.Checkpoint{}, forged("the checkpoint does not hold: %w", err)
	}
	c, err := archive.ParseCheckpoint(text)
	if err != nil {
		return archive.Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return archive.Checkpoint{}, forged("the checkpoint is of %q, not of %q", c.Origin, verifier.Name())
	}
	return c, nil
}

// open checks that a record is in the tree of the checkpoint, and that the event is the one in the record.
func (r record) open(c archive.Checkpoint) (line, error) {
	if escrow.TreeSize(r.Seq) >= c.Size {
		return line{}, r.forged("the ledger has %d records only", c.Size)
	}
	if r.Proof == nil || len(r.Proof) > maxProofHashes {
		return line{}, r.forged("a proof has at most %d hashes", maxProofHashes)
	}
	if err := tlog.CheckRecord(r.Proof, int64(c.Size), c.Root, int64(r.Seq), tlog.RecordHash([]byte(r.Leaf))); err != nil {
		return line{}, r.forged("the leaf is not in the tree that was signed: %w", err)
	}
	header, err := archive.ParseLeaf([]byte(r.Leaf))
	if err != nil {
		return line{}, r.forged("%w", err)
	}
	if header.Sealed.SHA256 != sha256.Sum256([]byte(r.Event)) || header.Sealed.Len != uint64(len(r.Event)) {
		return line{}, r.forged("the event is not the one the leaf has the digest of")
	}
	event, err := events.Parse([]byte(r.Event))
	if err != nil {
		return line{}, r.forged("%w", err)
	}
	return line{r.Seq, header, event}, nil
}

func (r record) forged(format string, args ...any) error {
	return &escrow.Error{Op: "certificate.Verify", Kind: escrow.Forged, Record: &r.Seq, Err: fmt.Errorf(format, args...)}
}

// checkHeld says whether the figures of held facets are in order: ascending, each hold once, none without facets.
func checkHeld(held []Held) error {
	for i, h := range held {
		if h.Facets == 0 || i > 0 && h.Hold <= held[i-1].Hold {
			return forged("the figures of holds are not in order")
		}
	}
	return nil
}

// noteText is what the archive signs for a statement.
func noteText(origin string, target escrow.Seq, digest string) string {
	return fmt.Sprintf("%s\narchive %s\nrecord %d\nstatement sha256:%s\n", format, origin, target, digest)
}

func (f *file) checkNote(verifier note.Verifier, canonical []byte) error {
	text, err := sign.Open(f.Note, verifier)
	if err != nil {
		return forged("the note does not hold: %w", err)
	}
	if text != noteText(verifier.Name(), f.Target, digest(canonical)) {
		return forged("the note is over another statement")
	}
	return nil
}

func corrupt(format string, args ...any) *escrow.Error {
	return escrow.Errorf("certificate.Verify", escrow.Corrupt, format, args...)
}

func forged(format string, args ...any) *escrow.Error {
	return escrow.Errorf("certificate.Verify", escrow.Forged, format, args...)
}
