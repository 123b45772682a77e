package ingest

import (
	"bytes"
	"strings"

	"escrow"
)

// mailbox is one entry of an address list: where it stands in the raw mail, what it says, and the part of it that is the name as written.
type mailbox struct {
	at     span // the whole entry: name, brackets, comments
	phrase span // the name without quotes, empty if there is none
	name   string
	addr   string // as written, without brackets; "" if there is only a name
}

// addressReader reads the address list in raw[v.start:v.end] tolerantly: RFC 5322 with its obsolete forms, and what is found in the wild: a..b@,
// brackets missing or doubled, semicolons or spaces between addresses, unquoted commas in names, names only, X.500 names, whole addresses in quotes
// or in an encoded word. Time is linear in the length of the list.
type addressReader struct {
	raw     []byte
	end     int
	charset string
	yield   func(mailbox) bool // false stops

	pos       int
	item      addressItem
	pending   addressItem // a bare name that may be the "Last" of "Last, First <a@b>"
	stopped   bool
	noQuote   bool // no closing quote in the rest
	noParen   bool // no closing parenthesis in the rest
	semicolon int  // the last one, -1 if there is none
	separator int  // the first comma or semicolon at or after pos, as far as it was needed
	at        int  // the first @ likewise
}

// addressItem is what stands between two separators.
type addressItem struct {
	start, end int
	open       int  // where the bracket is
	angle      span // inside of < >
	hasAngle   bool
	colon      bool // a colon was found to be part of the name
	comment    span // inside of the last ( )
	comments   []span
	quoted     bool
	closedBy   byte // separator
}

// readAddresses calls yield for each mailbox in v until it returns false.
func readAddresses(raw []byte, v span, charset string, yield func(mailbox) bool) {
	r := addressReader{raw: raw, end: v.end, charset: charset, yield: yield, pos: v.start}
	r.semicolon = v.start + bytes.LastIndexByte(raw[v.start:v.end], ';')
	if r.semicolon < v.start {
		r.semicolon = -1
	}
	r.begin(v.start)
	for r.pos < r.end && !r.stopped {
		r.step()
	}
	r.finish(r.end, 0)
	r.release()
}

func (r *addressReader) begin(start int) { r.item = addressItem{start: start} }

// step consumes one element of the list.
func (r *addressReader) step() {
	switch r.raw[r.pos] {
	case '"':
		r.quoted()
	case '(':
		r.parenthesis()
	case '<':
		r.bracket()
	case ',', ';':
		c := r.raw[r.pos]
		r.finish(r.pos, c)
		r.pos++
		r.begin(r.pos)
	case ':':
		r.colon()
	default:
		r.pos++
	}
}

func (r *addressReader) quoted() {
	end := -1
	if !r.noQuote {
		end = closingQuote(r.raw[:r.end], r.pos+1)
		r.noQuote = end < 0
	}
	if end < 0 || listInside(r.raw[r.pos:end]) {
		r.pos++ // a stray quote
		return
	}
	r.item.quoted = true
	r.pos = end + 1
}

// listInside reports whether a quoted string holds several addresses, so that one of its quotes must be stray.
func listInside(b []byte) bool {
	i := bytes.IndexByte(b, '>')
	return i > 0 && bytes.IndexByte(b[:i], '<') >= 0 && bytes.IndexByte(b[i:], ',') > 0
}

func closingQuote(b []byte, pos int) int {
	for ; pos < len(b); pos++ {
		switch b[pos] {
		case '\\':
			pos++
		case '"':
			return pos
		}
	}
	return -1
}

func (r *addressReader) parenthesis() {
	end := -1
	if !r.noParen {
		end = closingParenthesis(r.raw[:r.end], r.pos)
		r.noParen = end < 0
	}
	if end < 0 {
		r.pos++
		return
	}
	r.item.comment = span{r.pos + 1, end}
	r.item.comments = append(r.item.comments, span{r.pos, end + 1})
	r.pos = end + 1
}

