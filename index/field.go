package index

import (
	"slices"
	"strings"
)

// Field names what a term looks into.
type Field string

// The fields of a query. The list is append-only: people keep queries for years.
const (
	FieldAny     Field = ""        // title, text, transcripts, file names, tags, metadata, people
	FieldTitle   Field = "title"   // subject line
	FieldBody    Field = "body"    // text and transcripts
	FieldFile    Field = "file"    // names of attachments
	FieldTag     Field = "tag"     // tags
	FieldMeta    Field = "meta"    // keys and values of the platform's metadata
	FieldFrom    Field = "from"    // author
	FieldTo      Field = "to"      // readers
	FieldWith    Field = "with"    // author or readers
	FieldIn      Field = "in"      // conversation
	FieldChannel Field = "channel" // channel of the archive
	FieldType    Field = "type"    // message type
	FieldLang    Field = "lang"    // detected language
	FieldHas     Field = "has"     // a property
	FieldID      Field = "id"      // the platform's id, the Message-ID or the record number

	fieldBefore Field = "before"
	fieldAfter  Field = "after"
	fieldDuring Field = "during"
)

// fieldKind says what values a field takes.
type fieldKind uint8

const (
	unknown fieldKind = iota
	text              // words, phrases, * and ~
	people            // the same, looked up as whole words of names and parts of addresses
	exact             // one value, as it is
	date
)

func (f Field) kind() fieldKind {
	switch f {
	case FieldAny, FieldTitle, FieldBody, FieldFile, FieldTag, FieldMeta:
		return text
	case FieldFrom, FieldTo, FieldWith:
		return people
	case FieldIn, FieldChannel, FieldType, FieldLang, FieldHas, FieldID:
		return exact
	case fieldBefore, fieldAfter, fieldDuring:
		return date
	}
	return unknown
}

const fieldNames = "from: to: with: in: channel: type: lang: has: id: title: body: file: tag: meta: before: after: during:"

// meant maps what people type, coming from other programs, to the field they mean.
var meant = map[string]Field{
	"subject": FieldTitle, "text": FieldBody, "content": FieldBody, "sender": FieldFrom, "author": FieldFrom, "recipient": FieldTo, "cc": FieldTo,
	"bcc": FieldTo, "participants": FieldWith, "label": FieldTag, "tags": FieldTag, "filename": FieldFile, "attachment": FieldFile,
	"metadata": FieldMeta, "language": FieldLang, "conversation": FieldIn, "thread": FieldIn, "kind": FieldType, "is": FieldHas,
	"since": fieldAfter, "until": fieldBefore, "date": fieldDuring, "sent": fieldDuring, "messageid": FieldID,
}

// missing are fields other archives have and this one does not have yet; they must not be searched as words.
var missing = []string{"hold", "size", "state", "matter", "near"}

// Messages whose type is in this list can be searched by type:.
var typeValues = []string{"message", "edit", "delete", "reaction", "join", "leave"}

// The properties of has:, as documents are given them.
const (
	HasAttachment = "attachment" // at least one file
	HasTitle      = "title"      // a title that is not empty
	HasText       = "text"       // a body that is not empty
	HasTranscript = "transcript" // a voice note that was transcribed
	HasTag        = "tag"        // at least one tag
	HasMetadata   = "metadata"   // at least one metadata entry
	HasEdit       = "edit"       // it edits another message
	HasPartial    = "partial"    // a part of it could not be indexed
)

var hasValues = []string{HasAttachment, HasTitle, HasText, HasTranscript, HasTag, HasMetadata, HasEdit, HasPartial}

// checkExact returns what is wrong with the value of an exact field, "" if nothing is.
func checkExact(f Field, value string) (problem string) {
	switch f {
	case FieldType:
		if !slices.Contains(typeValues, value) {
			return "type: takes one of " + strings.Join(typeValues, ", ")
		}
	case FieldHas:
		if !slices.Contains(hasValues, value) {
			return "has: takes one of " + strings.Join(hasValues, ", ")
		}
	case FieldLang:
		if len(value) < 2 || len(value) > 3 || strings.Trim(value, "abcdefghijklmnopqrstuvwxyz") != "" {
			return "lang: takes a code of two or three letters, as en, de, zh, or und where no language was recognised"
		}
	}
	return ""
}
