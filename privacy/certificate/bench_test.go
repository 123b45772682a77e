package certificate_test

import (
	"testing"

	"escrow/archive"
	"escrow/events"
	"escrow/privacy/certificate"
)

// BenchmarkCertificate makes and verifies a certificate in a ledger with 5 000 events before the request.
func BenchmarkCertificate(b *testing.B) {
	book, s := newBook(b), sound()
	for range 5000 {
		book.write(archive.KindPurge, events.IndexPurged{UpTo: 1})
	}
	s.tell(book, "")
	_, raw := book.build(s.seq)
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			book.build(s.seq)
		}
		b.ReportMetric(float64(len(raw)), "bytes")
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := certificate.Verify(raw, book.signer.VKey()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
