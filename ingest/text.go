package ingest

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlText returns the readable text of an HTML document: what a browser shows, block elements on lines of their own, images by their alternative text, and
// at the end where its links lead, since people search for that, too. It reads tokens, not a tree, so that time and memory are linear in hostile input.
func htmlText(src string) string {
	w := textWriter{}
	w.b.Grow(len(src) / 4)
	z := html.NewTokenizer(strings.NewReader(src))
	skip := atom.Atom(0) // inside of an element that is not shown
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return w.withLinks()
		case html.TextToken:
			if skip == 0 {
				w.text(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, attributes := z.TagName()
			tag := atom.Lookup(name)
			w.tag(tag)
			if attributes {
				w.attribute(z, tag)
			}
			if skip == 0 && hidden(tag) && kind == html.StartTagToken {
				skip = tag
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			tag := atom.Lookup(name)
			w.tag(tag)
			if tag == skip {
				skip = 0
			}
		}
	}
}

// hidden elements hold no text for readers. The tokenizer takes their content as one text, so they cannot nest.
func hidden(tag atom.Atom) bool { return tag == atom.Script || tag == atom.Style }

// textWriter writes words with single spaces, and line ends between blocks.
type textWriter struct {
	b     strings.Builder
	space bool // white space is due before the next word
	line  bool // a line end is due before the next word
	links []string
}

func (w *textWriter) text(t []byte) {
	for len(t) > 0 {
		i := 0
		for i < len(t) && isHTMLSpace(t[i]) {
			i++
		}
		w.space = w.space || i > 0
		t = t[i:]
		for i = 0; i < len(t) && !isHTMLSpace(t[i]); {
			i++
		}
		if i > 0 {
			w.gap()
			w.b.Write(t[:i])
		}
		t = t[i:]
	}
}

func isHTMLSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' }

// gap writes the white space that is due.
func (w *textWriter) gap() {
	switch {
	case w.b.Len() == 0:
	case w.line:
		w.b.WriteByte('\n')
	case w.space:
		w.b.WriteByte(' ')
	}
	w.space, w.line = false, false
}

func (w *textWriter) tag(tag atom.Atom) {
	switch tag {
	case atom.Br:
		if w.line {
			w.b.WriteByte('\n')
		}
		w.line = true
	case atom.P, atom.Div, atom.Tr, atom.Table, atom.Li, atom.Ul, atom.Ol, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Hr,
		atom.Dl, atom.Dt, atom.Dd, atom.Form, atom.Article, atom.Section, atom.Header, atom.Footer, atom.Address, atom.Center, atom.Body, atom.Head, atom.Caption,
		atom.Option, atom.Pre, atom.Fieldset, atom.Main, atom.Nav, atom.Aside, atom.Figure, atom.Figcaption, atom.Title:
		w.line = true
	case atom.Td, atom.Th, atom.Img, atom.Input, atom.Button:
		w.space = true
	}
}

// attribute takes the text that stands for an image, and the target of a link.
func (w *textWriter) attribute(z *html.Tokenizer, tag atom.Atom) {
	wanted := ""
	switch {
	case tag == atom.Img:
		wanted = "alt"
	case tag == atom.A && len(w.links) < maxLinks:
		wanted = "href"
	}
	for more := wanted != ""; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch {
		case string(key) != wanted:
			continue
		case wanted == "alt":
			w.text(value)
			w.space = true
		default:
			w.link(string(value))
		}
		return
	}
}

// link keeps where a link leads, without the query, which mostly tracks the reader.
func (w *textWriter) link(target string) {
	target = oneLine(strings.TrimSpace(target))
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	if scheme, _, ok := strings.Cut(target, ":"); ok && len(target) <= maxLinkBytes && !strings.EqualFold(scheme, "cid") && !slices.Contains(w.links, target) {
		w.links = append(w.links, target)
	}
}

// withLinks returns the text, and below it the links it does not show.
func (w *textWriter) withLinks() string {
	text := strings.TrimSpace(w.b.String())
	var hidden []string
	for _, l := range w.links {
		if _, rest, _ := strings.Cut(l, ":"); !strings.Contains(text, strings.Trim(rest, "/")) {
			hidden = append(hidden, l)
		}
	}
	if hidden == nil {
		return text
	}
	return text + "\n\n" + strings.Join(hidden, "\n")
}

// joinAlternatives returns the readable text of a message that says the same in text and in HTML.
func joinAlternatives(text, html string) string {
	if html == "" {
		return text
	}
	return joinTexts(text, htmlText(html))
}

// joinTexts returns text and, below it, the lines of other that hold a word text lacks. Two alternatives should say the same; where they do not, a search
// must find the words of both.
func joinTexts(text, other string) string {
	if strings.TrimSpace(text) == "" {
		return other
	}
	known := make(map[uint64]struct{}, len(text)/8)
	eachWord(text, func(h uint64) bool {
		known[h] = struct{}{}
		return true
	})
	var missing []string
	for line := range strings.Lines(other) {
		complete := eachWord(line, func(h uint64) bool {
			_, ok := known[h]
			return ok
		})
		if !complete {
			missing = append(missing, strings.TrimRight(line, "\r\n"))
		}
	}
	if missing == nil {
		return text
	}
	return strings.TrimRight(text, "\r\n") + "\n\n" + strings.Join(missing, "\n")
}

// eachWord calls f with a hash (FNV-1a) of every word of s in lower case until it returns false; it reports whether it got to the end. Where words are
// written without spaces every character counts as one.
func eachWord(s string, f func(h uint64) bool) bool {
	const offset, prime = 14695981039346656037, 1099511628211
	const firstIdeograph = 0x2e80
	h, open := uint64(offset), false
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r < 0x80 && !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9'), r >= 0x80 && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r):
			if open && !f(h) {
				return false
			}
			h, open = offset, false
			continue
		case r >= 0x80:
			r = unicode.ToLower(r)
		}
		h, open = (h^uint64(r))*prime, true
		if r >= firstIdeograph {
			if !f(h) {
				return false
			}
			h, open = offset, false
		}
	}
	return !open || f(h)
}
