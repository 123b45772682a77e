package seal_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"escrow/crypto/seal"
)

func fields(n int) []seal.Field {
	out := make([]seal.Field, n)
	for i := range out {
		out[i] = seal.Field{Secret: [32]byte{9}, Index: uint32(i), Name: fmt.Sprint("name", i), Value: []byte(fmt.Sprint("value", i))}
	}
	return out
}

// TestContentRootIsAnRFC6962Tree compares with the tree hash of the tlog package, for every number of fields a message may plausibly have.
func TestContentRootIsAnRFC6962Tree(t *testing.T) {
	if seal.ContentRoot(nil) != sha256.Sum256(nil) {
		t.Error("the root of no fields is not the hash of nothing")
	}
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	all := fields(40)
	for i := range all {
		hashes, err := tlog.StoredHashes(int64(i), all[i].AppendRecord(nil), read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		want, err := tlog.TreeHash(int64(i+1), read)
		if err != nil {
			t.Fatal(err)
		}
		if got := seal.ContentRoot(all[:i+1]); got != want {
			t.Errorf("root of %d fields is %x, want %x", i+1, got, want)
		}
	}
}

func TestFieldRecord(t *testing.T) {
	f := seal.Field{Secret: [32]byte{1}, Index: 12, Name: "title", Value: []byte("Hi")}
	salt := f.Salt()
	// printf 'escrow/field-salt/v1\n12\n' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0100…00
	const golden = "082f693e2657be86c0ca83910f5ed01c476d7dac1fe621e0d2ff0f5efc91d58b"
	if got := fmt.Sprintf("%x", salt); got != golden {
		t.Errorf("salt is %s, want %s", got, golden)
	}
	want := append(append(salt[:], 0, 5), "titleHi"...)
	if got := f.AppendRecord([]byte("x")); !bytes.Equal(got, append([]byte("x"), want...)) {
		t.Errorf("record is %x", got)
	}
	other := f
	other.Secret[0]++
	if f.Hash() == other.Hash() || f.Hash() != tlog.RecordHash(want) {
		t.Error("the hash is not that of the record, or does not depend on the secret")
	}
}
