package bleveindex_test

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"escrow"
	"escrow/index"
	"escrow/index/bleveindex"
)

// marked returns a snippet with its marks in brackets.
func marked(text string, spans []index.Span) string {
	var b strings.Builder
	last := 0
	for _, s := range spans {
		b.WriteString(text[last:s.Start] + "[" + text[s.Start:s.End] + "]")
		last = s.End
	}
	return b.String() + text[last:]
}

func TestSnippet(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	long := strings.Repeat("nothing to see here, ", 100)
	for _, tc := range []struct {
		name, query, lang, text, want string
		max                           int
	}{
		{"word", "late", "en", "The report is late.", "The report is [late].", 100},
		{"inflection", "contract", "en", "We negotiated contracts.", "We negotiated [contracts].", 100},
		{"inflection in the query", "negotiating", "en", "We negotiated contracts.", "We [negotiated] contracts.", 100},
		{"language detected", "vertrag", "", "Die Verträge sind nicht unterschrieben und das ist schlecht", "Die [Verträge] sind nicht unterschrieben und das ist schlecht", 100},
		{"accents", "muller", "de", "Herr Müller kommt", "Herr [Müller] kommt", 100},
		{"phrase", `"is late"`, "en", "It is so late. It is late.", "It is so late. It [is late].", 100},
		{"phrase is exact", `"contract"`, "en", "contracts and a contract", "contracts and a [contract]", 100},
		{"prefix", "nego*", "en", "negotiation", "[negotiation]", 100},
		{"fuzzy", "repord~1", "en", "The report", "The [report]", 100},
		{"chinese", "合同", "zh", "我们签署了采购合同。", "我们签署了采购[合同]。", 100},
		{"chinese phrase", "采购合同", "zh", "签署了采购合同和合同", "签署了[采购合同]和合同", 100},
		{"single character", "购", "zh", "采购合同", "采[购]合同", 100},
		{"arabic", "عقود", "ar", "وقعنا العقود أمس", "وقعنا [العقود] أمس", 100},
		{"excluded words are not marked", "report -late", "en", "The report is late.", "The [report] is late.", 100},
		{"other fields are not marked", "from:report late", "en", "The report is late.", "The report is [late].", 100},
		{"field of text", "body:late OR title:report", "en", "The report is late.", "The [report] is [late].", 100},
		{"line breaks", "late", "en", "The\nreport\tis late.", "The report is [late].", 100},
		{"far away", "zebra", "en", long + "a zebra appears", "…to see here, nothing to see here, a [zebra] appears", 55},
		{"best window", "alpha beta", "en", "alpha " + long + "alpha beta " + long, "…see here, [alpha] [beta] nothing to see here, nothing…", 50},
		{"no hit", "zebra", "en", long, "nothing to see…", 20},
		{"empty", "zebra", "en", "", "", 20},
		{"no room", "zebra", "en", "zebra", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, spans := x.Snippet(parse(t, tc.query), tc.text, tc.lang, tc.max)
			if got := marked(text, spans); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if text, spans := x.Snippet(nil, "anything", "", 100); text != "anything" || spans != nil {
		t.Errorf("without a query: %q %v", text, spans)
	}
}

// Whatever the text: the snippet is valid, the marks lie within it and between characters.
func FuzzSnippet(f *testing.F) {
	x := open(f, f.TempDir(), &fakeKeys{})
	f.Add("合同 über contract", "The contrac\u0301t 合同合同 u\u0308ber ｶﾞ", 10)
	f.Add(`"a b" c*`, "a b\xff c\u0300d", 3)
	f.Fuzz(func(t *testing.T, query, text string, size int) {
		q, err := index.Parse(query, now)
		if err != nil {
			return
		}
		got, spans := x.Snippet(q, text, "", size)
		if utf8.ValidString(text) && !utf8.ValidString(got) || len(got) > max(size, 0)+2*len("…") {
			t.Fatalf("%q", got)
		}
		last := 0
		for _, s := range spans {
			if s.Start < last || s.End <= s.Start || s.End > len(got) || !utf8.RuneStart(got[s.Start]) {
				t.Fatalf("%v in %q", spans, got)
			}
			last = s.End
		}
	})
}

// What analysers remember of words goes with the documents it came from.
func TestWordsAreForgotten(t *testing.T) {
	x := open(t, t.TempDir(), &fakeKeys{})
	apply(t, x, hers(), index.Document{Body: "other"})
	learn := func() {
		t.Helper()
		for range 1000 { // the pool may lose what is idle at any moment
			x.Snippet(parse(t, "contracts"), onlyHers+" and contracts", "", 100)
			if x.Remembers(onlyHers) {
				return
			}
		}
		t.Fatal("nothing is remembered at all")
	}
	learn()
	change(t, x, bleveindex.Batch{Delete: []escrow.Seq{0}, Position: 2})
	if x.Remembers(onlyHers) {
		t.Error("a word of a deleted document is remembered")
	}
	learn()
	if _, err := x.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	if x.Remembers(onlyHers) {
		t.Error("a word is remembered after a purge")
	}
}
