package ingest

import (
	"bytes"
	"strings"

	"escrow"
)

// ParseMail reads one mail (RFC 5322, 2045-2049, 2231, 6532). It never fails: what it does not understand becomes a defect, and the words around it stay
// findable. The same bytes always give the same Message, on every machine. Attachments share memory with raw.
//
// Participants are From, and To, Cc, Bcc (and Apparently-To) as To, each identity once. Without From the sender is taken from Sender, Return-Path or the
// mbox separator. Recipients without an address have a "name:" identity, X.500 names an "x500:" one, nobody at all is "unknown:sender".
//
// Text is the text/plain parts, and of HTML alternatives the lines whose words the plain text lacks; HTML holds the HTML parts. An attachment that is text
// or a mail itself has its text as Transcript, so that it is searched, and dies, with the attachment. Conversation is the root of the thread: the first of
// References, else In-Reply-To, else the mail's own id.
func ParseMail(raw []byte) (m escrow.Message) {
	defer func() {
		if recover() != nil { // a bug must not keep a message out of the archive
			m = unreadable(raw)
		}
	}()
	var notes defects
	if len(raw) > escrow.MaxImport {
		raw = raw[:escrow.MaxImport]
		notes.add("", "longer than %d bytes; the rest is not searched", escrow.MaxImport)
	}
	raw = lineFeeds(raw)
	parts := 0
	r := mimeReader{raw: raw, open: map[string]int{}, parts: &parts, notes: &notes}
	root, _ := r.part(0, 0, "text/plain", "")
	m = escrow.Message{Type: escrow.TypeMessage}
	charset := root.charset()
	readMailHeader(&m, &root.header, charset, &notes)
	readMailBody(&m, root, charset, &notes, &parts)
	if len(bytes.TrimSpace(raw)) == 0 {
		notes.add("", "the message is empty")
	}
	m.Defects = notes.all()
	return m
}

// unreadable is what a message is to the archive that made the reader fail.
func unreadable(raw []byte) escrow.Message {
	return escrow.Message{
		Type:    escrow.TypeMessage,
		From:    unknownSender(),
		Text:    truncate(guessText(raw[:min(len(raw), escrow.MaxTextBytes/2)]), escrow.MaxTextBytes),
		Defects: []string{"the reader failed; the raw text is searched instead"},
	}
}

func unknownSender() escrow.Participant {
	return escrow.Participant{ID: "unknown:sender", Role: escrow.RoleMember}
}

// lineFeeds returns raw with line feeds for carriage returns if it has no line feed at all, as old Macs wrote. Positions stay the same.
func lineFeeds(raw []byte) []byte {
	if bytes.IndexByte(raw, '\n') >= 0 || bytes.IndexByte(raw, '\r') < 0 {
		return raw
	}
	return bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
}

// readMailHeader fills in what the header says.
func readMailHeader(m *escrow.Message, h *mailHeader, charset string, notes *defects) {
	if len(h.fields) == 0 {
		notes.add("", "no header")
	}
	m.Title = h.text("Subject", charset)
	if len(m.Title) > maxTitleBytes {
		m.Title = truncate(m.Title, maxTitleBytes)
		notes.add("", "the subject is longer than %d bytes; the rest is not searched", maxTitleBytes)
	}
	if date := h.text("Date", charset); date != "" {
		var ok bool
		if m.SentAt, ok = mailDate(date); !ok {
			notes.add("", "the date cannot be read")
		}
	}
	readThread(m, h, notes)
	readPeople(m, h, charset, notes)
	m.Metadata = mailMetadata(h, charset)
}

// readThread fills in the ids.
func readThread(m *escrow.Message, h *mailHeader, notes *defects) {
	id := messageIDs(h, "Message-ID", notes)
	parents := messageIDs(h, "In-Reply-To", notes)
	references := messageIDs(h, "References", notes)
	if len(id) > 0 {
		m.ID = id[0]
	}
	switch {
	case len(parents) > 0:
		m.RefersTo = parents[0]
	case len(references) > 0:
		m.RefersTo = references[len(references)-1]
	}
	for _, ids := range [...][]string{references, parents, id} {
		if len(ids) > 0 {
			m.Conversation = ids[0]
			return
		}
	}
}

