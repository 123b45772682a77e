package source_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"escrow"
)

func try(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	try(t, err, w.Close())
	return b.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	try(t, err)
	return w.EncodeAll(data, nil)
}

// packedFile is an entry of an archive.
type packedFile struct{ name, data string }

func tarred(t *testing.T, entries ...packedFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o600, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		if target, isLink := strings.CutPrefix(e.data, "-> "); isLink {
			h.Typeflag, h.Linkname, h.Size, e.data = tar.TypeSymlink, target, 0, ""
		}
		try(t, w.WriteHeader(h))
		_, err := w.Write([]byte(e.data))
		try(t, err)
	}
	try(t, w.Close())
	return b.Bytes()
}

func zipped(t *testing.T, entries ...packedFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.Create(e.name)
		try(t, err)
		_, err = f.Write([]byte(e.data))
		try(t, err)
	}
	try(t, w.Close())
	return b.Bytes()
}

func TestPacked(t *testing.T) {
	mbox := []byte(fromA + "A: 1\n\n" + fromB + "B: 2\n")
	lines := []byte("{}\n{}\n")
	entries := []packedFile{
		{"README.md", "# nothing\n"}, {"Maildir/cur/1:2,S", mail}, {"Maildir/.Sent/new/2", "anything"}, {"Maildir/tmp/3", mail}, {"cur/4", mail}, {"in/5.txt", mail},
		{"../../etc/6.eml", mail}, {`win\7.eml`, mail}, {"box", string(mbox)}, {"a.jsonl", string(lines)}, {"8.gz", string(gzipped(t, mbox))}, {"cur/9", string(gzipped(t, []byte(mail)))},
	}
	inArchive := func(name string) []string {
		return []string{
			name + "/README.md ignored: not a message", name + "/Maildir/cur/1:2,S [Maildir] [seen]", name + "/Maildir/.Sent/new/2 [Maildir/Sent]",
			name + "/Maildir/tmp/3 ignored: unfinished delivery in tmp", name + "/cur/4 [INBOX]", name + "/in/5.txt [in]", name + "/etc/6.eml [etc]", name + "/win/7.eml [win]",
			name + "/box at byte 0", name + "/box at byte 52", name + "/a.jsonl:1", name + "/a.jsonl:2", name + "/8.gz ignored: compressed or packed more than once", name + "/cur/9 [INBOX]",
		}
	}
	withLink := append(slices.Clone(entries), packedFile{"link", "-> /etc/passwd"})
	linkIn := func(name string) []string { return append(inArchive(name), name+"/link ignored: not a regular file") }
	fsys := fstest.MapFS{
		"mbox.gz": {Data: gzipped(t, mbox)}, "mbox.zst": {Data: zstandard(t, mbox)}, "a.jsonl.gz": {Data: gzipped(t, lines)}, "chat.zst": {Data: zstandard(t, lines)},
		"one.eml.gz": {Data: gzipped(t, []byte(mail))}, "twice.gz": {Data: gzipped(t, gzipped(t, lines))}, "x.tar": {Data: tarred(t, withLink...)},
		"x.tgz": {Data: gzipped(t, tarred(t, withLink...))}, "x.tar.zst": {Data: zstandard(t, tarred(t, withLink...))}, "x.zip": {Data: zipped(t, entries...)},
		"none.zip": {Data: zipped(t)}, "two.gz": {Data: append(gzipped(t, mbox[:20]), gzipped(t, mbox[20:])...)},
		"cut.gz": {Data: gzipped(t, mbox)[:40]}, "cut.zst": {Data: zstandard(t, bytes.Repeat(mbox, 10))[:40]}, "cut.tar": {Data: tarred(t, entries...)[:700]}, "cut-in-data.tar": {Data: tarred(t, entries...)[:1550]}, "cut-at-entry.tar": {Data: tarred(t, entries...)[:1024]}, "cut.zip": {Data: zipped(t, entries...)[:700]},
		"folder/y.zip": {Data: zipped(t, entries...)}, "folder/y.tar": {Data: tarred(t, entries...)}, "folder/y.tar.gz": {Data: gzipped(t, tarred(t, entries...))}, "folder/a.txt.gz": {Data: gzipped(t, mbox)},
		"folder/photo.gz": {Data: gzipped(t, []byte("\x89PNG"))}, "maildir/cur/1": {Data: gzipped(t, []byte(mail))}, "maildir/cur/2": {Data: zipped(t)},
	}
	tests := []struct {
		path string
		want []string
	}{
		{"mbox.gz", []string{"mbox.gz at byte 0", "mbox.gz at byte 52"}},
		{"mbox.zst", []string{"mbox.zst at byte 0", "mbox.zst at byte 52"}},
		{"two.gz", []string{"two.gz at byte 0", "two.gz at byte 52"}},
		{"a.jsonl.gz", []string{"a.jsonl.gz:1", "a.jsonl.gz:2"}},
		{"chat.zst", []string{"chat.zst:1", "chat.zst:2"}},
		{"one.eml.gz", []string{"one.eml.gz"}},
		{"twice.gz", []string{"twice.gz ignored: compressed or packed more than once"}},
		{"x.tar", linkIn("x.tar")},
		{"x.tgz", linkIn("x.tgz")},
		{"x.tar.zst", linkIn("x.tar.zst")},
		{"x.zip", inArchive("x.zip")},
		{"none.zip", []string{}},
		{"cut.gz", []string{"cut.gz failed: cannot be read: unexpected EOF"}},
		{"cut.zst", []string{"cut.zst failed: cannot be read: unexpected EOF"}},
		{"cut.tar", []string{"cut.tar/README.md ignored: not a message", "cut.tar failed: cut off: the archive has no end"}},
		{"cut-in-data.tar", []string{"cut-in-data.tar/README.md ignored: not a message", "cut-in-data.tar/Maildir/cur/1:2,S failed: cannot be read: unexpected EOF", "cut-in-data.tar failed: cannot be read: unexpected EOF"}},
		{"cut-at-entry.tar", []string{"cut-at-entry.tar/README.md ignored: not a message", "cut-at-entry.tar failed: cut off: the archive has no end"}},
		{"cut.zip", []string{"cut.zip failed: cannot be read: zip: not a valid zip file"}},
		{"folder", []string{
			"folder/a.txt.gz at byte 0", "folder/a.txt.gz at byte 52", "folder/photo.gz ignored: not a message", "folder/y.tar ignored: archive; name it to import what is in it",
			"folder/y.tar.gz ignored: archive; name it to import what is in it", "folder/y.zip ignored: archive; name it to import what is in it",
		}},
		{"maildir", []string{"maildir/cur/1 [INBOX]", "maildir/cur/2 [INBOX]"}},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			got := walkFS(t, fsys, "", tt.path)
			if diff := cmp.Diff(tt.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBombs(t *testing.T) {
	zeros := make([]byte, 50<<20)
	frames := bytes.Repeat(zstandard(t, zeros), 6) // a file may consist of several frames
	var deflated, z bytes.Buffer
	d, err := flate.NewWriter(&deflated, flate.BestSpeed)
	try(t, err)
	_, err = d.Write(zeros)
	try(t, err, d.Close())
	w := zip.NewWriter(&z)
	for range 6 { // each alone is allowed
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: "a.jsonl", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(zeros), CompressedSize64: uint64(deflated.Len()), UncompressedSize64: uint64(len(zeros)),
		})
		try(t, err)
		_, err = f.Write(deflated.Bytes())
		try(t, err)
	}
	try(t, w.Close())
	fsys := fstest.MapFS{"a.jsonl.zst": {Data: frames}, "a.zip": {Data: z.Bytes()}, "a.eml.zst": {Data: frames}}
	const refused = "failed: refused: grows more than 250 times when decompressed"
	want := []string{"a.jsonl.zst " + refused, "a.zip/a.jsonl:1", "a.zip/a.jsonl:1", "a.zip/a.jsonl:1", "a.zip/a.jsonl:1", "a.zip/a.jsonl:1", "a.zip/a.jsonl " + refused, "a.eml.zst failed: too large"}
	got := walkFS(t, fsys, "", "a.jsonl.zst", "a.zip", "a.eml.zst")
	if diff := cmp.Diff(want, briefs(got)); diff != "" {
		t.Error(diff)
	}
	for _, it := range got {
		if it.Err != nil && escrow.KindOf(it.Err) != escrow.Invalid {
			t.Errorf("%s has the kind %v", it.Place(), escrow.KindOf(it.Err))
		}
	}
}

// TestZipDirectoryBomb lists more files than may be held in memory.
func TestZipDirectoryBomb(t *testing.T) {
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	name := strings.Repeat("n", 60_000)
	for range 1200 {
		_, err := w.CreateRaw(&zip.FileHeader{Name: name})
		try(t, err)
	}
	try(t, w.Close())
	got := walkFS(t, fstest.MapFS{"a.zip": {Data: z.Bytes()}}, "", "a.zip")
	want := []string{"a.zip failed: refused: the directory of the ZIP archive is larger than 67108864 bytes"}
	if diff := cmp.Diff(want, briefs(got)); diff != "" {
		t.Error(diff)
	}
}
