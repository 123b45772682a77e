package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

func TestSealOpen(t *testing.T) {
	noise := make([]byte, 3000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"empty": {}, "one byte": {7}, "55 bytes": prose(55), "56 bytes": prose(56), "57 bytes": prose(57),
		"chat": prose(300), "mail": prose(20_000), "several zstd blocks": prose(1 << 20), "noise": noise, "zeros": make([]byte, 5<<20),
	}
	z := newSealer(t)
	for name, plain := range tests {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, z, mustSeal(t, z, testContext(), body(string(plain), []keytree.Ref{subject(1), day(2)})))
			got, err := s.Open(plainKeys{}, 0)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("Open returned %d of %d bytes, %v", len(got), len(plain), err)
			}
		})
	}
}

func TestLargestFacet(t *testing.T) {
	z := newSealer(t)
	long := bytes.Repeat(prose(1<<16), seal.MaxPlain>>16)
	s := mustParse(t, z, mustSeal(t, z, testContext(), body(string(long), []keytree.Ref{day(2)})))
	if got, err := s.Open(plainKeys{}, 0); err != nil || !bytes.Equal(got, long) {
		t.Errorf("a facet of %d bytes does not open: %v", len(long), err)
	}
	_, err := z.Seal(plainKeys{}, testContext(), body(string(append(long, 0)), []keytree.Ref{day(2)}))
	wantKind(t, "a byte too many", err, escrow.Invalid)
}

