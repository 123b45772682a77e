package mutants_test

// mutants is the table. The numbers are those of docs/traps.md.
var mutants = []mutant{
	{
		trap: "1 changed ciphertext is served",
		file: "crypto/committing/committing.go",
		old:  "plain, err := aead.Decrypt(sealed, aad)\n\tif err != nil {",
		new:  "plain, err := aead.Decrypt(sealed, aad)\n\tif err != nil {\n\t\treturn sealed, nil\n\t}\n\tif err != nil {",
		test: "./crypto/committing TestOpenRefusesEveryDifference",
	},
	{
		trap: "3 facets swapped between messages",
		file: "crypto/seal/facet.go",
		old:  "b = append(append(append(b, label...), context...), facet...)",
		new:  "b = append(append(b, label...), facet...)",
		test: "./crypto/seal TestTransplantsAreForged",
	},
	{
		trap: "4 a ledger cut off behind its checkpoint opens",
		file: "archive/open.go",
		old:  "if cp.Size > t.size {",
		new:  "if false {",
		test: "./archive TestRollBackIsRefused",
	},
	{
		trap: "5 one ciphertext opens under two keys",
		file: "crypto/committing/committing.go",
		old:  "if subtle.ConstantTimeCompare(keys[32:], com[:]) != 1 {",
		new:  "if subtle.ConstantTimeCompare(keys[32:], com[:]) == 2 {",
		test: "./crypto/committing TestOneCiphertextOfTwoKeysIsRefused",
	},
	{
		trap: "6 exact lengths show",
		file: "crypto/seal/pad.go",
		old:  "return (n + mask) &^ mask",
		new:  "return n + mask - mask",
		test: "./crypto/seal TestLengthClasses",
	},
	{
		trap: "7 words reach the index files in clear",
		file: "index/bleveindex/seal.go",
		old:  "return s.aead.Seal(nonce, nonce, s.packed, nil)[nonceSize-counterSize:]",
		new:  "return append(s.aead.Seal(nonce, nonce, s.packed, nil), plain...)[nonceSize-counterSize:]",
		test: "./index/bleveindex TestNoPlaintextInFiles",
	},
	{
		trap: "16 an erased id is taken again",
		file: "ingest/gate.go",
		old:  "return escrow.Errorf(\"ingest.Admit\", escrow.Erased, \"this id was archived and has been erased since; it is not taken again\")",
		new:  "return nil",
		test: "./ingest TestGateErasedMessage",
	},
}
