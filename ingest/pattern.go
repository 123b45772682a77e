package ingest

import (
	"slices"
	"strings"
)

// pattern is something a participant is called.
type pattern struct {
	who   uint16
	inner bool // an address as VERP and URLs write it, inside another one
	name  bool // a name, which must be whole words; an address counts wherever it stands
	word  bool // a name of one word, which is not looked for inside addresses and host names
}

// patternSet finds many patterns in a text at once, ignoring the case of ASCII letters and taking any white space for one space.
type patternSet struct {
	byText  map[string]pattern
	lengths map[[2]byte][]int // of the patterns that start with these bytes, longest first
	starts  [1 << 16 / 64]uint64
}

func newPatternSet() *patternSet {
	return &patternSet{byText: map[string]pattern{}, lengths: map[[2]byte][]int{}}
}

// add adds a pattern unless somebody has it already; an address wins over a name, since people write others' addresses into names. Names that are too
// short to mean somebody are left out.
func (s *patternSet) add(text string, p pattern) {
	folded := newFoldedText(len(text) + 1)
	folded.add([]byte(text), span{0, len(text)})
	key := strings.Trim(string(folded.bytes), " \x00")
	if len(key) < minNameAnywhere || p.name && !strings.ContainsFunc(key, isNameRune) {
		return
	}
	p.word = p.name && strings.IndexByte(key, ' ') < 0
	if old, taken := s.byText[key]; taken && (p.name || !old.name) {
		return
	}
	s.byText[key] = p
	start := [2]byte{key[0], key[1]}
	if !slices.Contains(s.lengths[start], len(key)) {
		s.lengths[start] = append(s.lengths[start], len(key))
		slices.SortFunc(s.lengths[start], func(a, b int) int { return b - a })
	}
	bit := int(key[0])<<8 | int(key[1])
	s.starts[bit/64] |= 1 << (bit % 64)
}

func isNameRune(r rune) bool { return r >= 'a' && r <= 'z' || r >= 0x80 }

// find calls f for every match in folded text, from left to right, the longest first where several start. It gives up when maxSplitWork is spent.
func (s *patternSet) find(text []byte, f func(i, j int, p pattern)) {
	const hashedAtOnce = 32 // bytes
	work := 0
	for i := 0; i+1 < len(text) && work < maxSplitWork; i++ {
		bit := int(text[i])<<8 | int(text[i+1])
		if s.starts[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		for _, n := range s.lengths[[2]byte{text[i], text[i+1]}] {
			work += 1 + n/hashedAtOnce
			if i+n > len(text) {
				continue
			}
			p, ok := s.byText[string(text[i:i+n])]
			if ok && (!p.name || standsAlone(text, i, i+n, p.word)) {
				work += n
				f(i, i+n, p)
			}
		}
	}
}

// standsAlone reports whether text[i:j] is whole words. A single word must not be part of an address or a host name either.
func standsAlone(text []byte, i, j int, word bool) bool {
	joined := func(edge, step int) bool {
		if edge < 0 || edge >= len(text) {
			return false
		}
		if isWordByte(text[edge]) {
			return true
		}
		next := edge + step
		return word && strings.IndexByte("@.-=+_", text[edge]) >= 0 && next >= 0 && next < len(text) && isWordByte(text[next])
	}
	return !(isWordByte(text[i]) && joined(i-1, -1)) && !(isWordByte(text[j-1]) && joined(j, 1))
}

// isWordByte takes all of UTF-8 beyond ASCII for letters.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// foldedText is text in lower case with single spaces, and where each of its bytes comes from.
type foldedText struct {
	bytes []byte
	at    []int32
}

func newFoldedText(size int) foldedText {
	return foldedText{make([]byte, 0, size), make([]int32, 0, size)}
}

// add appends raw[s.start:s.end] and a NUL, which no pattern contains.
func (t *foldedText) add(raw []byte, s span) {
	for i := s.start; i < s.end; i++ {
		c := raw[i]
		switch {
		case isSpace(c):
			if n := len(t.bytes); n > 0 && t.bytes[n-1] == ' ' {
				continue
			}
			c = ' '
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		t.bytes, t.at = append(t.bytes, c), append(t.at, int32(i))
	}
	t.bytes, t.at = append(t.bytes, 0), append(t.at, int32(s.end))
}
