package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// readAll parses and opens a record as far as that goes and returns the plaintexts it got.
func readAll(z *seal.Sealer, keys seal.Keys, blob []byte) (plains [][]byte, failed bool) {
	s, err := z.Parse(blob)
	if err != nil {
		return nil, true
	}
	for i := range s.Facets() {
		plain, err := s.Open(keys, i)
		failed = failed || err != nil
		plains = append(plains, plain)
	}
	return plains, failed
}

// TestEveryFlippedBitIsAnError flips bits of each byte of a record: something must fail, and no facet may give other bytes than were sealed.
func TestEveryFlippedBitIsAnError(t *testing.T) {
	z := newSealer(t)
	ctx, facets := conversation(prose(300), 5)
	keys := newTreeKeys()
	blob, err := z.Seal(keys, ctx, facets)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blob {
		for _, bit := range []byte{1, 0x10, 0x80} {
			bad := bytes.Clone(blob)
			bad[i] ^= bit
			plains, failed := readAll(z, keys, bad)
			if !failed {
				t.Fatalf("byte %d of %d changed by %#x and nothing failed", i, len(blob), bit)
			}
			for k, plain := range plains {
				if plain != nil && !bytes.Equal(plain, facets[k].Plain) {
					t.Fatalf("byte %d changed by %#x: facet %d gave other bytes", i, bit, k)
				}
			}
		}
	}
	for n := range blob {
		if _, err := z.Parse(blob[:n]); err == nil || escrow.KindOf(err) != escrow.Corrupt {
			t.Fatalf("the first %d of %d bytes: %v, want kind corrupt", n, len(blob), err)
		}
	}
	_, err = z.Parse(append(blob, 0))
	wantKind(t, "a byte more", err, escrow.Corrupt)
}

// TestTransplantsAreForged takes parts of one record, all under the same shares, into another.
func TestTransplantsAreForged(t *testing.T) {
	z := newSealer(t)
	slots := []keytree.Ref{subject(1), day(2)}
	two := func(ctx seal.Context, first, second string) []byte {
		return mustSeal(t, z, ctx, []seal.Facet{
			{Kind: seal.FacetBody, Plain: []byte(first), Slots: [][]keytree.Ref{slots}},
			{Kind: seal.FacetIdentity, Plain: []byte(second), Slots: [][]keytree.Ref{slots}},
		})
	}
	other := testContext()
	other.Seq++
	a, b := two(testContext(), "first", "Ana"), two(other, "other", "Ben")
	const ( // places in these records, all lengths being equal
		context = 5 + 5 + 3 + 8 + 32 + 10 + 2 + 3 + 4 + 2
		head    = 9
		com     = 32
		body    = 64 + 28
		slot    = 2 + 2 + 2*7 + 16 + 60
		facet   = head + com + body + slot
	)
	if len(a) != context+2*facet {
		t.Fatalf("the record has %d bytes, not %d", len(a), context+2*facet)
	}
	second := context + facet
	tests := map[string][2]int{
		"sequence number":    {5 + 5 + 3, 5 + 5 + 3 + 8},
		"whole context":      {0, context},
		"facet header":       {context, context + head},
		"commitment":         {context + head, context + head + com},
		"body":               {context + head + com, context + head + com + body},
		"commitment, body":   {context + head, context + head + com + body},
		"slot":               {context + head + com + body, second},
		"body, slot":         {context + head + com, second},
		"whole facet":        {context, second},
		"whole second facet": {second, len(a)},
	}
	for name, cut := range tests {
		t.Run(name, func(t *testing.T) {
			mixed := bytes.Clone(a)
			copy(mixed[cut[0]:cut[1]], b[cut[0]:cut[1]])
			if bytes.Equal(mixed, a) {
				return // the part is the same in both: nothing was taken
			}
			s := mustParse(t, z, mixed)
			forged := 0
			for i, want := range []string{"first", "Ana"} {
				plain, err := s.Open(plainKeys{}, i)
				if err == nil && string(plain) != want {
					t.Errorf("facet %d opens to another record's %q", i, plain)
				}
				if err != nil {
					wantKind(t, "facet", err, escrow.Forged)
					forged++
				}
			}
			if forged == 0 {
				t.Error("a part of another record was not noticed")
			}
		})
	}
	t.Run("body as identity", func(t *testing.T) {
		mixed := bytes.Clone(a)
		copy(mixed[second+head:], a[context+head:second])
		_, err := mustParse(t, z, mixed).Open(plainKeys{}, 1)
		wantKind(t, "identity", err, escrow.Forged)
	})
}

