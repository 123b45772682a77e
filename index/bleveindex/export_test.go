package bleveindex

import (
	bleve "github.com/blevesearch/bleve_index_api"
)

// WithoutSealing makes the engine write and read in clear, as bare Bleve does, until the returned function is called. No index may be open at either
// moment. It exists for comparisons only.
func WithoutSealing() (restore func()) {
	process.install()
	bleve.WriterHook, bleve.ReaderHook = nil, nil
	return func() { bleve.WriterHook, bleve.ReaderHook = process.writer, process.reader }
}
