package source

import (
	"bytes"
	"path"
	"strings"

	"escrow"
)

// format is what a file is read as.
type format uint8

const (
	formatAuto format = iota
	formatMbox
	formatMboxo
	formatMboxrd
	formatMboxcl
	formatMboxcl2
	formatMaildir
	formatMail
	formatJSONL
)

var formatNames = map[string]format{
	"": formatAuto, "auto": formatAuto, "mbox": formatMbox, "mboxo": formatMboxo, "mboxrd": formatMboxrd, "mboxcl": formatMboxcl,
	"mboxcl2": formatMboxcl2, "maildir": formatMaildir, "eml": formatMail, "jsonl": formatJSONL,
}

func parseFormat(s string) (format, error) {
	f, ok := formatNames[s]
	if !ok {
		return 0, escrow.Errorf("source.Open", escrow.Invalid,
			"unknown format %q; known are auto, mbox, mboxo, mboxrd, mboxcl, mboxcl2, maildir, eml and jsonl", s)
	}
	return f, nil
}

// variant returns the mbox variant of a format, and whether it is one.
func (f format) variant() (Variant, bool) {
	switch f {
	case formatMbox:
		return VariantAuto, true
	case formatMboxo:
		return VariantO, true
	case formatMboxrd:
		return VariantRD, true
	case formatMboxcl:
		return VariantCL, true
	case formatMboxcl2:
		return VariantCL2, true
	}
	return 0, false
}

var utf8BOM = []byte("\xef\xbb\xbf")

// detect says what a file with this name and beginning is, and formatAuto if it is nothing known. explicit is true where the caller named it.
func detect(name string, head []byte, explicit bool) format {
	text := bytes.TrimPrefix(head, utf8BOM)
	switch {
	case looksLikeMbox(text):
		return formatMbox
	case looksLikeJSONL(name, text, explicit):
		return formatJSONL
	case explicit, looksLikeMail(text), hasMailName(name) && !isOutlook(head):
		return formatMail
	}
	return formatAuto
}

func looksLikeMbox(head []byte) bool {
	if !bytes.HasPrefix(head, fromPrefix) {
		return false
	}
	line, next := cutLine(head)
	return hasDate(line) || startsField(next)
}

func looksLikeJSONL(name string, head []byte, explicit bool) bool {
	switch path.Ext(plainName(name)) {
	case ".jsonl", ".ndjson":
		return true
	}
	return explicit && bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{"))
}

// plainName returns name in lower case without the ending of its compression.
func plainName(name string) string {
	name = strings.ToLower(name)
	for _, ext := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, ext)
	}
	return name
}

func hasMailName(name string) bool {
	switch path.Ext(plainName(name)) {
	case ".eml", ".mail", ".rfc822", ".msg":
		return true
	}
	return false
}

// isOutlook reports the compound file format, in which Outlook keeps its own .msg.
func isOutlook(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))
}

// mailFields are fields that only mails have; one of them makes a header block a mail's.
var mailFields = map[string]bool{
	"from": true, "to": true, "cc": true, "bcc": true, "date": true, "subject": true, "message-id": true, "received": true, "return-path": true,
	"delivered-to": true, "mime-version": true, "content-type": true, "content-transfer-encoding": true, "reply-to": true, "sender": true, "in-reply-to": true, "references": true, "x-mailer": true,
	"dkim-signature": true, "resent-from": true, "resent-to": true, "resent-date": true, "envelope-to": true, "errors-to": true,
}

// looksLikeMail reports whether head begins with the header block of a mail: nothing but fields, one of which only mails have; or, since broken
// mail is mail too, at least three such fields and fewer lines that are none.
func looksLikeMail(head []byte) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	if line, rest := cutLine(head); bytes.HasPrefix(line, fromPrefix) || bytes.HasPrefix(line, quotedFrom) {
		head = rest
	}
	known, strange := 0, 0
	for lines := 0; len(head) > 0; lines++ {
		line, rest := cutLine(head)
		if rest == nil && lines > 0 && !bytes.HasSuffix(line, []byte("\n")) {
			break // cut off in the middle
		}
		if isBlank(line) {
			break
		}
		switch name, ok := fieldName(line); {
		case ok && mailFields[strings.ToLower(string(name))]:
			known++
		case ok, lines > 0 && (line[0] == ' ' || line[0] == '\t'):
		default:
			strange++
		}
		head = rest
	}
	return known > 0 && strange == 0 || known >= 3 && strange < known
}

// fieldName returns the name of the header field that line begins with.
func fieldName(line []byte) ([]byte, bool) {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 {
		return nil, false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil, false
		}
	}
	return name, true
}

func startsField(line []byte) bool {
	if bytes.HasPrefix(line, quotedFrom) {
		return true
	}
	_, ok := fieldName(line)
	return ok
}

// cutLine returns the first line with its end, and what follows: nil if the line has no end.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	return b[:i+1], b[i+1:]
}

func isBlank(line []byte) bool {
	return len(bytes.TrimRight(line, "\r\n")) == 0
}
