package archive

import (
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
)

// Checkpoint is a C2SP checkpoint (https://c2sp.org/tlog-checkpoint) without extension lines: what the signature is over.
type Checkpoint struct {
	Origin string // names the ledger for ever
	Size   escrow.TreeSize
	Root   tlog.Hash
}

// Text returns the body of the note: origin, size and base64 root, a line each.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(uint64(c.Size), 10) + "\n" + c.Root.String() + "\n"
}

// ParseCheckpoint is the inverse of Text and accepts nothing else; the error is of kind Corrupt. It verifies no signature.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Checkpoint{}, badCheckpoint("a checkpoint has three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return Checkpoint{}, badCheckpoint("the second line of a checkpoint is a number")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, badCheckpoint("the third line of a checkpoint is a hash in base64")
	}
	c := Checkpoint{Origin: lines[0], Size: escrow.TreeSize(size), Root: tlog.Hash(root)}
	if c.Origin == "" || c.Text() != text {
		return Checkpoint{}, badCheckpoint("the checkpoint is not in its one canonical form")
	}
	return c, nil
}

func badCheckpoint(format string, args ...any) *escrow.Error {
	return escrow.Errorf("archive.ParseCheckpoint", escrow.Corrupt, format, args...)
}

// OpenCheckpoint verifies the signature of a signed checkpoint and reads it. The checkpoint must be signed by the verifier's key, whose name must be
// the origin; other signatures, by witnesses for instance, are allowed and not looked at. The error is of kind Forged where the signature fails, Corrupt
// where this is no checkpoint.
func OpenCheckpoint(msg []byte, verifier note.Verifier) (Checkpoint, error) {
	if len(msg) > maxCheckpointBytes {
		return Checkpoint{}, badCheckpoint("a signed checkpoint has at most %d bytes", maxCheckpointBytes)
	}
	n, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, escrow.Errorf("archive.OpenCheckpoint", escrow.Forged, "the checkpoint is not signed by %s: %w", verifier.Name(), err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, escrow.Errorf("archive.OpenCheckpoint", escrow.Forged, "the checkpoint is of %q, not of %q", c.Origin, verifier.Name())
	}
	if !canonicalSignature(n) {
		return Checkpoint{}, badCheckpoint("the signed checkpoint is not in its one canonical form")
	}
	return c, nil
}

// canonicalSignature says whether our own signature has its one spelling in base64, in which the last character has spare bits.
func canonicalSignature(n *note.Note) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
	return err == nil
}

// signCheckpoint signs the checkpoint as a note.
func signCheckpoint(c Checkpoint, signer note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.Text()}, signer)
}
