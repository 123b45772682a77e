package escrow

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Seq is the number of a record in its tenant's ledger, dense from 0. Every record is one leaf, so it is the leaf's index in the Merkle tree as well.
type Seq uint64

// TreeSize is a number of leaves: the records 0 … TreeSize-1.
type TreeSize uint64

// Offset is a position in a file, in bytes.
type Offset int64

// Tenant names one controller's archive: a NATS subject token matching [a-z0-9][a-z0-9_-]{0,63}.
type Tenant string

// Channel names a stream of messages within a tenant; same grammar as Tenant.
type Channel string

// Check returns an error of kind Invalid if t is not a well-formed tenant name.
func (t Tenant) Check() error { return CheckToken("tenant", string(t)) }

// Check returns an error of kind Invalid if c is not a well-formed channel name.
func (c Channel) Check() error { return CheckToken("channel", string(c)) }

// CheckToken returns an error of kind Invalid, which calls s by what it is, unless s matches [a-z0-9][a-z0-9_-]{0,63}: the grammar of every name that
// is part of a NATS subject, a path or a ledger leaf.
func CheckToken(what, s string) error {
	if s == "" || len(s) > MaxTokenBytes {
		return Errorf("escrow.Check", Invalid, "%s %q must have 1 to %d characters", what, s, MaxTokenBytes)
	}
	for i, r := range []byte(s) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || i > 0 && (r == '_' || r == '-') {
			continue
		}
		return Errorf("escrow.Check", Invalid, "%s %q: character %d must be a-z, 0-9 or, after the first, _ or -", what, s, i+1)
	}
	return nil
}

// Identity is one typed address of a data subject: "email:ana@example.org", "tel:+4930123456", "user:U123" (a platform's account, scoped to the
// channel), or "<scheme>:<value>". Always compare normalised identities.
type Identity string

// Scheme returns the part before the first colon, "" if there is none.
func (id Identity) Scheme() string {
	scheme, _, ok := strings.Cut(string(id), ":")
	if !ok {
		return ""
	}
	return scheme
}

// Value returns the part after the first colon, the whole if there is none.
func (id Identity) Value() string {
	_, value, ok := strings.Cut(string(id), ":")
	if !ok {
		return string(id)
	}
	return value
}

// Check returns an error of kind Invalid, which never quotes the identity, if id is not a well-formed typed identity.
func (id Identity) Check() error {
	scheme, value, ok := strings.Cut(string(id), ":")
	switch {
	case !ok || scheme == "" || strings.TrimSpace(value) == "":
		return Errorf("escrow.Identity", Invalid, `an identity must be typed, as "email:…", "tel:+…" or "user:…"`)
	case len(id) > MaxIdentityBytes:
		return Errorf("escrow.Identity", Invalid, "an identity must have at most %d bytes, this one has %d", MaxIdentityBytes, len(id))
	case !utf8.ValidString(string(id)):
		return Errorf("escrow.Identity", Invalid, "an identity must be valid UTF-8")
	}
	for _, r := range scheme {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' || r == '+') {
			return Errorf("escrow.Identity", Invalid, "the scheme of an identity must consist of a-z, 0-9 and -_.+")
		}
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return Errorf("escrow.Identity", Invalid, "an identity must not contain control characters")
		}
	}
	return nil
}

// Normalise returns the one spelling under which an identity is known, which is its own Normalise: mail addresses in lower case, telephone numbers
// as digits after an optional +, everything else as it is; always without surrounding space and with the scheme in lower case. A telephone "number"
// with anything but digits and the usual punctuation in it is the name of a sender and stays as it is: two names must not become one person.
func (id Identity) Normalise() Identity {
	scheme, value := strings.TrimSpace(strings.ToLower(id.Scheme())), strings.TrimSpace(id.Value())
	switch scheme {
	case "email":
		value = strings.ToLower(value)
	case "tel":
		value = telDigits(value)
	}
	return Identity(scheme + ":" + value)
}

// telDigits strips the punctuation people write into telephone numbers; what is no telephone number is returned unchanged.
func telDigits(s string) string {
	digits := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9', r == '+' && len(digits) == 0:
			digits = append(digits, byte(r))
		case !strings.ContainsRune(telPunctuation, r):
			return s
		}
	}
	if len(digits) == 0 || string(digits) == "+" {
		return s
	}
	return string(digits)
}

// telPunctuation is what RFC 3966 calls visual separators, and what else is seen: spaces, with and without a line break, and slashes.
const telPunctuation = " \u00a0\u202f-.()/"

// Scoped returns the normalised identity in the scope in which it is unique: a "user:" account belongs to its channel, every other scheme to the
// tenant. It is the string the subject directory tokenises.
func (id Identity) Scoped(c Channel) string {
	n := id.Normalise()
	if n.Scheme() == "user" {
		return fmt.Sprintf("%s@%s", n, c)
	}
	return string(n)
}

// LogValue hides the address: an identity in a log would outlive every erasure.
func (id Identity) LogValue() slog.Value { return slog.StringValue("identity") }
