package index

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseWord reads a word without quotes and its operators.
func parseWord(at int, word string) (Term, error) {
	switch {
	case word == "*":
		return Term{}, fail(at, "* alone is not allowed: it would match everything. Search without words shows all messages")
	case len(word) > 2 && word[0] == '/' && strings.HasSuffix(word, "/"):
		return Term{}, fail(at, "regular expressions are not allowed. To find the text itself, put it in quotes")
	case strings.HasPrefix(word, "&&"), strings.HasPrefix(word, "||"), strings.HasPrefix(word, "!"):
		return Term{}, fail(at, "write AND, OR, NOT instead of signs")
	case strings.Contains(word, "^"):
		return Term{}, fail(at, "^ is not allowed: words cannot be given weights. To find the text itself, put it in quotes")
	}
	if text, ok := strings.CutSuffix(word, "*"); ok {
		return parsePrefix(at, text)
	}
	if i := strings.IndexByte(word, '*'); i >= 0 {
		return Term{}, fail(at+utf8.RuneCountInString(word[:i]), "* is allowed only at the end of a word")
	}
	if i := strings.LastIndexByte(word, '~'); i > 0 {
		return parseFuzzy(at, word[:i], word[i+1:])
	}
	return Term{Form: Word, Text: word}, nil
}

func parsePrefix(at int, text string) (Term, error) {
	if i := strings.IndexAny(text, "*~"); i >= 0 {
		return Term{}, fail(at+utf8.RuneCountInString(text[:i]), "* is allowed only once, at the end of a word, and not together with ~")
	}
	if countLetters(text) < MinPrefixLetters {
		return Term{}, fail(at, "a word before * must have at least %d letters", MinPrefixLetters)
	}
	return Term{Form: Prefix, Text: text}, nil
}

func parseFuzzy(at int, text, distance string) (Term, error) {
	t := Term{Form: Fuzzy, Text: text, Distance: 1}
	switch {
	case distance == "2":
		t.Distance = 2
	case distance != "" && distance != "1":
		return Term{}, fail(at+utf8.RuneCountInString(text), "after ~ only 1 to %d letters may differ: write ~1 or ~2", MaxDistance)
	case strings.Contains(text, "~"):
		return Term{}, fail(at, "~ is allowed only once, at the end of a word")
	}
	if n := countLetters(text); n < MinFuzzyLetters || n > MaxFuzzyLetters {
		return Term{}, fail(at, "a word before ~ must have %d to %d letters", MinFuzzyLetters, MaxFuzzyLetters)
	}
	return t, nil
}

// checkText refuses terms in which there is nothing to look for or too much.
func checkText(at int, t Term) error {
	words := countWords(t.Text)
	switch {
	case words == 0:
		return fail(at, "there is no letter or digit to look for")
	case words > MaxPhraseWords:
		return fail(at, "a phrase may have at most %d words, this one has %d", MaxPhraseWords, words)
	case t.Form != Prefix && t.Form != Fuzzy:
		return nil
	case strings.IndexFunc(t.Text, Spaceless) >= 0:
		return fail(at, "* and ~ are not needed in a script without spaces: a word is found inside longer ones")
	case words > 1 && t.Field.kind() != people:
		return fail(at, "before * and ~ there must be a single word of letters and digits")
	}
	return nil
}

func countLetters(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// countWords counts runs of letters, marks and digits, and every character of a script without spaces.
func countWords(s string) int {
	n, inside := 0, false
	for _, r := range s {
		switch {
		case !WordRune(r):
			inside = false
		case Spaceless(r):
			n, inside = n+1, false
		case !inside && !unicode.IsMark(r):
			n, inside = n+1, true
		}
	}
	return n
}

// WordRune reports whether r can be part of a word: letters, their marks, and digits. Everything else separates words, in queries and in messages.
func WordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.N)
}

// Spaceless reports whether r belongs to a script that does not separate words by spaces, or, like Korean, glues particles to them. Such text is
// searched by pairs of characters.
func Spaceless(r rune) bool {
	if r < 0x0e00 {
		return false
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) ||
		r == '\u30fc' || r == '\uff70' // the mark of a long vowel in kana belongs to no script
}
