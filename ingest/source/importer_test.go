package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest/source"
)

var _ source.Publisher = (*natslog.Publisher)(nil)

// fakeArchive is a Publisher that remembers what it has stored. It answers at once, unless answer says something else.
type fakeArchive struct {
	stored  map[string]bool
	order   []string
	pending []func()
	waiting int // the most that were under way at once
	bytes   int // the most bytes that were under way at once
	now     int
	hold    bool // keep answers back until release
	answer  func(n int, m natslog.PublishMsg) error
	calls   int
}

func newArchive() *fakeArchive { return &fakeArchive{stored: map[string]bool{}} }

func (a *fakeArchive) PublishAsync(ctx context.Context, m natslog.PublishMsg, done func(natslog.Ack, error)) error {
	a.calls++
	if a.answer != nil {
		if err := a.answer(a.calls, m); err != nil {
			done(natslog.Ack{}, err)
			return nil
		}
	}
	key := m.ID + string(m.Data)
	known := a.stored[key]
	a.stored[key] = true
	a.order = append(a.order, string(m.Data))
	if a.hold {
		a.now += len(m.Data)
		a.pending = append(a.pending, func() { a.now -= len(m.Data); done(natslog.Ack{Duplicate: known}, nil) })
		a.waiting, a.bytes = max(a.waiting, len(a.pending)), max(a.bytes, a.now)
		return nil
	}
	done(natslog.Ack{Duplicate: known}, nil)
	return nil
}

func (a *fakeArchive) release() {
	for _, f := range a.pending {
		f()
	}
	a.pending = nil
}

func items(n int) iter.Seq[source.Item] {
	return func(yield func(source.Item) bool) {
		for i := range n {
			if !yield(source.Item{Path: "a", Line: i + 1, Data: fmt.Appendf(nil, "%d", i)}) {
				return
			}
		}
	}
}

func list(all ...source.Item) iter.Seq[source.Item] {
	return func(yield func(source.Item) bool) {
		for _, it := range all {
			if !yield(it) {
				return
			}
		}
	}
}

// never is a clock at which nothing is ever over.
func never(time.Duration) <-chan time.Time { return nil }

// instantly is a clock at which every pause is over at once, and no answer is late.
func instantly(d time.Duration) <-chan time.Time {
	if d >= 10*time.Second {
		return nil
	}
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}

func asJSON(t *testing.T, r source.Report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if r.Read != r.New+r.Duplicate+r.Failed {
		t.Errorf("read %d is not new %d + duplicate %d + failed %d", r.Read, r.New, r.Duplicate, r.Failed)
	}
	sum := uint64(0)
	for _, n := range r.Reasons {
		sum += n
	}
	if sum != r.Failed {
		t.Errorf("the reasons add up to %d, failed are %d", sum, r.Failed)
	}
	return string(b)
}

var errAway = escrow.Errorf("test", escrow.Unavailable, "no server")

