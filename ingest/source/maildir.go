package source

import (
	"encoding/base64"
	"encoding/binary"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	mailType = "message/rfc822"
	jsonType = "application/json"

	// inbox is the folder of the mails that lie directly in a Maildir, as IMAP calls it.
	inbox = "INBOX"
)

// isMaildir reports whether a folder with these entries is a Maildir. new and tmp are not asked for, since tools that copy files leave out empty
// folders; what lies beside cur is read like any other folder, so that a mistake here loses nothing.
func isMaildir(entries []fs.DirEntry) bool {
	for _, e := range entries {
		if e.Name() == "cur" && e.IsDir() {
			return true
		}
	}
	return false
}

func isBox(name string) bool {
	return name == "cur" || name == "new" || name == "tmp"
}

// maildirFolder returns the folder of the mails in a Maildir that was reached through the folders f.
func maildirFolder(f string) string {
	if f == "" {
		return inbox
	}
	return f
}

// flagNames are the standard flags of Maildir, in the order in which they stand in a file name.
var flagNames = []struct {
	letter byte
	word   string
}{
	{'D', "draft"}, {'F', "flagged"}, {'P', "passed"}, {'R', "replied"}, {'S', "seen"}, {'T', "trashed"},
}

// maildirFlags reads the flags at the end of a Maildir file name, ":2,RS". Where file names cannot hold a colon, "!" or ";" takes its place.
func maildirFlags(name string) string {
	base := path.Base(name)
	i := strings.LastIndexAny(base, ":!;")
	if i < 0 || !strings.HasPrefix(base[i+1:], "2,") {
		return ""
	}
	letters := base[i+len(":2,"):]
	var words []string
	for _, f := range flagNames {
		if strings.IndexByte(letters, f.letter) >= 0 {
			words = append(words, f.word)
		}
	}
	return strings.Join(words, " ")
}

// decodeFolder decodes the modified UTF-7 of IMAP folder names (RFC 3501, 5.1.3): "Entw&APw-rfe" is "Entwürfe". What is not well-formed stays.
func decodeFolder(s string) string {
	var b strings.Builder
	for {
		plain, rest, ok := strings.Cut(s, "&")
		b.WriteString(plain)
		if !ok {
			return b.String()
		}
		code, after, ok := strings.Cut(rest, "-")
		text, valid := decodeUTF7(code)
		if !ok || !valid {
			b.WriteString("&" + rest)
			return b.String()
		}
		b.WriteString(text)
		s = after
	}
}

func decodeUTF7(code string) (string, bool) {
	if code == "" {
		return "&", true
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(code, ",", "/"))
	if err != nil || len(raw)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units)), true
}

// cleanFolder makes a folder name fit for a header: valid UTF-8 without control characters.
func cleanFolder(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func cutFolder(s string) string {
	if len(s) <= maxFolderName {
		return s
	}
	n := maxFolderName
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
