package index

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Query is a parsed query. It is never changed after Parse and may be used concurrently.
type Query struct {
	Root Node
}

// Node is a part of a query: All, Any, Not, Term or Period.
type Node interface {
	write(b *strings.Builder)
}

// All matches where every one of its two or more nodes does.
type All struct{ Nodes []Node }

// Any matches where at least one of its two or more nodes does.
type Any struct{ Nodes []Node }

// Not matches where its node does not.
type Not struct{ Node Node }

// Form is how the text of a Term is to be found.
type Form uint8

// The forms of a term.
const (
	Word   Form = iota // the word in any inflection; for fields without language the value as it is
	Phrase             // exactly these words in this order
	Prefix             // words that begin so
	Fuzzy              // words that differ in at most Distance letters
)

// Term looks for a text in a field, or in everything readable where Field is FieldAny.
type Term struct {
	Field    Field
	Form     Form
	Text     string // as typed, without quotes and operators
	Distance int    // 1 … MaxDistance for Fuzzy, else 0
}

// Period matches messages whose date is in it. At least one end is set. Both are midnights in UTC.
type Period struct {
	From  time.Time // first day, zero: no lower end
	Until time.Time // first day that is not in it any more, zero: no upper end
}

// String returns the normal form: it parses to the same query, and equal queries have equal normal forms.
func (q *Query) String() string {
	var b strings.Builder
	if q != nil && q.Root != nil {
		q.Root.write(&b)
	}
	return b.String()
}

func (n All) write(b *strings.Builder) { writeList(b, n.Nodes, " ") }

func (n Any) write(b *strings.Builder) { writeList(b, n.Nodes, " OR ") }

func writeList(b *strings.Builder, nodes []Node, between string) {
	for i, n := range nodes {
		if i > 0 {
			b.WriteString(between)
		}
		writeGrouped(b, n)
	}
}

func writeGrouped(b *strings.Builder, n Node) {
	switch n.(type) {
	case All, Any:
		b.WriteByte('(')
		n.write(b)
		b.WriteByte(')')
	default:
		n.write(b)
	}
}

func (n Not) write(b *strings.Builder) {
	b.WriteByte('-')
	writeGrouped(b, n.Node)
}

func (n Term) write(b *strings.Builder) {
	if n.Field != FieldAny {
		b.WriteString(string(n.Field))
		b.WriteByte(':')
	}
	switch {
	case n.Form == Phrase || n.Field.kind() == exact && !plain(n.Text):
		b.WriteString(`"` + escapeQuotes(n.Text) + `"`)
	default:
		b.WriteString(n.Text)
	}
	switch n.Form {
	case Prefix:
		b.WriteByte('*')
	case Fuzzy:
		b.WriteString("~" + strconv.Itoa(n.Distance))
	}
}

// escapeQuotes protects quotation marks and backslashes inside quotation marks.
func escapeQuotes(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

// plain reports whether the value of an exact field can stand without quotes.
func plain(s string) bool {
	for _, r := range s {
		if unicode.IsSpace(r) || strings.ContainsRune("():", r) || isQuote(r) || narrow(r) != r {
			return false
		}
	}
	t, err := parseWord(1, s)
	return s != "" && err == nil && t.Form == Word
}

func isOperator(s string) bool { return s == "AND" || s == "OR" || s == "NOT" || s == "NEAR" }

func (n Period) write(b *strings.Builder) {
	switch {
	case n.Until.IsZero():
		b.WriteString("after:" + dayBefore(n.From))
	case n.From.IsZero():
		b.WriteString("before:" + shortDay(n.Until))
	default:
		b.WriteString("during:" + span(n.From, n.Until))
	}
}
