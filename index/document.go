package index

import (
	"log/slog"
	"time"

	"escrow"
)

// Document is what a message offers to a search. It is in clear and exists in memory only; the index keeps no field of it as a value, only words.
type Document struct {
	Seq   escrow.Seq // record in the ledger, the identity of the document
	Month string     // partition: year and month of disposal, as "203103"
	Due   Due        // when it is disposed of
	ID    string     // the platform's id of the message, or the Message-ID
	Type  string     // message type, as "message" or "edit"

	Time time.Time // when the archive received it
	Sent time.Time // when the sender says it was sent; zero if unknown, then Time counts

	Channel      string
	Conversation string

	From []Person
	To   []Person

	Title       string
	Body        string
	Transcripts []string // what voice notes say; searched as part of the body
	Files       []string // names of attachments
	Tags        []string
	Metadata    map[string]string

	Subjects []uint32 // leaves of the data subjects it belongs to
	Partial  []string // what could not be understood or indexed, in plain words; empty if everything was
}

// Due is a retention day: the number of the class, and the day counted from 1970-01-01. Day 0 is unknown.
type Due struct {
	Class uint16
	Day   uint32
}

// Person is one participant as a search knows him.
type Person struct {
	ID   escrow.Identity
	Name string
}

// LogValue hides content: personal types never reach a log.
func (d Document) LogValue() slog.Value { return slog.StringValue("document") }

// LogValue hides the person: personal types never reach a log.
func (p Person) LogValue() slog.Value { return slog.StringValue("person") }

// Date returns the day that before:, after: and during: look at and the moment by which newest hits are sorted: when it was sent, or, where the
// sender did not say, received. Years outside 1 … 9999 count as unknown, too.
func (d Document) Date() time.Time {
	if y := d.Sent.UTC().Year(); !d.Sent.IsZero() && y >= 1 && y <= 9999 {
		return d.Sent.UTC()
	}
	return d.Time.UTC()
}