func TestSlotsOfOtherFacetsAreForged(t *testing.T) {
	z := newSealer(t)
	facets := append(body("body", []keytree.Ref{subject(1), day(2)}),
		seal.Facet{Kind: seal.FacetIdentity, Plain: []byte("Ana"), Slots: [][]keytree.Ref{{subject(1), day(2)}}})
	blob := mustSeal(t, z, testContext(), facets)
	slot, err := mustParse(t, z, blob).NewSlot(plainKeys{}, 0, []keytree.Ref{hold(7)})
	if err != nil {
		t.Fatal(err)
	}
	gone := plainKeys{subject(1): erased()}
	for i, want := range []bool{true, false} {
		s := mustParse(t, z, blob)
		if err := s.AddSlot(i, slot); err != nil {
			t.Fatal(err)
		}
		plain, err := s.Open(gone, i)
		if want && (err != nil || string(plain) != "body") {
			t.Errorf("its own slot does not open facet %d: %v", i, err)
		}
		if !want {
			wantKind(t, "slot of another facet", err, escrow.Forged)
		}
		if _, err := s.Open(plainKeys{}, i); err != nil {
			t.Errorf("a slot that does not belong keeps the good one from opening: %v", err)
		}
	}
	wantKind(t, "AddSlot(2)", mustParse(t, z, blob).AddSlot(2, slot), escrow.NotFound)
	_, err = mustParse(t, z, blob).NewSlot(plainKeys{}, 0, []keytree.Ref{subject(9)})
	wantKind(t, "slot without lifetime share", err, escrow.Invalid)
	_, err = mustParse(t, z, blob).NewSlot(gone, 0, []keytree.Ref{hold(9)})
	wantKind(t, "slot for an erased facet", err, escrow.Erased)
}

func TestSlotEncoding(t *testing.T) {
	z := newSealer(t)
	slot, err := mustParse(t, z, mustSeal(t, z, testContext(), body("x", []keytree.Ref{day(2)}))).NewSlot(plainKeys{}, 0, []keytree.Ref{hold(7), day(3)})
	if err != nil {
		t.Fatal(err)
	}
	b := slot.Append(nil)
	got, rest, err := seal.ParseSlot(append(bytes.Clone(b), 1, 2))
	if err != nil || len(rest) != 2 || !bytes.Equal(got.Append(nil), b) {
		t.Errorf("ParseSlot: %v, %d bytes left", err, len(rest))
	}
	for n := range b {
		_, _, err := seal.ParseSlot(b[:n])
		wantKind(t, "cut slot", err, escrow.Corrupt)
	}
	for name, bad := range map[string]seal.Slot{
		"unsorted":    {Refs: []keytree.Ref{day(3), hold(7)}},
		"repeated":    {Refs: []keytree.Ref{day(3), day(3)}},
		"no lifetime": {Refs: []keytree.Ref{subject(3)}},
		"no refs":     {},
		"unknown":     {Refs: []keytree.Ref{{Kind: 'A'}, day(3)}},
	} {
		_, _, err := seal.ParseSlot(bad.Append(nil))
		wantKind(t, name, err, escrow.Corrupt)
	}
}

func TestHandmadeRecordOpens(t *testing.T) {
	z := newSealer(t)
	m := handmade{padded: padded(5, 5, "hello", 64), deks: [][32]byte{{1}}, refs: []keytree.Ref{subject(1)}}
	plain, err := mustParse(t, z, m.blob(t)).Open(plainKeys{}, 0)
	if err != nil || string(plain) != "hello" {
		t.Errorf("a record written by the specification does not open: %q, %v", plain, err)
	}
}

