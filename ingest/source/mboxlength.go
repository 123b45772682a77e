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

// byLength reads a message whose Content-Length leads to the next From_ line or the end of the file. If it does not, false is returned, and the
// same bytes are read again by lines.
func (m *Mbox) byLength(e *Entry) (bool, error) {
	header, n, err := m.header()
	if err != nil {
		return false, err
	}
	buf := header
	if n >= 0 && n <= escrow.MaxImport-int64(len(header)) {
		if buf, err = m.body(header, n); err != nil {
			return false, err
		}
		if int64(len(buf)-len(header)) == n {
			trailer, ok, err := m.trailer()
			if err != nil {
				return false, err
			}
			if ok {
				e.Data, e.Trailer = m.unquoteAll(buf), trailer
				return true, nil
			}
		}
	}
	m.unread(buf)
	m.lengths--
	if m.lengths < 0 {
		m.unquote = m.rd
	}
	return false, nil
}

// header reads the header block with the blank line after it, and returns the Content-Length, or -1 if there is none, or more than one.
func (m *Mbox) header() ([]byte, int64, error) {
	var buf []byte
	length, fields, start := int64(-1), 0, true
	for len(buf) < maxMailHeader {
		if next, err := m.peek(len(fromPrefix)); err != nil || bytes.Equal(next, fromPrefix) {
			return buf, -1, err // a mail without a body; the next one's length must not count for it
		}
		part, err := m.r.ReadSlice('\n')
		buf = append(buf, part...)
		m.offset += escrow.Offset(len(part))
		if errors.Is(err, io.EOF) {
			return buf, -1, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, 0, err
		}
		if start && isBlank(part) {
			if fields != 1 {
				length = -1
			}
			return buf, length, nil
		}
		if name, ok := fieldName(part); start && ok && strings.EqualFold(string(name), "Content-Length") {
			fields++
			length = parseLength(part)
		}
		start = bytes.HasSuffix(part, []byte("\n"))
	}
	return buf, -1, nil
}

func parseLength(field []byte) int64 {
	_, value, _ := bytes.Cut(field, []byte(":"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 62)
	if err != nil {
		return -1
	}
	return int64(n)
}

// body reads n bytes after the header, or what there is.
func (m *Mbox) body(header []byte, n int64) ([]byte, error) {
	buf := bytes.NewBuffer(header)
	got, err := io.CopyN(buf, m.r, n)
	m.offset += escrow.Offset(got)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf.Bytes(), err
}

// trailer takes the line ends before the next From_ line, and reports whether that, or the end of the file, follows.
func (m *Mbox) trailer() ([]byte, bool, error) {
	head, err := m.peek(maxSeparator)
	if err != nil {
		return nil, false, err
	}
	n := 0
	for range 2 {
		switch rest := head[n:]; {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			n += 2
		case bytes.HasPrefix(rest, []byte("\n")):
			n++
		}
	}
	if len(head) > n && !(bytes.HasPrefix(head[n:], fromPrefix) && m.isSeparator(head[n:], true)) {
		return nil, false, nil
	}
	trailer := bytes.Clone(head[:n])
	return trailer, true, m.skip(n)
}

// unread puts bytes back before what r gives next.
func (m *Mbox) unread(b []byte) {
	m.offset -= escrow.Offset(len(b))
	m.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(b), m.r), readBuffer)
}

func (m *Mbox) unquoteAll(data []byte) []byte {
	if !m.unquote || !bytes.Contains(data, quotedFrom) {
		return data
	}
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		line, rest := cutLine(data)
		out = append(out, m.unquoted(line)...)
		data = rest
	}
	return out
}
