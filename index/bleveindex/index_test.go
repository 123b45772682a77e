package bleveindex_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

func person(id, name string) index.Person { return index.Person{ID: escrow.Identity(id), Name: name} }

// office is a small archive in which every field can be told from the others.
func office() []index.Document {
	return []index.Document{
		{ID: "<1.A@mail.example.org>", Channel: "mail", Conversation: "Budget 2026", Title: "Quarterly figures", Body: "The alpha report is late.",
			From: []index.Person{person("email:ana.diaz@sales.example.org", "Ana Díaz")}, To: []index.Person{person("email:ben@example.com", "Ben O'Neil")},
			Sent: time.Date(2001, 10, 23, 8, 0, 0, 0, time.UTC), Files: []string{"Annual_Report-v2.PDF"}, Tags: []string{"Project X", "urgent"},
			Metadata: map[string]string{"case": "2024-17", "desk": "north"}, Subjects: []uint32{7, 9}},
		{ID: "m2", Channel: "chat", Conversation: "budget 2026", Body: "beta alpha", From: []index.Person{person("user:U123", "ben")},
			To: []index.Person{person("tel:+49 30 123456", "")}, Type: "edit", Sent: time.Date(2001, 11, 1, 0, 0, 0, 0, time.UTC), Subjects: []uint32{9},
			Transcripts: []string{"the delta is spoken"}},
		{ID: "m3", Channel: "chat", Conversation: "other", Title: "alpha only", Body: "gamma", From: []index.Person{person("email:li@example.org", "李小龙")},
			Sent: time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC), Partial: []string{"part 2: unknown charset"}, Month: "203012"},
		{ID: "4", Channel: "sms", Body: "no date here", Type: "reaction"},
	}
}

func TestFields(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, office()...)
	for _, tc := range []struct {
		query string
		want  []escrow.Seq
	}{
		{"alpha", []escrow.Seq{0, 1, 2}},
		{"body:alpha", []escrow.Seq{0, 1}},
		{"title:alpha", []escrow.Seq{2}},
		{"title:figure", []escrow.Seq{0}},
		{"alpha -beta", []escrow.Seq{0, 2}},
		{"alpha NOT (beta OR gamma)", []escrow.Seq{0}},
		{"beta OR gamma", []escrow.Seq{1, 2}},
		{"alpha (beta OR gamma)", []escrow.Seq{1, 2}},
		{"-alpha", []escrow.Seq{3}},
		{"-alpha OR beta", []escrow.Seq{1, 3}},
		{`"alpha report"`, []escrow.Seq{0}},
		{`"report alpha"`, nil},
		{`"quarterly figures the"`, nil},
		{"reports", []escrow.Seq{0}},
		{"del*", []escrow.Seq{1}},
		{"alpah~2", []escrow.Seq{0, 1, 2}},
		{"spoken", []escrow.Seq{1}},
		{`"alpha the"`, nil},

		{"from:ana", []escrow.Seq{0}},
		{"from:diaz", []escrow.Seq{0}},
		{"from:DÍAZ", []escrow.Seq{0}},
		{`from:"Ana Diaz"`, []escrow.Seq{0}},
		{`from:"Diaz Ana"`, nil},
		{"from:ana.diaz", []escrow.Seq{0}},
		{"from:ana.diaz@sales.example.org", []escrow.Seq{0}},
		{"from:email:ana.diaz@sales.example.org", []escrow.Seq{0}},
		{"from:example.org", []escrow.Seq{0, 2}},
		{"from:@sales.example.org", []escrow.Seq{0}},
		{"from:ana*", []escrow.Seq{0}},
		{"from:dias~1", []escrow.Seq{0}},
		{"from:diazz~1", []escrow.Seq{0}},
		{"from:ben", []escrow.Seq{1}},
		{"to:ben", []escrow.Seq{0}},
		{"with:ben", []escrow.Seq{0, 1}},
		{"ben", []escrow.Seq{0, 1}},
		{"to:neil", []escrow.Seq{0}},
		{"from:U123", []escrow.Seq{1}},
		{"to:+4930123456", []escrow.Seq{1}},
		{"to:4930123456", []escrow.Seq{1}},
		{"from:李小龙", []escrow.Seq{2}},
		{"from:小龙", []escrow.Seq{2}},
		{"ana.diaz@sales.example.org", []escrow.Seq{0}},

		{`in:"Budget 2026"`, []escrow.Seq{0, 1}},
		{"channel:chat", []escrow.Seq{1, 2}},
		{"type:edit", []escrow.Seq{1}},
		{"file:report", []escrow.Seq{0}},
		{"file:annual_report-v2.pdf", []escrow.Seq{0}},
		{"annual", []escrow.Seq{0}},
		{`tag:"project x"`, []escrow.Seq{0}},
		{"tag:urgent", []escrow.Seq{0}},
		{"meta:2024-17", []escrow.Seq{0}},
		{`meta:"case 2024-17"`, []escrow.Seq{0}},
		{"meta:north", []escrow.Seq{0}},
		{"2024-17", []escrow.Seq{0}},
		{"has:attachment", []escrow.Seq{0}},
		{"has:edit", []escrow.Seq{1}},
		{"has:title", []escrow.Seq{0, 2}},
		{"has:tag", []escrow.Seq{0}},
		{"has:transcript", []escrow.Seq{1}},
		{"has:metadata", []escrow.Seq{0}},
		{"has:partial", []escrow.Seq{2}},
		{"id:1.a@mail.example.org", []escrow.Seq{0}},
		{"id:m2", []escrow.Seq{1}},
		{"id:2", []escrow.Seq{2}},
		{"id:4", []escrow.Seq{3}},

		{"before:2001-10-23", nil},
		{"before:2001-10-24", []escrow.Seq{0}},
		{"before:2001-11", []escrow.Seq{0}},
		{"after:2001-10-23", []escrow.Seq{1, 2, 3}},
		{"after:2001-10", []escrow.Seq{1, 2, 3}},
		{"after:2001", []escrow.Seq{2, 3}},
		{"after:2001-12-31", []escrow.Seq{2, 3}},
		{"during:2001", []escrow.Seq{0, 1}},
		{"during:2001-11-01", []escrow.Seq{1}},
		{"during:2026-03-01", []escrow.Seq{3}},
		{"after:2001-10-22 before:2002", []escrow.Seq{0, 1}},
		{"after:2026", nil},
		{"before:2000", nil},
	} {
		if got := matches(t, x, tc.query); !slices.Equal(got, tc.want) {
			t.Errorf("%s finds %v, want %v", tc.query, got, tc.want)
		}
	}
}