func closingParenthesis(b []byte, pos int) int {
	depth := 0
	for ; pos < len(b); pos++ {
		switch b[pos] {
		case '\\':
			pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return pos
			}
		}
	}
	return -1
}

// bracket reads <…>, and starts a new item if this one has an address already.
func (r *addressReader) bracket() {
	if r.item.hasAngle {
		r.finish(r.item.angle.end+1, ' ')
		r.begin(min(r.item.angle.end+1, r.end))
	}
	start := r.pos + 1
	for start < r.end && r.raw[start] == '<' {
		start++
	}
	from := start
	if from < r.end && r.raw[from] == '"' {
		if q := closingQuote(r.raw[:r.end], from+1); q > 0 && q-from < escrow.MaxIdentityBytes {
			from = q + 1
		}
	}
	stops := ">,;"
	if from < r.end && r.raw[from] == '@' { // a route: <@relay,@relay:a@b>
		stops = ">"
	}
	end := r.end
	if i := bytes.IndexAny(r.raw[from:r.end], stops); i >= 0 {
		end = from + i
	}
	r.item.open, r.item.angle, r.item.hasAngle = r.pos, span{start, end}, true
	for r.pos = end; r.pos < r.end && r.raw[r.pos] == '>'; {
		r.pos++
	}
}

// colon decides whether what stands before it names a group, a scheme, or is part of a name.
func (r *addressReader) colon() {
	if r.pos++; r.item.hasAngle || r.item.colon {
		return
	}
	before := bytes.TrimSpace(r.raw[r.item.start : r.pos-1])
	if len(before) == 0 || bytes.IndexByte(before, '@') >= 0 || openWord(before) || string(before) == "erased" || !r.groupFollows() {
		r.item.colon = true
		return
	}
	r.release()
	r.begin(r.pos)
}

// groupFollows reports whether what follows a colon can be the members of a group: it ends with a semicolon, is empty, or starts with an address.
func (r *addressReader) groupFollows() bool {
	if r.semicolon >= r.pos {
		return true
	}
	r.separator = r.seek(r.separator, ",;")
	r.at = r.seek(r.at, "@")
	return r.at < r.separator || len(bytes.TrimSpace(r.raw[r.pos:r.separator])) == 0
}

// seek returns the first place of one of chars at or after pos, the end if there is none. found is what it returned last, so that all calls together
// look at each byte once.
func (r *addressReader) seek(found int, chars string) int {
	if found >= r.pos {
		return found
	}
	if i := bytes.IndexAny(r.raw[r.pos:r.end], chars); i >= 0 {
		return r.pos + i
	}
	return r.end
}

// openWord reports whether b ends inside an encoded word.
func openWord(b []byte) bool {
	i := bytes.LastIndex(b, []byte("=?"))
	return i >= 0 && !bytes.Contains(b[i+2:], []byte("?="))
}

// finish ends the item at end. A bare name before a comma waits for what comes next.
func (r *addressReader) finish(end int, by byte) {
	it := r.item
	it.end, it.closedBy = min(end, r.end), by
	for it.start < it.end && isSpace(r.raw[it.start]) {
		it.start++
	}
	for it.end > it.start && isSpace(r.raw[it.end-1]) {
		it.end--
	}
	if it.start >= it.end || r.stopped {
		return
	}
	if r.joins(it) {
		it.start = r.pending.start
		r.pending = addressItem{}
	}
	r.release()
	if by == ',' && !it.hasAngle && !it.quoted && bytes.IndexByte(r.raw[it.start:it.end], '@') < 0 {
		r.pending = it
		return
	}
	r.emit(it)
}

// joins reports whether the pending name and it are one "Last, First <a@b>" without quotes.
func (r *addressReader) joins(it addressItem) bool {
	if r.pending.end == 0 || !it.hasAngle || it.quoted {
		return false
	}
	return len(bytes.TrimSpace(r.raw[it.start:it.open])) > 0
}

