package escrow_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"escrow"
)

func TestErrorText(t *testing.T) {
	seq := escrow.Seq(7)
	tests := []struct {
		name string
		err  *escrow.Error
		want string
	}{
		{"op and cause", &escrow.Error{Op: "archive.Read", Kind: escrow.Corrupt, Err: io.ErrUnexpectedEOF}, "archive.Read: unexpected EOF"},
		{"record", &escrow.Error{Op: "archive.Read", Kind: escrow.Forged, Record: &seq, Err: errors.New("digest differs")}, "archive.Read: record 7: digest differs"},
		{"no cause", &escrow.Error{Op: "archive.Read", Kind: escrow.NotFound}, "archive.Read: not found"},
		{"record, no cause", &escrow.Error{Op: "archive.Read", Kind: escrow.Erased, Record: new(escrow.Seq)}, "archive.Read: record 0: erased"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestErrorfWraps(t *testing.T) {
	err := escrow.Errorf("vfs.Open", escrow.Unavailable, "open %q: %w", "a", io.ErrClosedPipe)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v does not wrap its cause", err)
	}
	if want := `vfs.Open: open "a": io: read/write on closed pipe`; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
}

func TestKindOf(t *testing.T) {
	held := escrow.Errorf("a.B", escrow.Held, "hold 3")
	tests := []struct {
		name string
		err  error
		want escrow.Kind
	}{
		{"none", nil, escrow.Internal},
		{"foreign", io.EOF, escrow.Internal},
		{"direct", held, escrow.Held},
		{"wrapped by a foreign error", fmt.Errorf("erase: %w", held), escrow.Held},
		{"joined", errors.Join(io.EOF, held), escrow.Held},
		{"the outermost wins", escrow.Errorf("c.D", escrow.Denied, "not now: %w", held), escrow.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := escrow.KindOf(tt.err); got != tt.want {
				t.Errorf("KindOf(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

// The list of kinds is append-only: these numbers and names are on the wire.
func TestKindsAreStable(t *testing.T) {
	want := []string{"internal", "invalid", "not found", "conflict", "denied", "held", "erased", "corrupt", "forged", "unavailable", "outdated"}
	for i, name := range want {
		k := escrow.Kind(i)
		if k.String() != name {
			t.Errorf("Kind(%d) = %q, want %q", i, k, name)
		}
		if got := escrow.ParseKind(name); got != k {
			t.Errorf("ParseKind(%q) = %d, want %d", name, got, k)
		}
	}
	if got := escrow.Kind(len(want)); got.String() != "internal" {
		t.Errorf("Kind(%d) = %q: a new kind belongs into this test", got, got)
	}
	for _, name := range []string{"", "Internal", "no such kind"} {
		if got := escrow.ParseKind(name); got != escrow.Internal {
			t.Errorf("ParseKind(%q) = %v, want internal", name, got)
		}
	}
}
