package ingest

import (
	"bytes"
	"strconv"
	"strings"
)

// mimePart is one node of a mail's MIME tree. Leaves have a body; multiparts and attached messages have children.
type mimePart struct {
	header      mailHeader
	kind        string // media type, lower case
	params      []mimeParameter
	encoding    string // transfer encoding, lower case
	disposition string
	filename    string
	body        span
	children    []*mimePart
}

// mimeParameter is one parameter of a header field, decoded.
type mimeParameter struct{ key, value string }

func (p *mimePart) param(key string) string {
	for _, q := range p.params {
		if q.key == key {
			return q.value
		}
	}
	return ""
}

// charset returns the first charset declared in a tree, which is the best guess for everything in it that declares none.
func (p *mimePart) charset() string {
	if c := p.param("charset"); c != "" {
		return c
	}
	for _, child := range p.children {
		if c := child.charset(); c != "" {
			return c
		}
	}
	return ""
}

// mimeReader reads a MIME tree (RFC 2045, 2046) in one pass over raw, whatever its nesting: it looks at each line that starts with two hyphens once, and
// compares it with the boundaries open at that place. Depth and number of parts are bounded; beyond the bound content stays in the part it is in.
type mimeReader struct {
	raw   []byte
	open  map[string]int // boundary → level
	depth int            // open boundaries
	parts *int           // counts over all messages within a mail
	notes *defects
}

// delimiter is a boundary line, or the end of the data (level 0).
type delimiter struct {
	start, next int
	level       int
	closing     bool
}

// next finds the first delimiter of an open multipart at or after pos, which must be the start of a line.
func (r *mimeReader) next(pos int) delimiter {
	for len(r.open) > 0 && pos < len(r.raw) {
		if !bytes.HasPrefix(r.raw[pos:], []byte("--")) {
			i := bytes.Index(r.raw[pos:], []byte("\n--"))
			if i < 0 {
				break
			}
			pos += i + 1
		}
		end, next := len(r.raw), len(r.raw)
		if i := bytes.IndexByte(r.raw[pos:], '\n'); i >= 0 {
			end, next = pos+i, pos+i+1
		}
		if level, closing := r.match(r.raw[pos:end]); level > 0 {
			return delimiter{pos, next, level, closing}
		}
		pos = next
	}
	return delimiter{start: len(r.raw), next: len(r.raw)}
}

// match returns the level of the multipart whose boundary line is, 0 if it is none.
func (r *mimeReader) match(line []byte) (level int, closing bool) {
	line = bytes.TrimRight(line, " \t\r")
	if len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return 0, false
	}
	line = line[2:]
	if level = r.open[string(line)]; level > 0 {
		return level, false
	}
	if line, ok := bytes.CutSuffix(line, []byte("--")); ok {
		return r.open[string(line)], true
	}
	return 0, false
}

func (r *mimeReader) isDelimiter(line []byte) bool {
	level, _ := r.match(line)
	return level > 0
}

// before returns the content between start and a delimiter, without the line end that belongs to the delimiter.
func (r *mimeReader) before(start int, d delimiter) span {
	end := d.start
	if d.level > 0 && end > start && r.raw[end-1] == '\n' {
		if end--; end > start && r.raw[end-1] == '\r' {
			end--
		}
	}
	return span{min(start, end), end}
}

// part reads the part, or message, whose header starts at pos, and returns the delimiter that ends it.
func (r *mimeReader) part(pos, level int, kind, path string) (*mimePart, delimiter) {
	*r.parts++
	h := readHeader(r.raw, pos, len(r.raw), r.isDelimiter)
	p := newPart(h, kind)
	r.headerDefects(h, path)
	deep := level >= maxMIMEDepth
	switch multi := strings.HasPrefix(p.kind, "multipart/"); {
	case deep && (multi || p.isMessage()):
		r.notes.add(path, "nested deeper than %d levels; what is inside is not taken apart", maxMIMEDepth)
	case multi:
		if b := r.boundary(p, path); b != "" {
			return r.multipart(p, b, level, path)
		}
	case p.isMessage() && p.plainEncoding():
		child, d := r.part(h.body, level+1, "text/plain", path)
		p.children, p.body = []*mimePart{child}, r.before(h.body, d)
		return p, d
	}
	d := r.next(h.body)
	p.body = r.before(h.body, d)
	return p, d
}

