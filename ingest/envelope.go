package ingest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	"escrow"
)

// Envelope is one accepted publish: the original bytes and what the intake knew about them. Sealed under the ingest-day key it is the body of a log
// entry; nothing of it is in clear on any disk.
type Envelope struct {
	Channel     escrow.Channel      `json:"channel"`
	ID          string              `json:"id"`                  // deduplication id within the channel
	ContentType string              `json:"content_type"`        // media type, lower case, without parameters
	Header      map[string][]string `json:"header,omitempty"`    // Escrow-*, ce-* and traceparent, as published
	Publisher   string              `json:"publisher,omitempty"` // account of the platform, set by the NATS server
	Received    time.Time           `json:"received"`
	Original    []byte              `json:"-"`
}

// Marshal returns u32 length of the head, the head in JSON, the original bytes.
func (e Envelope) Marshal() ([]byte, error) {
	return appendHeaded(e, e.Original)
}

// ParseEnvelope is the inverse of Marshal. Original shares memory with b. Errors are of kind Corrupt.
func ParseEnvelope(b []byte) (Envelope, error) {
	var e Envelope
	rest, err := parseHeaded(b, &e)
	e.Original = rest
	return e, err
}

// appendHeaded writes head as length-prefixed JSON, then the parts.
func appendHeaded(head any, parts ...[]byte) ([]byte, error) {
	h, err := json.Marshal(head)
	if err != nil {
		return nil, escrow.Errorf("ingest.Marshal", escrow.Internal, "%w", err)
	}
	n := 4 + len(h)
	for _, p := range parts {
		n += len(p)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, n), uint32(len(h)))
	b = append(b, h...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b, nil
}

// parseHeaded reads what appendHeaded wrote and returns what follows the head.
func parseHeaded(b []byte, head any) ([]byte, error) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, escrow.Errorf("ingest.Parse", escrow.Corrupt, "shorter than its head")
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	d := json.NewDecoder(bytes.NewReader(b[4:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(head); err != nil {
		return nil, escrow.Errorf("ingest.Parse", escrow.Corrupt, "read head: %w", err)
	}
	if d.InputOffset() != int64(n-4) {
		return nil, escrow.Errorf("ingest.Parse", escrow.Corrupt, "bytes after the end of the head")
	}
	return b[n:], nil
}
