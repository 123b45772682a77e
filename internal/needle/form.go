package needle

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
)

// form is a way of writing bytes down, with the bytes of one word written so.
type form struct {
	name  string
	bytes []byte
}

// digestBytes is how much of a digest is looked for, so that shortened ones are found, too. 64 bits do not occur by chance.
const digestBytes = 8

// forms returns every form of the word.
func (w Word) forms() []form {
	var list []form
	for _, s := range w.spellings() {
		for _, c := range charsets(s.text) {
			for _, f := range transfers(c.bytes) {
				list = append(list, form{s.name + ", " + c.name + f.name, f.bytes})
			}
		}
		for _, f := range escapes(s.text) {
			list = append(list, form{s.name + f.name, f.bytes})
		}
	}
	for _, guess := range w.Guesses {
		for _, s := range []string{guess, strings.ToLower(guess), strings.ToUpper(guess)} {
			for _, d := range digests(s) {
				for _, f := range transfers(d.bytes) {
					list = append(list, form{d.name + f.name, f.bytes})
				}
			}
		}
	}
	return list
}

// charsets returns s in the encodings that programs keep text in.
func charsets(s string) []form {
	var le, be []byte
	for _, u := range utf16.Encode([]rune(s)) {
		le, be = binary.LittleEndian.AppendUint16(le, u), binary.BigEndian.AppendUint16(be, u)
	}
	return []form{{"utf-8", []byte(s)}, {"utf-16le", le}, {"utf-16be", be}}
}

// transfers returns b as it is and in the encodings made for bytes.
func transfers(b []byte) []form {
	lower := hex.EncodeToString(b)
	upper := strings.ToUpper(lower)
	list := []form{{"", b}, {" in hex", []byte(lower)}, {" in upper hex", []byte(upper)},
		{" quoted-printable", every("=", upper)}, {" quoted-printable, lower", every("=", lower)},
		{" percent-encoded", every("%", upper)}, {" percent-encoded, lower", every("%", lower)}, {` with \x`, every(`\x`, lower)}, {` with \X`, every(`\x`, upper)}}
	for offset := range 3 {
		list = append(list, form{fmt.Sprintf(" in base64+%d", offset), inBase64(base64.RawStdEncoding, b, offset)},
			form{fmt.Sprintf(" in base64url+%d", offset), inBase64(base64.RawURLEncoding, b, offset)})
	}
	return list
}

// every puts mark before each pair of hexadecimal digits.
func every(mark, digits string) []byte {
	var out []byte
	for i := 0; i < len(digits); i += 2 {
		out = append(append(out, mark...), digits[i:i+2]...)
	}
	return out
}

// inBase64 returns the characters that b alone determines, if it begins offset bytes into a group of three.
func inBase64(enc *base64.Encoding, b []byte, offset int) []byte {
	text := enc.EncodeToString(append(make([]byte, offset), b...))
	return []byte(text[(8*offset+5)/6 : 8*(offset+len(b))/6])
}

// escapes returns s as formats for text write it that escape characters: all of them, or those outside ASCII.
func escapes(s string) []form {
	var list []form
	for _, e := range []struct {
		name   string
		escape func(rune) string
	}{
		{" in JSON", func(r rune) string { return units(r, `\u%04x`) }},
		{" in JSON, upper", func(r rune) string { return units(r, `\u%04X`) }},
		{" in HTML", func(r rune) string { return fmt.Sprintf("&#%d;", r) }},
		{" in HTML, hex", func(r rune) string { return fmt.Sprintf("&#x%x;", r) }},
		{" in HTML, upper hex", func(r rune) string { return fmt.Sprintf("&#x%X;", r) }},
		{" percent-encoded", func(r rune) string { return string(every("%", fmt.Sprintf("%X", string(r)))) }},
		{" percent-encoded, lower", func(r rune) string { return string(every("%", fmt.Sprintf("%x", string(r)))) }},
		{" quoted-printable", func(r rune) string { return string(every("=", fmt.Sprintf("%X", string(r)))) }},
	} {
		list = append(list, form{e.name, escaped(s, e.escape, all)}, form{e.name + " where not ASCII", escaped(s, e.escape, notASCII)},
			form{e.name + " where neither letter nor digit", escaped(s, e.escape, notAlphanumeric)})
	}
	return list
}

func all(rune) bool { return true }

func notASCII(r rune) bool { return r > 0x7f }

func notAlphanumeric(r rune) bool {
	return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

func escaped(s string, escape func(rune) string, which func(rune) bool) []byte {
	var out []byte
	for _, r := range s {
		if which(r) {
			out = append(out, escape(r)...)
		} else {
			out = append(out, string(r)...)
		}
	}
	return out
}

// units writes the UTF-16 code units of r.
func units(r rune, verb string) string {
	out := ""
	for _, u := range utf16.Encode([]rune{r}) {
		out += fmt.Sprintf(verb, u)
	}
	return out
}

// digests returns the beginnings of the digests of s that anybody can compute.
func digests(s string) []form {
	b := []byte(s)
	mac := hmac.New(sha256.New, nil)
	mac.Write(b)
	m, s1, s2, s5 := md5.Sum(b), sha1.Sum(b), sha256.Sum256(b), sha512.Sum512(b)
	list := []form{{"MD5", m[:]}, {"SHA-1", s1[:]}, {"SHA-256", s2[:]}, {"SHA-512", s5[:]}, {"HMAC-SHA-256 without key", mac.Sum(nil)}}
	for i := range list {
		list[i].bytes = list[i].bytes[:digestBytes]
	}
	return list
}
