// Package keytree holds puncturable key trees: 2³² independent-looking keys from one root, any of which can be destroyed for ever while all the
// others stay derivable.
//
// A tree is a GGM tree (Goldreich, Goldwasser, Micali 1986; puncturing after Green and Miers 2015). The two children of a node are
//
//	child(k, bit) = SHA-256(k ‖ bit ‖ "escrow/ggm/v1")
//
// which is one compression of SHA-256, because 32 + 1 + 13 bytes and the padding fit one block. A leaf at depth 32 is a share. A tree stores the
// nodes that cover exactly the leaves still alive; to puncture a leaf is to replace the node above it by the siblings along the path, and to forget
// the node. What is stored then gives every other leaf and says nothing about the punctured one: a node is a one-way function away from its parent.
//
// Invariants of the stored set, which Parse enforces: nodes are in order, cover disjoint ranges, and no two of them are siblings (their parent would
// be stored instead). So one set of living leaves has one encoding only.
//
// The encoding, all numbers big-endian:
//
//	tree = count:u32 node*count
//	node = first leaf covered:u32 depth:u8 (0…32) key:32 bytes
package keytree
