package ingest

import (
	"bytes"
	"strings"

	"escrow"
)

// bodyReader turns a MIME tree into text, HTML and attachments.
type bodyReader struct {
	notes       *defects
	parts       *int
	budget      *int   // bytes of text still taken
	charset     string // of parts that declare none
	attachments []escrow.Attachment
	nested      bool // inside an attached mail: names and text are wanted, data is not
}

// rendering is what a part says: readable text, and the HTML it came from.
type rendering struct {
	text, html []string
}

func (a *rendering) add(b rendering) {
	a.text, a.html = append(a.text, b.text...), append(a.html, b.html...)
}

// readMailBody fills in Text, HTML and Attachments.
func readMailBody(m *escrow.Message, root *mimePart, charset string, notes *defects, parts *int) {
	budget := escrow.MaxTextBytes
	r := bodyReader{notes: notes, parts: parts, budget: &budget, charset: charset}
	out := r.walk(root, "", 0, false)
	m.Text = strings.TrimRight(joinPieces(out.text), "\n")
	m.HTML = joinPieces(out.html)
	if len(m.Text) > escrow.MaxTextBytes || len(m.HTML) > escrow.MaxTextBytes {
		m.Text, m.HTML = truncate(m.Text, escrow.MaxTextBytes), truncate(m.HTML, escrow.MaxTextBytes)
		notes.add("", "more text than %d bytes; the rest is not searched", escrow.MaxTextBytes)
	}
	m.Attachments = r.attachments
}

// joinPieces puts pieces of text on lines of their own.
func joinPieces(pieces []string) string {
	if len(pieces) == 1 {
		return pieces[0]
	}
	var b strings.Builder
	for _, p := range pieces {
		if b.Len() > 0 && p != "" {
			b.WriteString("\n")
		}
		b.WriteString(strings.TrimRight(p, "\n"))
	}
	return b.String()
}

// walk renders a part and collects its attachments. alternative says that the part stands beside another form of itself.
func (r *bodyReader) walk(p *mimePart, path string, level int, alternative bool) rendering {
	switch {
	case p.kind == "multipart/alternative" && len(p.children) > 0:
		return r.alternatives(p, path, level)
	case strings.HasPrefix(p.kind, "multipart/") && len(p.children) > 0:
		if p.kind == "multipart/encrypted" {
			r.notes.add(path, "encrypted, so its content is not searched")
		}
		var out rendering
		for i, child := range p.children {
			out.add(r.walk(child, joinPath(path, i+1), level+1, false))
		}
		return out
	case p.isMessage() || len(p.children) > 0:
		r.message(p, path, level)
		return rendering{}
	case r.isBody(p, path == "", alternative):
		return r.text(p, path)
	}
	r.attach(p, path)
	return rendering{}
}

// alternatives renders a multipart/alternative: its plain text, and what its HTML says beyond that.
func (r *bodyReader) alternatives(p *mimePart, path string, level int) rendering {
	var plain, rich rendering
	for i, child := range p.children {
		c := r.walk(child, joinPath(path, i+1), level+1, true)
		if len(c.html) > 0 {
			rich.add(c)
		} else {
			plain.add(c)
		}
	}
	if len(rich.html) == 0 {
		return plain
	}
	return rendering{[]string{joinTexts(joinPieces(plain.text), joinPieces(rich.text))}, rich.html}
}

// isBody reports whether a leaf is text to be read with the message, not a file.
func (r *bodyReader) isBody(p *mimePart, root, alternative bool) bool {
	switch p.kind {
	case "text/plain", "text/html", "text/enriched", "text/richtext", "text/x-amp-html", "text", "text/rfc822-headers", "text/x-markdown", "text/markdown":
	default:
		return strings.HasPrefix(p.kind, "multipart/") // a damaged one
	}
	return p.disposition != "attachment" && (p.filename == "" || root || alternative)
}

