package bleveindex

import (
	"bytes"
	"testing"
)

func FuzzPack(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 200, 0, 0, 0}, 20))
	f.Add(bytes.Repeat([]byte{7}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		packed := pack(nil, b)
		if len(packed) > len(b)+1 {
			t.Fatalf("%d bytes became %d", len(b), len(packed))
		}
		if got, err := unpack(packed); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%v, %v", got, err)
		}
		_, _ = unpack(b) // whatever it is, it does not panic
	})
}
