package needle_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"escrow/internal/needle"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// written lists how other people's encoders write s, each with text around it. Nothing here uses the package under test.
func written(t *testing.T, s string) map[string][]byte {
	t.Helper()
	m := map[string][]byte{
		"utf-8":        []byte("say " + s + " twice"),
		"upper":        []byte("SAY " + strings.ToUpper(s)),
		"lower":        []byte("say " + strings.ToLower(s)),
		"title":        []byte(strings.ToUpper(s[:1]) + strings.ToLower(s[1:])),
		"utf-16le":     wide(s, false),
		"utf-16be":     wide(s, true),
		"hex":          []byte(hex.EncodeToString([]byte("say " + s))),
		"hex upper":    fmt.Appendf(nil, "%X", "say "+s),
		"hex utf-16":   []byte(hex.EncodeToString(wide(s, true))),
		"url query":    []byte(url.QueryEscape("q=" + s)),
		"url path":     []byte(url.PathEscape("a/" + s)),
		"html":         []byte(html.EscapeString("<b>" + s)),
		"json":         marshal(t, map[string]string{"text": "say " + s}),
		"json ascii":   []byte(escapedJSON(s, 0x80)),
		"json escaped": []byte(escapedJSON(s, 0)),
		"quoted":       quoted(t, s),
		"gzip":         zipped(t, s),
		"zstd":         zstandard(t, s),
		"s2":           s2packed(t, s),
		"nested":       zipped(t, "outer "+string(zstandard(t, "inner "+base64.StdEncoding.EncodeToString([]byte("x"+s))))),
	}
	for offset := range 3 {
		text := strings.Repeat("-", offset) + s + " and more"
		m[fmt.Sprintf("base64+%d", offset)] = []byte(base64.StdEncoding.EncodeToString([]byte(text)))
		m[fmt.Sprintf("base64url+%d", offset)] = []byte(base64.URLEncoding.EncodeToString([]byte(text)))
		m[fmt.Sprintf("base64 utf-16+%d", offset)] = []byte(base64.RawStdEncoding.EncodeToString(append([]byte(text[:offset]), wide(s, false)...)))
	}
	for width := 1; width < 12; width++ {
		m[fmt.Sprintf("base64 in lines of %d", width)] = inLines(base64.StdEncoding.EncodeToString([]byte("a"+s+"b")), width+9)
	}
	m["base64 of html of a mail"] = []byte(base64.StdEncoding.EncodeToString([]byte("<p>" + s + "</p>")))
	return m
}

