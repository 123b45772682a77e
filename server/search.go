package server

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"escrow"
	"escrow/events"
	"escrow/index"
	"escrow/ingest"
)

const (
	// indexPatience is how long a search waits for an index that is behind before it answers incompletely.
	indexPatience = 5 * time.Second
	// searchTimeout bounds one search; beyond it there is an error, never a shorter list.
	searchTimeout = 30 * time.Second
	// snippetBytes is about two lines on a screen.
	snippetBytes = 160
	// shownRecipients is how many recipients a hit lists.
	shownRecipients = 5
	// defaultHits is a page where the request names no size.
	defaultHits = 20
)

// Search implements API.
func (a *Archive) Search(ctx context.Context, req SearchRequest) (SearchAnswer, error) {
	start := a.Now()
	t, err := a.living(req.Tenant)
	if err != nil {
		return SearchAnswer{}, err
	}
	q, err := index.Parse(req.Query, start)
	if err != nil {
		return SearchAnswer{}, err
	}
	if req.Limit == 0 {
		req.Limit = defaultHits
	}
	size := t.Ledger.Size() // what arrives while it searches does not make the answer incomplete
	if _, err := t.catchUp(ctx, indexPatience); err != nil {
		return SearchAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	exclude, hidden := t.restricted()
	res, err := t.Index.Search(ctx, index.Request{Query: q, Limit: req.Limit, Offset: req.Offset, Newest: req.Newest, Exclude: exclude, Hidden: hidden})
	if err != nil {
		return SearchAnswer{}, err
	}
	answer := SearchAnswer{Query: q.String(), Count: res.Total, AsOf: max(size, res.Position), Position: res.Position, Partial: res.Partial, Hits: []Hit{}}
	answer.Complete = answer.Position >= answer.AsOf
	answer.Restricted = t.Disposal.Restricting()
	for _, h := range res.Hits {
		hit, ok, err := t.hit(h.Seq, q)
		if err != nil {
			return SearchAnswer{}, err
		}
		if ok {
			answer.Hits = append(answer.Hits, hit)
		} else {
			answer.Count-- // died or was restricted after the index was asked
		}
	}
	answer.Millis = a.Now().Sub(start).Milliseconds()
	return answer, nil
}

// restricted returns what the index may still name and nobody may be shown: people and messages whose erasure is approved. hidden is nil where there is no
// such message. What was purged is in no index, however far it got: it was removed, or its keys were gone when it was built.
func (t *Tenant) restricted() (subjects []uint32, hidden func(escrow.Seq) bool) {
	for _, c := range t.Disposal.RestrictingCases() {
		everything := c.Request.Scope == events.ScopeTenant // the index keeps it until it goes as a whole
		if c.Restricted != nil && escrow.TreeSize(c.Restricted.Seq) < t.Index.Position() && !everything {
			continue // the index has followed: it names none of it
		}
		subjects = append(subjects, c.Request.Subjects...)
		if everything || len(c.Request.Messages) > 0 {
			hidden = t.Disposal.RestrictedMessages
		}
	}
	return subjects, hidden
}

// hit hydrates one hit from the ledger. ok is false if its record has been erased or restricted meanwhile.
func (t *Tenant) hit(seq escrow.Seq, q *index.Query) (h Hit, ok bool, err error) {
	rec, err := t.Ledger.Read(seq)
	if err != nil {
		return Hit{}, false, err
	}
	o, err := t.Opener.Open(rec)
	if kind := escrow.KindOf(err); err != nil && (kind == escrow.Erased || kind == escrow.Denied) {
		return Hit{}, false, nil
	}
	if err != nil {
		return Hit{}, false, err
	}
	m := o.Message
	h = Hit{ID: seq, Received: rec.Header.Time, Channel: o.Envelope.Channel, From: m.From, To: m.To, Title: m.Title, Partial: m.Defects, Sent: optional(m.SentAt)}
	if len(h.To) > shownRecipients {
		h.To = h.To[:shownRecipients]
	}
	h.Snippet, h.Marks = t.snippet(q, o)
	return h, true, nil
}

// snippet shows where the query hit: in the text, or else in the title, a file name or a tag.
func (t *Tenant) snippet(q *index.Query, o ingest.Opened) (string, [][2]int) {
	m := o.Message
	fallback := ""
	for _, text := range []string{m.Text, m.Title, attachmentNames(m), strings.Join(m.Tags, " ")} {
		if strings.TrimSpace(text) == "" {
			continue
		}
		s, spans := t.Index.Snippet(q, text, "", snippetBytes)
		if len(spans) > 0 {
			marks := make([][2]int, len(spans))
			for i, span := range spans {
				marks[i] = [2]int{span.Start, span.End}
			}
			return s, marks
		}
		if fallback == "" {
			fallback = s
		}
	}
	return fallback, nil
}

func attachmentNames(m escrow.Message) string {
	names := make([]string, 0, len(m.Attachments))
	for _, a := range m.Attachments {
		names = append(names, a.Name, a.Transcript)
	}
	return strings.Join(names, " ")
}

// optional returns nil for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// printable returns s as valid UTF-8.
func printable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
