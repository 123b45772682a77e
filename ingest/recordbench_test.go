package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest"
)

// BenchmarkRecord seals an ordinary message between two people, and opens it again.
func BenchmarkRecord(b *testing.B) {
	v := newVault(b, nil, nil)
	adm := must(v.admit(natslog.Arrival{Data: []byte(talk("1", strings.Repeat("word ", 30), "!email:ana@example.org=Ana Díaz", "user:U77=Bo"))}))(b)
	env := must(ingest.ParseEnvelope(adm.Plain))(b)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for seq := escrow.Seq(0); b.Loop(); seq++ {
			if _, err := v.recorder.Record(seq, env, ingest.Origin{Counter: uint64(seq) + 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
	seq := v.chat("chat", fmt.Sprintf(`{"id":"2","from":{"id":"email:ana@example.org"},"body":{"text":%q}}`, strings.Repeat("word ", 30)))
	rec := v.read(seq)
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.opener.Open(rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
