package archive

import (
	"time"

	"escrow"
)

// RecordKind says what a record is. The list is closed and append-only: positions in it are stored.
type RecordKind string

// The kinds of record.
const (
	KindMessage  RecordKind = "message"  // a message somebody wrote
	KindFounded  RecordKind = "founded"  // the first record of a ledger
	KindPolicy   RecordKind = "policy"   // retention classes and schedules, channels and their rules
	KindHold     RecordKind = "hold"     // a legal hold placed or released
	KindConsent  RecordKind = "consent"  // a consent given or withdrawn
	KindRequest  RecordKind = "request"  // a request of a data subject, and each step of it
	KindErase    RecordKind = "erase"    // keys ordered to be destroyed
	KindPurge    RecordKind = "purge"    // what an erasure left in the index removed
	KindKeyEpoch RecordKind = "keyepoch" // the key state sealed under a fresh root
	KindAccess   RecordKind = "access"   // a search, a view, a refusal
	KindExport   RecordKind = "export"   // a bundle handed over
	KindCase     RecordKind = "case"     // a matter, its custodians, its reviews
	KindAnchor   RecordKind = "anchor"   // a timestamp or a witness's signature over an earlier checkpoint
	KindIncident RecordKind = "incident" // something was lost, changed or refused
	KindNote     RecordKind = "note"     // anything else
)

// recordKinds are the kinds in the order of their codes, which count from 1.
var recordKinds = [...]RecordKind{KindMessage, KindFounded, KindPolicy, KindHold, KindConsent, KindRequest, KindErase, KindPurge, KindKeyEpoch, KindAccess,
	KindExport, KindCase, KindAnchor, KindIncident, KindNote}

// Header is what the ledger knows about a record; it holds no personal data. Its canonical text is the leaf.
type Header struct {
	Kind    RecordKind
	Time    time.Time // when the archive received it, whole seconds UTC
	Source  Source    // where in the log it came from; zero for the archive's own events
	Entry   [32]byte  // digest of the log entry; zero for events
	Stream  Stream    // its place in its channel; zero for events
	Once    [16]byte  // deduplication tag; zero for none
	Sealed  Digest    // of the blob; set by Append
	Content Content   // hiding commitment to the plaintext
	KRef    [32]byte  // hiding reference to its keys
	Class   string    // retention class, 1 to MaxClassBytes of A-Z a-z 0-9 . _ -, or "" for none
}

// Source is a place in a NATS stream. Sequence numbers count from 1 and are only meaningful together with the tag, which names one life of a stream.
type Source struct {
	Tag [16]byte
	Seq uint64
}

// Stream is a place in a channel: a pseudonymous tag and a counter from 1 without gaps.
type Stream struct {
	Tag     [16]byte
	Counter uint64
}

// Digest is the digest and the length in bytes of a blob.
type Digest struct {
	SHA256 [32]byte
	Len    uint64
}

// Content is the root over the salted fields of a record, and their number.
type Content struct {
	Root   [32]byte
	Fields uint32
}

// Entry is a record to be appended. Header.Sealed is ignored, and Header.Time may be zero for now.
type Entry struct {
	Header Header
	Blob   []byte // what is stored, sealed; at most segment.MaxBlobBytes
}

// Record is a record of the ledger. Blob belongs to the caller.
type Record struct {
	Seq    escrow.Seq
	Header Header
	Blob   []byte
}

// check says whether the header can be written, apart from Sealed; now may replace a zero time.
func (h *Header) check() error {
	switch {
	case h.Kind.code() == 0:
		return invalid("record kind %q is not known", h.Kind)
	case !h.Time.IsZero() && (h.Time.Unix() < 0 || h.Time.UTC().Year() > 9999):
		return invalid("the time of a record must be between 1970 and 9999")
	case (h.Source == Source{}) != (h.Source.Seq == 0), (h.Source == Source{}) != (h.Source.Tag == [16]byte{}):
		return invalid("a log source needs both tag and sequence number, or neither")
	case (h.Stream == Stream{}) != (h.Stream.Counter == 0), (h.Stream == Stream{}) != (h.Stream.Tag == [16]byte{}):
		return invalid("a stream needs both tag and counter, or neither")
	case !validClass(h.Class):
		return invalid("a retention class consists of at most %d of A-Z a-z 0-9 . _ -", MaxClassBytes)
	}
	return nil
}

func invalid(format string, args ...any) *escrow.Error {
	return escrow.Errorf("archive.Append", escrow.Invalid, format, args...)
}

func (k RecordKind) code() byte {
	for i, kind := range recordKinds {
		if kind == k {
			return byte(i + 1)
		}
	}
	return 0
}

func kindOf(code byte) (RecordKind, bool) {
	if code == 0 || int(code) > len(recordKinds) {
		return "", false
	}
	return recordKinds[code-1], true
}

func validClass(s string) bool {
	if len(s) > MaxClassBytes {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
