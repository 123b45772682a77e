package ingest

import (
	"fmt"
	"slices"
)

// defects collects what could not be understood, in plain words without content, each once.
type defects struct {
	list []string
	more int
}

// add notes a defect of the part with that path ("2.1", "" for the message).
func (d *defects) add(path, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if path != "" {
		s = "part " + path + ": " + s
	}
	switch {
	case slices.Contains(d.list, s):
	case len(d.list) < maxDefects:
		d.list = append(d.list, s)
	default:
		d.more++
	}
}

// all returns the list for a Message.
func (d *defects) all() []string {
	if d.more > 0 {
		return append(d.list, fmt.Sprintf("and %d more", d.more))
	}
	return d.list
}
