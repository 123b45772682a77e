package ingest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// decodeText returns b as valid UTF-8. label is the declared charset, "" if none. Whatever b is, its words stay findable: where the declaration is
// missing, unknown or wrong, the charset is guessed and defect says so in plain words.
func decodeText(b []byte, label string) (text, defect string) {
	label = cleanLabel(label)
	if s, ok := byteOrderMark(b); ok {
		return s, ""
	}
	if isASCII(b) && !reusesASCII(label) {
		return string(b), ""
	}
	if utf8.Valid(b) && !reusesASCII(label) {
		if isUTF8(label) {
			return string(b), ""
		}
		// Text in another charset is hardly ever valid UTF-8 by chance.
		return string(b), "the text is UTF-8 but declared as another charset"
	}
	if label == "utf-7" || label == "unicode-1-1-utf-7" {
		return decodeUTF7(b), ""
	}
	enc := charsetNamed(label)
	if enc == nil || isUTF8(label) {
		return guessText(b), "the charset is missing or wrong, and was guessed"
	}
	s := decodeWith(enc, b)
	if bad := strings.Count(s, string(utf8.RuneError)); bad > 0 {
		if bad*20 > utf8.RuneCountInString(s) {
			return guessText(b), "the declared charset does not fit, and was guessed"
		}
		return s, "some characters cannot be read in the declared charset"
	}
	return s, ""
}

// cleanLabel repairs what mailers write: quotes, "charset=" twice, a language after an asterisk.
func cleanLabel(label string) string {
	label = strings.ToLower(strings.Trim(label, " \t\r\n\"';"))
	label = strings.TrimPrefix(label, "charset=")
	label, _, _ = strings.Cut(label, "*")
	return strings.Trim(label, " \"'")
}

func isUTF8(label string) bool {
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "unicode-1-1-utf-8", "utf8mb4", "x-unknown", "unknown-8bit", "ansi_x3.4-1968":
		return true
	}
	return false
}

// reusesASCII reports whether ASCII bytes may mean something else in a charset.
func reusesASCII(label string) bool {
	return strings.HasPrefix(label, "iso-2022-") || strings.HasPrefix(label, "utf-16") || strings.HasPrefix(label, "utf-32") ||
		label == "utf-7" || label == "unicode-1-1-utf-7" || strings.HasPrefix(label, "hz-") || strings.HasPrefix(label, "ibm0") || label == "csiso2022jp"
}

// isASCII looks at eight bytes at a time; most of all mail is ASCII.
func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if (b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7])&0x80 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func byteOrderMark(b []byte) (string, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) && utf8.Valid(b):
		return string(b[3:]), true
	case bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")):
		return decodeWith(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), b), true
	}
	return "", false
}

// charsetNamed returns the encoding with that label, nil if it is unknown.
func charsetNamed(label string) encoding.Encoding {
	switch label {
	case "cp850", "cp-850":
		return charmap.CodePage850
	case "ks_c_5601-1987", "ks_c_5601", "cp949", "ms949", "uhc":
		label = "euc-kr"
	case "cp932", "ms932":
		label = "shift_jis"
	case "cp936", "ms936":
		label = "gbk"
	case "cp950":
		label = "big5"
	case "iso-8859-8-i", "iso-8859-8-e", "iso-8859-6-i", "iso-8859-6-e":
		label = label[:len("iso-8859-8")]
	}
	if strings.HasPrefix(label, "8859") {
		label = "iso-" + label
	}
	if enc, err := htmlindex.Get(label); err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(label); err == nil && enc != nil {
		return enc
	}
	return nil
}

// decodeWith never fails: the decoders of x/text write U+FFFD for what they cannot read.
func decodeWith(enc encoding.Encoding, b []byte) string {
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return guessText(b)
	}
	return strings.ToValidUTF8(string(out), string(utf8.RuneError))
}

// guessText reads bytes whose charset nobody knows. Where a good part of them is not ASCII they are text in another script, and detection is
// reliable; else they are Western European, perhaps with some UTF-8 in between.
func guessText(b []byte) string {
	high := 0
	sample := b[:min(len(b), maxDetectBytes)]
	for _, c := range sample {
		if c >= 0x80 {
			high++
		}
	}
	if high >= 16 && high*4 > len(sample) {
		if label := likeliest(sample); label != "" && !isUTF8(label) {
			if enc := charsetNamed(label); enc != nil {
				if out, err := enc.NewDecoder().Bytes(b); err == nil {
					return strings.ToValidUTF8(string(out), string(utf8.RuneError))
				}
			}
		}
	}
	return mixedText(b)
}

// likeliest returns the charset the detector is surest of, "" if it knows none. Its recognisers run beside each other and are of one mind often enough; of
// those the first by name counts, so that the same bytes are read the same way each time.
func likeliest(sample []byte) string {
	results, err := chardet.NewTextDetector().DetectAll(sample)
	if err != nil || len(results) == 0 {
		return ""
	}
	best := slices.MinFunc(results, func(a, b chardet.Result) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Charset, b.Charset))
	})
	return cleanLabel(best.Charset)
}

// mixedText keeps what is UTF-8 and takes every other byte for Windows-1252.
func mixedText(b []byte) string {
	var s strings.Builder
	s.Grow(len(b) + len(b)/8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}

// decodeUTF7 reads RFC 2152, which x/text leaves out for good reasons that do not concern an archive.
func decodeUTF7(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		i := bytes.IndexByte(b, '+')
		if i < 0 {
			i = len(b)
		}
		s.WriteString(mixedText(b[:i]))
		if b = b[i:]; len(b) == 0 {
			break
		}
		n := 1
		for n < len(b) && isBase64(b[n]) {
			n++
		}
		if n == 1 {
			s.WriteByte('+')
		} else {
			s.WriteString(utf16Text(b[1:n]))
		}
		if n < len(b) && b[n] == '-' {
			n++
		}
		b = b[n:]
	}
	return s.String()
}

func utf16Text(b64 []byte) string {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(b64)))
	n, _ := base64.RawStdEncoding.Decode(raw, b64)
	units := make([]uint16, n/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return string(utf16.Decode(units))
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}