// Every span of days finds exactly the days in it, however it is put together from years, months and days.
func TestPeriods(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	days := []time.Time{}
	var docs []index.Document
	for d := time.Date(1999, 11, 20, 10, 0, 0, 0, time.UTC); d.Year() < 2003; d = d.AddDate(0, 0, 9) {
		days = append(days, d)
		docs = append(docs, index.Document{Sent: d, Body: "x1"})
	}
	apply(t, x, docs...)
	for i := 0; i < len(days); i += 7 {
		for j := i; j < len(days); j += 11 {
			q := fmt.Sprintf("after:%s before:%s", days[i].AddDate(0, 0, -1).Format("2006-01-02"), days[j].AddDate(0, 0, 1).Format("2006-01-02"))
			if got := matches(t, x, q); len(got) != j-i+1 || got[0] != escrow.Seq(i) {
				t.Errorf("%s finds %d, want %d", q, len(got), j-i+1)
			}
		}
	}
	period := &index.Query{Root: index.Period{From: time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2002, 5, 17, 0, 0, 0, 0, time.UTC)}}
	got, err := x.Matches(context.Background(), period)
	want := 0
	for _, d := range days {
		if !d.Before(period.Root.(index.Period).From) && d.Before(period.Root.(index.Period).Until) {
			want++
		}
	}
	if err != nil || len(got) != want {
		t.Errorf("a period with two ends finds %d (%v), want %d", len(got), err, want)
	}
}

func TestLookups(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, office()...)
	ctx := context.Background()
	if got, err := x.SubjectSeqs(ctx, 9); err != nil || !slices.Equal(got, []escrow.Seq{0, 1}) {
		t.Errorf("subject: %v, %v", got, err)
	}
	if got, err := x.SubjectSeqs(ctx, 8); err != nil || len(got) != 0 {
		t.Errorf("unknown subject: %v, %v", got, err)
	}
	if got, err := x.ConversationSeqs(ctx, "mail", "Budget 2026"); err != nil || !slices.Equal(got, []escrow.Seq{0}) {
		t.Errorf("conversation: %v, %v", got, err)
	}
	if got, err := x.ConversationSeqs(ctx, "chat", "Budget 2026"); err != nil || len(got) != 0 {
		t.Errorf("conversation in another spelling: %v, %v", got, err)
	}
	if n, err := x.Count(ctx); err != nil || n != 4 {
		t.Errorf("count: %d, %v", n, err)
	}
	if ok, err := x.HasTerm(ctx, "body", "gamma"); err != nil || !ok {
		t.Errorf("dictionary: %v, %v", ok, err)
	}
}

