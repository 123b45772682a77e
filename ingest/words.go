package ingest

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// headerText returns the value of an unstructured header field: unfolded, encoded words (RFC 2047) decoded, on one line, valid UTF-8. It reads encoded
// words where the standard forbids them and with the faults mailers make: inside quotes, without padding, longer than a line, cut within a character.
// charset is what unmarked 8-bit bytes are written in, "" if unknown.
func headerText(v []byte, charset string) string {
	v = bytes.TrimSpace(v)
	if !bytes.Contains(v, []byte("=?")) {
		if isASCII(v) && bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\x1b') < 0 {
			return oneLine(string(v))
		}
		return oneLine(plainWords(v, charset))
	}
	var b strings.Builder
	var run encodedRun
	for len(v) > 0 {
		i := bytes.Index(v, []byte("=?"))
		if i < 0 {
			break
		}
		w, n := parseEncodedWord(v[i:])
		if n == 0 {
			run.flush(&b)
			b.WriteString(plainWords(v[:i+2], charset))
			v = v[i+2:]
			continue
		}
		if gap := v[:i]; len(bytes.TrimSpace(gap)) > 0 || !run.open {
			run.flush(&b)
			b.WriteString(plainWords(gap, charset))
		}
		run.add(&b, w)
		v = v[i+n:]
	}
	run.flush(&b)
	b.WriteString(plainWords(v, charset))
	return oneLine(b.String())
}

// plainWords decodes text outside encoded words.
func plainWords(v []byte, charset string) string {
	v = bytes.ReplaceAll(v, []byte("\r\n"), nil)
	if isASCII(v) && bytes.IndexByte(v, '\x1b') < 0 {
		return string(v)
	}
	if charset == "" && bytes.Contains(v, []byte("\x1b$")) {
		charset = "iso-2022-jp"
	}
	s, _ := decodeText(v, charset)
	return s
}

// oneLine replaces control characters by spaces and runs of white space by one, and takes white space off both ends.
func oneLine(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f || s[i] == 0xc2 || s[i] == ' ' && i > 0 && s[i-1] == ' ' { // 0xc2 starts the controls beyond ASCII
			clean = false
			break
		}
	}
	if clean {
		return strings.Trim(s, " ")
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || unicode.IsControl(r) }), " ")
}

// encodedWord is one RFC 2047 word: a charset and the decoded bytes.
type encodedWord struct {
	charset string
	bytes   []byte
}

// parseEncodedWord reads the word at the start of v and returns its length, 0 if it is none.
func parseEncodedWord(v []byte) (encodedWord, int) {
	v = v[:min(len(v), maxEncodedWord)]
	q1 := bytes.IndexByte(v[2:], '?')
	if q1 < 1 || len(v) < q1+6 || v[q1+4] != '?' {
		return encodedWord{}, 0
	}
	charset, method, text := string(v[2:2+q1]), v[q1+3], v[q1+5:]
	end := bytes.Index(text, []byte("?="))
	if end < 0 || strings.ContainsAny(charset, " \t\r\n<>") {
		return encodedWord{}, 0
	}
	w, n := encodedWord{charset: charset}, q1+5+end+2
	switch method {
	case 'B', 'b':
		w.bytes, _ = decodeBase64(text[:end])
	case 'Q', 'q':
		w.bytes, _ = decodeQuotedPrintable(bytes.ReplaceAll(text[:end], []byte("_"), []byte(" ")))
	default:
		return encodedWord{}, 0
	}
	return w, n
}

// encodedRun joins neighbouring words of one charset before decoding: mailers cut them in the middle of a character.
type encodedRun struct {
	open    bool
	charset string
	bytes   []byte
}

func (r *encodedRun) add(b *strings.Builder, w encodedWord) {
	if r.open && !strings.EqualFold(r.charset, w.charset) {
		r.flush(b)
	}
	r.open, r.charset, r.bytes = true, w.charset, append(r.bytes, w.bytes...)
}

func (r *encodedRun) flush(b *strings.Builder) {
	if r.open {
		s, _ := decodeText(r.bytes, r.charset)
		b.WriteString(s)
	}
	*r = encodedRun{}
}

// truncate cuts s to at most n bytes between characters.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
