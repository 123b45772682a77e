// Package bench measures each part of the archive beside its bare counterpart: the same work on the same data without what the archive adds to it.
//
//	ingest   intake in front of JetStream               against   JetStream alone, as durable
//	seal     records into the ledger                    against   compression, keys, encryption and hashes alone, and the same writes
//	index    ledger into the encrypted index            against   Bleve, nothing encrypted
//	search   queries of the encrypted index             against   the same queries of Bleve
//	verify   every frame, leaf, root and signature      against   SHA-256 over the same bytes
//	erase    a person with many messages                against   a person with few
//
// Both sides of a row run in turns on the same machine within seconds, and the best of each counts, so that a busy machine or a slow disk changes both
// and leaves their ratio. Everything is made up from a fixed seed, below one directory, and needs no network beyond the loopback.
package bench
