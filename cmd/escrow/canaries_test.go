package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"mime"
	"slices"
	"strings"
	"testing"

	"escrow/internal/needle"

	"github.com/nats-io/nats.go"
)

// canaries hands out words that exist nowhere else, and remembers them by what they were used for: "victim body", "victim file name".
type canaries struct {
	rng     *rand.Rand
	words   map[string]string
	guesses map[string][]string
}

func newCanaries(t *testing.T) *canaries {
	seed := rand.Uint64()
	t.Logf("canaries: seed %d", seed)
	return &canaries{rng: rand.New(rand.NewPCG(seed, 7)), words: map[string]string{}, guesses: map[string][]string{}}
}

// word makes up a word for a use, or returns the one made up before. It has no ending that a stemmer could take for one.
func (c *canaries) word(use string) string {
	if w, ok := c.words[use]; ok {
		return w
	}
	b := make([]byte, 12)
	for i := range b {
		letters := "bdfgkmpvz"
		if i%2 == 1 {
			letters = "aou"
		}
		b[i] = letters[c.rng.IntN(len(letters))]
	}
	b[11] = 'k'
	c.words[use] = string(b)
	return c.words[use]
}

// digits makes up a telephone number.
func (c *canaries) digits(use string) string {
	if _, ok := c.words[use]; !ok {
		c.words[use] = fmt.Sprintf("49%010d", 3_000_000_000+c.rng.Int64N(6_999_999_999))
	}
	return c.words[use]
}

// guess notes what somebody could guess about the word of a use.
func (c *canaries) guess(use string, inputs ...string) { c.guesses[use] = inputs }

