package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"

	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// treeKeys derives shares from real key trees, one for each kind.
type treeKeys map[keytree.Kind]*keytree.Tree

func (k treeKeys) Share(r keytree.Ref) (keytree.Share, error) { return k[r.Kind].Share(r.Leaf) }

func newTreeKeys() treeKeys {
	k := treeKeys{}
	for _, kind := range []keytree.Kind{keytree.KindSubject, keytree.KindRetention, keytree.KindMessage, keytree.KindHold} {
		k[kind] = keytree.New(share(kind, 0))
	}
	return k
}

// prose returns n bytes that compress as chat does.
func prose(n int) []byte {
	var b bytes.Buffer
	words := []string{"settlement", "please", "the", "confirm", "order", "by", "Friday", "and", "send", "notional", "of", "to", "desk", "we", "agreed", "call"}
	x := uint32(7)
	for b.Len() < n {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, "%s ", words[x>>28])
		if x>>24&15 == 0 {
			fmt.Fprintf(&b, "%d ", x)
		}
	}
	return b.Bytes()[:n]
}

// conversation returns a record of a body and two identities, as most are, between two of 100 000 people.
func conversation(plain []byte, n uint32) (seal.Context, []seal.Facet) {
	ctx := testContext()
	ctx.Seq = ctx.Seq + 1
	r := keytree.Ref{Kind: keytree.KindRetention, Tree: 1, Leaf: 22_000}
	m := keytree.Ref{Kind: keytree.KindMessage, Leaf: n}
	customer := keytree.Ref{Kind: keytree.KindSubject, Leaf: n * 2654435761 % 100_000}
	agent := keytree.Ref{Kind: keytree.KindSubject, Leaf: n * 40503 % 100_000}
	return ctx, []seal.Facet{
		{Kind: seal.FacetBody, ContentType: "application/json", Plain: plain, Slots: [][]keytree.Ref{{customer, r, m}}},
		{Kind: seal.FacetIdentity, Index: 0, Plain: []byte(`Ana Souza <ana.souza@example.org>`), Slots: [][]keytree.Ref{{customer, r, m}}},
		{Kind: seal.FacetIdentity, Index: 1, Plain: []byte(`Bernd Meier <b.meier@bank.example>`), Slots: [][]keytree.Ref{{agent, r, m}}},
	}
}

func BenchmarkSeal(b *testing.B) {
	z := newSealer(b)
	keys := newTreeKeys()
	for _, size := range []int{300, 2000, 1 << 20} {
		plain := prose(size)
		b.Run(fmt.Sprintf("%dB+2", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var n uint32
			var blob []byte
			for b.Loop() {
				n++
				ctx, facets := conversation(plain, n)
				var err error
				if blob, err = z.Seal(keys, ctx, facets); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(blob)), "bytes/blob")
		})
		b.Run(fmt.Sprintf("%dB+2/bare", size), func(b *testing.B) { benchBare(b, plain) })
	}
}

// benchBare does with the same bytes what cannot be avoided: compress once, encrypt with AES-256-GCM under one cached key, hash.
func benchBare(b *testing.B, plain []byte) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		b.Fatal(err)
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(plain)))
	var packed, sealed []byte
	for b.Loop() {
		packed = enc.EncodeAll(plain, packed[:0])
		packed = append(packed, `Ana Souza <ana.souza@example.org>Bernd Meier <b.meier@bank.example>`...)
		sealed = gcm.Seal(sealed[:0], nil, packed, nil)
		sha256.Sum256(sealed)
	}
}

func BenchmarkOpen(b *testing.B) {
	z := newSealer(b)
	keys := newTreeKeys()
	for _, size := range []int{300, 1 << 20} {
		ctx, facets := conversation(prose(size), 77)
		blob, err := z.Seal(keys, ctx, facets)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%dB+2", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				sealed, err := z.Parse(blob)
				if err != nil {
					b.Fatal(err)
				}
				for i := range facets {
					if _, err := sealed.Open(keys, i); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("%dB+2/hold-slot", size), func(b *testing.B) {
			sealed, err := z.Parse(blob)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := sealed.NewSlot(keys, 0, []keytree.Ref{{Kind: keytree.KindHold, Leaf: 1}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealOne(b *testing.B) {
	z := newSealer(b)
	plain := prose(300)
	for b.Loop() {
		if _, err := z.SealOne(share('I', 1), "escrow/log/v1", nil, plain); err != nil {
			b.Fatal(err)
		}
	}
}
