package index

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"escrow"
)

// SyntaxError says where a query is wrong and how to mend it. It never quotes the query, which is as confidential as what it looks for.
type SyntaxError struct {
	Column int    // character at which the problem begins, from 1
	Text   string // what was expected and what to do
}

// Error returns "column n: text".
func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Text) }

// Parse reads a query. Relative dates count from now. Every error is of kind Invalid and wraps a *SyntaxError.
func Parse(q string, now time.Time) (*Query, error) {
	p := &parser{now: now}
	root, err := p.query(q)
	if err != nil {
		return nil, escrow.Errorf("index.Parse", escrow.Invalid, "%w", err)
	}
	query := &Query{Root: root}
	if len(query.String()) > MaxQueryBytes {
		err := fail(1, "written out, with its field at every term, the query has more than %d bytes: shorten it", MaxQueryBytes)
		return nil, escrow.Errorf("index.Parse", escrow.Invalid, "%w", err)
	}
	return query, nil
}

type parser struct {
	scanner
	now       time.Time
	group     Field // of the group in parentheses being read, as in from:(…)
	depth     int
	clauses   int
	wildcards int
}

func (p *parser) query(q string) (Node, error) {
	switch {
	case len(q) > MaxQueryBytes:
		return nil, fail(1, "a query must have at most %d bytes, this one has %d", MaxQueryBytes, len(q))
	case !utf8.ValidString(q):
		return nil, fail(1, "a query must be valid UTF-8")
	}
	p.in = []rune(q)
	if p.space(); p.end() {
		return nil, fail(1, "the query is empty: write what to look for")
	}
	n, err := p.or()
	if err == nil && !p.end() { // only a closing parenthesis stops or() early
		err = fail(p.column(), "this ) closes nothing: remove it or add (")
	}
	return n, err
}

