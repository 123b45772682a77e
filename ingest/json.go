package ingest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"escrow"
)

// jsonReader reads one JSON text (RFC 8259) value by value, strictly: duplicate keys, lone surrogates, trailing data and deep nesting are errors.
// encoding/json tolerates the first three, and does not tell where a string stands, which Split needs.
type jsonReader struct {
	data  []byte // valid UTF-8
	pos   int
	depth int
	quiet bool // keys are personal: do not name them
	key   span // where the key before the current value stands, without quotes
}

// problem is what is wrong with one place of a payload. It never quotes values.
type problem struct {
	kind escrow.Kind
	path string // "to[3].id", "" for the whole
	text string
}

func (p *problem) Error() string {
	if p.path == "" {
		return p.text
	}
	return p.path + ": " + p.text
}

func invalidf(format string, args ...any) error {
	return &problem{kind: escrow.Invalid, text: fmt.Sprintf(format, args...)}
}

// inField puts step, a key or "[3]", before the path of the problem in err.
func inField(step string, err error) error {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		return err
	}
	if p.path != "" && p.path[0] != '[' {
		step += "."
	}
	p.path = step + p.path
	return p
}

// asError makes the error that leaves the package.
func asError(op string, err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return escrow.Errorf(op, p.kind, "%w", p)
	}
	return escrow.Errorf(op, escrow.Invalid, "%w", err)
}

// newJSONReader checks what concerns the text as a whole.
func newJSONReader(data []byte) (*jsonReader, error) {
	switch {
	case len(data) > escrow.MaxImport:
		return nil, invalidf("the payload has %d bytes, the limit is %d; send fewer or smaller attachments", len(data), escrow.MaxImport)
	case strings.HasPrefix(string(data[:min(3, len(data))]), "\ufeff"):
		return nil, invalidf("the payload starts with a byte order mark; send plain UTF-8")
	case !utf8.Valid(data):
		return nil, invalidf("the payload is not valid UTF-8; encode it as UTF-8, and binary content as base64")
	}
	return &jsonReader{data: data}, nil
}

func (r *jsonReader) syntax(want string) error {
	return invalidf("not valid JSON at byte %d: %s", r.pos, want)
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// take consumes c if it comes next.
func (r *jsonReader) take(c byte) bool {
	if r.peek() != c || r.pos == len(r.data) {
		return false
	}
	r.pos++
	return true
}

// end checks that nothing follows.
func (r *jsonReader) end() error {
	if r.peek(); r.pos < len(r.data) {
		return invalidf("byte %d: data after the JSON object; publish one object a message", r.pos)
	}
	return nil
}

// kindAhead names the type of the next value, for errors.
func (r *jsonReader) kindAhead() string {
	switch c := r.peek(); {
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-' || c >= '0' && c <= '9':
		return "a number"
	}
	return "no JSON value"
}

func (r *jsonReader) expected(what string) error {
	kind := r.kindAhead()
	if kind == "null" {
		return invalidf("must be %s, not null; leave the field out instead", what)
	}
	return invalidf("must be %s, not %s", what, kind)
}

// enter opens an object or list.
func (r *jsonReader) enter(open byte, what string) error {
	if !r.take(open) {
		return r.expected(what)
	}
	if r.depth++; r.depth > maxJSONDepth {
		return invalidf("nested deeper than %d levels", maxJSONDepth)
	}
	return nil
}

// object reads an object, calling member after each key with the reader at its value. Errors gain the key as path.
func (r *jsonReader) object(member func(key string) error) error {
	if err := r.enter('{', "an object"); err != nil {
		return err
	}
	defer func() { r.depth-- }()
	if r.take('}') {
		return nil
	}
	seen := keySet{}
	for {
		if r.peek() != '"' {
			return r.syntax("a key in double quotes must come here")
		}
		r.key.start = r.pos + 1
		key, err := r.text()
		if err != nil {
			return err
		}
		r.key.end = r.pos - 1
		if !seen.add(key) && !(r.quiet && key == Placeholder) { // several keys of metadata may have named people who were erased
			return r.twice(key)
		}
		if !r.take(':') {
			return r.syntax("a colon must follow a key")
		}
		if err := member(key); err != nil {
			return err
		}
		if r.take(',') {
			continue
		}
		if r.take('}') {
			return nil
		}
		return r.syntax("a comma or } must come here")
	}
}

func (r *jsonReader) twice(key string) error {
	if r.quiet {
		return invalidf("a key appears twice, the second time before byte %d", r.pos)
	}
	return invalidf("the key %s appears twice", shown(key))
}

// array reads a list, calling element before each value. Errors gain the index as path.
func (r *jsonReader) array(element func(i int) error) error {
	if err := r.enter('[', "a list"); err != nil {
		return err
	}
	defer func() { r.depth-- }()
	if r.take(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return inField("["+strconv.Itoa(i)+"]", err)
		}
		if r.take(',') {
			continue
		}
		if r.take(']') {
			return nil
		}
		return r.syntax("a comma or ] must come here")
	}
}

