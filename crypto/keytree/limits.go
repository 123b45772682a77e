package keytree

// MaxNodes bounds the nodes of one parsed tree. Erasing a third of 43 million subjects at random, the worst case, leaves about this many, 620 MB.
const MaxNodes = 1 << 24

// depth is the number of levels below the root: leaves have 32-bit numbers.
const depth = 32
