package bleveindex

import (
	"github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/searcher"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
	"escrow/index"
)

// without leaves out of a searcher's hits what a request excludes, and closes the searcher if it fails.
func (c *compiler) without(s search.Searcher, r index.Request) (search.Searcher, error) {
	if len(r.Exclude) > 0 {
		terms := make([]string, len(r.Exclude))
		for i, leaf := range r.Exclude {
			terms[i] = subjectTerm(leaf)
		}
		people, err := c.key(terms...)
		if err != nil {
			return nil, closeAll([]search.Searcher{s}, err)
		}
		rest, err := searcher.NewBooleanSearcher(c.ctx, c.reader, s, nil, people, c.options())
		if err != nil {
			return nil, closeAll([]search.Searcher{s, people}, err)
		}
		s = rest
	}
	if r.Hidden == nil {
		return s, nil
	}
	values, err := c.reader.DocValueReader([]string{timeField})
	if err != nil {
		return nil, closeAll([]search.Searcher{s}, err)
	}
	return &visible{Searcher: s, values: values, hidden: r.Hidden}, nil
}

// visible are the hits of a searcher that are not hidden.
type visible struct {
	search.Searcher
	values bleve.DocValueReader
	hidden func(escrow.Seq) bool
}

// Next returns the next hit.
func (s *visible) Next(ctx *search.SearchContext) (*search.DocumentMatch, error) {
	d, err := s.Searcher.Next(ctx)
	return s.onward(ctx, d, err)
}

// Advance returns the hit with the given id or the next one after it.
func (s *visible) Advance(ctx *search.SearchContext, id bleve.IndexInternalID) (*search.DocumentMatch, error) {
	d, err := s.Searcher.Advance(ctx, id)
	return s.onward(ctx, d, err)
}

// onward returns the hit, or where it is hidden the next one that is not.
func (s *visible) onward(ctx *search.SearchContext, d *search.DocumentMatch, err error) (*search.DocumentMatch, error) {
	for err == nil && d != nil {
		skip := false
		if err = visitSeq(s.values, d.IndexInternalID, func(seq escrow.Seq) error { skip = s.hidden(seq); return nil }); err != nil || !skip {
			break
		}
		ctx.DocumentMatchPool.Put(d)
		d, err = s.Searcher.Next(ctx)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}
