package bleveindex

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/searcher"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
	"escrow/index"
)

// Weights of what was found where. A stem alone says less than the word itself; a title says more than a body.
const (
	titleWeight = 2.0
	stemScore   = 0.05
)

// compiler turns a query into a searcher over one snapshot.
type compiler struct {
	ctx     context.Context
	reader  bleve.IndexReader
	words   *analyzer
	scoring bool
}

func (c *compiler) options() search.SearcherOptions {
	if c.scoring {
		return search.SearcherOptions{}
	}
	return search.SearcherOptions{Score: "none"}
}

// compile returns the searcher of a node; the caller closes it.
func (c *compiler) compile(n index.Node) (search.Searcher, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	switch n := n.(type) {
	case nil:
		return c.key(everyKey)
	case index.All:
		return c.all(n.Nodes)
	case index.Not:
		return c.all([]index.Node{n})
	case index.Any:
		list, err := c.each(n.Nodes)
		return c.any(list, err)
	case index.Period:
		return c.period(n)
	case index.Term:
		return c.term(n)
	}
	return nil, escrow.Errorf("bleveindex.Search", escrow.Internal, "an unknown node in a query")
}

// each compiles a list; on an error it closes what it had.
func (c *compiler) each(nodes []index.Node) ([]search.Searcher, error) {
	var list []search.Searcher
	for _, n := range nodes {
		s, err := c.compile(n)
		if err != nil {
			return nil, closeAll(list, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func closeAll(list []search.Searcher, err error) error {
	for _, s := range list {
		_ = s.Close() // what failed before is the error to report
	}
	return err
}

// any matches what one of the searchers does.
func (c *compiler) any(list []search.Searcher, err error) (search.Searcher, error) {
	if err != nil {
		return nil, err
	}
	switch len(list) {
	case 0:
		return searcher.NewMatchNoneSearcher(c.reader)
	case 1:
		return list[0], nil
	}
	s, err := searcher.NewDisjunctionSearcher(c.ctx, c.reader, list, 1, c.options())
	if err != nil {
		return nil, closeAll(list, err)
	}
	return s, nil
}

// all matches what every node does; without a positive node, every document is the start.
func (c *compiler) all(nodes []index.Node) (search.Searcher, error) {
	var positive, negative []index.Node
	for _, n := range nodes {
		if not, ok := n.(index.Not); ok {
			negative = append(negative, not.Node)
			continue
		}
		positive = append(positive, n)
	}
	if len(positive) == 0 {
		positive = []index.Node{nil}
	}
	must, err := c.each(positive)
	if err != nil {
		return nil, err
	}
	both, err := c.conjunction(must)
	if err != nil || len(negative) == 0 {
		return both, err
	}
	list, err := c.each(negative)
	not, err := c.any(list, err)
	if err != nil {
		return nil, closeAll([]search.Searcher{both}, err)
	}
	s, err := searcher.NewBooleanSearcher(c.ctx, c.reader, both, nil, not, c.options())
	if err != nil {
		return nil, closeAll([]search.Searcher{both, not}, err)
	}
	return s, nil
}

func (c *compiler) conjunction(list []search.Searcher) (search.Searcher, error) {
	if len(list) == 1 {
		return list[0], nil
	}
	s, err := searcher.NewConjunctionSearcher(c.ctx, c.reader, list, c.options())
	if err != nil {
		return nil, closeAll(list, err)
	}
	return s, nil
}

// oneOf matches documents with one of the terms in a field of words.
func (c *compiler) oneOf(field string, weight float64, terms ...string) (search.Searcher, error) {
	if len(terms) == 1 {
		return searcher.NewTermSearcher(c.ctx, c.reader, terms[0], field, weight, c.options())
	}
	return searcher.NewMultiTermSearcher(c.ctx, c.reader, terms, field, weight, c.options(), true)
}

// present matches documents with one of the terms in a field that keeps no frequencies; every hit scores the same.
func (c *compiler) present(field string, terms ...string) (search.Searcher, error) {
	s, err := searcher.NewMultiTermSearcher(c.ctx, c.reader, terms, field, 1, search.SearcherOptions{Score: "none"}, true)
	if err != nil || !c.scoring {
		return s, err
	}
	return constant{s}, nil
}

// constant gives every hit of a searcher the same small score.
type constant struct{ search.Searcher }

// Next returns the next hit.
func (s constant) Next(ctx *search.SearchContext) (*search.DocumentMatch, error) {
	d, err := s.Searcher.Next(ctx)
	return scored(d), err
}

// Advance returns the hit with the given id or the next one after it.
func (s constant) Advance(ctx *search.SearchContext, id bleve.IndexInternalID) (*search.DocumentMatch, error) {
	d, err := s.Searcher.Advance(ctx, id)
	return scored(d), err
}

func scored(d *search.DocumentMatch) *search.DocumentMatch {
	if d != nil {
		d.Score = stemScore
	}
	return d
}

func (c *compiler) key(terms ...string) (search.Searcher, error) {
	return c.present(keyField, terms...)
}

func (c *compiler) term(t index.Term) (search.Searcher, error) {
	switch t.Field {
	case index.FieldChannel:
		return c.key(channelKey + strings.ToLower(t.Text))
	case index.FieldType:
		return c.key(typeKey + t.Text)
	case index.FieldLang:
		return c.key(languageKey + t.Text)
	case index.FieldHas:
		return c.key(hasKey + t.Text)
	case index.FieldIn:
		return c.key(conversationTerm(t.Text))
	case index.FieldID:
		return c.id(t.Text)
	}
	var list []search.Searcher
	for _, f := range fieldsOf(t.Field) {
		s, err := c.inField(f, t)
		if err != nil {
			return nil, closeAll(list, err)
		}
		if s != nil {
			list = append(list, s)
		}
	}
	return c.any(list, nil)
}

// fieldsOf returns the engine's fields behind a field of the query.
func fieldsOf(f index.Field) []string {
	switch f {
	case index.FieldBody:
		return []string{bodyField, stemField}
	case index.FieldTitle:
		return []string{titleField}
	case index.FieldFile:
		return []string{fileField}
	case index.FieldTag:
		return []string{tagField}
	case index.FieldMeta:
		return []string{metaField}
	case index.FieldFrom:
		return []string{fromField}
	case index.FieldTo:
		return []string{toField}
	case index.FieldWith:
		return []string{fromField, toField}
	}
	return []string{bodyField, stemField, titleField, fileField, tagField, metaField, fromField, toField}
}

// inField returns the searcher of a term in one field, nil if it cannot be there.
func (c *compiler) inField(field string, t index.Term) (search.Searcher, error) {
	switch {
	case field == stemField && t.Form != index.Word:
		return c.loneCharacter(t)
	case t.Form == index.Prefix, t.Form == index.Fuzzy:
		return c.expanded(field, t)
	case field == fromField, field == toField:
		return c.person(field, t)
	}
	words := slices.DeleteFunc(slices.Clone(c.words.words(t.Text)), func(w word) bool { return w.single && !w.lone })
	switch {
	case len(words) == 0:
		return nil, nil
	case len(words) > 1:
		return c.phrase(field, words)
	case words[0].lone && field == bodyField:
		return nil, nil // single characters are kept beside the stems
	}
	return c.word(field, words[0], t.Form)
}

// loneCharacter finds a phrase of one character among the stems, where single characters are kept.
func (c *compiler) loneCharacter(t index.Term) (search.Searcher, error) {
	words := c.words.words(t.Text)
	if len(words) != 1 || !words[0].lone {
		return nil, nil
	}
	return c.present(stemField, words[0].exact)
}

func (c *compiler) word(field string, w word, form index.Form) (search.Searcher, error) {
	var stems []string
	if form == index.Word && (field == bodyField || field == stemField || field == titleField) {
		stems = c.words.queryStems(w)
	}
	switch field {
	case stemField:
		if w.lone {
			stems = append(stems, w.exact)
		}
		// A word that is the stem of other words is looked up among the stems, too: "contract" finds "contracts".
		return c.present(stemField, append(stems, w.exact)...)
	case titleField:
		return c.oneOf(field, titleWeight, append(stems, w.exact)...)
	case bodyField:
		return c.oneOf(field, 1, append(stems, w.exact)...)
	}
	return c.oneOf(field, 1, w.exact)
}

// phrase matches the words in their order, in the fields with positions.
func (c *compiler) phrase(field string, words []word) (search.Searcher, error) {
	if field == stemField {
		return nil, nil
	}
	terms := make([][]string, words[len(words)-1].pos-words[0].pos+1)
	for i := range terms {
		terms[i] = []string{""} // a place where any word may stand
	}
	for _, w := range words {
		terms[w.pos-words[0].pos] = []string{w.exact}
	}
	return searcher.NewMultiPhraseSearcher(c.ctx, c.reader, terms, 0, false, field, fieldWeight(field), c.options())
}

func fieldWeight(field string) float64 {
	if field == titleField {
		return titleWeight
	}
	return 1
}

// person matches a participant. In a script without spaces all pairs of characters must be there.
func (c *compiler) person(field string, t index.Term) (search.Searcher, error) {
	if strings.IndexFunc(t.Text, index.Spaceless) < 0 {
		terms := []string{personTerm(t)}
		for _, spelling := range umlautSpellings(strings.ToLower(t.Text)) {
			terms = append(terms, personTerm(index.Term{Form: t.Form, Text: spelling}))
		}
		return c.present(field, terms...)
	}
	var list []search.Searcher
	for _, w := range slices.Clone(c.words.words(t.Text)) {
		if w.single && !w.lone {
			continue
		}
		s, err := c.present(field, w.exact)
		if err != nil {
			return nil, closeAll(list, err)
		}
		list = append(list, s)
	}
	return c.conjunction(list)
}

// id matches the platform's id or, for a number, the record.
func (c *compiler) id(text string) (search.Searcher, error) {
	byID, err := c.key(idTerm(text))
	if err != nil {
		return nil, err
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return byID, nil
	}
	record, err := searcher.NewDocIDSearcher(c.ctx, c.reader, []string{docID(escrow.Seq(seq))}, stemScore, c.options())
	if err != nil {
		return nil, closeAll([]search.Searcher{byID}, err)
	}
	return c.any([]search.Searcher{byID, record}, nil)
}

func (c *compiler) period(p index.Period) (search.Searcher, error) {
	terms, first, end := periodTerms(p)
	if first != "" {
		years, err := c.keyRange(first, end)
		if err != nil {
			return nil, err
		}
		terms = append(terms, years...)
	}
	if len(terms) == 0 {
		return searcher.NewMatchNoneSearcher(c.reader)
	}
	return c.key(terms...)
}