// token consumes a string and returns its bytes between the quotes, as written, and whether they contain escapes.
func (r *jsonReader) token() (raw []byte, escaped bool, err error) {
	if !r.take('"') {
		return nil, false, r.expected("a string")
	}
	start := r.pos
	for ; r.pos < len(r.data); r.pos++ {
		r.pos += ordinary(r.data[r.pos:])
		if r.pos >= len(r.data) {
			break
		}
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return r.data[start : r.pos-1], escaped, nil
		case c == '\\':
			escaped = true
			r.pos++
		case c < 0x20:
			return nil, false, r.syntax("control characters in a string must be escaped")
		}
	}
	r.pos = len(r.data)
	return nil, false, r.syntax("a string does not end")
}

// ordinary returns a number of bytes at the beginning of b that are neither quotes nor backslashes nor control characters, eight at a time: the strings of
// attachments are megabytes long.
func ordinary(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, backslash := x^'"'*ones, x^'\\'*ones
		// A top bit is set here for each byte below 0x20, or that became zero above; bytes beyond ASCII have theirs masked out.
		if ((x-0x20*ones)&^x|(quote-ones)&^quote|(backslash-ones)&^backslash)&tops != 0 {
			break
		}
	}
	return i
}

// text consumes a string and returns its value.
func (r *jsonReader) text() (string, error) {
	start := r.pos
	raw, escaped, err := r.token()
	if err != nil {
		return "", err
	}
	if !escaped {
		return string(raw), nil
	}
	s, ok := unescapeJSON(raw)
	if !ok {
		r.pos = start
		return "", r.syntax("a string contains a wrong escape")
	}
	return s, nil
}

// base64 consumes a string of standard base64, with padding, without line ends.
func (r *jsonReader) base64() ([]byte, error) {
	raw, escaped, err := r.token()
	if err != nil {
		return nil, err
	}
	if escaped { // "\/" is a legal way to write a slash
		s, ok := unescapeJSON(raw)
		if !ok {
			return nil, r.syntax("a string contains a wrong escape")
		}
		raw = []byte(s)
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Strict().Decode(out, raw)
	if err != nil {
		return nil, invalidf("is not valid base64; use the standard alphabet with padding (RFC 4648 section 4)")
	}
	return out[:n], nil
}

// skip consumes any value.
func (r *jsonReader) skip() error {
	switch c := r.peek(); {
	case c == '{':
		return r.object(func(string) error { return r.skip() })
	case c == '[':
		return r.array(func(int) error { return r.skip() })
	case c == '"':
		_, err := r.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := r.data[r.pos:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			r.pos += len(word)
			return nil
		}
	}
	return r.syntax("a value must come here")
}

// integer consumes a number without sign, fraction and exponent.
func (r *jsonReader) integer(most int) (int, error) {
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, r.expected("a number")
	}
	start := r.pos
	if err := r.number(); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(r.data[start:r.pos]), 10, 63)
	if err != nil || n > uint64(most) {
		return 0, invalidf("must be a whole number from 0 to %d", most)
	}
	return int(n), nil
}

func (r *jsonReader) number() error {
	digits := func() bool {
		start := r.pos
		for r.pos < len(r.data) && r.data[r.pos] >= '0' && r.data[r.pos] <= '9' {
			r.pos++
		}
		return r.pos > start
	}
	next := func(set string) bool {
		if r.pos < len(r.data) && strings.IndexByte(set, r.data[r.pos]) >= 0 {
			r.pos++
			return true
		}
		return false
	}
	next("-")
	ok := next("0") || digits()
	if ok && next(".") {
		ok = digits()
	}
	if ok && next("eE") {
		next("+-")
		ok = digits()
	}
	if !ok {
		return r.syntax("a number is malformed")
	}
	return nil
}

// unescapeJSON resolves the escapes of a string; false if one is unknown, cut off or half a surrogate pair.
func unescapeJSON(raw []byte) (string, bool) {
	var b strings.Builder
	b.Grow(len(raw))
	for len(raw) > 0 {
		r, n := jsonElement(raw)
		if n == 0 {
			return "", false
		}
		b.WriteRune(r)
		raw = raw[n:]
	}
	return b.String(), true
}

// jsonElement returns the first character of the inside of a string and the number of bytes it is written with, 0 if it is malformed.
func jsonElement(raw []byte) (rune, int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	if len(raw) < 2 {
		return 0, 0
	}
	const names, values = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(names, raw[1]); i >= 0 {
		return rune(values[i]), 2
	}
	r, ok := hexEscape(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hexEscape(raw[6:])
	if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
		return pair, 12
	}
	return 0, 0
}

func hexEscape(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	return rune(n), err == nil
}

// keySet remembers the keys of one object.
type keySet struct {
	few  []string
	many map[string]bool
}

// add reports whether key is new.
func (s *keySet) add(key string) bool {
	const few = 16
	if s.many != nil {
		if s.many[key] {
			return false
		}
		s.many[key] = true
		return true
	}
	for _, k := range s.few {
		if k == key {
			return false
		}
	}
	if s.few = append(s.few, key); len(s.few) > few {
		s.many = make(map[string]bool, 4*few)
		for _, k := range s.few {
			s.many[k] = true
		}
	}
	return true
}

// shown quotes a field name for an error, shortened.
func shown(name string) string {
	if len(name) > maxFieldNameShown {
		name = strings.ToValidUTF8(name[:maxFieldNameShown], "") + "…"
	}
	return strconv.Quote(name)
}