func wide(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// escapedJSON escapes the units of s from the given one on, as encoders for ASCII only do.
func escapedJSON(s string, from uint16) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		if u < from {
			b.WriteByte(byte(u))
		} else {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}

func quoted(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := io.WriteString(w, strings.Repeat("x", 70)+s); err != nil { // so long that a soft line break divides the word
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("junk before")
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, s)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	b.WriteString("junk after")
	return b.Bytes()
}

func zstandard(t *testing.T, s string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(w.EncodeAll([]byte(s+strings.Repeat(" and again "+s, 3)), []byte("junk before")), "junk after"...)
}

func s2packed(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := s2.NewWriter(&b)
	_, err := io.WriteString(w, strings.Repeat(s, 3))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inLines(s string, width int) []byte {
	var b bytes.Buffer
	for ; len(s) > width; s = s[width:] {
		b.WriteString(s[:width] + "\r\n")
	}
	b.WriteString(s)
	return b.Bytes()
}

func set(t *testing.T, words ...needle.Word) *needle.Set {
	t.Helper()
	s, err := needle.New(words...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scan(t *testing.T, s *needle.Set, b []byte) needle.Report {
	t.Helper()
	r, err := s.Scan("b", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryForm plants each word in each encoding, and finds it; with one letter changed it finds nothing.
func TestEveryForm(t *testing.T) {
	for _, text := range []string{"Quixolambda", "zorb.tweezle@canary.example", "+493055501234", "Grüßwort-Ärgerlich", "слово-канарейка", "言葉のカナリア", "canary😀bird"} {
		s := set(t, needle.Word{Text: text})
		other := set(t, needle.Word{Text: text[:len(text)-1] + "%"})
		for name, b := range written(t, text) {
			if name == "title" && text[0] > 0x7f || name == "upper" && strings.Contains(text, "ß") {
				continue
			}
			if r := scan(t, s, b); r.Words[text] == 0 {
				t.Errorf("%s in %s is not found: %q", text, name, b)
			}
			if r := scan(t, other, b); r.Found != 0 {
				t.Errorf("another word than %s is found in %s: %v", text, name, r)
			}
		}
	}
}

// TestSpellings finds stems, words backwards, and digests of what can be guessed, cut to 16 bytes as well.
func TestSpellings(t *testing.T) {
	const address = "Zorb@canary.example"
	s := set(t, needle.Word{Name: "body", Text: "Quixolambdings", Spellings: []string{"quixolambd"}},
		needle.Word{Name: "sender", Text: address, Guesses: []string{address, "email:" + address}})
	sum := sha256.Sum256([]byte("email:zorb@canary.example"))
	short, weak := sha1.Sum([]byte(address)), md5.Sum([]byte("zorb@canary.example"))
	for name, b := range map[string][]byte{
		"stem":          []byte("quixolambdable"),
		"backwards":     []byte("sgnidbmaloxiuQ"),
		"SHA-256":       sum[:],
		"SHA-256 short": []byte(hex.EncodeToString(sum[:16])),
		"SHA-256 text":  []byte("x" + base64.URLEncoding.EncodeToString(append([]byte("1"), sum[:]...))),
		"SHA-1":         fmt.Appendf(nil, "%X", short),
		"MD5":           fmt.Appendf(nil, "%x", weak),
	} {
		if r := scan(t, s, b); r.Found == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
	if _, err := needle.New(needle.Word{Text: "too", Spellings: []string{"long enough"}}); err == nil {
		t.Error("a word of three bytes was taken")
	}
}

// TestPlaces finds a word wherever it lies around the borders of chunks, once, and says where.
func TestPlaces(t *testing.T) {
	const word = "Quixolambda"
	s := set(t, needle.Word{Text: word})
	const size = 1<<20 + 50
	for _, at := range []int{0, 7, 1<<20 - 11, 1<<20 - 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, size - 11} {
		for _, fill := range []byte{0, 'x', '\n', 0xff} {
			b := bytes.Repeat([]byte{fill}, size)
			copy(b[at:], word)
			r := scan(t, s, b)
			if len(r.Hits) != 1 || r.Hits[0] != (needle.Hit{Word: word, Form: "as written, utf-8", In: "b", At: int64(at)}) || r.Bytes != size {
				t.Errorf("at %d in %q: %v", at, fill, r)
			}
			copy(b[at:], wide(word, true)[:len(word)]) // cut off: half a word
			if r := scan(t, s, b); r.Found != 0 {
				t.Errorf("half a word at %d in %q: %v", at, fill, r)
			}
			divided := append(append(append([]byte{}, b[:at]...), "Quixo=\r\nlambda"...), b[at:]...)
			if r := scan(t, s, divided); r.Found != 1 || r.Hits[0].At != int64(at) && fill != '\n' {
				t.Errorf("divided at %d in %q: %v", at, fill, r)
			}
		}
	}
}

// TestTree looks through names and contents of files, and through memory with pages missing.
func TestTree(t *testing.T) {
	s := set(t, needle.Word{Text: "Quixolambda"})
	fsys := fstest.MapFS{"a/quixolambda.txt": {Data: []byte("x")}, "b/c": {Data: []byte("has QUIXOLAMBDA in it")}, "d": {Data: nil}}
	r, err := s.ScanFS(fsys)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"lower, utf-8": 1, "upper, utf-8": 1}
	if diff := cmp.Diff(want, r.Forms); diff != "" || r.Sources != 3 {
		t.Errorf("%v\n%s", r, diff)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("Quixolambda"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := s.ScanFS(os.DirFS(dir)); err != nil || r.Found != 1 {
		t.Errorf("%v, %v", r, err)
	}
	mem := holes(append(make([]byte, 3*4096), fmt.Sprintf("%-4096s", "Quixolambda")...))
	r, err = s.ScanMemory(strings.NewReader("0-4000 r--p 00000000 00:00 0 [heap]\n4000-5000 ---p 0 0:0 0\nffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0 [vsyscall]\n"), mem)
	if err != nil || r.Found != 1 || r.Hits[0].At != 3*4096 {
		t.Errorf("%v, %v", r, err)
	}
}

// holes is memory whose second page cannot be read.
type holes []byte

func (h holes) ReadAt(b []byte, at int64) (int, error) {
	if at < 8192 && at+int64(len(b)) > 4096 {
		return 0, errors.New("EIO")
	}
	return bytes.NewReader(h).ReadAt(b, at)
}

// TestOwnMemory finds a word in the memory of this process.
func TestOwnMemory(t *testing.T) {
	const half = "olambda"
	word := []byte("Quix" + strings.ToUpper(half) + fmt.Sprint(os.Getpid()))
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	r, err := set(t, needle.Word{Text: string(word)}).ScanMemory(maps, mem)
	if err != nil || r.Found == 0 {
		t.Errorf("%v, %v", r, err)
	}
	runtime.KeepAlive(word)
}

// TestMembers counts what was unpacked, goes no deeper than three members, and survives what only begins like one.
func TestMembers(t *testing.T) {
	s := set(t, needle.Word{Text: "Quixolambda"})
	deep := "Quixolambda"
	for depth := 1; depth <= 4; depth++ {
		deep = string(zipped(t, deep))
		r := scan(t, s, []byte(deep))
		if found := depth <= 3; (r.Found == 1) != found || (r.Cut == 1) != !found {
			t.Errorf("depth %d: %v", depth, r)
		}
	}
	two := append(zstandard(t, "Quixolambda"), zstandard(t, "nothing at all")...)
	if r := scan(t, s, two); r.Members != 2 || !strings.Contains(r.String(), "zstd at 11 at 22") {
		t.Errorf("two frames: %v", r)
	}
	cut := zstandard(t, strings.Repeat("Quixolambda", 100))
	if r := scan(t, s, cut[:len(cut)-20]); r.Members > 1 {
		t.Errorf("a frame cut off: %v", r)
	}
	rng := rand.NewChaCha8([32]byte{1})
	for range 200 {
		b := make([]byte, 300)
		_, _ = rng.Read(b)
		for _, magic := range []string{"\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "\xff\x06\x00\x00S2sTwO", "\xff\x06\x00\x00sNaPpY"} {
			copy(b[rng.Uint64()%200:], magic)
		}
		if r := scan(t, s, b); r.Found != 0 {
			t.Errorf("%v", r)
		}
	}
}

// FuzzFind compares with bytes.Contains: words of two letters and a zero byte, so that beginnings repeat and overlap.
func FuzzFind(f *testing.F) {
	f.Add([]byte("aabbaabbaabb"), []byte("abbaabba"), uint8(3))
	f.Add(bytes.Repeat([]byte{0}, 40), []byte("aaaaaaaa"), uint8(9))
	f.Add([]byte("aaaa\r\naaaa=\naaaaaaaaaaaaaaaa\x1f\x8b\x08"), []byte("aaaaaaaaa"), uint8(200))
	f.Fuzz(func(t *testing.T, b, word []byte, fill uint8) {
		for i := range word {
			word[i] = "aB"[word[i]%2]
		}
		if len(word) < needle.MinWord {
			return
		}
		for i := range b {
			if b[i] > 0x80 {
				b[i] = "aB\x00\n"[b[i]%4]
			}
		}
		if fill%8 == 0 {
			b = append(bytes.Repeat([]byte{0}, 1<<20-int(fill)), b...) // across the border of two chunks
		}
		r := scan(t, set(t, needle.Word{Text: string(word)}), b)
		places := 0
		for i := range b {
			if bytes.HasPrefix(b[i:], word) {
				places++
			}
		}
		if got := r.Forms["as written, utf-8"]; got != places {
			t.Errorf("%q occurs %d times, %d found: %v", word, places, got, r)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	var words []needle.Word
	for i := range 50 {
		words = append(words, needle.Word{Text: fmt.Sprintf("Quixolambda%d", i), Guesses: []string{fmt.Sprint("q", i)}})
	}
	s, err := needle.New(words...)
	if err != nil {
		b.Fatal(err)
	}
	random := make([]byte, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	for name, data := range map[string][]byte{"random": random, "zero": make([]byte, 64<<20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if r, err := s.Scan("b", bytes.NewReader(data), int64(len(data))); err != nil || r.Found != 0 {
					b.Fatal(r, err)
				}
			}
		})
	}
}
