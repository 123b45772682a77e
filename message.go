package escrow

import (
	"log/slog"
	"time"
)

// Message is what people wrote, parsed from its original bytes, in clear. It exists in memory only. The original bytes are the record; a Message
// is a view of them, and the same bytes always give the same view.
type Message struct {
	ID           string // the platform's id, unique in the channel; for mail the Message-ID without angle brackets, or ""
	Type         MessageType
	RefersTo     string // id of the message edited, deleted, reacted or replied to
	Conversation string
	SentAt       time.Time // the sender's claim; zero if there is none or it cannot be read
	From         Participant
	To           []Participant // everyone who could read it, in order of appearance, without duplicates
	Title        string        // subject line of a mail
	Text         string        // readable text, also where only HTML was sent
	HTML         string
	Mentions     []Mention // passages of Text that the platform marked, in order
	Attachments  []Attachment
	Tags         []string
	Metadata     map[string]string

	Purpose   string // processing purpose
	Basis     string // GDPR Art. 6 basis
	Consent   string // id of a recorded consent
	Retention string // retention class asked for, "" for the channel's own

	// Defects lists, in plain words without content, what could not be understood: "part 2: unknown charset". A message with defects is archived
	// whole and marked "not fully understood" in every result.
	Defects []string
}

// MessageType is what a message does; the zero value is not valid, parsers set TypeMessage.
type MessageType string

// The message types of the publishing contract.
const (
	TypeMessage  MessageType = "message"
	TypeEdit     MessageType = "edit"
	TypeDelete   MessageType = "delete"
	TypeReaction MessageType = "reaction"
	TypeJoin     MessageType = "join"
	TypeLeave    MessageType = "leave"
)

// Role is the part a participant plays.
type Role string

// The roles of the publishing contract; RoleMember is the default.
const (
	RoleCustomer Role = "customer"
	RoleAgent    Role = "agent"
	RoleMember   Role = "member"
	RoleSystem   Role = "system"
)

// Participant is a person, or a machine, taking part in a message.
type Participant struct {
	ID   Identity `json:"id"`
	Name string   `json:"name,omitempty"`
	Role Role     `json:"role,omitempty"`
}

// Mention is a passage of a text that the platform marked as being about somebody, who need not take part in the message.
type Mention struct {
	ID     Identity
	Name   string
	Start  int // in bytes of the text
	Length int // in bytes, at least 1
}

// Attachment is a file that came with a message. Data shares memory with what it was parsed from and must not be changed.
type Attachment struct {
	Name       string
	MediaType  string
	Data       []byte
	Object     string // name in the upload bucket, where Data is not inline
	SHA256     string // hex digest of the object
	Transcript string // what a voice note says
}

// LogValue hides content: personal types never reach a log.
func (m Message) LogValue() slog.Value { return slog.StringValue("message") }

// LogValue hides who it is.
func (p Participant) LogValue() slog.Value { return slog.StringValue("participant") }

// LogValue hides who it is.
func (m Mention) LogValue() slog.Value { return slog.StringValue("mention") }

// LogValue hides name and content.
func (a Attachment) LogValue() slog.Value { return slog.StringValue("attachment") }
