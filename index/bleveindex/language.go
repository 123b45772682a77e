package bleveindex

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/abadojack/whatlanggo"

	"escrow/index"
)

// unknownLanguage is what lang: finds messages by in which no language was recognised.
const unknownLanguage = "und"

// supported are the Latin languages with a stemmer.
var supported = map[whatlanggo.Lang]bool{
	whatlanggo.Eng: true, whatlanggo.Deu: true, whatlanggo.Fra: true, whatlanggo.Spa: true, whatlanggo.Ita: true, whatlanggo.Por: true,
	whatlanggo.Nld: true,
}

// recognised are the Latin languages a message can be told to be in; those not supported are searched by exact words.
var recognised = map[whatlanggo.Lang]bool{
	whatlanggo.Eng: true, whatlanggo.Deu: true, whatlanggo.Fra: true, whatlanggo.Spa: true, whatlanggo.Ita: true, whatlanggo.Por: true,
	whatlanggo.Nld: true, whatlanggo.Swe: true, whatlanggo.Dan: true, whatlanggo.Nob: true, whatlanggo.Fin: true, whatlanggo.Pol: true,
	whatlanggo.Ces: true, whatlanggo.Ron: true, whatlanggo.Hun: true, whatlanggo.Tur: true, whatlanggo.Vie: true, whatlanggo.Ind: true,
}

// detect returns the code of the language a text seems to be in. It decides how words are inflected and what lang: finds; exact words are found
// however wrong it is.
func detect(text string) string {
	text = sample(text)
	counts := countScripts(text)
	switch counts.most() {
	case latin:
		return detectLatin(text)
	case cyrillic:
		return detectCyrillic(text)
	case arabic:
		return "ar"
	case spaceless:
		return counts.eastAsian()
	}
	return unknownLanguage
}

// sample returns the beginning of a text, cut between characters.
func sample(text string) string {
	if len(text) <= sampleBytes {
		return text
	}
	end := sampleBytes
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

func detectLatin(text string) string {
	if lang := vote(text); lang != "" {
		return lang
	}
	info := whatlanggo.DetectWithOptions(text, whatlanggo.Options{Whitelist: recognised})
	switch {
	case supported[info.Lang]:
		return info.Lang.Iso6391()
	case info.IsReliable() && info.Lang >= 0:
		return code(info.Lang)
	}
	return unknownLanguage
}

func code(l whatlanggo.Lang) string {
	if c := l.Iso6391(); c != "" {
		return c
	}
	return l.Iso6393()
}

func detectCyrillic(text string) string {
	if info := whatlanggo.Detect(text); info.IsReliable() && info.Script == unicode.Cyrillic {
		return code(info.Lang)
	}
	return "ru"
}

// scripts counts letters by what tells languages apart.
type scripts struct{ latin, cyrillic, arabic, han, kana, hangul, thai, other int }

func countScripts(text string) scripts {
	var c scripts
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			if r|0x20 >= 'a' && r|0x20 <= 'z' {
				c.latin++
			}
		case !unicode.IsLetter(r):
		case unicode.Is(unicode.Latin, r):
			c.latin++
		case unicode.Is(unicode.Cyrillic, r):
			c.cyrillic++
		case unicode.Is(unicode.Arabic, r):
			c.arabic++
		default:
			c.countOther(r)
		}
	}
	return c
}

func (c *scripts) countOther(r rune) {
	switch {
	case unicode.Is(unicode.Han, r):
		c.han++
	case unicode.In(r, unicode.Hiragana, unicode.Katakana):
		c.kana++
	case unicode.Is(unicode.Hangul, r):
		c.hangul++
	case index.Spaceless(r):
		c.thai++
	default:
		c.other++
	}
}

// most returns the script of the text. A character of a script without spaces counts as three letters, because it says as much.
func (c scripts) most() script {
	eastern := 3 * (c.han + c.kana + c.hangul + c.thai)
	switch max(c.latin, c.cyrillic, c.arabic, eastern, c.other) {
	case 0, c.other:
		return otherScript
	case c.latin:
		return latin
	case c.cyrillic:
		return cyrillic
	case c.arabic:
		return arabic
	}
	return spaceless
}

func (c scripts) eastAsian() string {
	switch {
	case c.hangul > c.han+c.kana:
		return "ko"
	case c.kana > 0:
		return "ja"
	case c.han > c.thai:
		return "zh"
	}
	return unknownLanguage
}

// umlautSpellings returns the other ways a German or Scandinavian word is spelled: "mueller" for "müller", and "muller" for "mueller".
func umlautSpellings(lower string) []string {
	var list []string
	for _, pairs := range [][]string{{"ä", "ae", "ö", "oe", "ü", "ue", "å", "aa"}, {"ae", "a", "oe", "o", "ue", "u"}} {
		if s := strings.NewReplacer(pairs...).Replace(lower); s != lower {
			list = append(list, s)
		}
	}
	return list
}
