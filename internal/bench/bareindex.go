package bench

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/custom"
	"github.com/blevesearch/bleve/v2/analysis/lang/en"
	"github.com/blevesearch/bleve/v2/analysis/token/lowercase"
	"github.com/blevesearch/bleve/v2/analysis/tokenizer/unicode"
	"github.com/blevesearch/bleve/v2/mapping"
	"github.com/blevesearch/bleve/v2/search/query"
	hooks "github.com/blevesearch/bleve_index_api"

	"escrow"
	"escrow/index"
)

// bareIndex is Bleve as anybody would set it up for the same fields and queries, with nothing encrypted.
type bareIndex struct{ engine bleve.Index }

// bareDocument has the fields of the archive's index.
type bareDocument struct {
	Body  string   `json:"body"`  // words with positions
	Stem  string   `json:"stem"`  // the same text, stems only
	Title string   `json:"title"` // words with positions
	From  []string `json:"from"`
	To    []string `json:"to"`
	Key   []string `json:"key"`  // channel, type, language, dates, subjects
	Time  string   `json:"time"` // to sort by
}

// Names of analyzers of the bare index.
const (
	wordAnalyzer = "words"
	stemAnalyzer = "stems"
)

func newBareIndex(dir string) (*bareIndex, error) {
	m, err := bareMapping()
	if err != nil {
		return nil, bareIndexError(err)
	}
	x, err := bleve.NewUsing(dir, m, bleve.Config.DefaultIndexType, bleve.Config.DefaultKVStore, map[string]any{"unsafe_batch": false})
	if err != nil {
		return nil, bareIndexError(err)
	}
	return &bareIndex{engine: x}, nil
}

func bareMapping() (mapping.IndexMapping, error) {
	m := bleve.NewIndexMapping()
	for name, filters := range map[string][]any{wordAnalyzer: {lowercase.Name}, stemAnalyzer: {lowercase.Name, en.SnowballStemmerName}} {
		err := m.AddCustomAnalyzer(name, map[string]any{"type": custom.Name, "tokenizer": unicode.Name, "token_filters": filters})
		if err != nil {
			return nil, err
		}
	}
	text := bleve.NewTextFieldMapping()
	text.Analyzer, text.Store, text.IncludeInAll, text.DocValues, text.IncludeTermVectors = wordAnalyzer, false, false, false, true
	stem := bleve.NewTextFieldMapping()
	stem.Analyzer, stem.Store, stem.IncludeInAll, stem.DocValues, stem.IncludeTermVectors = stemAnalyzer, false, false, false, false
	stem.SkipFreqNorm = true
	key := bleve.NewKeywordFieldMapping()
	key.Store, key.IncludeInAll, key.DocValues, key.IncludeTermVectors, key.SkipFreqNorm = false, false, false, false, true
	sorted := bleve.NewKeywordFieldMapping()
	sorted.Store, sorted.IncludeInAll, sorted.IncludeTermVectors = false, false, false
	d := bleve.NewDocumentStaticMapping()
	d.AddFieldMappingsAt("body", text)
	d.AddFieldMappingsAt("title", text)
	d.AddFieldMappingsAt("stem", stem)
	for _, name := range []string{"from", "to", "key"} {
		d.AddFieldMappingsAt(name, key)
	}
	d.AddFieldMappingsAt("time", sorted)
	m.DefaultMapping = d
	return m, nil
}

// bareOf turns a document into one for the bare index.
func bareOf(d index.Document) bareDocument {
	out := bareDocument{Body: d.Body, Stem: d.Body, Title: d.Title, From: barePeople(d.From), To: barePeople(d.To), Time: d.Date().Format(time.RFC3339)}
	out.Key = []string{"c" + d.Channel, "t" + d.Type, "len", "d" + d.Date().Format("2006"), "d" + d.Date().Format("2006-01"), "d" + d.Date().Format("2006-01-02"),
		"i" + d.ID, "h1"}
	for _, leaf := range d.Subjects {
		out.Key = append(out.Key, "s"+strconv.FormatUint(uint64(leaf), 10))
	}
	return out
}

// barePeople returns what people are found by: the identity, the address and its parts.
func barePeople(people []index.Person) []string {
	var terms []string
	for _, p := range people {
		value := p.ID.Value()
		local, domain, _ := strings.Cut(value, "@")
		terms = append(terms, string(p.ID), value, local, domain)
		terms = append(terms, strings.Split(domain, ".")...)
	}
	return terms
}

// apply indexes a batch durably.
func (x *bareIndex) apply(seqs []escrow.Seq, docs []bareDocument) error {
	b := x.engine.NewBatch()
	for i := range docs {
		if err := b.Index(strconv.FormatUint(uint64(seqs[i]), 10), docs[i]); err != nil {
			return bareIndexError(err)
		}
	}
	if err := x.engine.Batch(b); err != nil {
		return bareIndexError(err)
	}
	return nil
}

// search returns the number of hits of a query.
func (x *bareIndex) search(ctx context.Context, q query.Query) (uint64, error) {
	r, err := x.engine.SearchInContext(ctx, bleve.NewSearchRequestOptions(q, pageHits, 0, false))
	if err != nil {
		return 0, bareIndexError(err)
	}
	return r.Total, nil
}

func (x *bareIndex) close() error {
	if err := x.engine.Close(); err != nil {
		return bareIndexError(err)
	}
	return nil
}

func bareIndexError(err error) error {
	return escrow.Errorf("bench.BareIndex", escrow.Unavailable, "the bare index: %w", err)
}

// passHooks lets files below dir pass the hooks that seal index files, which are the process's, and returns what undoes it. No index may be open when
// either is called.
func passHooks(dir string) (undo func()) {
	writer, reader := hooks.WriterHook, hooks.ReaderHook
	bare := func(path []byte) bool { return strings.HasPrefix(string(path), dir) }
	hooks.WriterHook = func(path []byte) (string, func([]byte) []byte, error) {
		if bare(path) {
			return "", nil, nil
		}
		return writer(path)
	}
	hooks.ReaderHook = func(id string, path []byte) (func([]byte) ([]byte, error), error) {
		if bare(path) {
			return nil, nil
		}
		return reader(id, path)
	}
	return func() { hooks.WriterHook, hooks.ReaderHook = writer, reader }
}
