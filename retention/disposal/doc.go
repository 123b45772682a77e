// Package disposal is the one pipeline that destroys. Nothing else in the module punctures a key tree or destroys a root.
//
// A request of a person, of a conversation, of a single message or of the whole tenant runs through these steps, each an event in the ledger, each
// durable before the next begins:
//
//	requested   ErasureRequested     an officer asks; the record is the number of the request
//	approved    ErasureApproved      another officer agrees
//	restricted  ErasureRestricted    in one append with the approval: nobody is shown it any more
//	            …                    cooling-off; ErasureWithdrawn ends the request here
//	held        HoldSlotsAdded*      facets of held messages that the order would kill get a slot under the hold
//	ordered     ErasureExecuted      the order: what is named here dies
//	punctured   EpochCommitted       the directory has forgotten, the key state cannot derive the shares and is sealed under a fresh root, read back
//	purged      IndexPurged          the search index holds no document and no file with a word of what died; keys of replaced files are destroyed;
//	                                 the ledger, read again, holds no facet that should be dead and is not
//	destroyed   RootsDestroyed       no earlier copy of the key state opens again
//	certified   ErasureCertified     a certificate can be made of the records before this one
//
// Retention days that are over, days of the log, and holds that were released are orders without a request: they run from "held" on.
//
// Invariants:
//
//   - nothing is destroyed before its order is durable, and what is ordered is carried out: Gate completes the destruction of keys before anything is
//     answered, Advance and Complete the rest. What is half done is an error that names the step, never a success;
//   - a message under a hold that is in force stays readable, whatever is ordered: there is no other way to order;
//   - what is restricted is restricted in memory before Record returns;
//   - an order depends on nothing but the ledger, so it can be repeated on any older copy of the keys.
package disposal
