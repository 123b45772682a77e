package natslog_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/events/natslog"
)

// entries makes n encoded entries of one channel with counters from first on.
func entries(first, n int, text func(i int) string) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		e := natslog.Entry{Tenant: acme, Channel: chanA, Counter: uint64(first + i), Received: noon, Sealed: []byte(text(first + i))}
		out[i] = e.Append(nil)
	}
	return out
}

func short(i int) string { return fmt.Sprintf("entry %d", i) }

func commit(t testing.TB, l *natslog.Log, data [][]byte) []uint64 {
	t.Helper()
	seqs, err := l.Commit(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}

// commitEach makes a message of every entry.
func commitEach(t testing.TB, l *natslog.Log, data [][]byte) {
	t.Helper()
	for _, e := range data {
		commit(t, l, [][]byte{e})
	}
}

// wantEntries fetches and checks the entries with counters first … first+n-1.
func wantEntries(t testing.TB, l *natslog.Log, first, n int, text func(i int) string) []natslog.Delivery {
	t.Helper()
	got := fetchAll(t, l, n)
	for i, d := range got {
		if d.Err != nil || d.Entry.Counter != uint64(first+i) || string(d.Entry.Sealed) != text(first+i) {
			t.Fatalf("delivery %d: counter %d, %v", i, d.Entry.Counter, d.Err)
		}
	}
	return got
}

func TestCommitSizes(t *testing.T) {
	l := openLog(t, connect(t, startServer(t, natslog.ServerConfig{})), natslog.LogConfig{})
	first, last := 1, uint64(0)
	for _, n := range []int{1, 2, 11, 12, 13, 999, 1000, 1001, 2500} {
		seqs := commit(t, l, entries(first, n, short))
		if len(seqs) != n || !slices.IsSorted(seqs) || seqs[0] != last+1 {
			t.Fatalf("%d entries after sequence %d: %d sequences, %d to %d", n, last, len(seqs), seqs[0], seqs[len(seqs)-1])
		}
		first, last = first+n, seqs[n-1]
	}
	wantEntries(t, l, 1, first-1, short)
	if seqs, err := l.Resolve(t.Context()); seqs != nil || err != nil {
		t.Errorf("nothing to resolve: %v, %v", seqs, err)
	}
}

// Entries larger than a message travel in parts, together with small ones.
func TestLargeEntries(t *testing.T) {
	l := openLog(t, connect(t, startServer(t, natslog.ServerConfig{})), natslog.LogConfig{})
	sizes := []int{10, 1<<20 - 4<<10, 1 << 20, 5 << 20, 100, 34 << 20, 7}
	noise := make([]byte, 34<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	text := func(i int) string { return string(noise[:sizes[i-1]]) }
	seqs := commit(t, l, entries(1, len(sizes), text))
	got := wantEntries(t, l, 1, len(sizes), text)
	for i, d := range got {
		if d.Seq != seqs[i] || i > 0 && d.First != seqs[i-1]+1 {
			t.Errorf("entry %d: messages %d to %d, acknowledged as %d", i, d.First, d.Seq, seqs[i])
		}
	}
}

func TestAckPurgeRewind(t *testing.T) {
	c := connect(t, startServer(t, natslog.ServerConfig{}))
	l := openLog(t, c, natslog.LogConfig{})
	commitEach(t, l, entries(1, 30, short))
	got := wantEntries(t, l, 1, 30, short)
	if err := l.Ack(t.Context(), got[9].Seq); err != nil {
		t.Fatal(err)
	}
	if more, err := l.Fetch(t.Context(), 10, 10*time.Millisecond); err != nil || len(more) != 0 {
		t.Fatalf("%d more, %v", len(more), err)
	}
	if err := l.Rewind(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, l, 11, 20, short)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, c, natslog.LogConfig{}) // as after a restart of the sealer
	got = wantEntries(t, l, 11, 20, short)
	if err := l.Ack(t.Context(), got[19].Seq); err != nil {
		t.Fatal(err)
	}
	if err := l.Purge(t.Context(), got[19].Seq); err != nil {
		t.Fatal(err)
	}
	s, err := l.State(t.Context())
	if err != nil || s.Msgs != 0 || s.First != 31 || s.Last != 30 {
		t.Errorf("state %+v, %v", s, err)
	}
	commit(t, l, entries(31, 1, short))
	wantEntries(t, l, 31, 1, short)
}

// Stream and consumer keep order and lose nothing when the server restarts under fetches and commits.
func TestRestartUnderLoad(t *testing.T) {
	s := startServer(t, natslog.ServerConfig{})
	c := connect(t, s)
	l := openLog(t, c, natslog.LogConfig{})
	const n = 4000
	var restarts sync.WaitGroup
	restarts.Go(func() {
		for range 3 {
			if err := s.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	var committed atomic.Int64
	restarts.Go(func() {
		for committed.Load() < n {
			first := int(committed.Load())
			for data := entries(first+1, min(37, n-first), short); len(data) > 0; {
				seqs, err := l.Commit(t.Context(), data)
				for natslog.IsUnknown(err) {
					seqs, err = l.Resolve(t.Context())
				}
				if err != nil && escrow.KindOf(err) != escrow.Unavailable {
					t.Error(err)
					return
				}
				committed.Add(int64(len(seqs)))
				data = data[len(seqs):]
			}
		}
	})
	next := 1
	waitFor(t, "all entries", func() bool {
		got, err := l.Fetch(t.Context(), 100, 20*time.Millisecond)
		if err != nil {
			return false
		}
		for _, d := range got {
			if d.Err != nil || d.Entry.Counter != uint64(next) {
				t.Fatalf("delivered %d as %d, want %d: %v", d.Entry.Counter, d.Seq, next, d.Err)
			}
			next++
			if next%50 == 0 {
				_ = l.Ack(t.Context(), d.Seq) // a courtesy, and the server may be away
			}
		}
		return next > n
	})
	restarts.Wait()
}

// An answer that is lost after the store leads to the same sequences, not to a second copy. The connection is cut between the two by a proxy.
func TestLostAnswerIsResolved(t *testing.T) {
	large := func(i int) string { return strings.Repeat("x", 200<<10) + short(i) } // so that each has a message of its own
	for name, n := range map[string]int{"one": 1, "few": 5, "atomic": 13} {
		t.Run(name, func(t *testing.T) {
			ext := startExternal(t)
			p := startProxy(t, ext.ns.Addr().String())
			c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: "nats://ops:pw@" + p.addr()})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			l := openLog(t, c, natslog.LogConfig{})
			commitEach(t, l, entries(1, 3, large))
			p.deaf.Store(true) // requests still arrive, answers do not
			done := make(chan struct{})
			go func() {
				defer close(done)
				seqs, err := l.Commit(t.Context(), entries(4, n, large))
				if err != nil || len(seqs) != n || seqs[0] != 4 || seqs[n-1] != uint64(3+n) {
					t.Errorf("%v, %v", seqs, err)
				}
			}()
			direct := stream(t, dialPlain(t, ext.url("ops", "pw")))
			waitFor(t, "the store", func() bool {
				s, err := direct.Stream(t.Context(), "ESCROW_LOG_acme")
				return err == nil && s.CachedInfo().State.LastSeq == uint64(3+n)
			})
			p.cut()
			p.deaf.Store(false)
			<-done
			wantEntries(t, l, 1, 3+n, large)
		})
	}
}

func dialPlain(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestSecondWriterIsAConflict(t *testing.T) {
	ext := startExternal(t)
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := openLog(t, c, natslog.LogConfig{})
	commit(t, l, entries(1, 1, short))
	if _, err := stream(t, dialPlain(t, ext.url("ops", "pw"))).Publish(t.Context(), "_escrow.log.acme", []byte("intruder")); err != nil {
		t.Fatal(err)
	}
	seqs, err := l.Commit(t.Context(), entries(2, 1, short))
	if len(seqs) != 0 || escrow.KindOf(err) != escrow.Conflict || natslog.IsUnknown(err) {
		t.Errorf("%v, %v", seqs, err)
	}
	got := fetchAll(t, l, 2)
	if got[1].Err == nil || string(got[1].Data) != "intruder" {
		t.Errorf("intruder delivered as %+v", got[1])
	}
}

func TestFullStreamRefuses(t *testing.T) {
	l := openLog(t, connect(t, startServer(t, natslog.ServerConfig{})), natslog.LogConfig{MaxBytes: 1 << 20})
	big := func(int) string { return strings.Repeat("x", 300<<10) }
	seqs, err := l.Commit(t.Context(), entries(1, 5, big))
	if len(seqs) != 3 || escrow.KindOf(err) != escrow.Unavailable || natslog.IsUnknown(err) {
		t.Fatalf("%v, %v", seqs, err)
	}
	if seqs, err := l.Commit(t.Context(), entries(4, 12, big)); len(seqs) != 0 || escrow.KindOf(err) != escrow.Unavailable || natslog.IsUnknown(err) {
		t.Fatalf("%v, %v", seqs, err)
	}
	if err := l.Purge(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if seqs := commit(t, l, entries(4, 1, big)); seqs[0] != 4 {
		t.Error(seqs)
	}
}

func TestLowSpaceRefuses(t *testing.T) {
	var free atomic.Uint64
	l := openLog(t, connect(t, startServer(t, natslog.ServerConfig{})), natslog.LogConfig{MinFree: 1 << 20, Free: func() (uint64, error) { return free.Load(), nil }})
	free.Store(1<<20 - 1)
	_, err := l.Commit(t.Context(), entries(1, 1, short))
	if escrow.KindOf(err) != escrow.Unavailable || natslog.IsUnknown(err) || !containsFold(err.Error(), "disk is full") {
		t.Fatal(err)
	}
	free.Store(2 << 20)
	commit(t, l, entries(1, 1, short))
}

// A stream that is not ours is left alone.
func TestForeignStreamIsAConflict(t *testing.T) {
	ext := startExternal(t)
	js := stream(t, dialPlain(t, ext.url("ops", "pw")))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ESCROW_LOG_acme", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := natslog.OpenLog(t.Context(), c, natslog.LogConfig{Tenant: acme}); escrow.KindOf(err) != escrow.Conflict {
		t.Error(err)
	}
}

func TestRecreatedStreamHasAnotherTag(t *testing.T) {
	ext := startExternal(t)
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := openLog(t, c, natslog.LogConfig{})
	commit(t, l, entries(1, 2, short))
	if err := stream(t, dialPlain(t, ext.url("ops", "pw"))).DeleteStream(t.Context(), l.Name()); err != nil {
		t.Fatal(err)
	}
	again := openLog(t, c, natslog.LogConfig{})
	if l.Tag() == again.Tag() {
		t.Error("the same tag")
	}
	if _, err := l.Commit(t.Context(), entries(3, 1, short)); escrow.KindOf(err) != escrow.Conflict {
		t.Errorf("the old handle commits to the new stream: %v", err)
	}
}

// Every flip of a bit in the stored file is noticed: an entry is damaged, a sequence or a counter is missing, the stream lost its end, or the
// server does not start. Never is anything delivered that was not stored.
func TestFlippedBitsAreNoticed(t *testing.T) {
	const n = 40
	dir := t.TempDir()
	s := startServer(t, natslog.ServerConfig{StoreDir: filepath.Join(dir, "good")})
	l := openLog(t, connect(t, s), natslog.LogConfig{})
	commitEach(t, l, entries(1, n, short))
	tag := l.Tag()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	block, err := filepath.Glob(filepath.Join(dir, "good/jetstream/ESCROW/streams/*/msgs/*.blk"))
	if err != nil || len(block) != 1 {
		t.Fatal(block, err)
	}
	data, err := os.ReadFile(block[0])
	if err != nil {
		t.Fatal(err)
	}
	start, end := record(data, n/2)
	rel, err := filepath.Rel(filepath.Join(dir, "good"), block[0])
	if err != nil {
		t.Fatal(err)
	}
	size := end - start
	for _, at := range []int{0, 2, 4, 7, 8, 11, 12, 20, 21, 22, 30, 45, size / 2, size - 30, size - 12, size - 1} {
		bad := filepath.Join(dir, fmt.Sprint(at))
		if err := os.CopyFS(bad, os.DirFS(filepath.Join(dir, "good"))); err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(data)
		flipped[start+at] ^= 4
		if err := os.WriteFile(filepath.Join(bad, rel), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		why := notice(t, bad, n, tag)
		if why == "" {
			t.Errorf("the flip at offset %d went unnoticed", at)
		}
	}
}

// record returns where the i-th record of a block begins and ends: each begins with its length, whose highest bit marks headers.
func record(block []byte, i int) (start, end int) {
	for end = 0; i >= 0; i-- {
		start = end
		end += int(binary.LittleEndian.Uint32(block[start:]) &^ (1 << 31))
	}
	return start, end
}

// notice opens a store, reads it as the sealer would, and says what it noticed.
func notice(t *testing.T, dir string, n int, tag [16]byte) string {
	s, err := natslog.StartServer(t.Context(), natslog.ServerConfig{StoreDir: dir, Port: -1})
	if err != nil {
		return "the server does not start"
	}
	defer s.Close()
	l := openLog(t, connect(t, s), natslog.LogConfig{})
	state, err := l.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	noticed := ""
	if c := natslog.CheckStream(map[[16]byte]uint64{tag: uint64(n)}, l.Tag(), state.Last); c != natslog.Continued {
		noticed = c.String()
	}
	seq := natslog.NewSequencer(nil, func([16]byte, uint64) (natslog.Sealed, bool) { return natslog.Sealed{}, false })
	for {
		got, err := l.Fetch(t.Context(), n, 20*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		for _, d := range got {
			v := seq.Observe(d.Observed())
			if v.Class != natslog.Next || v.LostFrom != 0 {
				noticed += " " + v.Class.String()
			}
			if d.Err == nil && string(d.Entry.Sealed) != short(int(d.Entry.Counter)) {
				t.Errorf("delivered %q as entry %d", d.Entry.Sealed, d.Entry.Counter)
			}
		}
	}
	if seq.Last(chanA) < uint64(n) {
		noticed += " end missing"
	}
	return noticed
}

// A message shared by several entries loses only those whose bytes changed. The flips are made before JetStream's checksum, which would drop all.
func TestDamageWithinASharedMessage(t *testing.T) {
	ext := startExternal(t)
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := openLog(t, c, natslog.LogConfig{})
	js := stream(t, dialPlain(t, ext.url("ops", "pw")))
	row := entries(1, 3, short)
	good := bytes.Join(row, nil)
	for i := range len(good) {
		bad := bytes.Clone(good)
		bad[i] ^= 0x80
		if _, err := js.Publish(t.Context(), "_escrow.log.acme", bad); err != nil {
			t.Fatal(err)
		}
	}
	whole, damaged := map[uint64]int{}, 0
	for more := true; more; {
		got, err := l.Fetch(t.Context(), 1000, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Err != nil {
				damaged++
				continue
			}
			if string(d.Entry.Sealed) != short(int(d.Entry.Counter)) {
				t.Errorf("%q delivered as entry %d", d.Entry.Sealed, d.Entry.Counter)
			}
			whole[d.Entry.Counter]++
		}
		more = len(got) > 0
	}
	if damaged < len(good) || whole[1] != len(row[1])+len(row[2]) || whole[2] < len(row[2]) || whole[3] < len(row[0])-100 {
		t.Errorf("%d flips: %d damaged, whole %v", len(good), damaged, whole)
	}
}

// Parts that are missing, out of place or changed make a damaged delivery, and never keep a whole entry after them from coming.
func TestDamagedParts(t *testing.T) {
	ext := startExternal(t)
	c, err := natslog.Dial(t.Context(), natslog.DialConfig{URL: ext.url("ops", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := openLog(t, c, natslog.LogConfig{})
	large := func(int) string { return strings.Repeat("x", 3<<20) }
	commit(t, l, entries(1, 1, large))
	wantEntries(t, l, 1, 1, large)
	js := stream(t, dialPlain(t, ext.url("ops", "pw")))
	s, err := js.Stream(t.Context(), l.Name())
	if err != nil {
		t.Fatal(err)
	}
	var parts [][]byte
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, m.Data)
	}
	if len(parts) != 4 {
		t.Fatalf("%d parts", len(parts))
	}
	flipped := bytes.Clone(parts[2])
	flipped[1000] ^= 1
	small := entries(2, 1, short)[0]
	for name, c := range map[string]struct {
		msgs [][]byte
		want string // a letter for each delivery: w whole, d damaged
	}{
		"all":              {parts, "w"},
		"one missing":      {[][]byte{parts[0], parts[1], parts[3]}, "dd"},
		"first missing":    {parts[1:], "ddd"},
		"last missing":     {[][]byte{parts[0], parts[1], parts[2], small}, "dw"},
		"exchanged":        {[][]byte{parts[0], parts[2], parts[1], parts[3]}, "dddd"},
		"changed":          {[][]byte{parts[0], parts[1], flipped, parts[3]}, "ddd"},
		"begun twice":      {[][]byte{parts[0], parts[1], parts[0], parts[1], parts[2], parts[3]}, "dw"},
		"something amidst": {[][]byte{parts[0], small, parts[1], parts[2], parts[3]}, "dwddd"},
		"cut":              {[][]byte{parts[0], parts[1][:50], small}, "ddw"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range c.msgs {
				if _, err := js.Publish(t.Context(), "_escrow.log.acme", m); err != nil {
					t.Fatal(err)
				}
			}
			got := ""
			for _, d := range fetchAll(t, l, len(c.want)) {
				if d.Err == nil {
					got += "w"
				} else {
					got += "d"
				}
			}
			if got != c.want {
				t.Errorf("delivered %s, want %s", got, c.want)
			}
		})
	}
}
