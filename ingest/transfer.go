package ingest

import (
	"bytes"
	"encoding/base64"
)

// decodeBase64 decodes what it can; clean is false if there were bytes that are not base64, or padding is missing.
func decodeBase64(b []byte) (out []byte, clean bool) {
	out = make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	if n, err := base64.StdEncoding.Decode(out, b); err == nil { // skips line ends
		return out[:n], true
	}
	return decodeDirtyBase64(b, out[:0])
}

// decodeDirtyBase64 skips what is no base64, and starts anew after padding: some mailers encode a file in pieces.
func decodeDirtyBase64(b, out []byte) ([]byte, bool) {
	var quad [4]byte
	n, strange := 0, 0
	flush := func() {
		if n > 1 {
			var three [3]byte
			k, _ := base64.RawStdEncoding.Decode(three[:], quad[:n])
			out = append(out, three[:k]...)
		}
		n = 0
	}
	for _, c := range b {
		switch {
		case isBase64(c):
			quad[n] = c
			if n++; n == 4 {
				flush()
			}
		case c == '=':
			flush()
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			strange++
		}
	}
	unpadded := n > 0
	flush()
	return out, strange == 0 && !unpadded
}

// decodeQuotedPrintable decodes what it can: wrong escapes stay as they are and make clean false.
func decodeQuotedPrintable(b []byte) (out []byte, clean bool) {
	out, clean = make([]byte, 0, len(b)), true
	for {
		i := bytes.IndexByte(b, '=')
		if i < 0 {
			return append(out, b...), clean
		}
		out = append(out, b[:i]...)
		b = b[i:]
		n := 1
		switch hi, lo := hexDigit(b, 1), hexDigit(b, 2); {
		case hi >= 0 && lo >= 0:
			out, n = append(out, byte(hi<<4|lo)), 3
		case softBreak(b) > 0:
			n = softBreak(b)
		default:
			out, clean = append(out, '='), false
		}
		b = b[n:]
	}
}

// softBreak returns the length of "=", white space and a line end at the start of b, 0 if that is not what it starts with.
func softBreak(b []byte) int {
	const most = 80 // white space after "=" that a relay added; more is text
	for i := 1; i < len(b) && i < most; i++ {
		switch b[i] {
		case '\n':
			return i + 1
		case ' ', '\t', '\r':
		default:
			return 0
		}
	}
	if len(bytes.TrimSpace(b[1:min(len(b), most)])) == 0 {
		return min(len(b), most)
	}
	return 0
}

func hexDigit(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// decodeUU decodes lines of uuencoded data, without the "begin" line, up to "end"; clean is false if a line is malformed or "end" is missing.
func decodeUU(b []byte) (out []byte, clean bool) {
	out, clean = make([]byte, 0, len(b)*3/4), true
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		line = bytes.TrimRight(line, "\r\n")
		if string(bytes.TrimSpace(line)) == "end" {
			return out, clean
		}
		if len(line) == 0 {
			continue
		}
		n := int(line[0]-' ') & 0x3f
		if want := (n + 2) / 3 * 4; len(line)-1 < want {
			line = append(append([]byte{}, line...), bytes.Repeat([]byte{' '}, want-len(line)+1)...) // trailing spaces fell off
		}
		out = appendUULine(out, line[1:], n)
	}
	return out, false
}

func appendUULine(out, line []byte, n int) []byte {
	for i := 0; n > 0 && i+3 < len(line); i += 4 {
		a, b, c, d := (line[i]-' ')&0x3f, (line[i+1]-' ')&0x3f, (line[i+2]-' ')&0x3f, (line[i+3]-' ')&0x3f
		three := [3]byte{a<<2 | b>>4, b<<4 | c>>2, c<<6 | d}
		out = append(out, three[:min(n, 3)]...)
		n -= 3
	}
	return out
}
