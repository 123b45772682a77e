package ingest_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/events/natslog"
	"escrow/ingest"

	"github.com/google/go-cmp/cmp"
)

func containsText(s, sub string) bool { return strings.Contains(s, sub) }

func TestEnvelopeRoundTrip(t *testing.T) {
	for name, e := range map[string]ingest.Envelope{
		"all": {Channel: "chat", ID: "chat/1", ContentType: ingest.TypeMail, Header: map[string][]string{"Escrow-Tags": {"a", "b"}}, Publisher: "crm",
			Received: vaultStart.Add(123456789), Original: []byte("raw\x00\xff")},
		"nothing": {Original: []byte{}},
		"html":    {ID: "<>&\u2028", Original: []byte("{}")},
	} {
		t.Run(name, func(t *testing.T) {
			b := must(e.Marshal())(t)
			got := must(ingest.ParseEnvelope(b))(t)
			if d := cmp.Diff(e, got); d != "" {
				t.Errorf("round trip (-want +got):\n%s", d)
			}
			for n := range len(b) - len(e.Original) {
				if _, err := ingest.ParseEnvelope(b[:n]); escrow.KindOf(err) != escrow.Corrupt {
					t.Errorf("cut to %d bytes: %v", n, err)
				}
			}
		})
	}
}

func FuzzParseEnvelope(f *testing.F) {
	b, err := ingest.Envelope{Channel: "chat", ID: "1", ContentType: ingest.TypeJSON, Received: vaultStart, Original: []byte("{}")}.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x00\x00\x00\x02{}x"))
	f.Add([]byte("\x00\x00\x00\x04{} {"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ingest.ParseEnvelope(b)
		if err != nil {
			if escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("kind %v", escrow.KindOf(err))
			}
			return
		}
		again, err := e.Marshal()
		if err != nil {
			return // a time beyond what JSON can say
		}
		back, err := ingest.ParseEnvelope(again)
		if err != nil || !bytes.Equal(back.Original, e.Original) || back.ID != e.ID {
			t.Errorf("not the same after another round trip: %v", err)
		}
	})
}

const small = `{"id":"1","from":{"id":"email:ana@example.org"},"body":{"text":"hello"}}`

// What the publishing contract refuses is refused with the right kind, and a text that names field, problem and remedy, and no value.
func TestGateRefuses(t *testing.T) {
	v := newVault(t, nil, nil)
	before := v.ledger.Size()
	header := func(kv ...string) map[string][]string {
		h := map[string][]string{}
		for i := 0; i < len(kv); i += 2 {
			h[kv[i]] = append(h[kv[i]], kv[i+1])
		}
		return h
	}
	for _, tt := range []struct {
		name string
		in   natslog.Arrival
		kind escrow.Kind
		says []string
	}{
		{"unknown tenant", natslog.Arrival{Tenant: "nobody", Data: []byte(small)}, escrow.NotFound, []string{`no tenant "nobody"`, "escrow init"}},
		{"unknown field", natslog.Arrival{Data: []byte(strings.Replace(small, `"body"`, `"bdoy":1,"body"`, 1))}, escrow.Invalid, []string{"bdoy", "metadata"}},
		{"not JSON", natslog.Arrival{Data: []byte(`hello`)}, escrow.Invalid, []string{"JSON"}},
		{"two objects", natslog.Arrival{Data: []byte(small + small)}, escrow.Invalid, []string{"JSON"}},
		{"bad UTF-8", natslog.Arrival{Data: []byte(strings.Replace(small, "hello", "h\xffllo", 1))}, escrow.Invalid, []string{"UTF-8"}},
		{"no id", natslog.Arrival{Data: []byte(`{"from":{"id":"email:a@b.c"}}`)}, escrow.Invalid, []string{"id: is missing"}},
		{"no from", natslog.Arrival{Data: []byte(`{"id":"1"}`)}, escrow.Invalid, []string{"from: is missing"}},
		{"id too long", natslog.Arrival{Data: []byte(`{"id":"` + strings.Repeat("x", 513) + `","from":{"id":"email:a@b.c"}}`)}, escrow.Invalid, []string{"id: has 513 bytes"}},
		{"untyped identity", natslog.Arrival{Data: []byte(`{"id":"1","from":{"id":"ana@example.org"}}`)}, escrow.Invalid, []string{"from.id", "email:"}},
		{"unknown retention class", natslog.Arrival{Data: []byte(strings.Replace(small, `"body"`, `"retention":"forever","body"`, 1))}, escrow.Invalid,
			[]string{"retention: there is no such class", "default, letters"}},
		{"payload of a platform too large", natslog.Arrival{Data: make([]byte, escrow.MaxPayload+1)}, escrow.Invalid, []string{"8388609 bytes", "8388608"}},
		{"import too large", natslog.Arrival{Import: true, Data: make([]byte, escrow.MaxImport+1)}, escrow.Invalid, []string{"67108865 bytes"}},
		{"unknown content type", natslog.Arrival{Header: header("Content-Type", "text/plain"), Data: []byte(small)}, escrow.Invalid, []string{"Content-Type", "message/rfc822"}},
		{"malformed content type", natslog.Arrival{Header: header("Content-Type", ";;"), Data: []byte(small)}, escrow.Invalid, []string{"Content-Type"}},
		{"JSON in Latin-1", natslog.Arrival{Header: header("Content-Type", "application/json; charset=iso-8859-1"), Data: []byte(small)}, escrow.Invalid, []string{"UTF-8"}},
		{"CloudEvent in Latin-1", natslog.Arrival{Header: header("Content-Type", "application/cloudevents+json; charset=latin1"), Data: []byte(small)}, escrow.Invalid, []string{"UTF-8"}},
		{"CloudEvent without type", natslog.Arrival{Header: header("ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s"), Data: []byte(small)}, escrow.Invalid, []string{"type"}},
		{"header of mail on JSON", natslog.Arrival{Header: header("Escrow-Tags", "a"), Data: []byte(small)}, escrow.Invalid, []string{"Escrow-Tags", "tags"}},
		{"unknown header of ours on mail", natslog.Arrival{Header: header("Content-Type", "message/rfc822", "Escrow-Colour", "red"), Data: []byte("Subject: x\n\n")},
			escrow.Invalid, []string{"Escrow-Colour", "Escrow-Conversation"}},
		{"message id too long", natslog.Arrival{Header: header("Nats-Msg-Id", strings.Repeat("x", ingest.MaxDedupBytes+1)), Data: []byte(small)}, escrow.Invalid, []string{"Nats-Msg-Id"}},
		{"message id not UTF-8", natslog.Arrival{Header: header("Nats-Msg-Id", "\xff"), Data: []byte(small)}, escrow.Invalid, []string{"Nats-Msg-Id", "UTF-8"}},
		{"attachment by reference", natslog.Arrival{Data: []byte(strings.Replace(small, `"body"`, `"attachments":[{"object":"o","name":"n","media_type":"a/b"}],"body"`, 1))},
			escrow.Unavailable, []string{"attachments[0].object"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.admit(tt.in)
			wantKind(t, err, tt.kind, tt.says...)
			if err != nil && (containsText(err.Error(), "ana@") || containsText(err.Error(), "forever") || containsText(err.Error(), "hello")) {
				t.Errorf("the error repeats a value: %v", err)
			}
		})
	}
	if size := v.ledger.Size(); size != before {
		t.Errorf("%d records were written", size-before)
	}
}