// TestTwoReadingsAreRefused opens a record prepared by an insider who knew all keys: one body for the two data keys {1} and {2}, each in a slot of its
// own, so that the destruction of hold 0 would turn the record into another text. committing's tests show how such a body is made.
func TestTwoReadingsAreRefused(t *testing.T) {
	blob := hexFile(t, "two-readings.hex")
	const head, com, iv, body = 72 + 2, 74 + 9, 74 + 9 + 32, 74 + 9 + 32 + 12
	h := sha256.Sum256(append(append([]byte("escrow/facet/v1\x00"), blob[:72]...), blob[head:com]...))
	aad := append(h[:], blob[com:iv]...)
	for dek, text := range map[byte]string{1: "Approved: sell 500 shares.", 2: "No trade: we are closed."} {
		keys := handmade{}.keys(t, h, [32]byte{dek})
		block, err := aes.NewCipher(keys[:32])
		if err != nil {
			t.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := aead.Open(nil, blob[iv:body], blob[body:body+144+16], aad)
		if err != nil || !bytes.Contains(plain, []byte(text)) {
			t.Fatalf("AES-GCM does not accept the body under data key %d, so its refusal proves nothing: %v", dek, err)
		}
	}
	s := mustParse(t, newSealer(t), blob)
	if plain, err := s.Open(plainKeys{}, 0); err != nil || !bytes.HasPrefix(plain, []byte("Approved")) {
		t.Errorf("the committed reading: %q, %v", plain, err)
	}
	_, err := s.Open(plainKeys{hold(0): erased()}, 0)
	wantKind(t, "the second reading", err, escrow.Forged)
	_, err = s.NewSlot(plainKeys{hold(0): erased()}, 0, []keytree.Ref{hold(9)})
	wantKind(t, "a slot for the second reading", err, escrow.Forged)
}

func TestTwoDataKeysAreRefused(t *testing.T) {
	z := newSealer(t)
	m := handmade{padded: padded(5, 5, "hello", 64), deks: [][32]byte{{1}, {2}}}
	s := mustParse(t, z, m.blob(t))
	if _, err := s.Open(plainKeys{}, 0); err != nil {
		t.Errorf("the good slot: %v", err)
	}
	_, err := s.Open(plainKeys{hold(0): erased()}, 0)
	wantKind(t, "the slot with another data key", err, escrow.Forged)
}

// TestMalformedPlaintextIsCorrupt: what is inside the encryption was written by somebody who had the keys, and is still not trusted.
func TestMalformedPlaintextIsCorrupt(t *testing.T) {
	z := newSealer(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := string(enc.EncodeAll(bytes.Repeat([]byte("a"), 100), nil))
	n := uint32(len(frame))
	tests := map[string]handmade{
		"stored beyond the class":      {padded: padded(57, 57, "hello", 64)},
		"stored belongs to less":       {padded: padded(5, 5, "hello", 72)},
		"raw lengths differ":           {padded: padded(5, 6, "hello", 64)},
		"padding is not zero":          {padded: padded(4, 4, "hello", 64)},
		"plain length beyond all":      {padded: padded(n, seal.MaxPlain+1, frame, 64), codec: 1},
		"frame longer than stated":     {padded: padded(n, 99, frame, 64), codec: 1},
		"frame shorter than stated":    {padded: padded(n, 101, frame, 64), codec: 1},
		"no frame":                     {padded: padded(5, 5, "hello", 64), codec: 1},
		"two frames":                   {padded: padded(2*n, 100, frame+frame, 64), codec: 1},
		"stored length over 31 bits":   {padded: padded(1<<32-1, 5, "hello", 64)},
		"plain length over 31 bits":    {padded: padded(n, 1<<32-1, frame, 64), codec: 1},
		"an incomplete frame is input": {padded: padded(n-1, 100, frame[:n-1], 64), codec: 1},
	}
	for name, m := range tests {
		m.deks = [][32]byte{{1}}
		plain, err := mustParse(t, z, m.blob(t)).Open(plainKeys{}, 0)
		wantKind(t, name, err, escrow.Corrupt)
		if plain != nil {
			t.Errorf("%s: %d bytes were returned", name, len(plain))
		}
	}
}

// TestBombIsBounded opens small records that would take much memory: one that decompresses to 128 MiB but says 100 bytes, wide windows, a long length.
func TestBombIsBounded(t *testing.T) {
	z := newSealer(t)
	var bomb bytes.Buffer
	enc, err := zstd.NewWriter(&bomb, zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 128 {
		if _, err := enc.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	window := func(descriptor string) string { // magic, no content size, window, one raw block
		return "\x28\xb5\x2f\xfd\x00" + descriptor + "\x21\x00\x00hell"
	}
	frame := string(enc.EncodeAll(make([]byte, 100), nil))
	tests := map[string]struct {
		frame string
		plain uint32
	}{
		"bomb": {bomb.String(), 100}, "window of 1 GiB": {window("\xa0"), 4}, "window of 8 MiB": {window("\x68"), 4}, "length of 4 GiB": {frame, 1<<32 - 1},
	}
	for name, test := range tests {
		n := len(test.frame)
		m := handmade{codec: 1, deks: [][32]byte{{1}}, padded: padded(uint32(n), test.plain, test.frame, classOf(n+8))}
		blob := m.blob(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := mustParse(t, z, blob).Open(plainKeys{}, 0)
		runtime.ReadMemStats(&after)
		wantKind(t, name, err, escrow.Corrupt)
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
			t.Errorf("%s: refusing %d bytes took %d bytes of memory", name, len(blob), used)
		}
	}
}

// classOf is the length class by the published definition of PADMÉ, in its own words: at least 64.
func classOf(n int) int {
	if n < 64 {
		return 64
	}
	e := 0
	for n>>(e+1) > 0 {
		e++
	}
	s := 1
	for e>>s > 0 {
		s++
	}
	mask := 1<<(e-s) - 1
	return (n + mask) / (mask + 1) * (mask + 1)
}

// TestLengthClasses compares the classes used with the definition, and their width with the promise.
func TestLengthClasses(t *testing.T) {
	z := newSealer(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		n := 57 + rng.IntN(1<<rng.IntN(18))
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		s := mustParse(t, z, mustSeal(t, z, testContext(), body(string(noise), []keytree.Ref{day(2)})))
		got := s.Facets()[0].PlainLen
		if got != classOf(n+8) || got > (n+8)*112/100 {
			t.Errorf("the class of %d bytes is %d, by definition %d", n, got, classOf(n+8))
		}
	}
}

// TestParseRejectsWhatSealDoesNotWrite puts together records that differ from a good one in form only.
func TestParseRejectsWhatSealDoesNotWrite(t *testing.T) {
	context := "ESCR\x01\x04acme\x02eu" + string(make([]byte, 8+32)) + "\x01p\x00\x01\x01c\x00\x00\x00\x00"
	slots := "\x00\x01\x00\x01R\x00\x00\x00\x00\x00\x01" + string(make([]byte, 16+60))
	facet := func(head string, size int, slots string) string {
		return head + string(make([]byte, 32+size+28)) + slots
	}
	const body = "\x01\x00\x00\x04text"
	good := facet("\x01\x00\x00\x00\x00\x00\x00\x00\x40", 64, slots)
	next := facet("\x01\x00\x01\x08text/csv\x01\x00\x00\x00\x40", 64, slots)
	z := newSealer(t)
	if _, err := z.Parse([]byte(context + "\x00\x02" + good + next)); err != nil {
		t.Fatalf("a well-formed record: %v", err)
	}
	tests := map[string]string{
		"nothing":                 "",
		"magic":                   "ESCS" + context[4:] + "\x00\x01" + good,
		"version":                 "ESCR\x02" + context[5:] + "\x00\x01" + good,
		"tenant":                  "ESCR\x01\x04Acme" + context[10:] + "\x00\x01" + good,
		"region":                  "ESCR\x01\x04acme\x02e\n" + context[13:] + "\x00\x01" + good,
		"no facets":               context + "\x00\x00",
		"facets beyond the end":   context + "\x40\x00" + good,
		"too many facets":         context + "\xff\xff" + good,
		"twice the same":          context + "\x00\x02" + good + good,
		"out of order":            context + "\x00\x02" + next + good,
		"kind 0":                  context + "\x00\x01\x00" + good[1:],
		"kind 6":                  context + "\x00\x01\x06" + good[1:],
		"type with parameters":    context + "\x00\x01" + facet("\x01\x00\x00\x0atext/csv;x\x00\x00\x00\x00\x40", 64, slots),
		"type without slash":      context + "\x00\x01" + facet(body+"\x00\x00\x00\x00\x40", 64, slots),
		"codec":                   context + "\x00\x01" + facet("\x01\x00\x00\x00\x02\x00\x00\x00\x40", 64, slots),
		"less than a class":       context + "\x00\x01" + facet("\x01\x00\x00\x00\x00\x00\x00\x00\x3f", 63, slots),
		"no class":                context + "\x00\x01" + facet("\x01\x00\x00\x00\x00\x00\x00\x00\x41", 65, slots),
		"a class beyond all":      context + "\x00\x01" + facet("\x01\x00\x00\x00\x00\x80\x00\x00\x00", 64, slots),
		"no slots":                context + "\x00\x01" + facet("\x01\x00\x00\x00\x00\x00\x00\x00\x40", 64, "\x00\x00") + slots,
		"slots beyond the end":    context + "\x00\x01" + facet("\x01\x00\x00\x00\x00\x00\x00\x00\x40", 64, "\x00\x02"+slots[2:]),
		"slot without references": context + "\x00\x01" + facet("\x01\x00\x00\x00\x00\x00\x00\x00\x40", 64, "\x00\x01\x00\x00"+slots[4:]),
	}
	for name, blob := range tests {
		_, err := z.Parse([]byte(blob))
		wantKind(t, name, err, escrow.Corrupt)
	}
}

func FuzzParse(f *testing.F) {
	z := newSealer(f)
	ctx, facets := conversation(prose(300), 5)
	f.Add(mustSeal(f, z, ctx, facets))
	f.Add(mustSeal(f, z, testContext(), body("x", []keytree.Ref{day(1)}, []keytree.Ref{subject(1), day(1)})))
	f.Add([]byte("ESCR\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := z.Parse(b)
		if err != nil {
			if escrow.KindOf(err) != escrow.Corrupt {
				t.Errorf("error %v, want kind corrupt", err)
			}
			return
		}
		for i := range s.Facets() {
			_, _ = s.Open(plainKeys{}, i)
		}
	})
}
