package archive

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"escrow"
)

const leafTitle = "escrow/leaf@v1"

// AppendLeaf appends the canonical text of the header to b: one line a field, in a fixed order, with one encoding only, at most MaxLeafBytes. The
// lines source, entry, stream, once and class are left out where there is none. docs/format/leaf.md describes it. The header must be valid, as
// those the ledger returns are.
func (h Header) AppendLeaf(b []byte) []byte {
	b = append(b, leafTitle+"\nkind "...)
	b = append(b, h.Kind...)
	b = append(b, "\ntime "...)
	b = h.Time.UTC().AppendFormat(b, leafTime)
	if h.Source != (Source{}) {
		b = appendTagged(b, "\nsource ", h.Source.Tag, h.Source.Seq)
	}
	if h.Entry != [32]byte{} {
		b = appendHash(b, "\nentry ", h.Entry)
	}
	if h.Stream != (Stream{}) {
		b = appendTagged(b, "\nstream ", h.Stream.Tag, h.Stream.Counter)
	}
	if h.Once != [16]byte{} {
		b = append(b, "\nonce "...)
		b = hex.AppendEncode(b, h.Once[:])
	}
	b = appendHash(b, "\nsealed ", h.Sealed.SHA256)
	b = append(b, ' ')
	b = strconv.AppendUint(b, h.Sealed.Len, 10)
	b = appendHash(b, "\ncontent ", h.Content.Root)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(h.Content.Fields), 10)
	b = appendHash(b, "\nkref ", h.KRef)
	if h.Class != "" {
		b = append(b, "\nclass "...)
		b = append(b, h.Class...)
	}
	return append(b, '\n')
}

const leafTime = "2006-01-02T15:04:05Z"

func appendTagged(b []byte, name string, tag [16]byte, n uint64) []byte {
	b = append(b, name...)
	b = hex.AppendEncode(b, tag[:])
	b = append(b, ' ')
	return strconv.AppendUint(b, n, 10)
}

func appendHash(b []byte, name string, hash [32]byte) []byte {
	b = append(b, name...)
	b = append(b, "sha256:"...)
	return hex.AppendEncode(b, hash[:])
}

// LeafHash returns the hash of the record as a leaf of the tree: SHA-256(0x00 ‖ leaf).
func (h Header) LeafHash() tlog.Hash { return tlog.RecordHash(h.AppendLeaf(nil)) }

// ParseLeaf is the inverse of AppendLeaf. It accepts nothing that AppendLeaf would not have written; the error is of kind Corrupt.
func ParseLeaf(leaf []byte) (Header, error) {
	if len(leaf) > MaxLeafBytes {
		return Header{}, badLeaf("a leaf has at most %d bytes", MaxLeafBytes)
	}
	lines := strings.Split(string(leaf), "\n")
	if lines[0] != leafTitle {
		return Header{}, badLeaf("a leaf starts with %s", leafTitle)
	}
	var h Header
	for i, line := range lines[1:] {
		if line == "" {
			continue // what does not belong where it is, the comparison below finds
		}
		if !h.parseLine(line) {
			return Header{}, badLeaf("line %d of a leaf is malformed", i+2)
		}
	}
	if h.Time.IsZero() || h.check() != nil || !bytes.Equal(h.AppendLeaf(nil), leaf) {
		return Header{}, badLeaf("a leaf is not in its one canonical form")
	}
	return h, nil
}

func badLeaf(format string, args ...any) *escrow.Error {
	return escrow.Errorf("archive.ParseLeaf", escrow.Corrupt, format, args...)
}

func (h *Header) parseLine(line string) (ok bool) {
	name, value, _ := strings.Cut(line, " ")
	switch name {
	case "kind":
		h.Kind, ok = RecordKind(value), true
	case "time":
		t, err := time.Parse(leafTime, value)
		h.Time, ok = t, err == nil
	case "source":
		h.Source.Tag, h.Source.Seq, ok = parseTagged(value)
	case "entry":
		h.Entry, ok = parseHash(value)
	case "stream":
		h.Stream.Tag, h.Stream.Counter, ok = parseTagged(value)
	case "once":
		var tag []byte
		tag, ok = parseHex(value, len(h.Once))
		copy(h.Once[:], tag)
	case "sealed":
		h.Sealed.SHA256, h.Sealed.Len, ok = parseCounted(value)
	case "content":
		var fields uint64
		h.Content.Root, fields, ok = parseCounted(value)
		h.Content.Fields = uint32(fields) // too large a number is not canonical, which the comparison finds
	case "kref":
		h.KRef, ok = parseHash(value)
	case "class":
		h.Class, ok = value, true
	}
	return ok
}

func parseTagged(s string) (tag [16]byte, n uint64, ok bool) {
	hexTag, number, _ := strings.Cut(s, " ")
	b, ok := parseHex(hexTag, len(tag))
	copy(tag[:], b)
	n, err := strconv.ParseUint(number, 10, 64)
	return tag, n, ok && err == nil
}

func parseCounted(s string) (hash [32]byte, n uint64, ok bool) {
	text, number, _ := strings.Cut(s, " ")
	hash, ok = parseHash(text)
	n, err := strconv.ParseUint(number, 10, 64)
	return hash, n, ok && err == nil
}

func parseHash(s string) (hash [32]byte, ok bool) {
	text, prefixed := strings.CutPrefix(s, "sha256:")
	b, ok := parseHex(text, len(hash))
	copy(hash[:], b)
	return hash, ok && prefixed
}

func parseHex(s string, n int) ([]byte, bool) {
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) == n
}
