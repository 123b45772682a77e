package bleveindex

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"escrow"
	"escrow/index"
)

// Terms of the key field begin with a letter that says what the rest is.
const (
	everyKey        = "*"
	channelKey      = "c"
	dateKey         = "d" // month and day: "d2001-10", "d2001-10-23"
	hasKey          = "h"
	idKey           = "i" // shortHash of the platform's id
	languageKey     = "l"
	subjectKey      = "s" // leaf, big endian
	typeKey         = "t"
	dueKey          = "u" // retention class and day, big endian
	yearKey         = "y" // apart from months and days, so that ranges of years are short
	conversationKey = "v" // shortHash of the conversation in lower case
	threadKey       = "w" // shortHash of channel and conversation, as they are
)

// shortHash stands for a long value that is looked up whole: one in 2^64 strangers shares it.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return string(sum[:8])
}

// idTerm is the term of an id: without angle brackets, in lower case, as mail programs differ in both.
func idTerm(id string) string {
	return idKey + shortHash(strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(id), "<"), ">")))
}

func conversationTerm(conversation string) string {
	return conversationKey + shortHash(strings.ToLower(conversation))
}

func threadTerm(channel, conversation string) string {
	return threadKey + shortHash(channel+"\x00"+conversation)
}

func subjectTerm(leaf uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte(subjectKey), leaf))
}

// dueTerm is the term of a retention day. Terms of one class are in the order of days.
func dueTerm(d index.Due) string {
	b := binary.BigEndian.AppendUint16([]byte(dueKey), d.Class)
	return string(binary.BigEndian.AppendUint32(b, d.Day))
}

// keysOf returns the conditions a document meets.
func keysOf(d index.Document, lang string) *field {
	f := newField(keyField, withoutFreq, 16)
	f.add(everyKey)
	f.add(channelKey + strings.ToLower(d.Channel))
	f.add(typeKey + strings.ToLower(d.Type))
	f.add(languageKey + lang)
	for _, t := range dateTerms(d.Date()) {
		f.add(t)
	}
	if d.ID != "" {
		f.addRare(idTerm(d.ID))
	}
	if d.Conversation != "" {
		f.add(conversationTerm(d.Conversation))
		f.add(threadTerm(d.Channel, d.Conversation))
	}
	for _, leaf := range d.Subjects {
		f.add(subjectTerm(leaf))
	}
	if d.Due.Day > 0 {
		f.add(dueTerm(d.Due))
	}
	addProperties(f, d)
	return f
}

func addProperties(f *field, d index.Document) {
	for _, p := range []struct {
		name string
		has  bool
	}{
		{index.HasAttachment, len(d.Files) > 0}, {index.HasTitle, strings.TrimSpace(d.Title) != ""}, {index.HasText, strings.TrimSpace(d.Body) != ""},
		{index.HasTranscript, len(d.Transcripts) > 0}, {index.HasTag, len(d.Tags) > 0}, {index.HasMetadata, len(d.Metadata) > 0},
		{index.HasEdit, d.Type == string(escrow.TypeEdit)}, {index.HasPartial, len(d.Partial) > 0},
	} {
		if p.has {
			f.add(hasKey + p.name)
		}
	}
}

func dateTerms(t time.Time) []string {
	return []string{yearKey + t.Format("2006"), dateKey + t.Format("2006-01"), dateKey + t.Format("2006-01-02")}
}

// periodTerms returns the terms of the whole years, months and days a period is made of, the years as a range of terms that is open where the period
// is: nobody writes that many years.
func periodTerms(p index.Period) (terms []string, firstYear, endYear string) {
	from, until := p.From, p.Until
	for !from.IsZero() && from.YearDay() != 1 && (until.IsZero() || from.Before(until)) {
		from, terms = step(from, until, terms)
	}
	var late []string
	for !until.IsZero() && until.YearDay() != 1 && (from.IsZero() || from.Before(until)) {
		until, late = stepBack(until, from, late)
	}
	terms = append(terms, late...)
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		return terms, "", ""
	}
	firstYear, endYear = yearKey+"0000", yearKey+"99999"
	if !from.IsZero() {
		firstYear = yearKey + yearOf(from)
	}
	if !until.IsZero() {
		endYear = yearKey + yearOf(until)
	}
	return terms, firstYear, endYear
}

func yearOf(t time.Time) string {
	if t.Year() > 9999 {
		return "99999"
	}
	return t.Format("2006")
}

// step covers the month that begins at from, if it lies within the period, else the day.
func step(from, until time.Time, terms []string) (time.Time, []string) {
	if next := from.AddDate(0, 1, 0); from.Day() == 1 && (until.IsZero() || !next.After(until)) {
		return next, append(terms, dateKey+from.Format("2006-01"))
	}
	return from.AddDate(0, 0, 1), append(terms, dateKey+from.Format("2006-01-02"))
}

// stepBack covers the month that ends at until, if it lies within the period, else the day.
func stepBack(until, from time.Time, terms []string) (time.Time, []string) {
	if before := until.AddDate(0, -1, 0); until.Day() == 1 && (from.IsZero() || !before.Before(from)) {
		return before, append(terms, dateKey+before.Format("2006-01"))
	}
	before := until.AddDate(0, 0, -1)
	return before, append(terms, dateKey+before.Format("2006-01-02"))
}

// timeTermBytes is six digits of the date and ten of the number, seven bits each: the engine separates terms by a byte with the eighth bit set.
const timeTermBytes = 6 + 10

// timeOf returns the field hits are sorted by: seconds since the year 1, and the number of the record, which makes the order total.
func timeOf(d index.Document) *field {
	f := newField(timeField, sortable, 1)
	seconds := uint64(max(d.Date().Unix()-time.Time{}.Unix(), 0))
	term := appendDigits(make([]byte, 0, timeTermBytes), seconds, 6)
	f.addRare(string(appendDigits(term, uint64(d.Seq), 10)))
	return f
}

func appendDigits(b []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(7*i))&0x7f)
	}
	return b
}

// seqOfTime returns the record number in a term of the time field.
func seqOfTime(term []byte) (escrow.Seq, bool) {
	if len(term) != timeTermBytes {
		return 0, false
	}
	var v uint64
	for _, digit := range term[6:] {
		v = v<<7 | uint64(digit)
	}
	return escrow.Seq(v), true
}