// needles returns the words of these uses, to be looked for.
func (c *canaries) needles(t *testing.T, uses ...string) *needle.Set {
	t.Helper()
	var list []needle.Word
	for _, use := range uses {
		list = append(list, needle.Word{Name: use, Text: c.words[use], Guesses: c.guesses[use]})
	}
	set, err := needle.New(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// uses returns for what the words of these people were used, in order.
func (c *canaries) uses(people ...string) []string {
	var list []string
	for _, use := range slices.Sorted(maps.Keys(c.words)) {
		if who, _, _ := strings.Cut(use, " "); slices.Contains(people, who) {
			list = append(list, use)
		}
	}
	return list
}

// email, tel and user are the identities of somebody.
func (c *canaries) email(who string) string {
	address := c.word(who+" address") + "@" + c.word(who+" domain") + ".example"
	c.guess(who+" address", address, "email:"+address, "<"+address+">")
	return "email:" + address
}

func (c *canaries) tel(who string) string {
	n := c.digits(who + " telephone")
	c.guess(who+" telephone", n, "+"+n, "tel:+"+n, "00"+n, "0"+n[2:])
	return "tel:+" + n
}

func (c *canaries) user(who string) string {
	u := c.word(who + " account")
	c.guess(who+" account", u, "user:"+u, "chat/user:"+u, "main/chat/user:"+u)
	return "user:" + u
}

// publication is what a platform publishes.
type publication struct {
	channel string
	header  nats.Header
	data    []byte
}

// object is JSON in the making.
type object map[string]any

func (c *canaries) json(channel string, m object) publication {
	b, err := json.Marshal(m)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return publication{channel, nil, b}
}

// everything returns messages of somebody with a word at every place that takes one.
func (c *canaries) everything(who string) []publication {
	w := func(use string) string { return c.word(who + " " + use) }
	desk := []object{{"id": "user:desk-7", "name": "Desk Seven", "role": "agent"}}
	text := func(use string) string {
		return base64.StdEncoding.EncodeToString([]byte("attached: " + w(use) + "\n"))
	}
	title := func(use string) string { return strings.ToUpper(w(use)[:1]) + w(use)[1:] }
	c.guess(who+" message id", w("message id"), "chat/"+w("message id"), "main/chat/"+w("message id"))
	return []publication{
		c.json("chat", object{
			"id": w("message id"), "conversation": w("conversation"), "sent_at": "2026-03-02T10:11:12Z",
			"from": object{"id": c.email(who), "name": title("name") + " " + title("surname"), "role": "customer"}, "to": desk,
			"title":       "Re " + w("title"),
			"body":        object{"text": "I said " + w("body") + " on the telephone, and " + w("body") + "s again.", "html": "<p>I said <b>" + w("html body") + "</b></p>"},
			"attachments": []object{{"name": w("file name") + ".txt", "media_type": "text/plain", "data": text("attachment")}},
			"tags":        []string{w("tag")}, "metadata": object{w("metadata name"): w("metadata value")}, "consent": w("consent"), "purpose": "support",
		}),
		c.mail(who),
		c.json("sms", object{"id": w("sms id"), "from": object{"id": c.tel(who), "name": title("name of the telephone"), "role": "customer"}, "to": desk,
			"body": object{"text": "call me about the " + w("sms")}}),
		c.json("voice", object{"id": w("voice id"), "from": object{"id": c.tel(who), "role": "customer"}, "to": desk,
			"attachments": []object{{"name": w("recording") + ".ogg", "media_type": "audio/ogg", "data": text("sound"), "transcript": "this is " + w("transcript") + " speaking"}}}),
		c.json("chat", object{"id": w("edit id"), "type": "edit", "refers_to": w("message id"), "from": object{"id": c.email(who), "role": "customer"}, "to": desk,
			"body": object{"text": "I meant " + w("edited body")}}),
		c.json("chat", object{"id": w("account id"), "from": object{"id": c.user(who), "name": title("name of the account"), "role": "customer"}, "to": desk,
			"body": object{"text": "from my account: " + w("account body")}}),
		c.json("chat", object{"id": w("letter id"), "from": object{"id": "user:desk-7", "role": "agent"}, "to": []object{{"id": c.email(who), "name": title("name at the desk"), "role": "customer"}},
			"body": object{"text": "Dear customer, about " + w("letter")}}),
	}
}

// gossip is a message of somebody about another one, who is marked as mentioned.
func (c *canaries) gossip(who, other string) publication {
	text := "have you heard of "
	name := c.word(other + " name as mentioned")
	return c.json("chat", object{"id": c.word(who + " id of gossip"), "from": object{"id": c.email(who), "role": "customer"}, "to": []object{},
		"body":     object{"text": text + name + "? " + c.word(who+" gossip")},
		"mentions": []object{{"id": c.email(other), "name": c.word(other + " name with the mention"), "start": len(text), "length": len(name)}}})
}

// mail is a message with parts in every transfer encoding.
func (c *canaries) mail(who string) publication {
	w := func(use string) string { return c.word(who + " mail " + use) }
	_, address, _ := strings.Cut(c.email(who), ":")
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	lines := []string{
		"From: " + mime.QEncoding.Encode("utf-8", "Ü "+w("name")) + " <" + address + ">",
		"To: Desk <desk@house.example>",
		"Subject: " + mime.BEncoding.Encode("utf-8", "Über "+w("subject")),
		"Message-ID: <" + w("message id") + "@house.example>",
		"Date: Mon, 02 Mar 2026 10:11:12 +0000",
		"X-Invented: " + w("header"),
		"MIME-Version: 1.0",
		`Content-Type: multipart/mixed; boundary="=-x"`, "",
		w("preamble"),
		"--=-x", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
		"Gr=C3=BC=C3=9Fe, " + w("body")[:6] + "=", w("body")[6:] + " it is.",
		"--=-x", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64", "",
		b64("<p>and " + w("html") + "</p>"),
		"--=-x", "Content-Type: text/plain", `Content-Disposition: attachment; filename="` + w("file name") + `.txt"`, "Content-Transfer-Encoding: base64", "",
		b64("in the file: " + w("attachment")),
		"--=-x", "Content-Type: message/rfc822", "",
		"From: someone@else.example", "Subject: " + w("inner subject"), "", w("inner body"),
		"--=-x--", "",
	}
	h := nats.Header{"Content-Type": {"message/rfc822"}, "Escrow-Conversation": {w("conversation")}, "Escrow-Tags": {w("tag")}, "Escrow-Meta-Case": {w("metadata")}}
	return publication{"mail", h, []byte(strings.Join(lines, "\r\n"))}
}

// note is a message of somebody in a conversation.
func (c *canaries) note(who, use string) publication {
	return c.json("chat", object{"id": c.word(who + " id of " + use), "conversation": c.word(who + " conversation"), "from": object{"id": c.email(who), "name": c.word(who + " name"), "role": "customer"},
		"body": object{"text": "a note: " + c.word(who+" "+use)}})
}

// together is a message of somebody in which another one takes part.
func (c *canaries) together(who, other string) publication {
	return c.json("chat", object{"id": c.word(who + " id of a message to both"), "from": object{"id": c.email(who), "role": "customer"},
		"to":   []object{{"id": c.email(other), "name": c.word(other + " name seen by another"), "role": "member"}},
		"body": object{"text": "to both of you: " + c.word(who+" words to both")}})
}
