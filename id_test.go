package escrow_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"escrow"
)

func TestCheckToken(t *testing.T) {
	tests := []struct {
		name, in string
		says     string // "" if it is well-formed
	}{
		{"one letter", "a", ""},
		{"one digit", "0", ""},
		{"all kinds", "a-b_c9", ""},
		{"longest", strings.Repeat("a", escrow.MaxTokenBytes), ""},
		{"empty", "", "1 to 64 characters"},
		{"too long", strings.Repeat("a", escrow.MaxTokenBytes+1), "1 to 64 characters"},
		{"upper case", "aB", "character 2"},
		{"dash first", "-a", "character 1"},
		{"underscore first", "_a", "character 1"},
		{"dot", "a.b", "character 2"},
		{"wildcard", "*", "character 1"},
		{"tail wildcard", ">", "character 1"},
		{"space", "a b", "character 2"},
		{"slash", "a/b", "character 2"},
		{"parent directory", "..", "character 1"},
		{"newline", "a\n", "character 2"},
		{"not ASCII", "ä", "character 1"},
		{"zero byte", "a\x00", "character 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for what, err := range map[string]error{"tenant": escrow.Tenant(tt.in).Check(), "channel": escrow.Channel(tt.in).Check()} {
				switch {
				case tt.says == "" && err != nil:
					t.Errorf("Check() = %v, want none", err)
				case tt.says != "" && (err == nil || escrow.KindOf(err) != escrow.Invalid):
					t.Errorf("Check() = %v, want an error of kind invalid", err)
				case tt.says != "" && (!strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), what)):
					t.Errorf("the error %q does not say %q and %q", err, what, tt.says)
				}
			}
		})
	}
}

func TestIdentityParts(t *testing.T) {
	tests := []struct {
		in            escrow.Identity
		scheme, value string
	}{
		{"email:ana@example.org", "email", "ana@example.org"},
		{"slack:T1:U2", "slack", "T1:U2"},
		{"ana", "", "ana"},
		{"", "", ""},
		{":x", "", "x"},
		{"x:", "x", ""},
	}
	for _, tt := range tests {
		if tt.in.Scheme() != tt.scheme || tt.in.Value() != tt.value {
			t.Errorf("%q = %q, %q, want %q, %q", string(tt.in), tt.in.Scheme(), tt.in.Value(), tt.scheme, tt.value)
		}
	}
}

func TestIdentityCheck(t *testing.T) {
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"mail", "email:ana@example.org", true},
		{"telephone", "tel:+4930123456", true},
		{"account", "user:U 123", true},
		{"value with colons", "slack:T1:U2", true},
		{"not ASCII", "email:ana@bücher.example", true},
		{"longest", "user:" + strings.Repeat("x", escrow.MaxIdentityBytes-5), true},
		{"too long", "user:" + strings.Repeat("x", escrow.MaxIdentityBytes-4), false},
		{"empty", "", false},
		{"no scheme", "ana@example.org", false},
		{"empty scheme", ":ana", false},
		{"empty value", "email:", false},
		{"value of space only", "email:  ", false},
		{"upper case scheme", "Email:ana@example.org", false},
		{"space in the scheme", "e mail:ana@example.org", false},
		{"newline", "email:ana@example.org\r\nBcc: x", false},
		{"zero byte", "user:\x00", false},
		{"delete", "user:a\x7f", false},
		{"C1 control character", "user:a\u0085b", false},
		{"bad UTF-8", "user:\xff", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := escrow.Identity(tt.in).Check()
			if tt.ok && err != nil || !tt.ok && (err == nil || escrow.KindOf(err) != escrow.Invalid) {
				t.Fatalf("Check() = %v, want ok %v", err, tt.ok)
			}
			if err != nil && (strings.Contains(err.Error(), "ana") || strings.Contains(err.Error(), "xxx")) {
				t.Errorf("the error quotes the identity: %v", err)
			}
		})
	}
}

func TestNormalise(t *testing.T) {
	tests := []struct {
		name     string
		in, want escrow.Identity
	}{
		{"mail in lower case", " email :Ana@Example.ORG ", "email:ana@example.org"},
		{"scheme in lower case", "EMAIL: Ana@Example.org ", "email:ana@example.org"},
		{"mail not in ASCII", "email:ÄNA@BÜCHER.example", "email:äna@bücher.example"},
		{"telephone with punctuation", "tel:+49 (30) 123-45.6/7", "tel:+49301234567"},
		{"telephone in brackets", "tel:(+49) 30 123", "tel:+4930123"},
		{"national telephone", "tel:030 123", "tel:030123"},
		{"plus inside is not formatting", "tel:030+123", "tel:030+123"},
		{"name of a sender, not a number", "tel:AMAZON 2", "tel:AMAZON 2"},
		{"another name that has the same digits", "tel:Bob2", "tel:Bob2"},
		{"plus alone", "tel:+", "tel:+"},
		{"account keeps its case", "user: U12a ", "user:U12a"},
		{"unknown scheme keeps its case", "Slack:T1/U2", "slack:T1/U2"},
		{"no scheme", "Ana", ":Ana"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.Normalise(); got != tt.want {
				t.Errorf("Normalise(%q) = %q, want %q", string(tt.in), string(got), string(tt.want))
			}
		})
	}
}

func TestScoped(t *testing.T) {
	tests := []struct {
		name    string
		in      escrow.Identity
		channel escrow.Channel
		want    string
	}{
		{"an account belongs to its channel", "user: U1", "chat", "user:U1@chat"},
		{"an account that looks like another one's", "user:U1@chat", "forum", "user:U1@chat@forum"},
		{"a mail address does not", "EMAIL:Ana@example.org", "chat", "email:ana@example.org"},
		{"nor does another scheme", "slack:T1/U2", "chat", "slack:T1/U2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.Scoped(tt.channel); got != tt.want {
				t.Errorf("Scoped = %q, want %q", got, tt.want)
			}
		})
	}
}

// Lower case of lower case is itself for every character there is: an identity has one spelling, not a chain of them.
func TestNormaliseEveryRune(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		for _, scheme := range []string{"email:", "tel:", "user:"} {
			once := escrow.Identity(scheme + "a" + string(r) + "1").Normalise()
			if twice := once.Normalise(); twice != once {
				t.Fatalf("%U: Normalise(%q) = %q", r, string(once), string(twice))
			}
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{"email:Ana@Example.ORG", "tel:+49 (30) 1", "tel:(+", "user: x ", "", ":", "a:b:c", "TEL:\u00a0++1", "email:\xff", "tel:AMAZON 2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id := escrow.Identity(s)
		once := id.Normalise()
		if twice := once.Normalise(); twice != once {
			t.Errorf("Normalise(%q) = %q, and again %q", s, string(once), string(twice))
		}
		if once.Scoped("c") != id.Scoped("c") {
			t.Errorf("Scoped(%q) depends on the spelling", s)
		}
		if id.Check() != nil {
			return
		}
		// What is well-formed stays so; only its length may change with the case of a letter.
		if err := once.Check(); err != nil && len(once) <= escrow.MaxIdentityBytes {
			t.Errorf("Check(%q) passes, Check(%q): %v", s, string(once), err)
		}
	})
}
