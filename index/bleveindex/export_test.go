package bleveindex

import (
	"encoding/binary"

	bleve "github.com/blevesearch/bleve_index_api"
)

// WithoutSealing makes the engine write and read in clear, as bare Bleve does, until the returned function is called. No index may be open at either
// moment. It exists for comparisons only.
func WithoutSealing() (restore func()) {
	process.install()
	bleve.WriterHook, bleve.ReaderHook = nil, nil
	return func() { bleve.WriterHook, bleve.ReaderHook = process.writer, process.reader }
}

// SealExample returns the file id of leaf 7 with a salt of a0, a1 … af in the index 00112233445566ff, and two chunks sealed under a share of 32 times 05.
func SealExample(first, second []byte) (id string, chunks [][]byte, err error) {
	f := fileID{index: "00112233445566ff", leaf: 7}
	for i := range f.salt {
		f.salt[i] = 0xa0 + byte(i)
	}
	share := [32]byte{}
	for i := range share {
		share[i] = 5
	}
	aead, err := newAEAD(share, f.salt[:])
	if err != nil {
		return "", nil, err
	}
	s := &sealer{id: f, aead: aead}
	return f.String(), [][]byte{s.seal(first), s.seal(second)}, nil
}

// SortValues returns the values by which documents are sorted, of all segments, deleted documents included.
func (x *Index) SortValues() (values []string, err error) {
	partitions, err := x.all()
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		s, err := p.snapshot()
		if err != nil {
			return nil, err
		}
		reader, err := s.DocValueReader([]string{timeField})
		if err != nil {
			return nil, err
		}
		count := 0
		for _, seg := range s.Segments() {
			count += int(seg.FullSize())
		}
		for n := range count { // the engine numbers documents over all segments
			id := binary.BigEndian.AppendUint64(nil, uint64(n))
			if err := reader.VisitDocValues(id, func(_ string, term []byte) { values = append(values, string(term)) }); err != nil {
				return nil, err
			}
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Remembers reports whether an idle analyser remembers a word.
func (x *Index) Remembers(text string) (found bool) {
	for range 16 {
		a, giveBack := x.analyzer()
		defer giveBack()
		for _, w := range a.list[:cap(a.list)] {
			found = found || w.exact == text
		}
		for _, stems := range a.stems {
			_, known := stems[text]
			found = found || known
		}
	}
	return found
}
