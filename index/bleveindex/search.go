package bleveindex

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/collector"
	"github.com/blevesearch/bleve/v2/search/searcher"

	"escrow"
	"escrow/index"
)

const searchOp = "bleveindex.Search"

// Search answers a request. Equal indexes give equal answers: among hits of the same score the newest comes first, and of those the later record.
// Errors: Invalid for a page or query beyond its limits; Unavailable when the search takes longer than Config.Timeout or ctx ends, never a shorter
// list; Forged or Erased when a file of the index cannot be read.
func (x *Index) Search(ctx context.Context, r index.Request) (index.Result, error) {
	if err := r.Check(); err != nil {
		return index.Result{}, err
	}
	start := x.now()
	result := index.Result{Excluded: len(r.Exclude) > 0 || r.Hidden != nil}
	err := x.withSlot(ctx, func(ctx context.Context) error {
		hits, err := x.everywhere(ctx, r, &result)
		result.Hits = page(hits, r)
		return err
	})
	if err != nil {
		return index.Result{}, err
	}
	result.Took = x.now().Sub(start)
	return result, nil
}

func (x *Index) now() time.Time {
	if x.cfg.Now == nil {
		return time.Time{}
	}
	return x.cfg.Now()
}

// withSlot runs a search when one of the few places is free, and not longer than allowed.
func (x *Index) withSlot(ctx context.Context, run func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Timeout)
	defer cancel()
	if err := x.slots.Acquire(ctx, 1); err != nil {
		return searchError(ctx, err)
	}
	defer x.slots.Release(1)
	return searchError(ctx, run(ctx))
}

// searchError gives an error of the engine its kind.
func searchError(ctx context.Context, err error) error {
	switch {
	case err == nil && ctx.Err() == nil:
		return nil
	case ctx.Err() != nil:
		return escrow.Errorf(searchOp, escrow.Unavailable, "the search was stopped before it was complete; narrow the query: %w", ctx.Err())
	}
	if _, ok := errors.AsType[*escrow.Error](err); ok {
		return err
	}
	return escrow.Errorf(searchOp, escrow.Unavailable, "searching: %w", err)
}

// found is a hit with what it is sorted by.
type found struct {
	index.Hit
	key string // term of the time field
}

// everywhere searches all partitions and adds up what they find.
func (x *Index) everywhere(ctx context.Context, r index.Request, result *index.Result) ([]found, error) {
	partitions, position, err := x.view()
	if err != nil {
		return nil, err
	}
	result.Position = position // before the snapshots: they may reflect more, not less
	var hits []found
	for _, p := range partitions {
		err := x.inPartition(ctx, p, func(s *scorch.IndexSnapshot, c *compiler) error {
			some, total, err := c.top(r)
			if err != nil {
				return err
			}
			partial, err := c.markPartial(some)
			hits, result.Total, result.Partial = append(hits, some...), result.Total+total, result.Partial+partial
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return hits, nil
}

// inPartition calls fn with a snapshot. A file that could not be read is an error even where the engine went on
// without it.
func (x *Index) inPartition(ctx context.Context, p *partition, fn func(*scorch.IndexSnapshot, *compiler) error) (err error) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	defer p.searches.enter()()
	s, err := p.snapshot()
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Close(); e != nil && err == nil {
			err = escrow.Errorf(searchOp, escrow.Unavailable, "closing a snapshot: %w", e)
		}
	}()
	a, giveBack := x.analyzer()
	defer giveBack()
	err = fn(s, &compiler{ctx: ctx, reader: s, words: a})
	if damage := p.damaged(); damage != nil {
		return damage
	}
	return err
}

// page sorts the best hits of all partitions and cuts the page out.
func page(hits []found, r index.Request) []index.Hit {
	slices.SortFunc(hits, func(a, b found) int {
		if r.Newest {
			return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(b.Seq, a.Seq))
		}
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Seq, a.Seq))
	})
	hits = hits[min(r.Offset, len(hits)):]
	hits = hits[:min(r.Limit, len(hits))]
	list := make([]index.Hit, len(hits))
	for i, h := range hits {
		list[i] = h.Hit
		if r.Newest {
			list[i].Score = 0
		}
	}
	return list
}

