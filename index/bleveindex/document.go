package bleveindex

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/blevesearch/bleve/v2/document"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
	"escrow/index"
)

// Names of the fields as the index keeps them. Fields of words have positions, so that phrases can be found in them; the others do not.
const (
	bodyField  = "body"  // words of body and transcripts
	stemField  = "stem"  // stems of those words where they differ, and single characters of scripts without spaces
	titleField = "title" // words of the title and their stems
	fileField  = "file"
	tagField   = "tag"
	metaField  = "meta"
	fromField  = "from" // see personTerms
	toField    = "to"
	keyField   = "key"  // conditions: see keys.go of the format, docs/format/index.md
	timeField  = "time" // date and number, to sort by and to learn the number of a hit
)

// valueGap separates the words of two values of a field, so that no phrase reaches from one to the other.
const valueGap = 8

// docID returns the engine's name of a document.
func docID(seq escrow.Seq) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(seq))
	return string(b[:])
}

func parseDocID(id string) (escrow.Seq, bool) {
	if len(id) != 8 {
		return 0, false
	}
	return escrow.Seq(binary.BigEndian.Uint64([]byte(id))), true
}

// field is a field with its words, ready for the engine.
type field struct {
	name      string
	options   bleve.FieldIndexingOptions
	length    int
	terms     bleve.TokenFrequencies
	locations []bleve.TokenLocation // room for the next ones
	bytes     uint64
}

const (
	withPositions = bleve.IndexField | bleve.IncludeTermVectors
	withoutFreq   = bleve.IndexField | bleve.SkipFreqNorm
	sortable      = bleve.IndexField | bleve.DocValues
)

func newField(name string, options bleve.FieldIndexingOptions, size int) *field {
	return &field{name: name, options: options, terms: make(bleve.TokenFrequencies, size)}
}

// addAt adds a word with its position and counts it.
func (f *field) addAt(term string, pos int) {
	tf := f.term(term)
	tf.SetFrequency(tf.Frequency() + 1)
	if len(f.locations) == 0 {
		f.locations = make([]bleve.TokenLocation, min(max(len(f.terms), 4), 256))
	}
	l := &f.locations[0]
	f.locations = f.locations[1:]
	l.Position = pos
	tf.Locations = append(tf.Locations, l)
	f.length++
}

// add adds a word of which only the presence counts.
func (f *field) add(term string) { f.term(term) }

// addRare adds a word few documents share; with a frequency the engine can keep it in the dictionary alone.
func (f *field) addRare(term string) { f.term(term).SetFrequency(1) }

func (f *field) term(term string) *bleve.TokenFreq {
	tf := f.terms[term]
	if tf == nil {
		tf = &bleve.TokenFreq{Term: []byte(term)}
		f.terms[term] = tf
		f.bytes += uint64(len(term))
	}
	return tf
}

// The engine's interface. Everything was analysed before the document was handed over.

func (f *field) Name() string                                     { return f.name }
func (f *field) Value() []byte                                    { return nil }
func (f *field) ArrayPositions() []uint64                         { return nil }
func (f *field) EncodedFieldType() byte                           { return 't' }
func (f *field) Analyze()                                         {}
func (f *field) Options() bleve.FieldIndexingOptions              { return f.options }
func (f *field) AnalyzedLength() int                              { return max(f.length, 1) }
func (f *field) AnalyzedTokenFrequencies() bleve.TokenFrequencies { return f.terms }
func (f *field) NumPlainTextBytes() uint64                        { return f.bytes }
func (f *field) Size() int                                        { return int(f.bytes) + 64*len(f.terms) }

// buildDocument analyses a document.
func (a *analyzer) buildDocument(d index.Document) bleve.Document {
	lang := detect(languageSample(d))
	doc := document.NewDocument(docID(d.Seq))
	for _, f := range []*field{a.titleField(d.Title, lang), a.plainField(fileField, d.Files), a.plainField(tagField, d.Tags),
		a.plainField(metaField, metaValues(d.Metadata)), peopleField(fromField, d.From), peopleField(toField, d.To), keysOf(d, lang), timeOf(d)} {
		if len(f.terms) > 0 {
			doc.AddField(f)
		}
	}
	body, stems := a.bodyFields(d, lang)
	if len(body.terms) > 0 || len(stems.terms) > 0 {
		doc.AddField(body)
		doc.AddField(stems)
	}
	return doc
}

// languageSample returns the text the language is told by.
func languageSample(d index.Document) string {
	if len(d.Body) >= sampleBytes/4 {
		return d.Body
	}
	return strings.Join(append([]string{d.Body, d.Title}, d.Transcripts...), " ")
}

func (a *analyzer) bodyFields(d index.Document, lang string) (body, stems *field) {
	body, stems = newField(bodyField, withPositions, len(d.Body)/10), newField(stemField, withoutFreq, len(d.Body)/40)
	offset := 0
	for _, text := range append([]string{d.Body}, d.Transcripts...) {
		last := 0
		for _, w := range a.words(text) {
			last = w.pos
			if w.single {
				stems.add(w.exact)
			}
			if w.single && !w.lone {
				continue
			}
			body.addAt(w.exact, offset+w.pos)
			for _, s := range a.docStems(w, lang) {
				stems.add(s)
			}
		}
		offset += last + valueGap
	}
	return body, stems
}

func (a *analyzer) titleField(title, lang string) *field {
	f := newField(titleField, withPositions, len(title)/5)
	for _, w := range a.words(title) {
		f.addAt(w.exact, w.pos)
		for _, s := range a.docStems(w, lang) {
			f.addAt(s, w.pos)
		}
	}
	return f
}

// plainField holds values that are names more than language: their words as they are.
func (a *analyzer) plainField(name string, values []string) *field {
	f := newField(name, withPositions, 4*len(values))
	offset := 0
	for _, value := range values {
		last := 0
		for _, w := range a.words(value) {
			f.addAt(w.exact, offset+w.pos)
			last = w.pos
		}
		offset += last + valueGap
	}
	return f
}

// metaValues returns each entry as "key value", in a fixed order, so that a rebuilt index is the same.
func metaValues(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for k, v := range m {
		list = append(list, k+" "+v)
	}
	slices.Sort(list)
	return list
}