func (p *parser) or() (Node, error) {
	n, err := p.and()
	if err != nil {
		return nil, err
	}
	nodes := []Node{n}
	for p.operator("OR") {
		if n, err = p.and(); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return anyOf(nodes), nil
}

func (p *parser) and() (Node, error) {
	n, err := p.not()
	if err != nil {
		return nil, err
	}
	nodes := []Node{n}
	for p.operator("AND") || p.more() {
		if n, err = p.not(); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return allOf(nodes), nil
}

// more reports whether another term of an AND begins here.
func (p *parser) more() bool {
	p.space()
	return !p.end() && p.peek() != ')' && p.word() != "OR"
}

func (p *parser) not() (Node, error) {
	p.space()
	at := p.column()
	if !p.operator("NOT") && !p.minus() {
		return p.term()
	}
	if p.in[p.pos-1] == '-' && !p.end() && unicode.IsSpace(p.peek()) {
		return nil, fail(at, "- must stand directly before what it excludes, without a space; leave it out if it is only a dash")
	}
	if p.space(); p.end() || p.peek() == ')' {
		return nil, fail(at, "NOT or - needs a term after it")
	}
	if p.minus() || p.operator("NOT") {
		return nil, fail(at, "two negations in a row: remove both, or put the inner one into parentheses")
	}
	n, err := p.term()
	if inner, ok := n.(Not); ok {
		return inner.Node, err
	}
	return Not{Node: n}, err
}

func (p *parser) term() (Node, error) {
	p.space()
	at := p.column()
	if p.end() || p.peek() == ')' {
		return nil, fail(at, "a term is missing here: write a word, a phrase in quotes or a field")
	}
	if word := p.word(); isOperator(word) || strings.HasPrefix(word, "NEAR/") {
		return nil, misplaced(at, word)
	}
	field, err := p.field()
	if err != nil {
		return nil, err
	}
	if p.end() || unicode.IsSpace(p.peek()) || p.peek() == ')' {
		return nil, fail(at, "the field has no value: write it directly after the colon, in quotes if it has spaces")
	}
	if p.peek() == '(' {
		return p.parenthesis(field)
	}
	if p.clauses++; p.clauses > MaxClauses {
		return nil, fail(at, "a query may have at most %d terms: split it", MaxClauses)
	}
	return p.value(field)
}

func misplaced(at int, word string) error {
	if strings.HasPrefix(word, "NEAR") {
		return fail(at, `NEAR is not supported yet: use a phrase in quotes, or both words. To find the word itself, write it in quotes`)
	}
	return fail(at, "AND and OR need a term on both sides. To find the word itself, write it in lower case or in quotes")
}

func (p *parser) parenthesis(field Field) (Node, error) {
	at := p.column()
	if p.depth++; p.depth > MaxDepth {
		return nil, fail(at, "parentheses may be nested %d deep at most", MaxDepth)
	}
	outer := p.group
	if field != FieldAny {
		p.group = field
	}
	p.pos++
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.end() {
		return nil, fail(at, "this ( is never closed: add )")
	}
	p.pos++
	p.group = outer
	p.depth--
	return n, nil
}

// field consumes a field name with its colon. Without one, the field of the enclosing group counts.
func (p *parser) field() (Field, error) {
	at := p.column()
	name, ok := p.fieldName()
	if !ok {
		return p.group, nil
	}
	field := Field(name)
	switch {
	case slices.Contains(missing, name):
		return "", fail(at, "this field is not supported yet. Fields are %s", fieldNames)
	case meant[name] != "":
		return "", fail(at, "this field does not exist here, use %s: instead", meant[name])
	case field.kind() == unknown:
		return "", fail(at, "there is no such field. Fields are %s To find the text itself, put it in quotes", fieldNames)
	case p.group != FieldAny:
		return "", fail(at, "a field within the parentheses of another field")
	}
	p.pos += len(name) + 1
	return field, nil
}

// value reads what follows the field.
func (p *parser) value(field Field) (Node, error) {
	at := p.column()
	if isQuote(p.peek()) {
		s, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if !p.end() && (p.peek() == '~' || p.peek() == '*') {
			return nil, fail(p.column(), "* and ~ after a phrase are not supported: write the words without quotes, or the phrase alone")
		}
		return p.build(at, Term{Field: field, Form: Phrase, Text: s})
	}
	word := p.word()
	p.pos += utf8.RuneCountInString(word)
	t, err := parseWord(at, word)
	if err != nil {
		return nil, err
	}
	t.Field = field
	return p.build(at, t)
}

// build checks a term against its field.
func (p *parser) build(at int, t Term) (Node, error) {
	if t.Form == Prefix || t.Form == Fuzzy {
		if p.wildcards++; p.wildcards > MaxWildcards {
			return nil, fail(at, "a query may have at most %d words with * or ~", MaxWildcards)
		}
	}
	switch t.Field.kind() {
	case date:
		return p.period(at, t)
	case exact:
		return buildExact(at, t)
	}
	if err := checkText(at, t); err != nil {
		return nil, err
	}
	return t, nil
}

func buildExact(at int, t Term) (Node, error) {
	if t.Form == Prefix || t.Form == Fuzzy {
		return nil, fail(at, "* and ~ are not allowed in this field: it takes a whole value")
	}
	t.Form, t.Text = Word, strings.TrimSpace(t.Text)
	if t.Field == FieldType || t.Field == FieldHas || t.Field == FieldLang || t.Field == FieldChannel {
		t.Text = strings.ToLower(t.Text)
	}
	if t.Text == "" {
		return nil, fail(at, "the value is empty")
	}
	if problem := checkExact(t.Field, t.Text); problem != "" {
		return nil, fail(at, "%s", problem)
	}
	return t, nil
}

func (p *parser) period(at int, t Term) (Node, error) {
	from, until, ok := parseDates(strings.TrimSpace(t.Text), p.now)
	if !ok || t.Form == Prefix || t.Form == Fuzzy {
		return nil, fail(at, "a date is expected: 2001-10-23, 2001-10, 2001, today, yesterday or 30d for thirty days ago")
	}
	switch t.Field {
	case fieldBefore:
		return Period{Until: from}, nil
	case fieldAfter:
		return Period{From: until}, nil
	}
	return Period{From: from, Until: until}, nil
}

func allOf(nodes []Node) Node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	var flat []Node
	for _, n := range nodes {
		if all, ok := n.(All); ok {
			flat = append(flat, all.Nodes...)
			continue
		}
		flat = append(flat, n)
	}
	return All{Nodes: flat}
}

func anyOf(nodes []Node) Node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	var flat []Node
	for _, n := range nodes {
		if sub, ok := n.(Any); ok {
			flat = append(flat, sub.Nodes...)
			continue
		}
		flat = append(flat, n)
	}
	return Any{Nodes: flat}
}

func fail(column int, format string, args ...any) error {
	return &SyntaxError{Column: column, Text: fmt.Sprintf(format, args...)}
}
