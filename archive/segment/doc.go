// Package segment is the file format of the ledger: segment files hold every record and are the only source of truth. docs/format/segment.md
// shows a file byte by byte.
//
// A segment is a header followed by frames. All integers are big-endian.
//
//	segment = header { batch }
//	header  = magic(8) version(4) origin(32) first(8) crc(4)
//	batch   = record { record } commit
//	frame   = length(4) type(1) payload(length) crc(4)
//	record  = frame of type 'R': hlen(2) header(hlen) blob
//	commit  = frame of type 'C': first(8) size(8) root(32) time(8)
//
// Each crc is CRC-32C over everything before it in its header or frame. It finds accidents quickly; what finds intent is the root in the commit
// frame, and the signature over the last root.
//
// Invariant: a batch is written with one write and synced before anything follows it, so that at most the last batch of the last segment can be
// incomplete, and only if nobody was told that it exists.
package segment
