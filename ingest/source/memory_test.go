package source_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"time"

	"escrow/events/natslog"
	"escrow/ingest/source"
)

// bigMbox is a file of many messages that exists only while it is read.
type bigMbox struct {
	messages int
	size     int // of each
	next     int
	buf      bytes.Buffer
}

func (b *bigMbox) Read(p []byte) (int, error) {
	if b.buf.Len() == 0 {
		if b.next == b.messages {
			return 0, io.EOF
		}
		b.next++
		fmt.Fprintf(&b.buf, "%sMessage-ID: <%d@example.org>\n\n", fromA, b.next)
		b.buf.WriteString(strings.Repeat("0123456789abcde\n", b.size/16))
		b.buf.WriteByte('\n')
	}
	return b.buf.Read(p)
}

// oneFile is a file system with one file.
type oneFile struct{ r io.Reader }

func (o oneFile) Open(string) (fs.File, error) { return o, nil }
func (o oneFile) Read(p []byte) (int, error)   { return o.r.Read(p) }
func (oneFile) Close() error                   { return nil }
func (o oneFile) Stat() (fs.FileInfo, error)   { return o, nil }
func (oneFile) Name() string                   { return "big" }
func (oneFile) Size() int64                    { return 0 }
func (oneFile) Mode() fs.FileMode              { return fs.ModeNamedPipe }
func (oneFile) ModTime() time.Time             { return time.Time{} }
func (oneFile) IsDir() bool                    { return false }
func (oneFile) Sys() any                       { return nil }

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryIsFlat imports far more than may be held in memory.
func TestMemoryIsFlat(t *testing.T) {
	const messages, size = 10_000, 8_000
	before, most := heap(), uint64(0)
	fsys := oneFile{&bigMbox{messages: messages, size: size}}
	w, err := source.OpenFS(t.Context(), fsys, []string{"big"}, source.Options{})
	try(t, err)
	watch := watcher(func(r *source.Report) {
		if r.Read%1000 == 999 {
			most = max(most, heap())
		}
	})
	r, err := source.Run(t.Context(), w.All(t.Context()), discard{}, source.Config{Progress: watch})
	try(t, err)
	if r.New != messages {
		t.Errorf("got %+v", r)
	}
	const allowed = 40 << 20 // 16 MiB to find the variant, and what grows and shrinks around it
	if most > before+allowed {
		t.Errorf("%d MiB in use, %d MiB before", most>>20, before>>20)
	}
}

func TestLargeMessage(t *testing.T) {
	const size = 50 << 20
	fsys := oneFile{&bigMbox{messages: 1, size: size}}
	n := 0
	for _, it := range walkFS(t, fsys, "mbox", "big") {
		if it.Err != nil || len(it.Data) < size || len(it.Data) > size+100 {
			t.Errorf("%s: %d bytes, %v", it.Place(), len(it.Data), it.Err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d messages", n)
	}
}

// discard takes everything and keeps nothing.
type discard struct{}

func (discard) PublishAsync(_ context.Context, _ natslog.PublishMsg, done func(natslog.Ack, error)) error {
	done(natslog.Ack{}, nil)
	return nil
}
