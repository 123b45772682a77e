package bleveindex

import (
	"strings"
	"sync"
)

// functionWords returns the language of words that hold sentences together and occur in one of the supported languages only. A few of them tell a
// language faster than statistics of letters, and better where a message is short or full of names.
var functionWords = sync.OnceValue(func() map[string]string {
	language := map[string]string{}
	for lang, words := range map[string]string{
		"en": "the and that with this have you are from your it will would been which their they our has can about please there what",
		"de": "und der ist nicht eine mit für auf von dem sich auch wir sie ich werden haben wird bei nach noch wenn aber oder bitte dass",
		"fr": "les des est une pour dans pas vous nous avec aux cette sont été mais votre notre être très ces leur ils elle",
		"es": "el los las pero muy está más hay usted también hoy desde hasta y cuando",
		"it": "il che non è sono della nel più gli alla questo anche degli delle perché essere stato abbiamo",
		"pt": "os não uma em são você ao pelo pela isso também ele muito seu estão mas",
		"nl": "het een van ik niet dat op voor zijn met aan ook maar worden bij nog naar wij heeft deze wordt geen uit",
	} {
		for _, w := range strings.Fields(words) {
			language[w] = lang
		}
	}
	return language
})

// Votes that settle the language of a text: so many function words, and so many times those of the next language.
const (
	enoughVotes = 3
	clearMargin = 3
)

// vote returns the language whose function words clearly prevail in text, "" if none do.
func vote(text string) string {
	known, votes := functionWords(), map[string]int{}
	for _, w := range splitWords(nil, text) {
		if lang := known[w.lower]; lang != "" {
			votes[lang]++
		}
	}
	best, most, second := "", 0, 0
	for lang, n := range votes {
		switch {
		case n > most:
			best, most, second = lang, n, most
		case n > second:
			second = n
		}
	}
	if most >= enoughVotes && most >= clearMargin*second {
		return best
	}
	return ""
}
