package archive

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"escrow"
)

const (
	proofTitle = "c2sp.org/tlog-proof@v1"
	indexLine  = "index "
	extraLine  = "extra "
)

// formatProof returns a C2SP tlog-proof (https://c2sp.org/tlog-proof).
func formatProof(seq escrow.Seq, proof tlog.RecordProof, checkpoint []byte) []byte {
	b := append([]byte(nil), proofTitle+"\n"+indexLine...)
	b = strconv.AppendUint(b, uint64(seq), 10)
	b = append(b, '\n')
	for _, hash := range proof {
		b = base64.StdEncoding.AppendEncode(b, hash[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, checkpoint...)
}

// VerifyProof verifies a C2SP tlog-proof: that the leaf is at the index the proof names, in the tree whose checkpoint the verifier's key has signed.
// It needs no ledger. The error is of kind Corrupt where this is no proof, and Forged where it proves nothing.
func VerifyProof(proof, leaf []byte, verifier note.Verifier) error {
	seq, hashes, signed, err := parseProof(proof)
	if err != nil {
		return err
	}
	c, err := OpenCheckpoint(signed, verifier)
	if err != nil {
		return err
	}
	if uint64(seq) >= uint64(c.Size) {
		return escrow.Errorf("archive.VerifyProof", escrow.Forged, "the proof is for record %d of a tree of %d", seq, c.Size)
	}
	if err := tlog.CheckRecord(hashes, int64(c.Size), c.Root, int64(seq), tlog.RecordHash(leaf)); err != nil {
		return escrow.Errorf("archive.VerifyProof", escrow.Forged, "the leaf is not record %d of the signed tree: %w", seq, err)
	}
	return nil
}

func parseProof(proof []byte) (seq escrow.Seq, hashes tlog.RecordProof, checkpoint []byte, err error) {
	head, checkpoint, ok := bytes.Cut(proof, []byte("\n\n"))
	if !ok || len(proof) > maxProofBytes {
		return 0, nil, nil, badProof("a proof has at most %d bytes and an empty line before its checkpoint", maxProofBytes)
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofTitle {
		return 0, nil, nil, badProof("a proof starts with %s", proofTitle)
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], extraLine) {
		if _, err := base64.StdEncoding.Strict().DecodeString(lines[0][len(extraLine):]); err != nil {
			return 0, nil, nil, badProof("the extra data of the proof is not in base64")
		}
		lines = lines[1:] // extra data is not authenticated, and nothing here needs it
	}
	if len(lines) == 0 {
		return 0, nil, nil, badProof("the proof has no index line")
	}
	seq, ok = parseIndex(lines[0])
	if !ok {
		return 0, nil, nil, badProof("the index line of the proof is malformed")
	}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize || len(line) != base64.StdEncoding.EncodedLen(tlog.HashSize) {
			return 0, nil, nil, badProof("a line of the proof is not a hash in base64")
		}
		hashes = append(hashes, tlog.Hash(hash))
	}
	return seq, hashes, checkpoint, nil
}

func parseIndex(line string) (escrow.Seq, bool) {
	text, ok := strings.CutPrefix(line, indexLine)
	n, err := strconv.ParseInt(text, 10, 64)
	return escrow.Seq(n), ok && err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

func badProof(format string, args ...any) *escrow.Error {
	return escrow.Errorf("archive.VerifyProof", escrow.Corrupt, format, args...)
}
