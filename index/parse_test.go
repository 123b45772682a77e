package index_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/index"
)

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func word(s string) index.Term { return index.Term{Text: s} }

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, in, normal string
		want             index.Node
	}{
		{"word", "contract", "contract", word("contract")},
		{"and", "signed AND contract", "signed contract", index.All{Nodes: []index.Node{word("signed"), word("contract")}}},
		{"lower case operators are words", "to be or not", "to be or not",
			index.All{Nodes: []index.Node{word("to"), word("be"), word("or"), word("not")}}},
		{"or binds less than and", "a1 b1 OR c1", "(a1 b1) OR c1",
			index.Any{Nodes: []index.Node{index.All{Nodes: []index.Node{word("a1"), word("b1")}}, word("c1")}}},
		{"parentheses", "a1 (b1 OR c1)", "a1 (b1 OR c1)",
			index.All{Nodes: []index.Node{word("a1"), index.Any{Nodes: []index.Node{word("b1"), word("c1")}}}}},
		{"superfluous parentheses", "((a1)) ((b1 c1))", "a1 b1 c1", index.All{Nodes: []index.Node{word("a1"), word("b1"), word("c1")}}},
		{"minus", "a1 -b1", "a1 -b1", index.All{Nodes: []index.Node{word("a1"), index.Not{Node: word("b1")}}}},
		{"not", "NOT (a1 OR b1)", "-(a1 OR b1)", index.Not{Node: index.Any{Nodes: []index.Node{word("a1"), word("b1")}}}},
		{"double negation", "-(-a1)", "a1", word("a1")},
		{"hyphen inside a word", "e-mail", "e-mail", word("e-mail")},
		{"phrase", `"to be or not to be"`, `"to be or not to be"`, index.Term{Form: index.Phrase, Text: "to be or not to be"}},
		{"operator in a phrase", `"OR"`, `"OR"`, index.Term{Form: index.Phrase, Text: "OR"}},
		{"typographic quotes", "„guten Tag“", `"guten Tag"`, index.Term{Form: index.Phrase, Text: "guten Tag"}},
		{"guillemets", "«bon jour»", `"bon jour"`, index.Term{Form: index.Phrase, Text: "bon jour"}},
		{"escaped quote", `"a \"b\" \\ c"`, `"a \"b\" \\ c"`, index.Term{Form: index.Phrase, Text: `a "b" \ c`}},
		{"prefix", "nego*", "nego*", index.Term{Form: index.Prefix, Text: "nego"}},
		{"fuzzy", "miller~", "miller~1", index.Term{Form: index.Fuzzy, Text: "miller", Distance: 1}},
		{"fuzzier", "miller~2", "miller~2", index.Term{Form: index.Fuzzy, Text: "miller", Distance: 2}},
		{"field", "From:ana@example.org", "from:ana@example.org", index.Term{Field: index.FieldFrom, Text: "ana@example.org"}},
		{"typed identity", "from:tel:+4930123", "from:tel:+4930123", index.Term{Field: index.FieldFrom, Text: "tel:+4930123"}},
		{"prefix of an address", "to:ana.d*", "to:ana.d*", index.Term{Field: index.FieldTo, Form: index.Prefix, Text: "ana.d"}},
		{"quoted field value", `from:"Ana Díaz"`, `from:"Ana Díaz"`, index.Term{Field: index.FieldFrom, Form: index.Phrase, Text: "Ana Díaz"}},
		{"field group", "from:(ana OR ben) x1", "(from:ana OR from:ben) x1", index.All{Nodes: []index.Node{index.Any{Nodes: []index.Node{
			index.Term{Field: index.FieldFrom, Text: "ana"}, index.Term{Field: index.FieldFrom, Text: "ben"}}}, word("x1")}}},
		{"conversation with a space", `in:"team north"`, `in:"team north"`, index.Term{Field: index.FieldIn, Text: "team north"}},
		{"quotes that are not needed", `channel:"Mail"`, `channel:mail`, index.Term{Field: index.FieldChannel, Text: "mail"}},
		{"has", "has:Attachment", "has:attachment", index.Term{Field: index.FieldHas, Text: "attachment"}},
		{"message id", "id:<a.1@b>", "id:<a.1@b>", index.Term{Field: index.FieldID, Text: "<a.1@b>"}},
		{"time of day is no field", "12:30", "12:30", word("12:30")},
		{"web address", "https://example.org/a", "https://example.org/a", word("https://example.org/a")},
		{"chinese", "合同 from:田中", "合同 from:田中", index.All{Nodes: []index.Node{word("合同"), index.Term{Field: index.FieldFrom, Text: "田中"}}}},
		{"full-width punctuation", "（合同　OR　协议） ｔitle：x1", "(合同 OR 协议) ｔitle:x1", index.All{Nodes: []index.Node{
			index.Any{Nodes: []index.Node{word("合同"), word("协议")}}, word("ｔitle:x1")}}},
		{"right to left", `"العقد الجديد" -مسودة`, `"العقد الجديد" -مسودة`, index.All{Nodes: []index.Node{
			index.Term{Form: index.Phrase, Text: "العقد الجديد"}, index.Not{Node: word("مسودة")}}}},
		{"before", "before:2001-10-23", "before:2001-10-23", index.Period{Until: date(2001, 10, 23)}},
		{"before a year", "before:2001-01-01", "before:2001", index.Period{Until: date(2001, 1, 1)}},
		{"after a month", "after:2001-10", "after:2001-10", index.Period{From: date(2001, 11, 1)}},
		{"after a year", "after:2001", "after:2001", index.Period{From: date(2002, 1, 1)}},
		{"during a month", "during:2001-10", "during:2001-10", index.Period{From: date(2001, 10, 1), Until: date(2001, 11, 1)}},
		{"during a day", `during:"2001-10-23"`, "during:2001-10-23", index.Period{From: date(2001, 10, 23), Until: date(2001, 10, 24)}},
		{"relative", "after:7d", "after:2026-03-07", index.Period{From: date(2026, 3, 8)}},
		{"today", "during:today", "during:2026-03-14", index.Period{From: date(2026, 3, 14), Until: date(2026, 3, 15)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q, err := index.Parse(tc.in, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, q.Root); diff != "" {
				t.Error(diff)
			}
			if got := q.String(); got != tc.normal {
				t.Errorf("normal form %s, want %s", got, tc.normal)
			}
			roundTrip(t, q)
		})
	}
}

