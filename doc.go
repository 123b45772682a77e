// Package escrow is the vocabulary of the archive: the nouns every other package speaks in, the typed error, and the limits that bound
// everything read from outside. It imports the standard library only and does nothing by itself.
//
// The words, each for one thing:
//
//   - a Message is what people wrote, parsed, in clear; a Record is its sealed, immutable form in the ledger; a Facet is a separately sealed
//     part of a Message (the body, one participant's identity);
//   - a Subject is a data subject in the sense of the GDPR, known by a number; an Identity is one address of one ("email:ana@example.org");
//   - a Seq numbers records and, because every record is one leaf, also the leaves of the Merkle tree; a TreeSize counts leaves; an Offset
//     counts bytes in a file.
package escrow
