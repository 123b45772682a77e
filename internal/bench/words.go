package bench

import (
	"math"
	"strings"
)

// common are frequent words of business chat, the most frequent first.
const common = `the to and of a in is for we on you please it that with be this have at will from by not are as can our an if or was your but
all they has so do today order client confirm account price call trade send thanks morning before after market payment review contract week
desk meeting agreed invoice settlement risk shares bonds fund transfer number limit report bank approve value date friday monday notional
position quarter rate interest signed agreement document attached urgent noon tomorrow buy sell hold offer broker fee fees commission spread
currency dollar euro sterling swap forward option maturity coupon yield portfolio exposure margin collateral compliance legal audit
committee board director advisor customer supplier delivery warehouse shipment customs harbour vessel cargo insurance claim policy premium
renewal deadline schedule calendar flight hotel lunch dinner coffee office building garden window kitchen family children school holiday
weather winter summer spring autumn mountain river island bridge station train engine bicycle football concert theatre museum library
newspaper magazine novel chapter paragraph sentence grammar dictionary translation language french german italian spanish portuguese dutch
polish russian chinese japanese korean arabic hebrew greek latin algebra geometry theorem proof number table figure diagram picture`

// rareWords is the size of the long tail of the vocabulary: names, products, places.
const rareWords = 12_000

// vocabulary draws words as frequently as people use them: the n-th most frequent one about 1/n as often as the first.
type vocabulary struct{ words []string }

func newVocabulary() *vocabulary {
	v := &vocabulary{words: strings.Fields(common)}
	r := dice(1)
	for range rareWords {
		v.words = append(v.words, r.syllables())
	}
	return v
}

// draw returns a word.
func (v *vocabulary) draw(r *dice) string { return v.words[v.rank(r)] }

func (v *vocabulary) rank(r *dice) int {
	return int(math.Exp(r.unit()*math.Log(float64(len(v.words)+1)))) - 1
}

// dice is a small generator (SplitMix64) with a fixed seed, so that every run measures the same messages.
type dice uint64

func (r *dice) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1.
func (r *dice) below(n int) int { return int(r.next() % uint64(n)) }

// unit returns a number from 0 up to but without 1.
func (r *dice) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// syllables returns a word nobody has used before.
func (r *dice) syllables() string {
	const consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"
	var b strings.Builder
	for range 2 + r.below(3) {
		b.WriteByte(consonants[r.below(len(consonants))])
		b.WriteByte(vowels[r.below(len(vowels))])
	}
	b.WriteByte(consonants[r.below(len(consonants))])
	return b.String()
}

// pair returns two neighbouring words of a text.
func pair(text string, r *dice) (first, second string) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return "and", "the"
	}
	i := r.below(len(words) - 1)
	return words[i], words[i+1]
}
