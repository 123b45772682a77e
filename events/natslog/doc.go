// Package natslog is the way in: it runs or reaches the NATS server, answers what platforms publish, and keeps sealed log entries in JetStream
// until the sealer has moved them into the ledger. It is the only package that imports NATS.
//
// The way of a message:
//
//	platform ── escrow.in.<tenant>.<channel> ──▶ Intake ── Gate.Admit, Gate.Seal ──▶ Log.Commit ──▶ stream ESCROW_LOG_<tenant>
//	         ◀── PubAck or JetStream API error ──                                                      │
//	                                                              sealer ◀── Log.Fetch, Ack, Purge ────┘
//
// The invariants:
//
//   - An acknowledgement means that the entry is in the stream and that the stream's file was fsynced (sync_interval always; a server that is not
//     ours must be set so by its operator). No acknowledgement means nothing: the platform tries again, and is told "duplicate" if it was stored.
//   - Nothing arrives without an answer or a count: what is refused is answered with an error, and where there is nowhere to answer, counted
//     and logged.
//   - Within a channel the stored counters are dense from 1, in order of arrival. A hole or a second use is damage, and Sequencer finds it.
//   - JetStream is a courier, not a record. Its sequence numbers can be reused after a power cut, its checksum does not cover lengths, and its
//     cleverness about duplicates is per stream and forgets. So entries carry their own digest (docs/format/log-entry.md), counters and
//     deduplication tag, and every store is guarded by the last sequence we know.
package natslog