// messageIDs returns the ids in all fields of that name, without angle brackets.
func messageIDs(h *mailHeader, name string, notes *defects) []string {
	var ids []string
	for _, v := range h.all(name) {
		rest := h.raw[v.start:v.end]
		if bytes.IndexByte(rest, '<') < 0 && len(bytes.Fields(rest)) == 1 { // an id that lost its brackets
			rest = append(append([]byte{'<'}, bytes.TrimSpace(rest)...), '>')
		}
		for len(ids) < maxReferences {
			_, after, ok := bytes.Cut(rest, []byte("<"))
			if !ok {
				break
			}
			inside, after, ok := bytes.Cut(after, []byte(">"))
			id := strings.TrimSpace(oneLine(plainWords(inside, "")))
			switch {
			case !ok || id == "":
			case len(id) > escrow.MaxIDBytes:
				notes.add("", "%s is longer than %d bytes and was left out", name, escrow.MaxIDBytes)
			default:
				ids = append(ids, id)
			}
			rest = after
		}
	}
	return ids
}

// readPeople fills in From and To.
func readPeople(m *escrow.Message, h *mailHeader, charset string, notes *defects) {
	authors := readParticipants(h, "From", charset, escrow.MaxParticipants)
	if len(authors) > 0 {
		m.From = authors[0]
		authors = authors[1:]
	} else {
		m.From = substituteSender(h, charset, notes)
	}
	known := participantSet{}
	for _, name := range [...]string{"", "To", "Cc", "Bcc", "Apparently-To"} {
		people := authors // further authors can read it, too
		if name != "" {
			people = readParticipants(h, name, charset, escrow.MaxParticipants+1)
		}
		for _, p := range people {
			if !known[p.ID] && len(m.To) == escrow.MaxParticipants {
				notes.add("", "more than %d recipients; the rest is not searched as such", escrow.MaxParticipants)
				return
			}
			if known.add(p.ID) {
				m.To = append(m.To, p)
			}
		}
	}
}

// readParticipants returns the participants in all fields of that name, at most limit different ones, the longest name for each.
func readParticipants(h *mailHeader, name, charset string, limit int) []escrow.Participant {
	var list []escrow.Participant
	index := map[escrow.Identity]int{}
	for _, v := range h.all(name) {
		readAddresses(h.raw, v, charset, func(b mailbox) bool {
			id := identityOf(b)
			if id == "" {
				return true
			}
			if strings.EqualFold(b.name, id.Value()) && id.Scheme() == "email" {
				b.name = ""
			}
			i, ok := index[id]
			switch {
			case !ok:
				index[id] = len(list)
				list = append(list, escrow.Participant{ID: id, Name: b.name, Role: escrow.RoleMember})
			case list[i].Name == "":
				list[i].Name = b.name
			}
			return len(list) < limit
		})
	}
	return list
}

// substituteSender finds somebody to stand for a missing From.
func substituteSender(h *mailHeader, charset string, notes *defects) escrow.Participant {
	for _, name := range [...]string{"Sender", "X-Sender", "Return-Path", "Envelope-From", "X-Envelope-From", "Reply-To"} {
		if people := readParticipants(h, name, charset, 1); len(people) > 0 {
			notes.add("", "no readable From; the sender was taken from %s", name)
			return people[0]
		}
	}
	if addr := envelopeSender(h); addr.end > addr.start {
		if id := identityOf(mailbox{addr: string(h.raw[addr.start:addr.end])}); id.Scheme() == "email" {
			notes.add("", "no readable From; the sender was taken from the mbox separator")
			return escrow.Participant{ID: id, Role: escrow.RoleMember}
		}
	}
	notes.add("", "no sender")
	return unknownSender()
}

// envelopeSender returns where the address in the mbox separator line stands.
func envelopeSender(h *mailHeader) span {
	s := h.envelope
	if i := bytes.IndexByte(h.raw[s.start:s.end], ' '); i >= 0 {
		s.end = s.start + i
	}
	return s
}

// mailMetadata keeps fields that officers search by and that say how a mail came about.
func mailMetadata(h *mailHeader, charset string) map[string]string {
	var kept map[string]string
	for _, f := range h.fields {
		name := strings.ToLower(f.name)
		if !keptField(name) {
			continue
		}
		value := truncate(headerText(h.raw[f.value.start:f.value.end], charset), escrow.MaxMetadataBytes)
		if value == "" || kept[name] != "" {
			continue
		}
		if kept == nil {
			kept = make(map[string]string)
		}
		kept[name] = value
	}
	return kept
}

func keptField(name string) bool {
	switch name {
	case "list-id", "reply-to", "sender", "delivered-to", "organization", "keywords", "importance", "sensitivity", "auto-submitted", "thread-topic",
		"x-mailer", "user-agent", "x-gmail-labels", "x-folder", "x-origin", "x-from", "x-to", "x-cc", "x-bcc":
		return true
	}
	return false
}