func TestSearchPages(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	docs := synthetic(900, 12, 1)
	for i := range docs {
		docs[i].Month = []string{"203101", "203102"}[i%2]
		docs[i].Body += " common"
	}
	apply(t, x, docs...)
	for _, newest := range []bool{false, true} {
		whole := search(t, x, index.Request{Query: parse(t, "common"), Limit: 900, Newest: newest})
		if whole.Total != 900 || len(whole.Hits) != 900 || whole.Position != 900 {
			t.Fatalf("total %d, %d hits, position %d", whole.Total, len(whole.Hits), whole.Position)
		}
		var paged []index.Hit
		for offset := 0; offset < 900; offset += 170 {
			paged = append(paged, search(t, x, index.Request{Query: parse(t, "common"), Limit: 170, Offset: offset, Newest: newest}).Hits...)
		}
		if diff := cmp.Diff(whole.Hits, paged); diff != "" {
			t.Errorf("newest %v: pages differ from the whole: %s", newest, diff)
		}
		if newest && whole.Hits[0].Seq != 899 {
			t.Errorf("newest is %d", whole.Hits[0].Seq)
		}
	}
	if r := search(t, x, index.Request{}); r.Total != 900 || len(r.Hits) != 0 {
		t.Errorf("everything: %d, %d hits", r.Total, len(r.Hits))
	}
	if r := search(t, x, index.Request{Query: parse(t, "common"), Limit: 10, Offset: 5000}); len(r.Hits) != 0 || r.Total != 900 {
		t.Errorf("beyond the end: %d hits of %d", len(r.Hits), r.Total)
	}
}

func TestRelevance(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x,
		index.Document{Body: "many other words and once a contract among them, which is not what the message is about at all"},
		index.Document{Body: "something else", Title: "contract"},
		index.Document{Body: "contracts"},
		index.Document{Body: "contract contract"},
	)
	var order []escrow.Seq
	for _, h := range search(t, x, index.Request{Query: parse(t, "contract"), Limit: 10}).Hits {
		order = append(order, h.Seq)
	}
	if len(order) != 4 || order[0] != 1 || order[3] != 2 {
		t.Errorf("order %v: want the title first and the inflected word last", order)
	}
}

func TestPartialIsReported(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, office()...)
	r := search(t, x, index.Request{Query: parse(t, "alpha"), Limit: 10, Newest: true})
	if r.Partial != 1 {
		t.Errorf("%d partial", r.Partial)
	}
	for _, h := range r.Hits {
		if h.Partial != (h.Seq == 2) {
			t.Errorf("hit %d: partial %v", h.Seq, h.Partial)
		}
	}
	if r := search(t, x, index.Request{Query: parse(t, "beta")}); r.Partial != 1 {
		t.Errorf("a partial message that is no hit may be missing from the hits, but %d are reported", r.Partial)
	}
}

