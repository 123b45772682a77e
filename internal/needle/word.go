package needle

import "strings"

// MinWord is the length in bytes of the shortest spelling that may be looked for. Anything shorter would be found by chance.
const MinWord = 8

// Word is something to look for.
type Word struct {
	Name      string   // what reports call it, such as where it was planted
	Text      string   // as written, at least MinWord bytes of UTF-8
	Spellings []string // other spellings: a stem, a form without accents, a number with blanks
	Guesses   []string // inputs somebody could guess, such as an address with and without its scheme: their digests without salt are looked for
}

// spelling is one way of writing a word.
type spelling struct{ name, text string }

// spellings returns the word in every spelling and case.
func (w Word) spellings() []spelling {
	list := []spelling{}
	for i, text := range append([]string{w.Text}, w.Spellings...) {
		prefix := ""
		if i > 0 {
			prefix = "spelling "
		}
		lower := strings.ToLower(text)
		list = append(list,
			spelling{prefix + "as written", text}, spelling{prefix + "lower", lower}, spelling{prefix + "upper", strings.ToUpper(text)},
			spelling{prefix + "title", title(lower)}, spelling{prefix + "backwards", backwards(text)}, spelling{prefix + "lower backwards", backwards(lower)})
	}
	return list
}

// title returns s with its first letter in upper case.
func title(s string) string {
	for i, r := range s {
		return s[:i] + strings.ToUpper(string(r)) + s[i+len(string(r)):]
	}
	return s
}

func backwards(s string) string {
	runes := []rune(s)
	for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes)
}
