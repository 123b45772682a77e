package needle

import (
	"encoding/binary"

	"escrow"
)

// Set is a set of words prepared for searching. It does not change and may be used by several goroutines at once.
type Set struct {
	patterns []pattern
	starts   map[uint64][]int32 // by the first window bytes: the patterns that begin so
	filter   []uint64           // a bit for the hash of each key of starts, so that nearly every byte is passed over after one look
	longest  int                // bytes of the longest pattern
	zeros    int                // most zero bytes that a pattern begins with
}

// pattern is what a word looks like in one form.
type pattern struct {
	word, form string
	bytes      []byte
}

const (
	window     = 8 // bytes that decide whether a pattern can begin at a place
	filterBits = 21
	// filterMultiplier spreads windows over the filter (Fibonacci hashing: 2⁶⁴ divided by the golden ratio).
	filterMultiplier = 0x9e3779b97f4a7c15
)

// New prepares words for searching. A spelling shorter than MinWord is an error of kind Invalid. Forms that look alike are looked for once, under the
// first name, and so is a word given twice.
func New(words ...Word) (*Set, error) {
	s := &Set{starts: map[uint64][]int32{}, filter: make([]uint64, 1<<filterBits/64)}
	known := map[string]bool{}
	for _, w := range words {
		for _, text := range append([]string{w.Text}, w.Spellings...) {
			if len(text) < MinWord {
				return nil, escrow.Errorf("needle.New", escrow.Invalid, "%q has %d bytes, fewer than %d would be found by chance", text, len(text), MinWord)
			}
		}
		name := w.Name
		if name == "" {
			name = w.Text
		}
		for _, f := range w.forms() {
			if !known[string(f.bytes)] {
				known[string(f.bytes)] = true
				s.add(pattern{name, f.name, f.bytes})
			}
		}
	}
	return s, nil
}

func (s *Set) add(p pattern) {
	start := binary.LittleEndian.Uint64(p.bytes)
	s.starts[start] = append(s.starts[start], int32(len(s.patterns)))
	s.patterns = append(s.patterns, p)
	h := start * filterMultiplier >> (64 - filterBits)
	s.filter[h/64] |= 1 << (h % 64)
	s.longest = max(s.longest, len(p.bytes))
	zeros := 0
	for zeros < len(p.bytes) && p.bytes[zeros] == 0 {
		zeros++
	}
	s.zeros = max(s.zeros, zeros)
}

// Patterns returns how many forms of words are looked for.
func (s *Set) Patterns() int { return len(s.patterns) }

// find calls found for each pattern in b that begins before limit, in the order of where they begin.
func (s *Set) find(b []byte, limit int, found func(at int, p *pattern)) {
	for i := 0; i < limit && i+window <= len(b); i++ {
		start := binary.LittleEndian.Uint64(b[i:])
		if start == 0 && s.zeros < window {
			i = s.afterZeros(b, i) - 1
			continue
		}
		h := start * filterMultiplier >> (64 - filterBits)
		if s.filter[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, n := range s.starts[start] {
			if p := &s.patterns[n]; len(p.bytes) <= len(b)-i && string(b[i:i+len(p.bytes)]) == string(p.bytes) {
				found(i, p)
			}
		}
	}
}

// afterZeros returns the first place after the zero bytes from i on, at least one window of them, where a pattern can begin.
func (s *Set) afterZeros(b []byte, i int) int {
	end := i + window
	for end+window <= len(b) && binary.LittleEndian.Uint64(b[end:]) == 0 {
		end += window
	}
	return end - s.zeros
}
