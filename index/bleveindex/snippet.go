package bleveindex

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/blevesearch/bleve/v2/search"

	"escrow/index"
)

// snippetStretch is how much of a text is split into words at a time, so that a hit near the beginning of a long one is found fast.
const snippetStretch = 256 << 10

const ellipsis = "…"

// Snippet returns the stretch of text, at most max bytes long besides the marks "…", in which most words of the query are, and where they are in it.
// The same analysis decides as in the index: inflected words are marked in the language lang, "" if it is to be detected; phrases as a whole. Line
// breaks become spaces. Without a hit it is the beginning of the text. It reads nothing from the index; a nil query marks nothing.
func (x *Index) Snippet(q *index.Query, text, lang string, max int) (string, []index.Span) {
	a, giveBack := x.analyzer()
	defer giveBack()
	if lang == "" {
		lang = detect(text)
	}
	marker := &marker{words: a, lang: lang}
	marker.add(rootOf(q))
	marks := marker.first(text)
	return cut(text, marks, min(max, maxSnippet))
}

// mark is a place where a term of the query was found.
type mark struct {
	index.Span
	term int // which one
}

// marker finds the terms of a query in a text.
type marker struct {
	words *analyzer
	lang  string
	terms []wanted
}

// wanted is a term to be marked.
type wanted struct {
	form     index.Form
	distance int
	words    []word
	stems    []string
}

// add collects the terms of a node that look into text; what is excluded is not marked.
func (m *marker) add(n index.Node) {
	switch n := n.(type) {
	case index.All:
		for _, sub := range n.Nodes {
			m.add(sub)
		}
	case index.Any:
		for _, sub := range n.Nodes {
			m.add(sub)
		}
	case index.Term:
		if slices.Contains([]index.Field{index.FieldAny, index.FieldBody, index.FieldTitle, index.FieldFile, index.FieldTag, index.FieldMeta}, n.Field) {
			m.addTerm(n)
		}
	}
}

func (m *marker) addTerm(t index.Term) {
	words := slices.DeleteFunc(slices.Clone(m.words.words(t.Text)), func(w word) bool { return w.single && !w.lone })
	if len(words) == 0 {
		return
	}
	w := wanted{form: t.Form, distance: t.Distance, words: words}
	if t.Form == index.Word && len(words) == 1 {
		w.stems = append(m.words.queryStems(words[0]), words[0].exact)
	}
	m.terms = append(m.terms, w)
}

// first returns the marks in the first stretch of text that has some.
func (m *marker) first(text string) []mark {
	for start := 0; len(m.terms) > 0 && start < len(text); {
		end := min(len(text), start+snippetStretch)
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end--
		}
		if marks := m.find(text[start:end]); len(marks) > 0 {
			for i := range marks {
				marks[i].Start += start
				marks[i].End += start
			}
			return marks
		}
		start = end
	}
	return nil
}

func (m *marker) find(text string) []mark {
	words := slices.Clone(m.words.words(text))
	var marks []mark
	for i := range words {
		for t, want := range m.terms {
			if end, ok := m.match(want, words, i); ok {
				marks = append(marks, mark{index.Span{Start: words[i].start, End: end}, t})
			}
		}
	}
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Compare(a.Start, b.Start) })
	return marks
}

// match reports whether the term is found at the i-th word, and where it ends.
func (m *marker) match(want wanted, words []word, i int) (end int, ok bool) {
	w := words[i]
	if len(want.words) > 1 {
		return matchPhrase(want.words, words[i:])
	}
	if w.single != want.words[0].lone {
		return 0, false
	}
	exact := want.words[0].exact
	switch want.form {
	case index.Prefix:
		ok = strings.HasPrefix(w.exact, exact)
	case index.Fuzzy:
		distance, exceeded := search.LevenshteinDistanceMax(exact, w.exact, want.distance)
		ok = !exceeded && distance <= want.distance
	case index.Phrase:
		ok = w.exact == exact
	default:
		ok = slices.Contains(want.stems, w.exact) ||
			slices.ContainsFunc(m.words.docStems(w, m.lang), func(s string) bool { return slices.Contains(want.stems, s) })
	}
	return w.end, ok
}

// matchPhrase reports whether text begins with the phrase. Pairs and single characters stand between each other in text, so places count.
func matchPhrase(phrase, text []word) (end int, ok bool) {
	next := 0
	for _, w := range text {
		if w.single && !w.lone {
			if next == 0 {
				return 0, false
			}
			continue
		}
		if w.exact != phrase[next].exact || w.pos-text[0].pos != phrase[next].pos-phrase[0].pos {
			return 0, false
		}
		if next++; next == len(phrase) {
			return w.end, true
		}
	}
	return 0, false
}

// cut chooses the window with most terms, then most marks, and returns it with the marks joined where they touch.
func cut(text string, marks []mark, size int) (string, []index.Span) {
	if size <= 0 {
		return "", nil
	}
	start := bestStart(marks, size)
	start = wordStart(text, max(0, min(start-size/4, len(text)-size)))
	end := wordEnd(text, start, size)
	var b strings.Builder
	if start > 0 {
		b.WriteString(ellipsis)
	}
	shift := b.Len() - start
	b.WriteString(flat(text[start:end]))
	if end < len(text) {
		b.WriteString(ellipsis)
	}
	var spans []index.Span
	for _, m := range marks {
		if m.Start < start || m.End > end {
			continue
		}
		s := index.Span{Start: m.Start + shift, End: m.End + shift}
		if n := len(spans); n > 0 && s.Start <= spans[n-1].End {
			spans[n-1].End = max(spans[n-1].End, s.End)
			continue
		}
		spans = append(spans, s)
	}
	return b.String(), spans
}

// bestStart returns where the first mark of the best window begins.
func bestStart(marks []mark, size int) int {
	best, bestTerms, bestMarks := 0, 0, 0
	for i, first := range marks {
		terms := map[int]bool{}
		n := 0
		for _, m := range marks[i:] {
			if m.End > first.Start+size*3/4 {
				break
			}
			terms[m.term] = true
			n++
		}
		if len(terms) > bestTerms || len(terms) == bestTerms && n > bestMarks {
			best, bestTerms, bestMarks = first.Start, len(terms), n
		}
		if i > maxSnippet { // the first thousands decide
			break
		}
	}
	return best
}

// wordStart moves a place forward to the beginning of a word if one begins near, else to that of a character.
func wordStart(text string, i int) int {
	for i < len(text) && !utf8.RuneStart(text[i]) {
		i++
	}
	if i == 0 {
		return 0
	}
	if n := strings.IndexAny(text[i:min(len(text), i+16)], " \n\t"); n >= 0 {
		return i + n + 1
	}
	return i
}

// wordEnd returns where a window of at most size bytes ends: after a word if one ends near, else after a character.
func wordEnd(text string, start, size int) int {
	if len(text)-start <= size {
		return len(text)
	}
	end := start + size
	for !utf8.RuneStart(text[end]) {
		end--
	}
	if n := strings.LastIndexAny(text[max(start, end-16):end], " \n\t"); n >= 0 && end-16 > start {
		return max(start, end-16) + n
	}
	return end
}

// flat replaces line breaks and tabs by spaces, byte for byte, so that places stay what they are.
func flat(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == '\n' || c == '\r' || c == '\t' {
			b[i] = ' '
		}
	}
	return string(b)
}
