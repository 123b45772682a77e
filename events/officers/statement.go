package officers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"escrow"
	"escrow/crypto/sign"
	"escrow/events"
)

const statementTitle = "escrow/statement@v1"

// Digest returns SHA-256 of an act as JSON, without officer and statement, in hex: what a statement is about.
func Digest(act events.Act) (string, error) {
	b, err := json.Marshal(act.SignedBy("", ""))
	if err != nil {
		return "", escrow.Errorf("officers.Digest", escrow.Invalid, "the fact cannot be written: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Draft returns the text an officer signs to answer for an act, which must name the officer, in the archive with this origin at this time. It is empty
// if the act cannot be written as JSON, which a time outside the years 0 to 9999 alone can cause.
func Draft(origin string, act events.Act, at time.Time) string {
	digest, err := Digest(act)
	if err != nil {
		return ""
	}
	officer, _ := act.By()
	return strings.Join(draftLines(origin, act.Type(), officer, at.UTC().Format(time.RFC3339), digest), "\n") + "\n"
}

func draftLines(origin, act, officer, at, digest string) []string {
	return []string{statementTitle, "archive " + origin, "act " + act, "officer " + officer, "time " + at, "fact sha256:" + digest}
}

// Sign returns the text, made by Draft, as a statement. The error is of kind Invalid.
func Sign(text string, signer note.Signer) (string, error) {
	if text == "" {
		return "", escrow.Errorf("officers.Sign", escrow.Invalid, "there is nothing to sign")
	}
	b, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return "", escrow.Errorf("officers.Sign", escrow.Invalid, "%w", err)
	}
	return string(b), nil
}

// open returns the text of a statement signed by an officer.
func open(statement, officer string, verifier note.Verifier) (string, error) {
	if statement == "" {
		return "", denied("a statement signed by %q is missing", officer)
	}
	if len(statement) > MaxStatementBytes {
		return "", denied("a statement has at most %d bytes", MaxStatementBytes)
	}
	text, err := sign.Open(statement, verifier)
	if err != nil {
		return "", denied("the statement is not that of %q: %w", officer, err)
	}
	return text, nil
}

// check says whether a verified text is that of an act in an archive, and returns its time.
func check(text, origin string, act events.Act) (time.Time, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 7 || lines[0] != statementTitle || lines[6] != "" {
		return time.Time{}, denied("the statement does not have the form of one")
	}
	at, err := time.Parse(time.RFC3339, strings.TrimPrefix(lines[4], "time "))
	if err != nil {
		return time.Time{}, denied("the time of the statement cannot be read")
	}
	digest, err := Digest(act)
	if err != nil {
		return time.Time{}, err
	}
	officer, _ := act.By()
	want := draftLines(origin, act.Type(), officer, at.UTC().Format(time.RFC3339), digest)
	for i, what := range []string{"format", "archive", "act", "officer", "time", "fact"} {
		if lines[i] != want[i] {
			return time.Time{}, denied("the statement is about another %s: it says %q where %q is needed", what, lines[i], want[i])
		}
	}
	return at, nil
}

func denied(format string, args ...any) *escrow.Error {
	return escrow.Errorf("officers.Check", escrow.Denied, format, args...)
}
