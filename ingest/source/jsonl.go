package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// jsonl reads one object a line. Blank lines are passed over; the line end does not belong to the object.
func (p *pass) jsonl(f found, r *bufio.Reader) bool {
	for line := 1; ; line++ {
		data, tooLarge, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return p.fail(f, err)
		}
		last := err != nil
		if line == 1 {
			data = bytes.TrimPrefix(data, utf8BOM)
		}
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
		it := Item{Path: f.shown, Line: line, ContentType: jsonType, Data: data}
		if tooLarge {
			it = Item{Path: f.shown, Line: line, Err: errTooLarge()}
		}
		if (tooLarge || len(bytes.TrimSpace(data)) > 0) && !p.emit(it) {
			return false
		}
		if last {
			return true
		}
	}
}

// readLine returns the next line in fresh memory, or passes over one that is too large. At the end of the file it returns io.EOF, and with it the
// last line if that has no end.
func readLine(r *bufio.Reader) (line []byte, tooLarge bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !tooLarge {
			line = append(line, part...)
		}
		if len(bytes.TrimRight(line, "\r\n")) > maxLine {
			line, tooLarge = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLarge, err
		}
	}
}
