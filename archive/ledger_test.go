package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/archive"
	"escrow/crypto/sign"
	"escrow/internal/vfs"
)

const origin = "example.org/escrow/acme"

// signer returns the same signer in every test.
func signer(t testing.TB) *sign.Signer {
	t.Helper()
	keyset, err := sign.NewKeyset(bytes.NewReader(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewSigner(origin, keyset)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start is the time at which every test begins; clock advances by a second a call.
func start() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

func clock() func() time.Time {
	now := start()
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func config(t testing.TB) archive.Config {
	s := signer(t)
	return archive.Config{Signer: s, Verifier: s.Verifier(), Now: clock(), SegmentBytes: 4096}
}

func open(t testing.TB, fsys vfs.FS, cfg archive.Config) *archive.Ledger {
	t.Helper()
	l, err := archive.Open(t.Context(), fsys, "ledger", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLedger(t testing.TB, l *archive.Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// message returns the entry of the n-th message of a test, counted from 0: three channels take turns, and sizes vary.
func message(n int) archive.Entry {
	h := func(s string) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "%s %d", s, n)) }
	var source, channel [16]byte
	source[0], channel[0] = 1, byte(n%3+1)
	once := h("once")
	rng := rand.New(rand.NewPCG(uint64(n), 0))
	blob := make([]byte, 20+rng.IntN(400))
	for i := range blob {
		blob[i] = byte(rng.Uint32())
	}
	return archive.Entry{Blob: blob, Header: archive.Header{
		Kind: archive.KindMessage, Source: archive.Source{Tag: source, Seq: uint64(n + 1)}, Entry: h("entry"),
		Stream: archive.Stream{Tag: channel, Counter: uint64(n/3 + 1)}, Once: [16]byte(once[:16]),
		Content: archive.Content{Root: h("content"), Fields: 3}, KRef: h("kref"), Class: "R7"}}
}

func messages(from, n int) []archive.Entry {
	var out []archive.Entry
	for i := range n {
		out = append(out, message(from+i))
	}
	return out
}

// grow appends batches of growing size until the ledger has n messages.
func grow(t testing.TB, l *archive.Ledger, n int) {
	t.Helper()
	for batch := 1; int(l.Size()) < n; batch = batch%7 + 1 {
		have := int(l.Size())
		if _, err := l.Append(context.Background(), messages(have, min(batch, n-have))); err != nil {
			t.Fatal(err)
		}
	}
}

// checkContent checks that the ledger holds the first messages of a test and nothing else, by every way there is to read them.
func checkContent(t testing.TB, l *archive.Ledger) {
	t.Helper()
	if err := contentError(l); err != nil {
		t.Fatal(err)
	}
}

func contentError(l *archive.Ledger) error {
	n := 0
	err := l.Scan(context.Background(), 0, func(r archive.Record) error {
		want := message(n)
		if int(r.Seq) != n || !bytes.Equal(r.Blob, want.Blob) || r.Header.Once != want.Header.Once {
			return fmt.Errorf("record %d is not message %d", r.Seq, n)
		}
		n++
		return nil
	})
	if err != nil || n != int(l.Size()) {
		return fmt.Errorf("scan of %d records, %d seen: %w", l.Size(), n, err)
	}
	for i := range n {
		want := message(i)
		rec, err := l.Read(escrow.Seq(i))
		if err != nil || !bytes.Equal(rec.Blob, want.Blob) {
			return fmt.Errorf("read %d: %w", i, err)
		}
		if seq, ok := l.Once(want.Header.Once); !ok || int(seq) != i {
			return fmt.Errorf("once tag of record %d: %d, %v", i, seq, ok)
		}
		if seq, ok, err := l.Find(want.Header.Stream.Tag, want.Header.Stream.Counter); err != nil || !ok || int(seq) != i {
			return fmt.Errorf("counter of record %d: %d, %v, %v", i, seq, ok, err)
		}
	}
	want := message(n)
	if _, ok := l.Once(want.Header.Once); ok {
		return fmt.Errorf("the once tag of a message not appended is known")
	}
	return nil
}

func verify(t testing.TB, l *archive.Ledger) archive.Report {
	t.Helper()
	report, err := l.Verify(context.Background(), archive.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func checkSound(t testing.TB, l *archive.Ledger) {
	t.Helper()
	if report := verify(t, l); !report.Sound() || report.Size != l.Size() {
		t.Fatalf("verify: %d of %d records, findings: %v", report.Size, l.Size(), report.Findings)
	}
}

func TestAppendedRecordsAreReadBack(t *testing.T) {
	for _, fs := range []struct {
		name string
		fsys vfs.FS
	}{{"mem", vfs.NewMem()}, {"os", osIn(t)}} {
		t.Run(fs.name, func(t *testing.T) {
			l := open(t, fs.fsys, config(t))
			grow(t, l, 100)
			checkContent(t, l)
			checkSound(t, l)
			before := l.Checkpoint()
			closeLedger(t, l)

			l = open(t, fs.fsys, config(t))
			defer closeLedger(t, l)
			if diff := cmp.Diff(string(before), string(l.Checkpoint())); diff != "" {
				t.Errorf("the checkpoint changed: %s", diff)
			}
			checkContent(t, l)
			grow(t, l, 120)
			checkContent(t, l)
			checkSound(t, l)
			if st, err := l.Stats(); err != nil || st.Segments < 5 {
				t.Errorf("%d segments, %v: the test should roll", st.Segments, err)
			}
		})
	}
}

// osIn returns the real file system with all names in a temporary directory.
func osIn(t *testing.T) vfs.FS {
	t.Chdir(t.TempDir())
	return vfs.OS()
}