func TestRun(t *testing.T) {
	refuse := func(kind escrow.Kind, text string, when func(n int, m natslog.PublishMsg) bool) func(int, natslog.PublishMsg) error {
		return func(n int, m natslog.PublishMsg) error {
			if when(n, m) {
				return escrow.Errorf("natslog.Publish", kind, "%s", text)
			}
			return nil
		}
	}
	tests := []struct {
		name   string
		items  iter.Seq[source.Item]
		answer func(n int, m natslog.PublishMsg) error
		want   string
		kind   escrow.Kind // if an error is expected
		fails  bool
	}{
		{"nothing", items(0), nil, `{"read":0,"new":0,"duplicate":0,"failed":0,"reasons":{}}`, 0, false},
		{"all new", items(1000), nil, `{"read":1000,"new":1000,"duplicate":0,"failed":0,"reasons":{}}`, 0, false},
		{"twice the same", list(source.Item{ID: "a"}, source.Item{ID: "b"}, source.Item{ID: "a"}), nil, `{"read":3,"new":2,"duplicate":1,"failed":0,"reasons":{}}`, 0, false},
		{"unreadable and ignored", list(source.Item{Err: escrow.Errorf("source.Read", escrow.Invalid, "too large")}, source.Item{Ignored: "not a message"}, source.Item{ID: "a"}), nil,
			`{"read":2,"new":1,"duplicate":0,"failed":1,"reasons":{"too large":1}}`, 0, false},
		{"some refused", items(10), refuse(escrow.Invalid, "id: is missing", func(n int, _ natslog.PublishMsg) bool { return n%2 == 0 }),
			`{"read":10,"new":5,"duplicate":0,"failed":5,"reasons":{"id: is missing":5}}`, 0, false},
		{"the server restarts", items(10), refuse(escrow.Unavailable, "gone", func(n int, _ natslog.PublishMsg) bool { return n > 3 && n < 25 }),
			`{"read":10,"new":10,"duplicate":0,"failed":0,"reasons":{}}`, 0, false},
		{"a slow server", items(3), func(n int, _ natslog.PublishMsg) error {
			if n == 1 {
				return fmt.Errorf("no answer: %w", context.DeadlineExceeded)
			}
			return nil
		}, `{"read":3,"new":3,"duplicate":0,"failed":0,"reasons":{}}`, 0, false},
		{"the server stays away", items(10), refuse(escrow.Unavailable, "gone", func(_ int, m natslog.PublishMsg) bool { return m.Data[0] >= '5' }),
			`{"read":6,"new":5,"duplicate":0,"failed":1,"reasons":{"not acknowledged by the server":1}}`, escrow.Unavailable, true},
		{"not allowed", items(300), refuse(escrow.Denied, "not allowed", func(n int, _ natslog.PublishMsg) bool { return true }),
			`{"read":1,"new":0,"duplicate":0,"failed":1,"reasons":{"not allowed":1}}`, escrow.Denied, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchive()
			a.answer = tt.answer
			r, err := source.Run(t.Context(), tt.items, a, source.Config{After: instantly})
			if tt.fails != (err != nil) || tt.fails && escrow.KindOf(err) != tt.kind {
				t.Errorf("got the error %v", err)
			}
			if diff := cmp.Diff(tt.want, asJSON(t, r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPublishFailsAtOnce(t *testing.T) {
	p := &refusing{left: 3, archive: newArchive()}
	r, err := source.Run(t.Context(), items(5), p, source.Config{After: instantly})
	if err != nil || r.New != 5 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// refusing is a Publisher whose connection is closed for a while.
type refusing struct {
	left    int
	archive *fakeArchive
}

func (p *refusing) PublishAsync(ctx context.Context, m natslog.PublishMsg, done func(natslog.Ack, error)) error {
	if p.left--; p.left >= 0 {
		return errAway
	}
	return p.archive.PublishAsync(ctx, m, done)
}

func TestBackoff(t *testing.T) {
	var pauses []time.Duration
	clock := func(d time.Duration) <-chan time.Time {
		pauses = append(pauses, d)
		return instantly(d)
	}
	a := newArchive()
	a.answer = func(int, natslog.PublishMsg) error { return errAway }
	_, err := source.Run(t.Context(), items(1), a, source.Config{After: clock, RetryFor: 15 * time.Second})
	if err == nil {
		t.Fatal("no error")
	}
	want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond,
		3200 * time.Millisecond, 5 * time.Second, 5 * time.Second, source.DefaultDrain}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Error(diff)
	}
}

// TestNoAnswer loses the first answer: the message is sent again, and a late answer to the first attempt meets nobody.
func TestNoAnswer(t *testing.T) {
	p := &forgetful{archive: newArchive()}
	clock := func(d time.Duration) <-chan time.Time {
		c := make(chan time.Time, 1)
		c <- time.Time{}
		return c
	}
	r, err := source.Run(t.Context(), items(1), p, source.Config{After: clock})
	if err != nil || asJSON(t, r) != `{"read":1,"new":0,"duplicate":1,"failed":0,"reasons":{}}` {
		t.Errorf("got %+v, %v", r, err)
	}
	p.late()
}

type forgetful struct {
	archive *fakeArchive
	late    func()
}

func (p *forgetful) PublishAsync(ctx context.Context, m natslog.PublishMsg, done func(natslog.Ack, error)) error {
	if p.late == nil {
		p.late = func() { done(natslog.Ack{}, nil) }
		return p.archive.PublishAsync(ctx, m, func(natslog.Ack, error) {})
	}
	return p.archive.PublishAsync(ctx, m, done)
}

func TestOrderAndWindow(t *testing.T) {
	a := newArchive()
	a.hold = true
	watch := watcher(func(*source.Report) { // the window is full whenever Run waits
		if len(a.pending) >= 7 {
			a.release()
		}
	})
	seq := func(yield func(source.Item) bool) {
		for it := range items(100) {
			if len(a.pending) >= 7 {
				a.release()
			}
			if !yield(it) {
				return
			}
		}
		a.release()
		a.hold = false
	}
	r, err := source.Run(t.Context(), seq, a, source.Config{Window: 7, After: never, Progress: watch})
	if err != nil || r.New != 100 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if a.waiting > 7 {
		t.Errorf("%d were under way, the window is 7", a.waiting)
	}
	for i, d := range a.order {
		if d != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, d)
		}
	}
}

type watcher func(r *source.Report)

func (w watcher) Show(r *source.Report) { w(r) }

// TestWindowBytes sends large messages: they wait for each other long before the window has as many as it may.
func TestWindowBytes(t *testing.T) {
	a := newArchive()
	a.hold = true
	clock := func(time.Duration) <-chan time.Time { // Run waits for an answer
		a.release()
		return nil
	}
	big := source.Item{Data: make([]byte, 12<<20)}
	r, err := source.Run(t.Context(), list(big, big, big, big, big), a, source.Config{After: clock})
	if err != nil || r.Read != 5 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if a.bytes != 24<<20 {
		t.Errorf("%d bytes were under way", a.bytes)
	}
}

func TestInterrupt(t *testing.T) {
	t.Run("between two messages", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a := newArchive()
		stop := watcher(func(r *source.Report) {
			if r.Read == 40 {
				cancel()
			}
		})
		r, err := source.Run(ctx, items(100), a, source.Config{After: never, Progress: stop})
		if !errors.Is(err, context.Canceled) || escrow.KindOf(err) != escrow.Unavailable {
			t.Errorf("got %v", err)
		}
		if r.New != uint64(len(a.stored)) || r.Failed != 0 || r.New < 40 || r.New > 42 {
			t.Errorf("got %+v, stored are %d", r, len(a.stored))
		}
		asJSON(t, r)

		again, err := source.Run(t.Context(), items(100), a, source.Config{After: never})
		if err != nil || again.Duplicate != r.New || again.New != 100-r.New || len(a.stored) != 100 {
			t.Errorf("got %+v, %v", again, err)
		}
	})
	t.Run("with answers under way", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a := newArchive()
		a.hold = true
		clock := func(d time.Duration) <-chan time.Time {
			if d == source.DefaultDrain {
				a.release()
			}
			cancel()
			return nil
		}
		r, err := source.Run(ctx, items(10), a, source.Config{After: clock})
		if err == nil || asJSON(t, r) != `{"read":10,"new":10,"duplicate":0,"failed":0,"reasons":{}}` {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("with answers that never come", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a := newArchive()
		a.hold = true
		clock := func(d time.Duration) <-chan time.Time {
			cancel()
			if d != time.Second {
				return nil
			}
			a.pending[0]() // one comes just in time
			c := make(chan time.Time, 1)
			c <- time.Time{}
			return c
		}
		r, err := source.Run(ctx, items(10), a, source.Config{After: clock, Drain: time.Second})
		if err == nil || asJSON(t, r) != `{"read":10,"new":1,"duplicate":0,"failed":9,"reasons":{"interrupted before it was acknowledged":9}}` {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("while the server is away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a := newArchive()
		a.answer = func(int, natslog.PublishMsg) error { return errAway }
		clock := func(time.Duration) <-chan time.Time {
			cancel()
			return nil
		}
		r, err := source.Run(ctx, items(2), a, source.Config{After: clock, Window: 1})
		if err == nil || asJSON(t, r) != `{"read":1,"new":0,"duplicate":0,"failed":1,"reasons":{"interrupted before it was acknowledged":1}}` {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

func TestMailHeaders(t *testing.T) {
	var got []natslog.PublishMsg
	a := newArchive()
	a.answer = func(_ int, m natslog.PublishMsg) error {
		got = append(got, m)
		return nil
	}
	fsys := files(map[string]string{".Sent/cur/1:2,S": mail, "cur/x": "y", "a.jsonl": "{}"})
	w, err := source.OpenFS(t.Context(), fsys, []string{"."}, source.Options{})
	try(t, err)
	_, err = source.Run(t.Context(), w.All(t.Context()), a, source.Config{})
	try(t, err)
	want := []natslog.PublishMsg{
		{ID: got[0].ID, ContentType: "message/rfc822", Header: map[string][]string{"Escrow-Meta-Folder": {"Sent"}, "Escrow-Meta-Flags": {"seen"}}, Data: []byte(mail)},
		{ContentType: "application/json", Data: []byte("{}")},
		{ID: got[2].ID, ContentType: "message/rfc822", Header: map[string][]string{"Escrow-Meta-Folder": {"INBOX"}}, Data: []byte("y")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(got[0].ID, "sha256:") || got[0].ID == got[2].ID {
		t.Errorf("ids %q and %q", got[0].ID, got[2].ID)
	}
}