// roundTrip: the normal form of a query parses to the same query.
func roundTrip(t *testing.T, q *index.Query) {
	t.Helper()
	again, err := index.Parse(q.String(), now)
	if err != nil {
		t.Fatalf("the normal form %q does not parse: %v", q, err)
	}
	if diff := cmp.Diff(q.Root, again.Root); diff != "" {
		t.Errorf("the normal form %q means something else: %s", q, diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		column   int
		says     string
	}{
		{"nothing", "  ", 1, "empty"},
		{"unclosed quote", `a "b c`, 3, "never closed"},
		{"unclosed parenthesis", "a (b c", 3, "add )"},
		{"stray parenthesis", "a b) c", 4, "closes nothing"},
		{"empty parentheses", "a ()", 4, "missing"},
		{"leading or", "OR a", 1, "both sides"},
		{"trailing or", "a OR", 5, "missing"},
		{"trailing and", "a AND", 6, "missing"},
		{"two operators", "a AND OR b", 7, "both sides"},
		{"minus alone", "a - b", 3, "directly before"},
		{"minus at the end", "a -", 3, "needs a term"},
		{"two minus signs", "--a", 1, "two negations"},
		{"star", "*", 1, "everything"},
		{"short prefix", "from:a*", 6, "at least 2 letters"},
		{"star in the middle", "con*act", 4, "only at the end"},
		{"star in front", "*tract", 1, "only at the end"},
		{"short fuzzy", "abc~", 1, "4 to 32"},
		{"too fuzzy", "contract~3", 9, "1 to 2"},
		{"fuzzy chinese", "合同协议合同~", 1, "without spaces"},
		{"regular expression", "/a.*b/", 1, "regular expressions"},
		{"weight", "contract^2", 1, "weights"},
		{"near", "a NEAR/5 b", 3, "NEAR is not supported yet"},
		{"near alone", "a NEAR b", 3, "NEAR is not supported yet"},
		{"phrase with distance", `"a b"~5`, 6, "not supported"},
		{"signs for operators", "a && b", 3, "AND, OR, NOT"},
		{"hold", "a hold:M1", 3, "not supported yet"},
		{"size", "size:>1M", 1, "not supported yet"},
		{"state", "state:erased", 1, "not supported yet"},
		{"foreign name", "subject:x", 1, "title:"},
		{"unknown field", "re:x", 1, "no such field"},
		{"field without a value", "from: ana", 1, "no value"},
		{"field within a field", "from:(to:ana)", 7, "another field"},
		{"not a date", "before:soon", 8, "2001-10-23"},
		{"impossible date", "before:2001-02-30", 8, "2001-10-23"},
		{"type", "type:mail", 6, "reaction"},
		{"has", "has:virus", 5, "attachment"},
		{"language", "lang:english", 6, "two or three letters"},
		{"star in an exact field", "channel:ma*", 9, "whole value"},
		{"only signs", "a ...", 3, "no letter or digit"},
		{"deep", strings.Repeat("(", index.MaxDepth+1), index.MaxDepth + 1, "32 deep"},
		{"many", strings.Repeat("ab ", index.MaxClauses+1), 3*index.MaxClauses + 1, "256 terms"},
		{"many stars", strings.Repeat("ab* ", index.MaxWildcards+1), 4*index.MaxWildcards + 1, "16 words"},
		{"long phrase", `"` + strings.Repeat("ab ", index.MaxPhraseWords+1) + `"`, 1, "64 words"},
		{"long", strings.Repeat("a", index.MaxQueryBytes+1), 1, "4096 bytes"},
		{"long when written out", "channel:(" + strings.Repeat(`OR "a b c d e" `, 250)[3:] + ")", 1, "written out"},
		{"not UTF-8", "a\xff", 1, "UTF-8"},
		{"column counts characters", "über (x", 6, "never closed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := index.Parse(tc.in, now)
			syntax, ok := errors.AsType[*index.SyntaxError](err)
			switch {
			case err == nil || !ok || escrow.KindOf(err) != escrow.Invalid:
				t.Fatalf("got %v, want an invalid query", err)
			case syntax.Column != tc.column:
				t.Errorf("column %d, want %d: %v", syntax.Column, tc.column, err)
			case !strings.Contains(syntax.Text, tc.says):
				t.Errorf("%q does not say %q", syntax.Text, tc.says)
			}
		})
	}
}