func TestGateAdmits(t *testing.T) {
	v := newVault(t, nil, nil)
	for name, a := range map[string]natslog.Arrival{
		"content type with parameters":  {Header: map[string][]string{"content-type": {"Application/JSON; Charset=UTF-8"}}, Data: []byte(small)},
		"as large as an import may be":  {Import: true, Header: map[string][]string{"Content-Type": {ingest.TypeMail}, natslog.ImportHeader: {"1"}}, Data: bytes.Repeat([]byte("x\n"), escrow.MaxPayload/2+1)},
		"known retention class":         {Data: []byte(strings.Replace(small, `"body"`, `"retention":"letters","body"`, 1))},
		"mail that is none":             {Header: map[string][]string{"Content-Type": {ingest.TypeMail}}, Data: []byte("\xff\x00nothing like a mail")},
		"headers that are not for us":   {Header: map[string][]string{"X-Own": {"1"}, "Traceparent": {"00-1"}}, Data: []byte(small)},
		"structured CloudEvent":         {Header: map[string][]string{"Content-Type": {ingest.TypeCloudEvent}}, Data: []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + small + `}`)},
		"binary CloudEvent":             {Header: map[string][]string{"Ce-Specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/s"}, "ce-type": {"t"}}, Data: []byte(small)},
		"longest id of its own in mail": {Header: map[string][]string{"Content-Type": {ingest.TypeMail}, "Nats-Msg-Id": {strings.Repeat("x", ingest.MaxDedupBytes)}}, Data: []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			adm, err := v.admit(a)
			if err != nil || adm.Known || adm.Once == ([16]byte{}) || adm.ChannelTag == ([16]byte{}) {
				t.Fatalf("%+v, %v", adm, err)
			}
			env := must(ingest.ParseEnvelope(adm.Plain))(t)
			if !bytes.Equal(env.Original, a.Data) {
				t.Error("the original bytes are not kept")
			}
			for name := range env.Header {
				if strings.EqualFold(name, natslog.ImportHeader) || strings.EqualFold(name, "X-Own") {
					t.Errorf("header %s is kept", name)
				}
			}
		})
	}
}

