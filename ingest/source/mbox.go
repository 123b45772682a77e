package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"escrow"
)

// Variant is one of the four ways to write an mbox; the package comment says how each is read.
type Variant uint8

// The variants.
const (
	VariantAuto Variant = iota // find out
	VariantO
	VariantRD
	VariantCL
	VariantCL2
)

var (
	fromPrefix = []byte("From ")
	quotedFrom = []byte(">From ")
)

// Entry is one message of an mbox. Separator, Data and Trailer, put together, are the bytes of the file, but for the quoting taken from Data.
type Entry struct {
	Offset    escrow.Offset // of Separator in the file
	Separator []byte        // the From_ line with its end; empty if the file begins without one
	Data      []byte        // the message; nil if TooLarge
	Trailer   []byte        // the line end, or with a Content-Length up to two, between the message and the next From_ line
	TooLarge  bool          // more than escrow.MaxImport bytes; passed over
}

// Mbox splits an mbox into its messages, holding one of them, and the first 16 MiB, in memory. It is for one goroutine.
type Mbox struct {
	r       *bufio.Reader
	unquote bool          // take one ">" from quoted From_ lines
	lengths int           // how many wrong or missing Content-Length fields are still borne; negative: not looked at
	rd      bool          // unquote once Content-Length is given up
	dated   bool          // From_ lines of this file have a date
	offset  escrow.Offset // of what r gives next
	started bool
}

// NewMbox returns a splitter of r. It reads up to 16 MiB to find the variant, if that is VariantAuto, and fails, with r's error, only there.
func NewMbox(r io.Reader, v Variant) (*Mbox, error) {
	m := &Mbox{lengths: -1}
	switch v {
	case VariantRD:
		m.unquote = true
	case VariantCL, VariantCL2:
		m.lengths, m.unquote, m.rd = maxWrongLengths, v == VariantCL, v == VariantCL
	case VariantAuto:
		prefix, err := io.ReadAll(io.LimitReader(r, variantWindow))
		if err != nil {
			return nil, err
		}
		m.lengths = 0
		m.rd = bytes.HasPrefix(prefix, []byte(">>From ")) || bytes.Contains(prefix, []byte("\n>>From "))
		r = io.MultiReader(bytes.NewReader(prefix), r)
	}
	m.r = bufio.NewReaderSize(r, readBuffer)
	return m, nil
}

// Next returns the next message. At the end of the file the error is io.EOF; any other is the reader's, and what was read of the message is
// discarded, for a part is no message.
func (m *Mbox) Next() (Entry, error) {
	e, err := m.begin()
	if err != nil {
		return Entry{}, err
	}
	if m.lengths >= 0 {
		ok, err := m.byLength(&e)
		if ok || err != nil {
			return e, err
		}
	}
	return e, m.byLines(&e)
}

// begin reads the From_ line, if there is one.
func (m *Mbox) begin() (Entry, error) {
	e := Entry{Offset: m.offset}
	head, err := m.peek(maxSeparator)
	if err != nil {
		return e, err
	}
	if len(head) == 0 {
		return e, io.EOF
	}
	if !m.started {
		m.started = true
		line, _ := cutLine(bytes.TrimPrefix(head, utf8BOM))
		m.dated = !bytes.HasPrefix(line, fromPrefix) || hasDate(line)
	}
	if line, rest := cutLine(head); bytes.HasPrefix(bytes.TrimPrefix(line, utf8BOM), fromPrefix) && (rest != nil || len(line) < maxSeparator) {
		e.Separator = bytes.Clone(line)
		return e, m.skip(len(line))
	}
	return e, nil
}

