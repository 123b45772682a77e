package needle

import (
	"bytes"
	"slices"
)

// joined is text without its line breaks, those of quoted-printable included.
type joined struct {
	text   []byte
	joints []joint // ascending
}

// joint is where line breaks were taken out.
type joint struct {
	at      int // the byte of the joined text after the break
	removed int // bytes taken out up to there
}

// join takes the line breaks out of b.
func (j *joined) join(b []byte) {
	j.text, j.joints = j.text[:0], j.joints[:0]
	for taken := 0; ; {
		n := bytes.IndexAny(b[taken:], "\r\n")
		if n < 0 {
			j.text = append(j.text, b[taken:]...)
			return
		}
		j.text = append(j.text, b[taken:taken+n]...)
		if n > 0 && b[taken+n-1] == '=' {
			j.text = j.text[:len(j.text)-1]
		}
		taken += n + 1
		j.joints = append(j.joints, joint{len(j.text), taken - len(j.text)})
	}
}

// before returns how many bytes of the text come from the first n bytes it was made of.
func (j *joined) before(n int) int {
	i, _ := slices.BinarySearchFunc(j.joints, n+1, func(p joint, n int) int { return p.at + p.removed - n })
	limit := len(j.text)
	if i < len(j.joints) {
		limit = j.joints[i].at
	}
	if i > 0 {
		n -= j.joints[i-1].removed
	}
	return min(n, limit)
}

// divided reports whether a break was taken out within the n bytes from at on, and how many bytes before it.
func (j *joined) divided(at, n int) (removed int, ok bool) {
	i, _ := slices.BinarySearchFunc(j.joints, at+1, func(p joint, at int) int { return p.at - at })
	if i > 0 {
		removed = j.joints[i-1].removed
	}
	return removed, i < len(j.joints) && j.joints[i].at < at+n
}
