package ingest

import (
	"bytes"
	"strings"
)

// span is a range of bytes of the raw mail.
type span struct{ start, end int }

// mailField is one header field of a mail. Its value includes the folds.
type mailField struct {
	name  string // as written
	value span
}

// mailHeader is a header block, read from raw.
type mailHeader struct {
	raw      []byte
	fields   []mailField
	envelope span   // what follows "From " on an mbox separator line, empty if there is none
	strays   []span // lines that belong to no field
	block    span   // the whole block without the empty line
	body     int    // where the body starts
	cut      bool   // longer than maxHeaderBytes: what follows is body
	broken   int    // lines that are no header fields
	unended  bool   // no empty line before the body
}

// readHeader reads the header block that starts at pos and ends before limit. It accepts what mailers wrote over the years: mbox separators, spaces
// before the colon, lines that forgot to be folded, and a body that starts without an empty line. stop, if not nil, says whether a line that starts
// with "--" is a boundary, which ends the block.
func readHeader(raw []byte, pos, limit int, stop func(line []byte) bool) mailHeader {
	h := mailHeader{raw: raw, block: span{pos, pos}}
	lines := headerLines(raw, pos, min(limit, pos+maxHeaderBytes), stop)
	h.body = lines.end
	h.cut = lines.end == pos+maxHeaderBytes && lines.end < limit && !lines.empty
	last := lines.lastField(raw)
	for i, l := range lines.list {
		if i > last && !lines.empty && h.plainText(l) { // no empty line in sight, and no field any more: this is the body
			h.unended, h.body = true, l.start
			break
		}
		h.add(l)
		h.block.end = l.end
	}
	if len(h.fields) == 0 && h.envelope.start == h.envelope.end && (h.broken > 0 || !lines.empty) {
		h.body, h.block.end, h.unended = pos, pos, false // no header at all
	}
	return h
}

// lineList is the lines of a header block, without their ends.
type lineList struct {
	list  []span
	end   int  // where the body starts
	empty bool // an empty line ends the block
}

func headerLines(raw []byte, pos, limit int, stop func(line []byte) bool) lineList {
	lines := lineList{list: make([]span, 0, 32), end: limit}
	for pos < limit {
		end, next := limit, limit
		if i := bytes.IndexByte(raw[pos:limit], '\n'); i >= 0 {
			end, next = pos+i, pos+i+1
		}
		if end > pos && raw[end-1] == '\r' {
			end--
		}
		if end == pos {
			lines.end, lines.empty = next, true
			return lines
		}
		if stop != nil && raw[pos] == '-' && stop(raw[pos:end]) {
			lines.end = pos
			return lines
		}
		lines.list = append(lines.list, span{pos, end})
		pos = next
	}
	return lines
}

// lastField returns the index of the last line that belongs to a header field, -1 if there is none.
func (l lineList) lastField(raw []byte) int {
	if l.empty {
		return len(l.list)
	}
	for i := len(l.list) - 1; i >= 0; i-- {
		if fieldName(raw[l.list[i].start:l.list[i].end]) > 0 {
			return i
		}
	}
	return -1
}

// plainText reports whether a line is neither a field nor the continuation of one.
func (h *mailHeader) plainText(l span) bool {
	c := h.raw[l.start]
	return fieldName(h.raw[l.start:l.end]) == 0 && !(c == ' ' || c == '\t') && !h.separator(l)
}

func (h *mailHeader) separator(l span) bool {
	line := h.raw[l.start:l.end]
	return len(h.fields) == 0 && h.broken == 0 && fieldName(line) == 0 && (bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From ")))
}

// add takes one line.
func (h *mailHeader) add(l span) {
	line := h.raw[l.start:l.end]
	n := fieldName(line)
	switch {
	case h.separator(l):
		h.envelope = span{l.start + bytes.IndexByte(line, ' ') + 1, l.end}
	case n > 0:
		name := bytes.TrimRight(line[:n], " \t")
		h.fields = append(h.fields, mailField{string(name), span{l.start + n + 1, l.end}})
	case len(h.fields) > 0:
		h.fields[len(h.fields)-1].value.end = l.end
		if line[0] != ' ' && line[0] != '\t' {
			h.broken++
		}
	default:
		h.strays = append(h.strays, l)
		h.broken++
	}
}

// fieldName returns the length of the field name at the start of line, up to the colon, or 0.
func fieldName(line []byte) int {
	for i, c := range line {
		switch {
		case c == ':':
			return i
		case c == ' ' || c == '\t':
			if rest := bytes.TrimLeft(line[i:], " \t"); i > 0 && len(rest) > 0 && rest[0] == ':' {
				return len(line) - len(rest)
			}
			return 0
		case c < 33 || c > 126:
			return 0
		}
	}
	return 0
}

// first returns the raw value of the first field of that name.
func (h *mailHeader) first(name string) ([]byte, bool) {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			return h.raw[f.value.start:f.value.end], true
		}
	}
	return nil, false
}

// text returns the first field of that name, unfolded and decoded; charset is what unmarked 8-bit bytes are written in, if known.
func (h *mailHeader) text(name, charset string) string {
	v, ok := h.first(name)
	if !ok {
		return ""
	}
	return headerText(v, charset)
}

// all returns the values of every field of that name, in order.
func (h *mailHeader) all(name string) []span {
	var list []span
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			list = append(list, f.value)
		}
	}
	return list
}
