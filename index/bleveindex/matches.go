package bleveindex

import (
	"context"
	"errors"
	"slices"

	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/search"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
	"escrow/index"
)

// Matches returns the records of all messages a query matches, in ascending order: for exports, holds and counts, where Search would have to sort.
// Eight bytes of memory for each. A nil query matches everything. ctx alone bounds the time. Errors as for Search.
func (x *Index) Matches(ctx context.Context, q *index.Query) ([]escrow.Seq, error) {
	return x.collect(ctx, func(c *compiler) (search.Searcher, error) { return c.compile(rootOf(q)) })
}

// Present returns those of the records that are indexed, in ascending order.
func (x *Index) Present(ctx context.Context, seqs []escrow.Seq) ([]escrow.Seq, error) {
	if err := ctx.Err(); err != nil {
		return nil, searchError(ctx, err)
	}
	partitions, err := x.all()
	if err != nil || len(seqs) == 0 {
		return nil, err
	}
	var found []escrow.Seq
	for _, p := range partitions {
		some, err := p.present(seqs)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// SubjectSeqs returns the records of all indexed messages that belong to a subject, in ascending order.
func (x *Index) SubjectSeqs(ctx context.Context, leaf uint32) ([]escrow.Seq, error) {
	return x.collect(ctx, func(c *compiler) (search.Searcher, error) { return c.key(subjectTerm(leaf)) })
}

// DueSeqs returns the records of all indexed messages of a retention class that are due on the days from … to, both included, in ascending order.
func (x *Index) DueSeqs(ctx context.Context, class uint16, from, to uint32) ([]escrow.Seq, error) {
	if from > to {
		return nil, nil
	}
	end := dueTerm(index.Due{Class: class, Day: to}) + "\x00"
	return x.collect(ctx, func(c *compiler) (search.Searcher, error) {
		terms, err := c.keyRange(dueTerm(index.Due{Class: class, Day: from}), end)
		if err != nil || len(terms) == 0 {
			return c.any(nil, err)
		}
		return c.key(terms...)
	})
}

// ConversationSeqs returns the records of all indexed messages of a conversation, in ascending order. The names are compared as they are.
func (x *Index) ConversationSeqs(ctx context.Context, channel escrow.Channel, conversation string) ([]escrow.Seq, error) {
	return x.collect(ctx, func(c *compiler) (search.Searcher, error) { return c.key(threadTerm(string(channel), conversation)) })
}

// Count returns how many messages are indexed.
func (x *Index) Count(ctx context.Context) (uint64, error) {
	r, err := x.Search(ctx, index.Request{})
	return r.Total, err
}

// collect runs a searcher in every partition.
func (x *Index) collect(ctx context.Context, compile func(*compiler) (search.Searcher, error)) ([]escrow.Seq, error) {
	partitions, err := x.all()
	if err != nil {
		return nil, err
	}
	var seqs []escrow.Seq
	for _, p := range partitions {
		err := x.inPartition(ctx, p, func(_ *scorch.IndexSnapshot, c *compiler) error {
			s, err := compile(c)
			if err != nil {
				return err
			}
			return c.visit(s, func(seq escrow.Seq) error { seqs = append(seqs, seq); return nil })
		})
		if err != nil {
			return nil, searchError(ctx, err)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// checkEvery is how many hits pass between two looks at the context.
const checkEvery = 1024

// visit calls fn with the record of every hit, and closes the searcher.
func (c *compiler) visit(s search.Searcher, fn func(escrow.Seq) error) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	values, err := c.reader.DocValueReader([]string{timeField})
	if err != nil {
		return err
	}
	sc := &search.SearchContext{DocumentMatchPool: search.NewDocumentMatchPool(s.DocumentMatchPoolSize()+1, 0), IndexReader: c.reader}
	for n := 0; ; n++ {
		if n%checkEvery == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		d, err := s.Next(sc)
		if err != nil || d == nil {
			return err
		}
		if err := visitSeq(values, d.IndexInternalID, fn); err != nil {
			return err
		}
		sc.DocumentMatchPool.Put(d)
	}
}

// visitSeq learns the record of a hit from its time term, which is read for a thousand neighbours at once.
func visitSeq(values bleve.DocValueReader, id bleve.IndexInternalID, fn func(escrow.Seq) error) error {
	seen := false
	var failed error
	err := values.VisitDocValues(id, func(_ string, term []byte) {
		seq, ok := seqOfTime(term)
		if ok && !seen {
			seen, failed = true, fn(seq)
		}
	})
	if err == nil && !seen {
		err = escrow.Errorf(searchOp, escrow.Corrupt, "a document of the index has no number: rebuild the index from the ledger")
	}
	return errors.Join(err, failed)
}

// HasTerm reports whether any dictionary of the index, deleted documents included, knows a folded word in a field: "body", "stem", "title", "file",
// "tag", "meta", "from" or "to". It is how an erasure is verified.
func (x *Index) HasTerm(ctx context.Context, field, term string) (bool, error) {
	terms, err := x.Terms(ctx, field, term)
	return slices.Contains(terms, term), err
}

// Terms returns the words of a field that begin with prefix, from the dictionaries of all segments, without order or duplicates removed. It is meant
// for checks and tests.
func (x *Index) Terms(ctx context.Context, field, prefix string) ([]string, error) {
	partitions, err := x.all()
	if err != nil {
		return nil, err
	}
	var terms []string
	for _, p := range partitions {
		err := x.inPartition(ctx, p, func(s *scorch.IndexSnapshot, _ *compiler) error {
			some, err := dictionaryTerms(s, field, prefix)
			terms = append(terms, some...)
			return err
		})
		if err != nil {
			return nil, searchError(ctx, err)
		}
	}
	return terms, nil
}

func dictionaryTerms(s *scorch.IndexSnapshot, field, prefix string) (terms []string, err error) {
	dict, err := s.FieldDictPrefix(field, []byte(prefix))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dict.Close()) }()
	for {
		e, err := dict.Next()
		if err != nil || e == nil {
			return terms, err
		}
		terms = append(terms, e.Term)
	}
}

// Words returns the distinct folded words of a text in ascending order, as Terms and HasTerm know them in the fields "body", "title", "file", "tag" and
// "meta". What only one person wrote can so be looked for after an erasure. In scripts without spaces these are pairs of characters.
func Words(text string) []string {
	var list []string
	for _, w := range splitWords(nil, text) {
		if !w.single || w.lone {
			list = append(list, w.exact)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