func TestRequestCheck(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    index.Request
		ok   bool
	}{
		{"count", index.Request{}, true},
		{"largest page", index.Request{Limit: index.MaxPage}, true},
		{"last page", index.Request{Limit: 100, Offset: index.MaxReach - 100}, true},
		{"large page", index.Request{Limit: index.MaxPage + 1}, false},
		{"negative page", index.Request{Limit: -1}, false},
		{"negative offset", index.Request{Offset: -1}, false},
		{"too far", index.Request{Limit: 100, Offset: index.MaxReach - 99}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.r.Check(); (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDocumentDate(t *testing.T) {
	received, sent := date(2026, 1, 2), date(2001, 10, 23)
	if got := (index.Document{Time: received, Sent: sent}).Date(); !got.Equal(sent) {
		t.Errorf("sent date: %v", got)
	}
	for _, bad := range []time.Time{{}, date(12001, 1, 1), date(-3, 1, 1)} {
		if got := (index.Document{Time: received, Sent: bad}).Date(); !got.Equal(received) {
			t.Errorf("sent %v: %v", bad, got)
		}
	}
}

// Whatever is typed: no panic, and what is accepted has a normal form that means the same and is stable.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`a "b c" (d OR -e) from:x* y~2 before:2001`, `from:("a b" c) -(-d)`, "（合同　OR\u3000协议）", `"\\" \"x"`, "a:b:c -http://x", "12:30~1",
		"NOT(a)OR(b)", "„x“y", "before:0d after:1000", "in:\"a\\\"b\"", "from:@x.org", "id:-5", "channel:-x", `type:"edit"`, "a\u00a0b", "in:/x/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := index.Parse(s, now)
		if err != nil {
			if _, ok := errors.AsType[*index.SyntaxError](err); !ok {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		normal := q.String()
		again, err := index.Parse(normal, now)
		if err != nil {
			t.Fatalf("%q: normal form %q: %v", s, normal, err)
		}
		if diff := cmp.Diff(q.Root, again.Root); diff != "" {
			t.Fatalf("%q: normal form %q: %s", s, normal, diff)
		}
	})
}