func isHTML(kind string) bool {
	switch kind {
	case "text/html", "text/x-amp-html", "text/enriched", "text/richtext":
		return true
	}
	return false
}

// text renders a body part.
func (r *bodyReader) text(p *mimePart, path string) rendering {
	s := r.decode(p, path)
	if isHTML(p.kind) {
		return rendering{[]string{r.spend(htmlText(s), path)}, []string{s}}
	}
	s = r.uuencoded(s, path)
	if strings.Contains(s, "-----BEGIN PGP MESSAGE-----") {
		r.notes.add(path, "encrypted with PGP, so its content is not searched")
	}
	return rendering{text: []string{r.spend(s, path)}}
}

// spend takes text from the budget.
func (r *bodyReader) spend(s, path string) string {
	if len(s) > *r.budget {
		s = truncate(s, *r.budget)
		r.notes.add(path, "more text than %d bytes; the rest is not searched", escrow.MaxTextBytes)
	}
	*r.budget -= len(s)
	return s
}

// decode returns the text of a leaf with line feeds.
func (r *bodyReader) decode(p *mimePart, path string) string {
	b := r.content(p, path)
	charset := p.param("charset")
	if charset == "" && isHTML(p.kind) {
		charset = metaCharset(b)
	}
	if charset == "" {
		charset = r.charset
	}
	s, defect := decodeText(b, charset)
	if defect != "" {
		r.notes.add(path, "%s", defect)
	}
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// content undoes the transfer encoding of a leaf.
func (r *bodyReader) content(p *mimePart, path string) []byte {
	b := p.header.raw[p.body.start:p.body.end]
	clean := true
	switch p.encoding {
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "none", "7bits", "8bits":
		return b
	case "base64":
		b, clean = decodeBase64(b)
	case "quoted-printable", "quotedprintable", "quoted/printable":
		b, clean = decodeQuotedPrintable(b)
	case "x-uuencode", "uuencode", "x-uue":
		if f, ok := findUU(string(b)); ok {
			b = b[f.data:]
		}
		b, clean = decodeUU(b)
	default:
		r.notes.add(path, "the transfer encoding is unknown; its bytes were taken as they are")
	}
	if !clean {
		r.notes.add(path, "the transfer encoding is damaged")
	}
	return b
}

// metaCharset finds the charset an HTML document declares of itself, in the first kilobyte, where HTML wants it.
func metaCharset(b []byte) string {
	head := bytes.ToLower(b[:min(len(b), 1024)])
	i := bytes.Index(head, []byte("charset="))
	if i < 0 {
		return ""
	}
	v := bytes.TrimLeft(head[i+len("charset="):], `"' `)
	if end := bytes.IndexAny(v, `"'>; /`); end >= 0 {
		v = v[:end]
	}
	return string(v)
}

// attach records a leaf as an attachment.
func (r *bodyReader) attach(p *mimePart, path string) {
	if strings.Contains(p.kind, "pkcs7-mime") && p.param("smime-type") != "certs-only" {
		r.notes.add(path, "in S/MIME form, so its content is not searched")
	}
	a := escrow.Attachment{Name: truncate(p.filename, escrow.MaxNameBytes), MediaType: mediaTypeOf(p)}
	if strings.HasPrefix(p.kind, "text/") || p.kind == "message/delivery-status" || p.kind == "message/disposition-notification" {
		s := r.decode(p, path)
		if isHTML(p.kind) {
			s = htmlText(s)
		}
		a.Transcript = r.spend(s, path)
	}
	if !r.nested {
		a.Data = r.content(p, path)
	}
	r.keep(a)
}

func (r *bodyReader) keep(a escrow.Attachment) {
	if len(r.attachments) == escrow.MaxAttachments {
		r.notes.add("", "more than %d attachments; the rest is archived but not listed", escrow.MaxAttachments)
		return
	}
	r.attachments = append(r.attachments, a)
}

func mediaTypeOf(p *mimePart) string {
	if p.kind == "" || len(p.kind) > maxMediaTypeBytes || !strings.Contains(p.kind, "/") {
		return "application/octet-stream"
	}
	return p.kind
}

// message records an attached mail: its bytes are the data, what it says is the transcript.
func (r *bodyReader) message(p *mimePart, path string, level int) {
	a := escrow.Attachment{Name: truncate(p.filename, escrow.MaxNameBytes), MediaType: mediaTypeOf(p)}
	data := p.header.raw[p.body.start:p.body.end]
	child := (*mimePart)(nil)
	switch {
	case len(p.children) > 0:
		child = p.children[0]
	case level < maxMIMEDepth && !p.plainEncoding():
		data = r.content(p, path)
		inner := mimeReader{raw: lineFeeds(data), open: map[string]int{}, parts: r.parts, notes: r.notes}
		child, _ = inner.part(0, level+1, "text/plain", path)
	}
	if child != nil {
		a.Transcript = r.transcript(child, path, level+1)
		if a.Name == "" {
			a.Name = truncate(child.header.text("Subject", child.charset()), escrow.MaxNameBytes-len(".eml")) + ".eml"
		}
	}
	if !r.nested {
		a.Data = data
	}
	r.keep(a)
}

// transcript is what an attached mail says: who, when, what, and the same of what is attached to it.
func (r *bodyReader) transcript(root *mimePart, path string, level int) string {
	var pieces []string
	charset := root.charset()
	for _, name := range [...]string{"From", "To", "Cc", "Date", "Subject"} {
		if v := root.header.text(name, charset); v != "" {
			pieces = append(pieces, r.spend(name+": "+v, path))
		}
	}
	inner := bodyReader{notes: r.notes, parts: r.parts, budget: r.budget, charset: charset, nested: true}
	out := inner.walk(root, path, level, false)
	pieces = append(pieces, out.text...)
	for _, a := range inner.attachments {
		pieces = append(pieces, a.Name, r.spend(a.Transcript, path))
	}
	return joinPieces(pieces)
}

// uuencoded takes uuencoded files out of a text and records them as attachments.
func (r *bodyReader) uuencoded(s, path string) string {
	var kept []string
	for {
		f, ok := findUU(s)
		if !ok {
			break
		}
		data, clean := decodeUU([]byte(s[f.data:f.end]))
		if !clean {
			r.notes.add(path, "a uuencoded file is damaged")
		}
		a := escrow.Attachment{Name: truncate(oneLine(f.name), escrow.MaxNameBytes), MediaType: "application/octet-stream"}
		if !r.nested {
			a.Data = data
		}
		r.keep(a)
		kept, s = append(kept, s[:f.start]), s[f.end:]
	}
	return strings.Join(append(kept, s), "")
}

// uuFile is where a uuencoded file stands in a text.
type uuFile struct {
	start, data, end int // of the "begin" line, of what follows it, after the "end" line
	name             string
}

// findUU finds the first uuencoded file of a text that has both its first and its last line.
func findUU(s string) (uuFile, bool) {
	for pos := 0; ; {
		i := strings.Index(s[pos:], "begin ")
		if i < 0 {
			return uuFile{}, false
		}
		start := pos + i
		pos = start + len("begin ")
		line, _, _ := strings.Cut(s[pos:], "\n")
		mode, name, ok := strings.Cut(line, " ")
		if !ok || len(mode) < 3 || len(mode) > 4 || strings.Trim(mode, "01234567") != "" || start > 0 && s[start-1] != '\n' {
			continue
		}
		data := min(pos+len(line)+1, len(s))
		end := strings.Index(s[data:], "\nend")
		if end < 0 {
			return uuFile{}, false
		}
		end += data + len("\nend")
		return uuFile{start, data, min(end+1, len(s)), strings.TrimSpace(name)}, true
	}
}