func TestGateKnows(t *testing.T) {
	v := newVault(t, nil, nil)
	one := talk("1", "the first text", "email:ana@example.org", "email:bo@example.org")
	seq := v.chat("chat", one)
	same := must(v.admit(natslog.Arrival{Data: []byte(one)}))(t)
	if !same.Known || same.Seq != uint64(seq) {
		t.Errorf("the same again: %+v", same)
	}
	other := talk("1", "another text", "email:ana@example.org", "email:bo@example.org")
	_, err := v.admit(natslog.Arrival{Data: []byte(other)})
	wantKind(t, err, escrow.Conflict, "other content", "refers_to")
	elsewhere := must(v.admit(natslog.Arrival{Channel: "forum", Data: []byte(other)}))(t)
	if elsewhere.Known || elsewhere.Once == same.Once || elsewhere.ChannelTag == same.ChannelTag {
		t.Error("an id belongs to its channel")
	}
	otherTenant := newVault(t, nil, nil)
	foreign := must(otherTenant.admit(natslog.Arrival{Data: []byte(one)}))(t)
	if foreign.Known || foreign.Once == same.Once || foreign.ChannelTag == same.ChannelTag {
		t.Error("tags of two tenants can be linked")
	}
	named := must(v.admit(natslog.Arrival{Header: map[string][]string{"Nats-Msg-Id": {"chat/1"}}, Data: []byte(one)}))(t)
	if !named.Known {
		t.Error("the default id is <channel>/<id>, so giving it changes nothing")
	}

	v.erase("email:bo@example.org", "chat")
	if partly := must(v.admit(natslog.Arrival{Data: []byte(one)}))(t); !partly.Known {
		t.Error("a message that lost a reader is still known")
	}
	v.erase("email:ana@example.org", "chat")
	_, err = v.admit(natslog.Arrival{Data: []byte(one)})
	wantKind(t, err, escrow.Erased, "erased", "not taken again")
}

func TestGateKnowsMail(t *testing.T) {
	v := newVault(t, nil, nil)
	mail := map[string][]string{"Content-Type": {ingest.TypeMail}}
	raw := []byte("From: ana@example.org\nTo: bo@example.org\nSubject: x\n\nhello\n")
	first := must(v.admit(natslog.Arrival{Header: mail, Data: raw}))(t)
	if env := must(ingest.ParseEnvelope(first.Plain))(t); !strings.HasPrefix(env.ID, "chat/sha256:") {
		t.Errorf("a mail is known by %q", env.ID)
	}
	seq := v.put(natslog.Arrival{Header: mail, Data: raw})
	if again := must(v.admit(natslog.Arrival{Header: mail, Data: raw}))(t); !again.Known || again.Seq != uint64(seq) {
		t.Errorf("the same mail: %+v", again)
	}
	if other := must(v.admit(natslog.Arrival{Header: mail, Data: append(raw, '\n')}))(t); other.Known {
		t.Error("a mail with one byte more is another mail")
	}
}

// A message, not a person, was erased: its id is refused, its neighbours are not.
func TestGateErasedMessage(t *testing.T) {
	v := newVault(t, nil, nil)
	one, two := talk("1", "one", "email:ana@example.org"), talk("2", "two", "email:ana@example.org")
	seq := v.chat("chat", one)
	v.chat("chat", two)
	v.eraseMessages(seq)
	_, err := v.admit(natslog.Arrival{Data: []byte(one)})
	wantKind(t, err, escrow.Erased)
	if adm := must(v.admit(natslog.Arrival{Data: []byte(two)}))(t); !adm.Known {
		t.Error("the other message is not known any more")
	}
}

// What the gate seals is not readable.
func TestGateSeals(t *testing.T) {
	v := newVault(t, nil, nil)
	_, err := v.gate().Seal("nobody", 1, nil, nil)
	wantKind(t, err, escrow.NotFound)
	sealed := must(v.gate().Seal("acme", 20_000, []byte("head"), []byte("a secret word")))(t)
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the log entry is readable")
	}
}

// TestGateClockGoesBack: by a clock that was set back a message would be sealed for a day whose key may be gone, and be due on one that is over.
func TestGateClockGoesBack(t *testing.T) {
	v := newVault(t, nil, nil)
	seq := v.chat("chat", talk("1", "a text", "email:ana@example.org", "email:bo@example.org"))
	last := v.read(seq).Header.Time
	for _, tt := range []struct{ arrives, want time.Time }{
		{last.AddDate(-1, 0, 0), last},
		{last.Add(-time.Second), last},
		{last.Add(time.Millisecond), last.Add(time.Millisecond)},
	} {
		a := natslog.Arrival{Tenant: v.name, Channel: "chat", Received: tt.arrives, Data: []byte(talk("2", "a text", "email:ana@example.org", "email:bo@example.org"))}
		adm := must(v.gate().Admit(context.Background(), &a))(t)
		env := must(ingest.ParseEnvelope(adm.Plain))(t)
		if !a.Received.Equal(tt.want) || !env.Received.Equal(tt.want) {
			t.Errorf("what arrives at %v is taken in at %v and %v, want %v", tt.arrives, a.Received, env.Received, tt.want)
		}
	}
}
