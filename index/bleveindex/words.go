package bleveindex

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"escrow/index"
)

// script is what decides how a word is inflected; only for Latin letters does the language of the message matter, too.
type script uint8

const (
	otherScript script = iota
	latin
	cyrillic
	arabic
	spaceless // found by pairs of characters
	digits
)

// word is one word of a text, or one pair of neighbouring characters in a script without spaces.
type word struct {
	start, end int    // bytes in the text
	pos        int    // place in the order of words, from 1
	exact      string // folded: what phrases, * and ~ look at
	lower      string // in lower case with its accents: what stemmers look at
	script     script
	single     bool // one character of a script without spaces, the first of a pair or alone
	lone       bool // a single one without neighbours
}

// splitWords appends the words of text to list. A word is a run of letters, marks and digits; everything else separates. In scripts without spaces
// each character is a word (single), and so is each pair of neighbours, at the place of its first one. The rule is the same for every language, so
// that a text whose language was not recognised is still split as the query is.
func splitWords(list []word, text string) []word {
	pos := 1
	for i := 0; i < len(text); {
		if n := asciiRun(text[i:]); n > 0 && (i+n == len(text) || text[i+n] < utf8.RuneSelf) {
			list, pos = appendWords(list, text, i, i+n, pos)
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if !index.WordRune(r) {
			i += size
			continue
		}
		end := runEnd(text, i)
		if index.Spaceless(r) {
			list, pos = appendPairs(list, text, i, end, pos)
		} else {
			list, pos = appendWords(list, text, i, end, pos)
		}
		i = end
	}
	return list
}

// asciiRun returns how many letters and digits of ASCII text begins with.
func asciiRun(text string) int {
	n := 0
	for n < len(text) {
		c := text[n]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			break
		}
		n++
	}
	return n
}

// runEnd returns where the run of word characters of one sort that begins at i ends.
func runEnd(text string, i int) int {
	first, size := utf8.DecodeRuneInString(text[i:])
	sort := index.Spaceless(first)
	for i += size; i < len(text); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[i:])
		if !index.WordRune(r) || index.Spaceless(r) != sort && !unicode.IsMark(r) && !voiced(r) {
			break
		}
	}
	return i
}

// voiced reports whether r is the half-width mark that voices the kana before it; it is a letter of its own to Unicode.
func voiced(r rune) bool { return r == '\uff9e' || r == '\uff9f' }

// appendWords appends the run, cut into pieces if it is too long.
func appendWords(list []word, text string, start, end, pos int) ([]word, int) {
	for start < end {
		cut := min(end, start+maxWordBytes)
		for cut < end && !utf8.RuneStart(text[cut]) {
			cut--
		}
		lower, exact, script := fold(text[start:cut])
		if exact != "" {
			list = append(list, word{start: start, end: cut, pos: pos, exact: exact, lower: lower, script: script})
			pos++
		}
		start = cut
	}
	return list, pos
}

// appendPairs appends the characters of the run and the pairs of neighbours.
func appendPairs(list []word, text string, start, end, pos int) ([]word, int) {
	prev, from := "", 0
	for i, first := start, true; i < end; first = false {
		next := characterEnd(text, i, end)
		_, c, _ := fold(text[i:next])
		if prev != "" {
			list = append(list, word{start: from, end: next, pos: pos - 1, exact: prev + c, script: spaceless})
		}
		list = append(list, word{start: i, end: next, pos: pos, exact: c, script: spaceless, single: true, lone: first && next == end})
		prev, from, i = c, i, next
		pos++
	}
	return list, pos
}

// characterEnd returns where the character at i ends, with its marks.
func characterEnd(text string, i, end int) int {
	_, size := utf8.DecodeRuneInString(text[i:])
	for i += size; i < end; i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[i:])
		if !unicode.IsMark(r) && !voiced(r) {
			break
		}
	}
	return i
}

// fold returns a run of word characters in lower case, the same without what people leave out when they search, and its script.
func fold(s string) (lower, exact string, sc script) {
	if asciiRun(s) == len(s) {
		lower = strings.ToLower(s)
		return lower, lower, asciiScript(lower)
	}
	lower = strings.ToLower(norm.NFKC.String(s))
	sc = scriptOf(lower)
	return lower, foldAccents(lower), sc
}

func asciiScript(s string) script {
	if strings.IndexFunc(s, func(r rune) bool { return r > '9' }) >= 0 {
		return latin
	}
	return digits
}

// scriptOf returns the script of the first letter.
func scriptOf(s string) script {
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Latin, r):
			return latin
		case unicode.Is(unicode.Cyrillic, r):
			return cyrillic
		case unicode.Is(unicode.Arabic, r) && unicode.IsLetter(r):
			return arabic
		case index.Spaceless(r):
			return spaceless
		case unicode.IsLetter(r):
			return otherScript
		}
	}
	return digits
}

// foldAccents removes accents from Latin and Greek letters, vowel points from Hebrew and Arabic ones, and writes letters that have a plain
// counterpart as that one. Cyrillic й and the vowel signs of Indic scripts are letters of their own and stay.
func foldAccents(s string) string {
	var b strings.Builder
	var last rune
	for _, r := range norm.NFD.String(s) {
		if unicode.Is(unicode.Mn, r) && losesMark(last, r) {
			continue
		}
		last = r
		if plain, ok := letters[r]; ok {
			b.WriteString(plain)
			continue
		}
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

// losesMark reports whether mark is left out after the letter base.
func losesMark(base, mark rune) bool {
	switch {
	case unicode.In(base, unicode.Latin, unicode.Greek, unicode.Hebrew, unicode.Arabic):
		return true
	case base == '\u0435': // ё is mostly written е
		return mark == '\u0308'
	}
	return false
}

// letters are written in more than one way, without an accent that could be removed.
var letters = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ı': "i", 'ſ': "s", 'ħ': "h", 'ŋ': "n", 'ĸ': "k",
	'ς': "σ", // end of a Greek word
	'ـ': "",  // Arabic letters drawn out
	'ى': "ي", 'ة': "ه", 'ٱ': "ا", 'ی': "ي", 'ک': "ك",
}