// top returns the best Offset+Limit hits of the partition and the number of all. Of equal ones the one archived later comes first.
func (c *compiler) top(r index.Request) ([]found, uint64, error) {
	size := r.Offset + r.Limit
	bySeq := &search.SortDocID{Desc: true}
	if r.Newest {
		// The term ends with the number of the record, so no two are equal, and the numbers themselves, which are slow to get, are not needed.
		byTime := &search.SortField{Field: timeField, Desc: true, Type: search.SortFieldAsString}
		hits, total, err := c.run(r, max(size, 1), search.SortOrder{byTime})
		if err != nil {
			return nil, 0, err
		}
		return hits, total, c.addKeys(hits)
	}
	if size == 0 {
		return c.run(r, 1, search.SortOrder{&search.SortScore{Desc: true}})
	}
	c.scoring = true
	// One hit more than wanted shows whether the last place is shared. Only then is the number of every hit looked up, which takes longer than
	// finding it.
	hits, total, err := c.run(r, size+1, search.SortOrder{&search.SortScore{Desc: true}})
	if err != nil || len(hits) <= size {
		return hits, total, err
	}
	if hits[size].Score != hits[size-1].Score {
		return hits[:size], total, nil
	}
	return c.run(r, size, search.SortOrder{&search.SortScore{Desc: true}, bySeq})
}

func (c *compiler) run(r index.Request, size int, order search.SortOrder) (hits []found, total uint64, err error) {
	s, err := c.compile(rootOf(r.Query))
	if err == nil {
		s, err = c.without(s, r)
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	top := collector.NewTopNCollector(size, 0, order)
	if err := top.Collect(c.ctx, s, c.reader); err != nil {
		return nil, 0, err
	}
	for _, d := range top.Results() {
		seq, ok := parseDocID(d.ID)
		if !ok {
			return nil, 0, escrow.Errorf(searchOp, escrow.Corrupt, "a document of the index has no number: rebuild the index from the ledger")
		}
		hits = append(hits, found{Hit: index.Hit{Seq: seq, Score: d.Score}})
	}
	return hits, top.Total(), nil
}

func rootOf(q *index.Query) index.Node {
	if q == nil {
		return nil
	}
	return q.Root
}

// addKeys looks up the dates by which the newest hits of several partitions are put in order.
func (c *compiler) addKeys(hits []found) error {
	values, err := c.reader.DocValueReader([]string{timeField})
	if err != nil {
		return err
	}
	for i := range hits {
		id, err := c.reader.InternalID(docID(hits[i].Seq))
		if err != nil {
			return err
		}
		err = values.VisitDocValues(id, func(_ string, term []byte) { hits[i].key = string(term) })
		if err != nil {
			return err
		}
	}
	return nil
}

// markPartial marks the hits that were not fully indexed and returns how many documents of the partition were not.
func (c *compiler) markPartial(hits []found) (uint64, error) {
	r, err := c.reader.TermFieldReader(c.ctx, []byte(hasKey+index.HasPartial), keyField, false, false, false)
	if err != nil {
		return 0, err
	}
	n := r.Count()
	if err := r.Close(); err != nil || n == 0 || len(hits) == 0 {
		return n, err
	}
	partial, err := c.partialAmong(hits)
	for i := range hits {
		hits[i].Partial = partial[hits[i].Seq]
	}
	return n, err
}

func (c *compiler) partialAmong(hits []found) (map[escrow.Seq]bool, error) {
	ids := make([]string, len(hits))
	for i, h := range hits {
		ids[i] = docID(h.Seq)
	}
	these, err := searcher.NewDocIDSearcher(c.ctx, c.reader, ids, 1, search.SearcherOptions{Score: "none"})
	if err != nil {
		return nil, err
	}
	partial, err := c.key(hasKey + index.HasPartial)
	if err != nil {
		return nil, closeAll([]search.Searcher{these}, err)
	}
	both, err := c.conjunction([]search.Searcher{these, partial})
	if err != nil {
		return nil, err
	}
	found := map[escrow.Seq]bool{}
	err = c.visit(both, func(seq escrow.Seq) error { found[seq] = true; return nil })
	return found, err
}
