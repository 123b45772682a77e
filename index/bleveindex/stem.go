package bleveindex

import (
	"slices"

	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/lang/ar"
	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
)

// stemmer reduces inflected words of one language to a common stem. Where there is no snowball function, the language is Arabic: the snowball one does
// not take "the contract" and "contract" for forms of one word.
type stemmer struct {
	lang     string
	snowball func(*snowballstem.Env) bool
}

// latinStemmers are the languages with Latin letters; which one is right depends on the message.
var latinStemmers = []stemmer{
	{"en", english.Stem}, {"de", german.Stem}, {"fr", french.Stem}, {"es", spanish.Stem}, {"it", italian.Stem}, {"pt", portuguese.Stem},
	{"nl", dutch.Stem},
}

// scriptStemmers are chosen by the letters alone, whatever the language of the message. What another language in that script makes of it is the same
// in messages and queries.
var scriptStemmers = map[script]stemmer{cyrillic: {"ru", russian.Stem}, arabic: {"ar", nil}}

// analyzer splits and stems. It is not safe for concurrent use; an Index keeps a pool of them.
type analyzer struct {
	env   *snowballstem.Env
	stems map[string]map[string]string // language → word → stem
	list  []word                       // reused
	found []string                     // reused
}

func newAnalyzer() *analyzer {
	return &analyzer{env: snowballstem.NewEnv(""), stems: map[string]map[string]string{}}
}

// words returns the words of text, valid until the next call.
func (a *analyzer) words(text string) []word {
	a.list = splitWords(a.list[:0], text)
	return a.list
}

// docStems returns the stems of a word in a message of the given language, without the word itself, valid until the next call.
func (a *analyzer) docStems(w word, lang string) []string {
	a.found = a.found[:0]
	if s, ok := scriptStemmers[w.script]; ok {
		a.add(s, w)
		return a.found
	}
	if w.script != latin {
		return nil
	}
	for _, s := range latinStemmers {
		if s.lang == lang {
			a.add(s, w)
		}
	}
	return a.found
}

// queryStems returns the stems of a word of a query in every language it can be of, without the word itself. The spellings of a German umlaut count
// as one.
func (a *analyzer) queryStems(w word) []string {
	a.found = a.found[:0]
	if s, ok := scriptStemmers[w.script]; ok {
		a.add(s, w)
	}
	if w.script == latin {
		for _, s := range latinStemmers {
			a.add(s, w)
		}
		for _, spelling := range umlautSpellings(w.lower) {
			lower, exact, sc := fold(spelling)
			v := word{exact: exact, lower: lower, script: sc}
			a.addNew(exact, w.exact)
			for _, s := range latinStemmers {
				a.add(s, v)
			}
		}
	}
	found := slices.DeleteFunc(slices.Clone(a.found), func(s string) bool { return s == w.exact })
	return found[:min(len(found), maxStems)]
}

// add adds the stem of the word and that of the word without accents, which is how people type it.
func (a *analyzer) add(s stemmer, w word) {
	a.addNew(a.stem(s, w.lower), w.exact)
	if w.lower != w.exact {
		a.addNew(a.stem(s, w.exact), w.exact)
	}
}

func (a *analyzer) addNew(stem, exact string) {
	if stem != exact && stem != "" && !slices.Contains(a.found, stem) {
		a.found = append(a.found, stem)
	}
}

// stem returns the folded stem, remembering it.
func (a *analyzer) stem(s stemmer, lower string) string {
	known := a.stems[s.lang]
	if stem, ok := known[lower]; ok {
		return stem
	}
	stem := a.compute(s, lower)
	if known == nil || len(known) >= stemCache {
		known = map[string]string{}
		a.stems[s.lang] = known
	}
	known[lower] = stem
	return stem
}

func (a *analyzer) compute(s stemmer, lower string) string {
	if s.snowball == nil {
		_, exact, _ := fold(lower)
		light := ar.NewArabicStemmerFilter().Filter(analysis.TokenStream{{Term: []byte(exact)}})
		return string(light[0].Term)
	}
	a.env.SetCurrent(lower)
	s.snowball(a.env)
	_, stem, _ := fold(a.env.Current())
	return stem
}
