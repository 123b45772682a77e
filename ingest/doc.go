// Package ingest turns what platforms publish into Messages, and Messages into sealed records.
//
// Reading. Parse takes the three forms of the publishing contract (docs/publishing.md): the contract's JSON, CloudEvents around it, and raw mail. JSON is
// read strictly: what is wrong is refused with field, problem and remedy, so that nothing is ever silently dropped. Mail is read tolerantly and never
// refused: what is not understood becomes a defect, the words around it stay findable, and the original bytes are the record in any case.
//
// The mail reader is the project's own, because it must do three things at once that no library does: take one pass over hostile input with a bound on
// everything, whatever the nesting; keep the position of every address in the original bytes; and give the same view of the same bytes on every
// machine. enmime, the most tolerant of the libraries, is quadratic in nesting and has no bound on headers and parts; the tests compare with it.
//
// Splitting. The original bytes are what is archived, but they belong to several people. Split finds the places that identify a participant: entries of
// address fields, and every other occurrence of the address or the name in the header of a mail; identities and names in a JSON text. Cutout takes
// these cuts out, so that each person's pieces can be sealed under that person's key, and Restore puts them back, exactly, or a placeholder for those who
// were erased:
//
//	template, pieces := Cutout(raw, cuts)
//	raw == Restore(template, cuts, pieces, placeholder) // while everyone's pieces are there
//
// Sealing and opening. Gate, Recorder, Sealer, Opener and Indexer carry a publish from the intake to the ledger and the index.
package ingest
