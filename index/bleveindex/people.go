package bleveindex

import (
	"slices"
	"strings"

	"escrow/index"
)

// maxNameWords bounds how many neighbouring words of a display name are kept together.
const maxNameWords = 4

func peopleField(name string, people []index.Person) *field {
	f := newField(name, withoutFreq, 8*len(people))
	for _, p := range people {
		for _, t := range personTerms(p) {
			f.add(t)
		}
	}
	return f
}

// personTerms returns everything a person is found by: the identity with and without its scheme; of an address the local part, the domain and the
// domains above it, and their words; of a display name each word and each sequence of up to four neighbours.
func personTerms(p index.Person) []string {
	id := p.ID.Normalise()
	value := foldText(id.Value())
	terms := []string{foldText(string(id)), value}
	local, domain, mail := strings.Cut(value, "@")
	if mail {
		terms = append(terms, local, domain)
		for rest, more := domain, true; more; {
			_, rest, more = strings.Cut(rest, ".")
			terms = append(terms, rest)
		}
	}
	if digits, ok := strings.CutPrefix(value, "+"); ok {
		terms = append(terms, digits)
	}
	terms = append(terms, exactWords(value)...)
	names := exactWords(p.Name)
	for i := range names {
		for j := i + 1; j <= min(len(names), i+maxNameWords); j++ {
			terms = append(terms, strings.Join(names[i:j], " "))
		}
	}
	slices.Sort(terms)
	return slices.DeleteFunc(slices.Compact(terms), func(t string) bool { return t == "" || len(t) > maxPersonTerm })
}

// maxPersonTerm bounds a term of a person; longer ones are found by their words.
const maxPersonTerm = 512

// personTerm returns what a query text must be equal to, for phrases its words with single spaces.
func personTerm(t index.Term) string {
	if t.Form == index.Phrase && !strings.Contains(t.Text, "@") {
		return strings.Join(exactWords(t.Text), " ")
	}
	text := strings.TrimPrefix(foldText(strings.TrimSpace(t.Text)), "@")
	if phone := strings.Trim(text, "+0123456789-./()"); phone == "" && strings.HasPrefix(text, "+") {
		text = "+" + keepDigits(text)
	}
	return text
}

func keepDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// exactWords returns the folded words of a text, in scripts without spaces its characters and pairs of them.
func exactWords(text string) []string {
	var list []string
	for _, w := range splitWords(nil, text) {
		list = append(list, w.exact)
	}
	return list
}

// foldText folds a whole text as words are folded, leaving signs between them alone.
func foldText(s string) string {
	_, exact, _ := fold(s)
	return exact
}