// A search that is stopped is an error, never a shorter list.
func TestSearchTimeout(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, office()...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := x.Search(ctx, index.Request{Query: parse(t, "alpha"), Limit: 10}); escrow.KindOf(err) != escrow.Unavailable || r.Hits != nil {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := x.Matches(ctx, parse(t, "alpha")); escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("got %v", err)
	}
	cfg := config()
	cfg.Timeout = time.Nanosecond
	y, err := bleveindex.Open(context.Background(), t.TempDir(), &fakeKeys{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIndex(t, y)
	if _, err := y.Search(context.Background(), index.Request{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A word that stands for too many others is refused with the limit.
func TestExpansionLimit(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	var docs []index.Document
	for i := range 120 {
		d := index.Document{}
		for j := range 10 {
			d.Body += fmt.Sprintf("word%d ", i*10+j)
		}
		docs = append(docs, d)
	}
	apply(t, x, docs...)
	_, err := x.Search(context.Background(), index.Request{Query: parse(t, "wo*")})
	if escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("got %v", err)
	}
	if got := matches(t, x, "word11*"); len(got) != 12 {
		t.Errorf("word11* finds %d", len(got))
	}
}

// Indexing again replaces, also when the month of disposal has changed; a batch that is applied twice changes nothing.
func TestReplace(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, index.Document{Body: "alpha"}, index.Document{Body: "beta"})
	change(t, x, bleveindex.Batch{Docs: []index.Document{{Seq: 0, Month: "203103", Body: "gamma", Time: received}}, Position: 2})
	change(t, x, bleveindex.Batch{Docs: []index.Document{{Seq: 1, Month: "204001", Body: "delta", Time: received}}, Position: 2})
	for q, want := range map[string]int{"alpha": 0, "beta": 0, "gamma": 1, "delta": 1} {
		if got := matches(t, x, q); len(got) != want {
			t.Errorf("%s finds %v", q, got)
		}
	}
	again := bleveindex.Batch{Docs: []index.Document{{Seq: 2, Month: "203103", Body: "first", Time: received}, {Seq: 2, Month: "203103", Body: "second", Time: received},
		{Seq: 3, Month: "203103", Body: "never", Time: received}}, Delete: []escrow.Seq{3, 0, 99}, Position: 4}
	for range 2 {
		change(t, x, again)
		if n, err := x.Count(context.Background()); err != nil || n != 2 {
			t.Errorf("%d documents, %v", n, err)
		}
		if got := matches(t, x, "second OR delta"); !slices.Equal(got, []escrow.Seq{1, 2}) {
			t.Errorf("found %v", got)
		}
	}
	if err := x.Apply(context.Background(), bleveindex.Batch{Position: 3}); escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("the position went back: %v", err)
	}
}

// An index made anew from the same messages, in other portions, answers the same, in the same order.
func TestRebuild(t *testing.T) {
	docs := synthetic(1500, 15, 3)
	for i := range docs {
		docs[i].Seq = escrow.Seq(i)
		complete(&docs[i])
	}
	x := open(t, t.TempDir(), &fakeKeys{})
	for i := 0; i < len(docs); i += 100 {
		change(t, x, bleveindex.Batch{Docs: docs[i : i+100], Position: escrow.TreeSize(i + 100)})
	}
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{3, 500, 1400}, Position: 1500})
	queries := answers(t, x, docs)
	if _, err := x.Reset(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n, err := x.Count(context.Background()); n != 0 || err != nil || x.Position() != 0 {
		t.Fatalf("after reset: %d documents, position %d, %v", n, x.Position(), err)
	}
	change(t, x, bleveindex.Batch{Docs: docs, Delete: []escrow.Seq{3, 500, 1400}, Position: 1500})
	if diff := cmp.Diff(queries, answers(t, x, docs)); diff != "" {
		t.Error(diff)
	}
}

func answers(t *testing.T, x *bleveindex.Index, docs []index.Document) map[string][]escrow.Seq {
	t.Helper()
	found := map[string][]escrow.Seq{}
	for i := 0; i < 400; i += 23 {
		title := parse(t, docs[i].Title+" OR channel:chat").Root
		for _, newest := range []bool{true, false} {
			r := search(t, x, index.Request{Query: &index.Query{Root: title}, Limit: 50, Newest: newest})
			key := fmt.Sprintf("%d %v %d", i, newest, r.Total)
			for _, h := range r.Hits {
				found[key] = append(found[key], h.Seq)
			}
		}
	}
	return found
}

// A search beside a Reset finds everything, or says that it does not know the records, or fails; it never finds nothing and calls that whole.
func TestSearchBesideReset(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	ctx, stop := context.WithCancel(context.Background())
	var searches sync.WaitGroup
	for range 3 {
		searches.Go(func() {
			for ctx.Err() == nil {
				r, err := x.Search(context.Background(), index.Request{})
				if err == nil && r.Position == 1 && r.Total != 1 {
					t.Errorf("%d of 1 found", r.Total)
				}
			}
		})
	}
	for range 15 {
		doc := index.Document{Body: "word", Month: "203101"}
		complete(&doc)
		change(t, x, bleveindex.Batch{Docs: []index.Document{doc}, Position: 1})
		if _, err := x.Reset(context.Background()); err != nil {
			t.Error(err)
		}
	}
	stop()
	searches.Wait()
}
