package events

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"escrow"
)

// Event is a fact with its envelope.
type Event struct {
	ID     string
	Source string // origin of the ledger it belongs to
	Time   time.Time
	Fact   Fact
}

// MaxEventBytes bounds one event: a quarantined log entry of the largest import, in base64, and its frame.
const MaxEventBytes = escrow.MaxImport/3*4 + 1<<20

type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// Marshal returns the event as one CloudEvents 1.0 JSON object. One of more than MaxEventBytes, which Parse would refuse, is an error of kind Invalid.
func Marshal(e Event) ([]byte, error) {
	data, err := json.Marshal(e.Fact)
	if err != nil {
		return nil, escrow.Errorf("events.Marshal", escrow.Internal, "%w", err)
	}
	b, err := json.Marshal(cloudEvent{"1.0", e.ID, e.Source, e.Fact.Type(), e.Time.UTC(), "application/json", data})
	if err == nil && len(b) > MaxEventBytes {
		return nil, escrow.Errorf("events.Marshal", escrow.Invalid, "an event of %d bytes is longer than %d and could not be read again", len(b), MaxEventBytes)
	}
	return b, err
}

// Parse is the inverse of Marshal. It is strict: an unknown type, an unknown field or trailing bytes are an error of kind Corrupt.
func Parse(b []byte) (Event, error) {
	if len(b) > MaxEventBytes {
		return Event{}, escrow.Errorf("events.Parse", escrow.Corrupt, "event of %d bytes is longer than %d", len(b), MaxEventBytes)
	}
	var c cloudEvent
	if err := strict(b, &c); err != nil {
		return Event{}, err
	}
	fact, err := parseFact(c.Type, c.Data)
	if err != nil {
		return Event{}, err
	}
	return Event{ID: c.ID, Source: c.Source, Time: c.Time, Fact: fact}, nil
}

// parsers is the closed list of facts, by type.
func parsers() map[string]func([]byte) (Fact, error) {
	return map[string]func([]byte) (Fact, error){
		ArchiveFounded{}.Type():    fact[ArchiveFounded],
		LogIncident{}.Type():       fact[LogIncident],
		RecordsLost{}.Type():       fact[RecordsLost],
		OfficerAdded{}.Type():      fact[OfficerAdded],
		OfficerRemoved{}.Type():    fact[OfficerRemoved],
		ErasureRequested{}.Type():  fact[ErasureRequested],
		ErasureApproved{}.Type():   fact[ErasureApproved],
		ErasureRestricted{}.Type(): fact[ErasureRestricted],
		ErasureWithdrawn{}.Type():  fact[ErasureWithdrawn],
		HoldPlaced{}.Type():        fact[HoldPlaced],
		HoldReleased{}.Type():      fact[HoldReleased],
		HoldSlotsAdded{}.Type():    fact[HoldSlotsAdded],
		ErasureExecuted{}.Type():   fact[ErasureExecuted],
		EpochCommitted{}.Type():    fact[EpochCommitted],
		IndexPurged{}.Type():       fact[IndexPurged],
		RootsDestroyed{}.Type():    fact[RootsDestroyed],
		ErasureCertified{}.Type():  fact[ErasureCertified],
	}
}

func parseFact(name string, data []byte) (Fact, error) {
	parse, known := parsers()[name]
	if !known {
		return nil, escrow.Errorf("events.Parse", escrow.Corrupt, "unknown event type %q; a newer version of escrow may have written it", name)
	}
	return parse(data)
}

func fact[T Fact](data []byte) (Fact, error) {
	var f T
	err := strict(data, &f)
	return f, err
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return escrow.Errorf("events.Parse", escrow.Corrupt, "read event: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return escrow.Errorf("events.Parse", escrow.Corrupt, "read event: bytes after its end")
	}
	return nil
}
