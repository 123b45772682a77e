package ingest

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"escrow"
	"escrow/crypto/seal"
)

// example returns the bytes of a block ```hex NAME of a page; what stands behind two or more spaces is a comment.
func example(t *testing.T, page, name string) []byte {
	t.Helper()
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(doc), "```hex "+name+"\n")
	if !ok {
		t.Fatalf("%s has no example %s", page, name)
	}
	block, _, _ = strings.Cut(block, "```")
	var digits strings.Builder
	for line := range strings.Lines(block) {
		code, _, _ := strings.Cut(line, "  ")
		digits.WriteString(strings.ReplaceAll(strings.TrimSpace(code), " ", ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: example %s: %v", page, name, err)
	}
	return b
}

// TestFormatPage holds docs/format/message.md to the code.
func TestFormatPage(t *testing.T) {
	const page = "../docs/format/message.md"
	want := identityFacet{
		person: escrow.Participant{ID: "email:ana@example.org", Name: "Ana", Role: escrow.RoleCustomer}, scope: "email:ana@example.org",
		secret: bytes.Repeat([]byte{0xaa}, secretBytes), piece: []byte(`"Ana" <ana@example.org>`),
	}
	identity := example(t, page, "identity")
	if got := want.marshal(); !bytes.Equal(got, identity) {
		t.Errorf("the identity of the page is written as\n%x, the page has\n%x", got, identity)
	}
	got, err := parseIdentity(identity)
	if err != nil || got.person != want.person || got.scope != want.scope || string(got.piece) != string(want.piece) {
		t.Errorf("the identity of the page reads as %v, %v", got.person.Role, err)
	}
	original := []byte(`{"id": "1", "from": {"id": "user:U1"}, "body": {"text": "Ask Zoë."}, "mentions": [{"id": "user:U9", "start": 4, "length": 4}]}`)
	m, err := ParseContract(original)
	if err != nil {
		t.Fatal(err)
	}
	_, pieces := Cutout(original, Split(TypeJSON, original, m))
	zoe := mentionFacet{300, identityFacet{mentioned(m)[0], "user:U9@chat", bytes.Repeat([]byte{0xbb}, secretBytes), pieces[1]}}
	if got := zoe.marshal(); !bytes.Equal(got, example(t, page, "mention")) {
		t.Errorf("the mention of the page is written as\n%x", got)
	}
	read, err := readPerson([]seal.FacetInfo{{Kind: seal.FacetMention}}, 0, zoe.marshal())
	if err != nil || read.leaf != 300 || read.person != zoe.person || read.scope != zoe.scope || !bytes.Equal(read.piece, zoe.piece) {
		t.Errorf("the mention of the page reads as subject %d, %v", read.leaf, err)
	}
	original = []byte("From: \"Ana\" <ana@example.org>\r\n\r\nHello\r\n")
	cuts := Split(TypeMail, original, ParseMail(original))
	if got := AppendCuts(nil, cuts); !bytes.Equal(got, example(t, page, "cuts")) {
		t.Errorf("the cuts of the page are %x", got)
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	whole := identityFacet{person: escrow.Participant{ID: "tel:+4930123456", Name: "Bo"}, scope: "x", secret: make([]byte, secretBytes)}.marshal()
	for n := range whole {
		if _, err := parseIdentity(whole[:n]); escrow.KindOf(err) != escrow.Corrupt {
			t.Errorf("%d of %d bytes: %v, want corrupt", n, len(whole), err)
		}
	}
	whole[secretBytes] = byte(len(roles()))
	if _, err := parseIdentity(whole); escrow.KindOf(err) != escrow.Corrupt {
		t.Errorf("unknown role: %v, want corrupt", err)
	}
}
