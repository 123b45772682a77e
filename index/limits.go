package index

// Limits of queries, each inclusive and each with its reason. A query that exceeds one is refused with the limit in the text.
const (
	// MaxQueryBytes bounds the text of a query: longer than any person types, short enough to keep in the audit record of the search.
	MaxQueryBytes = 4096
	// MaxDepth bounds parentheses within parentheses; the parser and the engine recurse once for each.
	MaxDepth = 32
	// MaxClauses bounds the words, phrases and conditions of one query; each is looked up in every segment of the index.
	MaxClauses = 256
	// MaxPhraseWords bounds the words of one phrase; each is read with all its positions.
	MaxPhraseWords = 64
	// MinPrefixLetters is how many letters or digits a word before * needs: one letter stands for a tenth of the dictionary.
	MinPrefixLetters = 2
	// MaxWildcards bounds the words with * or ~ in one query; each is a walk through the dictionaries.
	MaxWildcards = 16
	// MinFuzzyLetters is how long a word before ~ must be: a shorter one resembles everything.
	MinFuzzyLetters = 4
	// MaxFuzzyLetters is how long a word before ~ may be: the automaton grows with it.
	MaxFuzzyLetters = 32
	// MaxDistance is the number of changed letters ~ may ask for: the engine's automatons end there.
	MaxDistance = 2
	// MaxPage bounds the hits of one page: they are opened and decrypted one by one to be shown.
	MaxPage = 1000
	// MaxReach bounds offset plus limit: every partition must sort that many hits. Exports use Matches, which is not sorted.
	MaxReach = 10_000
)
