package bleveindex

import (
	"errors"
	"slices"

	"github.com/blevesearch/bleve/v2/search"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
	"escrow/index"
)

// expanded matches the words of the dictionary that a word with * or ~ stands for.
func (c *compiler) expanded(field string, t index.Term) (search.Searcher, error) {
	text := personTerm(t)
	if field != fromField && field != toField {
		words := c.words.words(t.Text)
		if len(words) != 1 {
			return nil, nil // cannot come from the parser
		}
		text = words[0].exact
	}
	dict, err := c.dictionary(field, text, t)
	if err != nil {
		return nil, escrow.Errorf("bleveindex.Search", escrow.Unavailable, "reading a dictionary: %w", err)
	}
	terms, err := c.collect(dict)
	if err != nil || len(terms) == 0 {
		return nil, err
	}
	if field == fromField || field == toField {
		return c.present(field, terms...)
	}
	return c.oneOf(field, fieldWeight(field), terms...)
}

func (c *compiler) dictionary(field, text string, t index.Term) (bleve.FieldDict, error) {
	if t.Form == index.Prefix {
		return c.reader.FieldDictPrefix(field, []byte(text))
	}
	fuzzy, ok := c.reader.(bleve.IndexReaderFuzzy)
	if !ok {
		return nil, errors.New("the engine has no fuzzy search")
	}
	return fuzzy.FieldDictFuzzy(field, text, t.Distance, "")
}

// collect reads a dictionary to its end and refuses one that is too long.
func (c *compiler) collect(dict bleve.FieldDict) (terms []string, err error) {
	const op = "bleveindex.Search"
	defer func() {
		if e := dict.Close(); e != nil && err == nil {
			err = escrow.Errorf(op, escrow.Unavailable, "closing a dictionary: %w", e)
		}
	}()
	for {
		e, err := dict.Next()
		if err != nil {
			return nil, escrow.Errorf(op, escrow.Unavailable, "reading a dictionary: %w", err)
		}
		if e == nil {
			return terms, nil
		}
		if len(terms) > 0 && terms[len(terms)-1] == e.Term {
			continue
		}
		if terms = append(terms, e.Term); len(terms) > maxExpansion {
			return nil, escrow.Errorf(op, escrow.Invalid, "a word with * or ~ stands for more than %d different words: write more letters", maxExpansion)
		}
	}
}

// keyRange returns the conditions from first up to but without end: years in which messages were sent, or the due days of a month, and so not many.
func (c *compiler) keyRange(first, end string) ([]string, error) {
	dict, err := c.reader.FieldDictRange(keyField, []byte(first), []byte(end))
	if err != nil {
		return nil, escrow.Errorf("bleveindex.Search", escrow.Unavailable, "reading a dictionary: %w", err)
	}
	terms, err := c.collect(dict)
	return slices.DeleteFunc(terms, func(t string) bool { return t >= end }), err
}
