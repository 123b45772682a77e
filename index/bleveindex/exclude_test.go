package bleveindex_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

// What a request excludes is neither found nor counted, however hits are sorted and paged.
func TestExclude(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	var docs []index.Document
	for i := range 40 {
		docs = append(docs, index.Document{Body: fmt.Sprint("common word", i), Subjects: []uint32{uint32(i % 4), 100}, Month: fmt.Sprint("20310", 1+i%3)})
	}
	apply(t, x, docs...)
	hidden := func(seqs ...escrow.Seq) func(escrow.Seq) bool {
		return func(seq escrow.Seq) bool { return slices.Contains(seqs, seq) }
	}
	crowd := make([]uint32, 10_000) // as many erasures may wait at once
	for i := range crowd {
		crowd[i] = uint32(1000 + i)
	}
	for name, r := range map[string]index.Request{
		"person":              {Exclude: []uint32{1}},
		"people":              {Exclude: []uint32{1, 2, 7}},
		"messages":            {Hidden: hidden(0, 3, 39, 4711)},
		"people and messages": {Exclude: []uint32{0}, Hidden: hidden(0, 1, 2)},
		"everything":          {Exclude: []uint32{100}},
		"every message":       {Hidden: func(escrow.Seq) bool { return true }},
		"a crowd":             {Exclude: append(crowd, 1)},
		"nothing":             {},
	} {
		t.Run(name, func(t *testing.T) {
			var want []escrow.Seq
			for i, d := range docs {
				if (r.Hidden == nil || !r.Hidden(escrow.Seq(i))) && !slices.ContainsFunc(d.Subjects, func(leaf uint32) bool { return slices.Contains(r.Exclude, leaf) }) {
					want = append(want, escrow.Seq(i))
				}
			}
			for _, q := range []string{"common", "", "common -word3", "-word3"} {
				for _, newest := range []bool{true, false} {
					r := r
					if r.Newest, r.Limit = newest, 50; q != "" {
						r.Query = parse(t, q)
					}
					got := search(t, x, r)
					seqs := []escrow.Seq{}
					for _, h := range got.Hits {
						seqs = append(seqs, h.Seq)
					}
					slices.Sort(seqs)
					want := slices.DeleteFunc(slices.Clone(want), func(s escrow.Seq) bool { return s == 3 && q != "common" && q != "" })
					if !slices.Equal(seqs, want) && len(seqs)+len(want) > 0 || got.Total != uint64(len(want)) || got.Excluded != (name != "nothing") {
						t.Errorf("%q: %v, %d in total, excluded %v; want %v", q, seqs, got.Total, got.Excluded, want)
					}
					r.Limit = 0
					if got := search(t, x, r); got.Total != uint64(len(want)) {
						t.Errorf("%q: %d counted, want %d", q, got.Total, len(want))
					}
				}
			}
		})
	}
}

func TestDueSeqs(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	var docs []index.Document
	for i, due := range []index.Due{{Class: 0, Day: 20_000}, {Class: 0, Day: 20_001}, {Class: 1, Day: 20_000}, {Class: 0, Day: 255}, {Class: 0, Day: 256}, {}, {Class: 65535, Day: 1<<32 - 1}} {
		month := time.Unix(int64(due.Day)*86400, 0).UTC().Format("200601")
		docs = append(docs, index.Document{Body: fmt.Sprint("word", i), Due: due, Month: month[len(month)-6:]})
	}
	apply(t, x, docs...)
	for _, tc := range []struct {
		class    uint16
		from, to uint32
		want     []escrow.Seq
	}{
		{0, 20_000, 20_000, []escrow.Seq{0}}, {0, 20_000, 20_001, []escrow.Seq{0, 1}}, {0, 0, 1<<32 - 1, []escrow.Seq{0, 1, 3, 4}}, {1, 0, 30_000, []escrow.Seq{2}},
		{0, 256, 256, []escrow.Seq{4}}, {0, 1, 255, []escrow.Seq{3}}, {2, 0, 1<<32 - 1, nil}, {0, 20_002, 20_000, nil}, {65535, 5, 1<<32 - 1, []escrow.Seq{6}},
	} {
		got, err := x.DueSeqs(context.Background(), tc.class, tc.from, tc.to)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("class %d, days %d to %d: %v, %v; want %v", tc.class, tc.from, tc.to, got, err, tc.want)
		}
	}
}

// After a purge no field has a term, and no document a value to sort by, that only a deleted document had.
func TestPurgeCleansEveryField(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	gone := hers()
	gone.ID, gone.Conversation, gone.Channel, gone.Type, gone.Subjects, gone.Partial = onlyHers, onlyHers, onlyHers, "edit", []uint32{77}, []string{"x"}
	gone.Sent, gone.Due = time.Date(1999, 9, 9, 9, 9, 9, 0, time.UTC), index.Due{Class: 9, Day: 999}
	stays := index.Document{Seq: 1, Body: "und sie liefen weiter durch die Straßen der Stadt", Title: "other", From: []index.Person{person("user:U1", "Bo")}}
	apply(t, x, gone, stays)
	before := everything(t, x)
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{0}, Position: 2})
	if _, err := x.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := everything(t, x)
	y := open(t, t.TempDir(), &fakeKeys{})
	complete(&stays)
	change(t, y, bleveindex.Batch{Docs: []index.Document{stays}, Position: 2})
	for field, terms := range everything(t, y) {
		if !slices.Equal(after[field], terms) {
			t.Errorf("%s has %q, an index that never knew the document has %q", field, after[field], terms)
		}
		if slices.Equal(before[field], terms) {
			t.Errorf("%s had nothing of the document before: the test shows nothing", field)
		}
	}
}

// everything returns the terms of every field, and the values documents are sorted by.
func everything(t *testing.T, x *bleveindex.Index) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, f := range append(slices.Clone(wordFields), "key", "time") {
		terms, err := x.Terms(context.Background(), f, "")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(terms)
		all[f] = slices.Compact(terms)
	}
	values, err := x.SortValues()
	if err != nil {
		t.Fatal(err)
	}
	all["values"] = values
	return all
}