func (r *addressReader) release() {
	if it := r.pending; it.end > 0 {
		r.pending = addressItem{}
		r.emit(it)
	}
}

// emit turns one item into mailboxes.
func (r *addressReader) emit(it addressItem) {
	if it.hasAngle {
		phrase := trimPhrase(r.raw, span{it.start, max(it.start, min(it.open, it.end))})
		name := r.phraseText(r.raw[phrase.start:phrase.end])
		if name == "" && it.comment.end > 0 {
			phrase, name = it.comment, headerText(r.raw[it.comment.start:it.comment.end], r.charset)
		}
		addr := strings.TrimSpace(string(r.raw[it.angle.start:it.angle.end]))
		if addr == "" && name == "" {
			return // "<>", the sender of bounces
		}
		r.send(mailbox{span{it.start, it.end}, phrase, name, addr})
		return
	}
	r.bare(it)
}

// bare reads an item without brackets.
func (r *addressReader) bare(it addressItem) {
	b := r.raw[it.start:it.end]
	if len(it.comments) > 0 {
		b = r.blankComments(it)
	}
	text := r.phraseText(b)
	var phrase span
	name := ""
	if it.comment.end > 0 {
		phrase, name = it.comment, headerText(r.raw[it.comment.start:it.comment.end], r.charset)
	}
	at := span{it.start, it.end}
	if it.quoted && bytes.Contains(b, []byte(`"@`)) { // a local part in quotes
		r.send(mailbox{at, phrase, name, strings.TrimSpace(string(b))})
		return
	}
	switch fields := strings.Fields(joinAt(text)); {
	case text == "":
	case strings.IndexByte(text, '@') < 0: // a name only
		if name != "" {
			text += " (" + name + ")"
		}
		r.send(mailbox{at: at, phrase: trimPhrase(r.raw, at), name: text})
	case len(fields) == 1:
		r.send(mailbox{at, phrase, name, fields[0]})
	default:
		r.words(at, text, fields)
	}
}

// words sorts out an item of several words with an @ among them.
func (r *addressReader) words(at span, text string, fields []string) {
	var addrs, names []string
	for _, f := range fields {
		if a := strings.Trim(f, "<>[]()'\"`,;"); isAddress(a) && strings.IndexByte(a[strings.LastIndexByte(a, '@'):], '.') > 0 {
			addrs = append(addrs, a)
		} else {
			names = append(names, f)
		}
	}
	switch {
	case len(addrs) == 0: // "All Employees@enron"
		r.send(mailbox{at: at, phrase: trimPhrase(r.raw, at), name: text})
	case len(addrs) == 1:
		r.send(mailbox{at: at, name: strings.Trim(strings.Join(names, " "), "<>\"' "), addr: addrs[0]})
	default:
		pos := at.start
		for _, a := range addrs {
			own := span{pos, pos} // not where it was expected: Split finds it by its bytes
			if i := bytes.Index(r.raw[pos:min(at.end, pos+maxAddressGap)], []byte(a)); i >= 0 {
				own = span{pos + i, pos + i + len(a)}
				pos = own.end
			}
			if !r.send(mailbox{at: own, addr: a}) {
				return
			}
		}
	}
}

func (r *addressReader) send(m mailbox) bool {
	m.name = cleanName(m.name, m.addr)
	if !r.stopped && !r.yield(m) {
		r.stopped = true
	}
	return !r.stopped
}

// blankComments returns the bytes of an item with spaces instead of comments.
func (r *addressReader) blankComments(it addressItem) []byte {
	b := bytes.Clone(r.raw[it.start:it.end])
	for _, c := range it.comments {
		for i := c.start; i < c.end; i++ {
			b[i-it.start] = ' '
		}
	}
	return b
}

