// Package bleveindex is the search index of a tenant on Bleve's scorch engine, with every file sealed. It is the only package that imports Bleve.
//
// What it promises:
//
//   - No word of a message is on a disk in clear, in any file, at any time. Each file has a key of its own, HKDF-SHA-256 over the share of a leaf in
//     the tenant's key state; once the leaf is punctured no copy of the file opens again. What stays visible are sizes and counts.
//   - A file that cannot be opened, and a chunk that was changed, are errors of every search that could have needed them, never a shorter answer.
//   - The position says how much of the ledger is reflected. It moves only when everything before it is durable and was found by a look-up, and
//     applying a stretch of the ledger again changes nothing. The index is disposable: made anew from the ledger it gives the same answers in the same
//     order.
//   - A deleted document is in no result from then on. After Purge its words are in no dictionary, file or open handle.
//
// The words of every message are split alike in all languages and folded (see fold); stems are kept apart from words, those of the language the
// message seems to be in. A query looks a word up as it is and by its stems in every language. So a language detected wrongly costs inflections and
// never an exact word. docs/search.md tells users, docs/format/index.md gives the bytes.
package bleveindex
