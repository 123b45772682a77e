package escrow

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an Error is. The list is closed and append-only: exit codes, HTTP status and NATS errors are derived from it.
type Kind uint8

// The kinds of failure.
const (
	Internal    Kind = iota // a bug of ours, or something nobody foresaw
	Invalid                 // the caller's input is wrong; the text says how to fix it
	NotFound                // there is no such thing
	Conflict                // it is there already, or changed meanwhile, or is in use
	Denied                  // the caller may not
	Held                    // a legal hold, a statute or a missing approval forbids it
	Erased                  // it was erased or has expired; its keys are gone for ever
	Corrupt                 // bytes do not have the form or checksum they must have
	Forged                  // bytes are well-formed but contradict a signature, a digest or the tree
	Unavailable             // not now: no server, no disk space, shutting down; trying again may help
	Outdated                // made by another version of the software from what is still there; make it again
)

var kindNames = [...]string{"internal", "invalid", "not found", "conflict", "denied", "held", "erased", "corrupt", "forged", "unavailable", "outdated"}

// String returns the kind in lower case, as it is printed and sent.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// ParseKind is the inverse of String; an unknown name is Internal.
func ParseKind(s string) Kind {
	for k, name := range kindNames {
		if name == s {
			return Kind(k)
		}
	}
	return Internal
}

// Error says which operation failed, of what kind, and on which record. It never holds message content, addresses or keys.
type Error struct {
	Op     string // package and operation: "archive.Append"
	Kind   Kind
	Record *Seq  // the record concerned, or nil
	Err    error // what happened and how to mend it, lower case
}

// Error returns "op: record n: text".
func (e *Error) Error() string {
	s := e.Op
	if e.Record != nil {
		s += fmt.Sprintf(": record %d", *e.Record)
	}
	if e.Err == nil {
		return s + ": " + e.Kind.String()
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error of the given kind whose text is formatted as by fmt.Errorf, so %w wraps.
func Errorf(op string, kind Kind, format string, args ...any) *Error {
	return &Error{Op: op, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// KindOf returns the kind of the outermost *Error in err's chain, or Internal if there is none. KindOf(nil) is Internal too: ask only about errors.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