// phraseText decodes a phrase: quotes and escapes resolved, encoded words decoded even inside quotes.
func (r *addressReader) phraseText(b []byte) string {
	if bytes.IndexByte(b, '"') >= 0 || bytes.IndexByte(b, '\\') >= 0 {
		out := make([]byte, 0, len(b))
		for i := 0; i < len(b); i++ {
			switch {
			case b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\' || b[i+1] == '(' || b[i+1] == ')' || b[i+1] == ','):
				i++
				out = append(out, b[i])
			case b[i] != '"':
				out = append(out, b[i])
			}
		}
		b = out
	}
	return headerText(b, r.charset)
}

// trimPhrase takes white space and surrounding quotes off.
func trimPhrase(raw []byte, s span) span {
	for s.start < s.end && (isSpace(raw[s.start]) || raw[s.start] == '"' || raw[s.start] == '\'') {
		s.start++
	}
	for s.end > s.start && (isSpace(raw[s.end-1]) || raw[s.end-1] == '"' || raw[s.end-1] == '\'') {
		s.end--
	}
	return s
}

// joinAt takes out white space around @, as in the obsolete "ana @ example.org".
func joinAt(s string) string {
	if !strings.Contains(s, " @") && !strings.Contains(s, "@ ") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, " @", "@"), "@ ", "@")
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// cleanName returns the display name, "" if it only repeats the address.
func cleanName(name, addr string) string {
	name = strings.Trim(name, " '\"")
	if strings.EqualFold(name, addr) {
		return ""
	}
	return truncate(name, escrow.MaxNameBytes)
}

// identityOf returns the identity of a mailbox: "email:" for what has the form of a mail address, "x500:" for the names old mail systems wrote, "name:" for a
// recipient known by name only. "" if nothing is left.
func identityOf(m mailbox) escrow.Identity {
	addr := cleanAddress(m.addr)
	switch {
	case addr == string(ErasedIdentity) || m.addr == "" && m.name == string(ErasedIdentity):
		return ErasedIdentity
	case !isAddress(addr) && !strings.Contains(m.name, " ") && isAddress(cleanAddress(m.name)): // name and address changed places
		addr = cleanAddress(m.name)
		fallthrough
	case isAddress(addr):
		return escrow.Identity("email:" + truncate(addr, escrow.MaxIdentityBytes-len("email:")))
	case strings.HasPrefix(addr, "/o="):
		return escrow.Identity("x500:" + truncate(addr, escrow.MaxIdentityBytes-len("x500:")))
	case addr == "":
		addr = strings.ToLower(m.name)
	}
	if addr = strings.TrimSpace(addr); addr == "" {
		return ""
	}
	return escrow.Identity("name:" + truncate(addr, escrow.MaxIdentityBytes-len("name:")))
}

// cleanAddress normalises an address as written in a header: encoded words decoded, route, comments and stray punctuation taken off, in lower case.
func cleanAddress(addr string) string {
	addr = headerText([]byte(addr), "")
	if strings.HasPrefix(addr, "@") { // route
		addr = addr[strings.IndexByte(addr, ':')+1:]
	}
	if i := strings.IndexByte(addr, '('); i > 0 && strings.HasSuffix(addr, ")") {
		addr = addr[:i]
	}
	addr = strings.Trim(addr, " \t<>,;")
	if len(addr) > 1 && (addr[0] == '\'' || addr[0] == '"') && addr[len(addr)-1] == addr[0] {
		addr = addr[1 : len(addr)-1]
	}
	addr = strings.ToLower(joinAt(unquoteLocal(addr)))
	for _, scheme := range [...]string{"mailto:", "smtp:"} {
		addr = strings.TrimPrefix(addr, scheme)
	}
	return strings.TrimSpace(addr)
}

// unquoteLocal takes quotes off a local part that does not need them, so that "ana"@example.org and ana@example.org are one person.
func unquoteLocal(addr string) string {
	i := strings.LastIndexByte(addr, '@')
	if i < 3 || addr[0] != '"' || addr[i-1] != '"' || strings.ContainsAny(addr[1:i-1], " \"\\") {
		return addr
	}
	return addr[1:i-1] + addr[i:]
}
