package index

import (
	"strings"
	"unicode"
)

// scanner walks over the characters of a query.
type scanner struct {
	in  []rune
	pos int
}

func (s *scanner) end() bool { return s.pos >= len(s.in) }

func (s *scanner) column() int { return s.pos + 1 }

// peek returns the character here; full-width punctuation, as East Asian keyboards type it, counts as the plain one.
func (s *scanner) peek() rune { return narrow(s.in[s.pos]) }

func (s *scanner) space() {
	for !s.end() && unicode.IsSpace(s.in[s.pos]) {
		s.pos++
	}
}

// word returns the characters up to the next space, parenthesis or quotation mark without consuming them.
func (s *scanner) word() string {
	var b strings.Builder
	for _, r := range s.in[s.pos:] {
		if r = narrow(r); unicode.IsSpace(r) || r == '(' || r == ')' || isQuote(r) {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// operator consumes the given operator if it stands here as a word of its own.
func (s *scanner) operator(name string) bool {
	s.space()
	if s.word() != name {
		return false
	}
	s.pos += len(name)
	return true
}

// minus consumes a - that negates the term directly behind it.
func (s *scanner) minus() bool {
	if s.end() || s.peek() != '-' {
		return false
	}
	s.pos++
	return true
}

// fieldName returns the letters before a colon, in lower case. What has a double slash behind the colon is the address of a web page.
func (s *scanner) fieldName() (string, bool) {
	name, rest, ok := strings.Cut(s.word(), ":")
	if !ok || name == "" || strings.HasPrefix(rest, "//") {
		return "", false
	}
	for _, r := range name {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) {
			return "", false
		}
	}
	return strings.ToLower(name), true
}

// quoted consumes a phrase in quotation marks and returns it without them. A phrase in typographic marks ends at any mark.
func (s *scanner) quoted() (string, error) {
	at, typed := s.column(), s.peek()
	var b strings.Builder
	for s.pos++; !s.end(); s.pos++ {
		r := s.in[s.pos]
		switch {
		case narrow(r) == '"', typed != '"' && isQuote(r):
			s.pos++
			return b.String(), nil
		case r == '\\' && s.pos+1 < len(s.in) && strings.ContainsRune(`"\`, s.in[s.pos+1]):
			s.pos++
			r = s.in[s.pos]
		}
		b.WriteRune(r)
	}
	return "", fail(at, "this quotation mark is never closed")
}

// isQuote reports whether r is a quotation mark, straight or typographic. Apostrophes are not: they are part of words.
func isQuote(r rune) bool {
	return strings.ContainsRune("\"\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", r)
}

// narrow returns the plain form of full-width punctuation that has a meaning in queries.
func narrow(r rune) rune {
	switch r {
	case '\uff08':
		return '('
	case '\uff09':
		return ')'
	case '\uff1a':
		return ':'
	case '\uff02':
		return '"'
	case '\uff0a':
		return '*'
	case '\uff5e':
		return '~'
	}
	return r
}