// byLines reads up to the next separator.
func (m *Mbox) byLines(e *Entry) error {
	var data []byte
	blank := len(e.Separator) > 0 // the last line was blank: an empty message ends right after its From_ line
	start := true
	for {
		if start {
			end, err := m.atSeparator(blank)
			if err != nil {
				return err
			}
			if end {
				break
			}
		}
		part, err := m.r.ReadSlice('\n')
		m.offset += escrow.Offset(len(part))
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		if len(part) == 0 {
			break
		}
		if start {
			blank = isBlank(part)
			part = m.unquoted(part)
		}
		start = bytes.HasSuffix(part, []byte("\n"))
		if !e.TooLarge {
			data = append(data, part...)
			e.TooLarge = len(data) > escrow.MaxImport+len("\r\n")
		} else {
			data = nil
		}
	}
	m.finish(e, data)
	return nil
}

// finish parts the blank line that belongs to the file from the message.
func (m *Mbox) finish(e *Entry, data []byte) {
	if e.TooLarge {
		return
	}
	body := bytes.TrimSuffix(data, []byte("\n"))
	body = bytes.TrimSuffix(body, []byte("\r"))
	if len(data) == len(body) || len(body) > 0 && body[len(body)-1] != '\n' {
		body = data // the last line is not blank
	}
	e.Data, e.Trailer = body[:len(body):len(body)], data[len(body):]
	if e.TooLarge = len(e.Data) > escrow.MaxImport; e.TooLarge {
		e.Data, e.Trailer = nil, nil
	}
}

func (m *Mbox) unquoted(line []byte) []byte {
	if m.unquote && isQuotedFrom(line) {
		return line[1:]
	}
	return line
}

// isQuotedFrom reports a line of one or more ">" followed by "From ".
func isQuotedFrom(line []byte) bool {
	text := bytes.TrimLeft(line, ">")
	return len(text) < len(line) && bytes.HasPrefix(text, fromPrefix)
}

// atSeparator reports whether a From_ line that parts two messages, or the end of the file, comes next.
func (m *Mbox) atSeparator(blank bool) (bool, error) {
	head, err := m.peek(len(fromPrefix))
	if err != nil || len(head) == 0 {
		return true, err
	}
	if !bytes.Equal(head, fromPrefix) {
		return false, nil
	}
	if head, err = m.peek(maxSeparator); err != nil {
		return false, err
	}
	return m.isSeparator(head, blank), nil
}

// isSeparator judges the From_ line that head begins with, and the line after it.
func (m *Mbox) isSeparator(head []byte, blank bool) bool {
	line, next := cutLine(head)
	if next == nil && len(head) == maxSeparator {
		return false // no From_ line is that long
	}
	field := startsField(next)
	if !m.dated {
		return blank && field
	}
	nothing := isBlank(firstLine(next))
	return hasDate(line) && (field || blank && nothing)
}

func firstLine(b []byte) []byte {
	line, _ := cutLine(b)
	return line
}

// peek returns up to n bytes without taking them; fewer only at the end of the file.
func (m *Mbox) peek(n int) ([]byte, error) {
	b, err := m.r.Peek(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, err
}

func (m *Mbox) skip(n int) error {
	k, err := m.r.Discard(n)
	m.offset += escrow.Offset(k)
	return err
}

var months = map[string]bool{
	"jan": true, "feb": true, "mar": true, "apr": true, "may": true, "jun": true, "jul": true, "aug": true, "sep": true, "oct": true, "nov": true,
	"dec": true,
}

// hasDate reports whether a From_ line holds a date as asctime writes it: after the sender a month, a day of the month, a time with a colon and,
// anywhere after the month, a year. A weekday, a time zone and "remote from" come and go.
func hasDate(line []byte) bool {
	words := strings.Fields(string(line))
	for i, w := range words {
		if i == 0 || !months[strings.ToLower(w)] || i+3 >= len(words) {
			continue
		}
		if inRange(words[i+1], 1, 31) && strings.Contains(words[i+2], ":") && anyYear(words[i+3:]) {
			return true
		}
	}
	return false
}

func anyYear(words []string) bool {
	for _, w := range words {
		if len(w) == 4 && inRange(w, 1900, 2999) {
			return true
		}
	}
	return false
}

func inRange(s string, low, high int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && low <= n && n <= high
}