func (r *mimeReader) headerDefects(h mailHeader, path string) {
	if h.cut {
		r.notes.add(path, "the header is longer than %d bytes; the rest was taken for text", maxHeaderBytes)
	}
	if h.broken > 0 && len(h.fields) > 0 {
		r.notes.add(path, "lines in the header that are no header fields")
	}
	if h.unended {
		r.notes.add(path, "no empty line between header and body")
	}
}

// boundary returns the declared boundary of a multipart, or the first line that looks like one.
func (r *mimeReader) boundary(p *mimePart, path string) string {
	if b := strings.TrimRight(p.param("boundary"), " \t"); b != "" {
		return b
	}
	r.notes.add(path, "a multipart without boundary")
	rest := r.raw[p.header.body:]
	if !bytes.HasPrefix(rest, []byte("--")) {
		i := bytes.Index(rest, []byte("\n--"))
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(bytes.TrimSpace(line[2:min(len(line), 200)]))
}

// multipart reads the parts of p.
func (r *mimeReader) multipart(p *mimePart, boundary string, level int, path string) (*mimePart, delimiter) {
	shadowed := r.open[boundary]
	r.depth++
	mine := r.depth
	r.open[boundary] = mine
	start := p.header.body
	d := r.next(start)
	if d.level == mine {
		p.aside(r.raw, r.before(start, d), maxPreamble)
	}
	for d.level == mine && !d.closing {
		if *r.parts >= maxMIMEParts {
			r.notes.add("", "more than %d parts; the rest was not taken apart", maxMIMEParts)
			clear(r.open)
		}
		var child *mimePart
		child, d = r.part(d.next, level+1, p.childKind(), joinPath(path, len(p.children)+1))
		p.children = append(p.children, child)
	}
	r.depth--
	if delete(r.open, boundary); shadowed > 0 {
		r.open[boundary] = shadowed
	}
	switch {
	case d.level == mine: // closed
		end := d.next
		d = r.next(end)
		p.aside(r.raw, r.before(end, d), 0)
	case len(p.children) == 0:
		r.notes.add(path, "a multipart whose boundary never comes")
		p.kind, p.body = "text/plain", r.before(start, d)
	default:
		r.notes.add(path, "a multipart that is not closed")
	}
	return p, d
}

// aside keeps text around the parts, which other readers may show, as a part of its own. A preamble of the usual length is a note to old mailers.
func (p *mimePart) aside(raw []byte, s span, usual int) {
	if s.end-s.start > usual && len(bytes.TrimSpace(raw[s.start:s.end])) > usual {
		p.children = append(p.children, &mimePart{header: mailHeader{raw: raw}, kind: "text/plain", body: s})
	}
}

func (p *mimePart) childKind() string {
	if p.kind == "multipart/digest" {
		return "message/rfc822"
	}
	return "text/plain"
}

func joinPath(path string, i int) string {
	if path == "" {
		return strconv.Itoa(i)
	}
	return path + "." + strconv.Itoa(i)
}

func (p *mimePart) isMessage() bool { return p.kind == "message/rfc822" || p.kind == "message/global" }

func (p *mimePart) plainEncoding() bool {
	switch p.encoding {
	case "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue":
		return false
	}
	return true
}

// newPart reads the MIME fields of a header.
func newPart(h mailHeader, kind string) *mimePart {
	p := &mimePart{header: h, kind: kind}
	if v, ok := h.first("Content-Type"); ok {
		declared, params := parseMIMEField(v)
		if strings.IndexByte(declared, '/') > 0 {
			p.kind = declared
		}
		p.params = params
	}
	if v, ok := h.first("Content-Transfer-Encoding"); ok {
		v, _, _ = bytes.Cut(v, []byte(";"))
		p.encoding = strings.ToLower(strings.Trim(string(v), " \t\r\n\"'"))
	}
	if v, ok := h.first("Content-Disposition"); ok {
		disposition, params := parseMIMEField(v)
		p.disposition = disposition
		for _, q := range params {
			if q.key == "filename" {
				p.filename = q.value
			}
		}
	}
	for _, key := range [...]string{"name", "file", "filename"} {
		if p.filename == "" {
			p.filename = p.param(key)
		}
	}
	return p
}

// parseMIMEField reads "value; key=value; …" with the continuations and charsets of RFC 2231 and what mailers make of it: missing quotes, spaces, encoded
// words.
func parseMIMEField(v []byte) (value string, params []mimeParameter) {
	first, rest, _ := bytes.Cut(v, []byte(";"))
	value = strings.ToLower(strings.Trim(oneLine(string(first)), " \"'"))
	var pieces []mimeParameter
	for len(rest) > 0 && len(pieces) < maxParameters {
		var q mimeParameter
		q, rest = nextParameter(rest)
		if q.key != "" {
			pieces = append(pieces, q)
		}
	}
	for i, q := range pieces {
		name, star, extended := strings.Cut(q.key, "*")
		switch {
		case !extended:
			params = append(params, mimeParameter{name, headerText([]byte(q.value), "")})
		case star == "" || star == "0" || star == "0*":
			params = append(params, mimeParameter{name, joinExtended(name, pieces[i:])})
		}
	}
	return value, params
}

// nextParameter takes one "key=value" off b. The value is as written, without quotes.
func nextParameter(b []byte) (q mimeParameter, rest []byte) {
	end := bytes.IndexAny(b, "=;")
	switch {
	case end < 0:
		return q, nil
	case b[end] == ';':
		return q, b[end+1:]
	}
	q.key = strings.ToLower(string(bytes.TrimSpace(b[:end])))
	b = bytes.TrimLeft(b[end+1:], " \t\r\n")
	if len(b) > 0 && b[0] == '"' {
		if i := closingQuote(b, 1); i > 0 {
			q.value = unescapeQuoted(b[1:i])
			_, rest, _ = bytes.Cut(b[i+1:], []byte(";"))
			return q, rest
		}
		b = b[1:]
	}
	value, rest, _ := bytes.Cut(b, []byte(";"))
	q.value = oneLine(string(bytes.TrimSpace(value)))
	return q, rest
}

// unescapeQuoted resolves \" and \\; other backslashes are parts of Windows paths.
func unescapeQuoted(b []byte) string {
	s := strings.NewReplacer("\r\n", "", "\n", "").Replace(string(b))
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
}

// joinExtended puts "name*0*=charset'lang'text; name*1=text" together.
func joinExtended(name string, pieces []mimeParameter) string {
	var b []byte
	charset := ""
	for i, q := range pieces {
		own, star, ok := strings.Cut(q.key, "*")
		if own != name || !ok {
			continue
		}
		value := q.value
		if strings.HasSuffix(star, "*") || star == "" {
			if i == 0 {
				if c, rest, ok := strings.Cut(value, "'"); ok {
					if _, text, ok := strings.Cut(rest, "'"); ok {
						charset, value = c, text
					}
				}
			}
			b = append(b, percentDecode(value)...)
			continue
		}
		b = append(b, value...)
	}
	s, _ := decodeText(b, charset)
	return headerText([]byte(s), "")
}

func percentDecode(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if hi, lo := hexDigit([]byte(s), i+1), hexDigit([]byte(s), i+2); s[i] == '%' && hi >= 0 && lo >= 0 {
			out = append(out, byte(hi<<4|lo))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}
