package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/search/query"

	"escrow/index"
)

// question is one query in both languages.
type question struct {
	ours *index.Query
	bare query.Query
}

// answers are those of one side: latencies, with the processor time of the whole round, and how many hits there were in all.
type answers struct {
	p50, p99 costs
	kinds    [][]time.Duration // latencies by kind, of all rounds
	hits     uint64
}

// kinds names the kinds of questions, in the order in which they are asked.
func kinds() []string { return []string{"word", "two words", "phrase", "from and month", "prefix"} }

// medians says how long each kind takes.
func medians(ours, bare answers) string {
	var list []string
	for i, name := range kinds() {
		list = append(list, fmt.Sprintf("%s %.3g and %.3g", name, milliseconds(quantile(ours.kinds[i], 0.5)), milliseconds(quantile(bare.kinds[i], 0.5))))
	}
	return "medians " + strings.Join(list, ", ") + " ms"
}

// search compares a mix of queries: a word, two words, a phrase, a sender with a month, a prefix.
func (b *bench) search(ctx context.Context) ([]Row, error) {
	f, err := b.indexed(ctx)
	if err != nil {
		return nil, err
	}
	var ours, bare answers
	for round := range rounds {
		questions, err := f.questions(dice(100+round), b.cfg.Now())
		if err != nil {
			return nil, err
		}
		err = b.ask(questions, &ours, func(q question) (uint64, error) {
			r, err := f.index.Search(ctx, index.Request{Query: q.ours, Limit: pageHits})
			return r.Total, err
		})
		if err == nil {
			err = b.ask(questions, &bare, func(q question) (uint64, error) { return f.bare.search(ctx, q.bare) })
		}
		if err != nil {
			return nil, err
		}
	}
	detail := fmt.Sprintf("%d queries of %d kinds over %d messages, %d and %d hits, %s", rounds*len(kinds())*queriesPerKind, len(kinds()), b.cfg.Messages,
		ours.hits, bare.hits, medians(ours, bare))
	return []Row{
		Row{Name: "search p50", Goal: 1.2, Detail: detail}.times(ours.p50, bare.p50),
		Row{Name: "search p99", Goal: 1.2, Detail: detail}.times(ours.p99, bare.p99),
	}, nil
}

// ask asks every question of a round and adds what that cost.
func (b *bench) ask(questions []question, a *answers, search func(question) (uint64, error)) error {
	var latencies []time.Duration
	if a.kinds == nil {
		a.kinds = make([][]time.Duration, len(kinds()))
	}
	used := b.cfg.CPU()
	for i, q := range questions {
		start := b.cfg.Now()
		n, err := search(q)
		if err != nil {
			return err
		}
		took, kind := b.cfg.Now().Sub(start), i%len(a.kinds)
		latencies, a.kinds[kind] = append(latencies, took), append(a.kinds[kind], took)
		a.hits += n
	}
	used = b.cfg.CPU() - used
	a.p50 = append(a.p50, cost{quantile(latencies, 0.5), used})
	a.p99 = append(a.p99, cost{quantile(latencies, 0.99), used})
	return nil
}

// questions makes a mix of queries up.
func (f *filled) questions(r dice, now time.Time) ([]question, error) {
	var list []question
	add := func(text string, bare query.Query) error {
		q, err := index.Parse(text, now)
		list = append(list, question{ours: q, bare: bare})
		return err
	}
	for range queriesPerKind {
		w, v := f.askedWord(&r), f.askedWord(&r)
		first, second := f.neighbours(&r)
		agent := fmt.Sprintf("a%d@desk.example.com", r.below(agents))
		month := f.letters.sent(r.below(f.letters.total)).Format("2006-01")
		prefix := f.letters.words.words[len(f.letters.words.words)-1-r.below(rareWords)][:3]
		for _, q := range []struct {
			text string
			bare query.Query
		}{
			{w, anywhere(w)},
			{w + " " + v, bleve.NewConjunctionQuery(anywhere(w), anywhere(v))},
			{`"` + first + " " + second + `"`, bleve.NewDisjunctionQuery(phrase("body", first, second), phrase("title", first, second))},
			{"from:" + agent + " during:" + month, bleve.NewConjunctionQuery(term("from", agent), term("key", "d"+month))},
			{prefix + "*", bleve.NewDisjunctionQuery(starts("body", prefix), starts("title", prefix), starts("from", prefix), starts("to", prefix))},
		} {
			if err := add(q.text, q.bare); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// askedWord returns a word as people search for it: not one that every message has.
func (f *filled) askedWord(r *dice) string {
	const everywhere = 40
	for {
		if i := f.letters.words.rank(r); i >= everywhere {
			return f.letters.words.words[i]
		}
	}
}

// neighbours returns two words that follow each other in a message.
func (f *filled) neighbours(r *dice) (first, second string) {
	d, err := f.document(r.below(f.letters.total))
	if err != nil {
		return "and", "the"
	}
	return pair(d.Body, r)
}

// anywhere finds a word in every field, in any inflection.
func anywhere(word string) query.Query {
	stem := bleve.NewMatchQuery(word)
	stem.SetField("stem")
	return bleve.NewDisjunctionQuery(term("body", word), stem, term("title", word), term("from", word), term("to", word))
}

func term(field, text string) query.Query {
	q := bleve.NewTermQuery(text)
	q.SetField(field)
	return q
}

func phrase(field, first, second string) query.Query {
	q := bleve.NewPhraseQuery([]string{first, second}, field)
	return q
}

func starts(field, prefix string) query.Query {
	q := bleve.NewPrefixQuery(prefix)
	q.SetField(field)
	return q
}
