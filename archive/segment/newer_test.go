package segment_test

import (
	"encoding/hex"
	"testing"
)

// newerHeader is the header of a segment of format version 2, with the right checksum.
const newerHeader = "455343524f534547" + "00000002" + "0000000000000000000000000000000000000000000000000000000000000000" + "0000000000000000" + "92e6f02d"

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
