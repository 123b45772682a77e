package bleveindex_test

import (
	"archive/tar"
	"errors"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"escrow"
	"escrow/index"
)

// mails returns messages of a public corpus, or made-up ones where it is not at hand.
func mails(b *testing.B) []index.Document {
	dir := os.Getenv("ESCROW_CORPORA")
	if dir == "" {
		b.Log("ESCROW_CORPORA is not set: measuring made-up words")
		return synthetic(6000, 25, 1)
	}
	f, err := os.Open(filepath.Join(dir, "enron.tar.zst"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(1<<27))
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	var docs []index.Document
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			b.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			docs = append(docs, readMail(r))
		}
	}
}

// readMail is good enough for a benchmark.
func readMail(r io.Reader) index.Document {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return index.Document{}
	}
	body, _ := io.ReadAll(m.Body)
	d := index.Document{Title: m.Header.Get("Subject"), Body: string(body), ID: m.Header.Get("Message-ID"), Conversation: m.Header.Get("Subject")}
	d.Sent, _ = m.Header.Date()
	d.From, d.To = people(m.Header, "From"), people(m.Header, "To")
	d.Subjects = []uint32{1}
	return d
}

func people(h mail.Header, name string) (list []index.Person) {
	addresses, _ := h.AddressList(name)
	for _, a := range addresses {
		list = append(list, index.Person{ID: escrow.Identity("email:" + a.Address), Name: a.Name})
	}
	return list
}

// cpuTime returns the time all cores have spent on this process.
func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