func TestParseTellsContextAndFacets(t *testing.T) {
	z := newSealer(t)
	facets := []seal.Facet{
		{Kind: seal.FacetBody, ContentType: "message/rfc822", Plain: prose(500), Slots: [][]keytree.Ref{{subject(1), day(2), message(42)}, {subject(3), day(2)}}},
		{Kind: seal.FacetIdentity, Index: 4, Plain: []byte("Ana"), Slots: [][]keytree.Ref{{day(2), subject(1), day(2)}}},
		{Kind: seal.FacetIdentity, Index: 5, Plain: []byte("Ben"), Slots: [][]keytree.Ref{{hold(9)}}},
	}
	s := mustParse(t, z, mustSeal(t, z, testContext(), facets))
	if diff := cmp.Diff(testContext(), s.Context()); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
	got := s.Facets()
	if got[0].PlainLen < 64 || got[0].PlainLen > 500 {
		t.Errorf("length class of 500 bytes of prose is %d", got[0].PlainLen)
	}
	want := []seal.FacetInfo{
		{Kind: seal.FacetBody, ContentType: "message/rfc822", PlainLen: got[0].PlainLen, Slots: [][]keytree.Ref{{message(42), day(2), subject(1)}, {day(2), subject(3)}}},
		{Kind: seal.FacetIdentity, Index: 4, PlainLen: 64, Slots: [][]keytree.Ref{{day(2), subject(1)}}},
		{Kind: seal.FacetIdentity, Index: 5, PlainLen: 64, Slots: [][]keytree.Ref{{hold(9)}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facets (-want +got):\n%s", diff)
	}
	_, err := s.Open(plainKeys{}, 3)
	wantKind(t, "facet 3 of 3", err, escrow.NotFound)
	_, err = s.Open(plainKeys{}, -1)
	wantKind(t, "facet -1", err, escrow.NotFound)
}

func TestSealRefusesBadInput(t *testing.T) {
	z := newSealer(t)
	ok := [][]keytree.Ref{{subject(1), day(2)}}
	long := strings.Repeat("x", 65)
	tests := map[string]struct {
		ctx    func(*seal.Context)
		facets []seal.Facet
	}{
		"no facets":            {facets: nil},
		"no slot":              {facets: body("x")},
		"empty slot":           {facets: body("x", []keytree.Ref{})},
		"no lifetime share":    {facets: body("x", []keytree.Ref{subject(1), message(2)})},
		"one without lifetime": {facets: body("x", []keytree.Ref{subject(1), day(2)}, []keytree.Ref{subject(1)})},
		"unknown kind of key":  {facets: body("x", []keytree.Ref{day(2), {Kind: 'Q'}})},
		"unknown facet":        {facets: []seal.Facet{{Kind: 6, Slots: ok}}},
		"facet of kind 0":      {facets: []seal.Facet{{Slots: ok}}},
		"twice the same":       {facets: append(body("x", ok...), body("x", ok...)...)},
		"out of order":         {facets: append([]seal.Facet{{Kind: seal.FacetNote, Slots: ok}}, body("x", ok...)...)},
		"type with parameters": {facets: []seal.Facet{{Kind: seal.FacetBody, ContentType: `text/plain; name="ana.txt"`, Slots: ok}}},
		"tenant":               {facets: body("x", ok...), ctx: func(c *seal.Context) { c.Tenant = "Acme Inc" }},
		"long region":          {facets: body("x", ok...), ctx: func(c *seal.Context) { c.Region = long }},
		"long policy":          {facets: body("x", ok...), ctx: func(c *seal.Context) { c.Policy.Name = long }},
		"class in two lines":   {facets: body("x", ok...), ctx: func(c *seal.Context) { c.Class = "a\nb" }},
	}
	for name, test := range tests {
		ctx := testContext()
		if test.ctx != nil {
			test.ctx(&ctx)
		}
		blob, err := z.Seal(plainKeys{}, ctx, test.facets)
		wantKind(t, name, err, escrow.Invalid)
		if blob != nil {
			t.Errorf("%s: a blob was returned", name)
		}
	}
}

func TestSealReportsMissingShares(t *testing.T) {
	z := newSealer(t)
	for _, kind := range []escrow.Kind{escrow.Erased, escrow.NotFound, escrow.Unavailable} {
		keys := plainKeys{subject(1): escrow.Errorf("test", kind, "no")}
		_, err := z.Seal(keys, testContext(), body("x", []keytree.Ref{subject(1), day(2)}))
		wantKind(t, "seal", err, kind)
	}
	z, err := seal.New(strings.NewReader("too short"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Seal(plainKeys{}, testContext(), body("x", []keytree.Ref{day(2)}))
	wantKind(t, "no randomness", err, escrow.Internal)
}

// TestNothingTellsThePlaintext seals texts of different length and content and looks at everything that is in clear.
func TestNothingTellsThePlaintext(t *testing.T) {
	z := newSealer(t)
	sizes := map[int]bool{}
	for n := range 57 {
		sizes[len(mustSeal(t, z, testContext(), body(string(prose(n)), []keytree.Ref{day(2)})))] = true
	}
	if len(sizes) != 1 {
		t.Errorf("names of 0 to 56 bytes give blobs of %d sizes", len(sizes))
	}
	sizes = map[int]bool{}
	noise := make([]byte, 1100)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for n := 1000; n < 1100; n++ {
		sizes[len(mustSeal(t, z, testContext(), body(string(noise[:n]), []keytree.Ref{day(2)})))] = true
	}
	if len(sizes) > 5 {
		t.Errorf("100 lengths give blobs of %d sizes, a length class should span about 32 bytes", len(sizes))
	}
	canary := []byte("Veronika Quasthoff-Zylinder")
	blob := mustSeal(t, z, testContext(), body(string(canary), []keytree.Ref{day(2)}))
	if bytes.Contains(blob, canary[:8]) {
		t.Error("the plaintext is in the blob")
	}
	again := mustSeal(t, z, testContext(), body(string(canary), []keytree.Ref{day(2)}))
	if same := commonRun(blob[80:], again[80:]); same > 16 {
		t.Errorf("two blobs of one plaintext have %d bytes in common after the context", same)
	}
}

// commonRun returns the length of the longest run of equal bytes at equal places, among bytes that are not all zero.
func commonRun(a, b []byte) (longest int) {
	run := 0
	for i := range min(len(a), len(b)) {
		if run++; a[i] != b[i] {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

func TestMediaType(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "  ": "", "text/plain": "text/plain", "Text/HTML; charset=utf-8": "text/html", `image/png; name="ana.png"`: "image/png",
		"application/vnd.ms-excel.sheet.macroEnabled.12": "application/vnd.ms-excel.sheet.macroenabled.12",
		"nonsense": "application/octet-stream", "a b/c": "application/octet-stream", "/": "application/octet-stream",
		"text/": "application/octet-stream", "text/plain; =": "text/plain", strings.Repeat("a", 200) + "/" + strings.Repeat("b", 100): "application/octet-stream",
	} {
		if got := seal.MediaType(in); got != want {
			t.Errorf("MediaType(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSealerIsSafeForConcurrentUse(t *testing.T) {
	z := newSealer(t)
	done := make(chan error)
	for g := range 4 {
		go func() {
			plain := prose(300 + g)
			for range 50 {
				blob, err := z.Seal(plainKeys{}, testContext(), body(string(plain), []keytree.Ref{day(2)}))
				if err != nil {
					done <- err
					return
				}
				s, err := z.Parse(blob)
				if err != nil {
					done <- err
					return
				}
				if got, err := s.Open(plainKeys{}, 0); err != nil || !bytes.Equal(got, plain) {
					done <- errors.New("another plaintext came back")
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
