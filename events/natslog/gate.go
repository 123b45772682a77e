package natslog

import (
	"context"
	"time"

	"escrow"
)

// Gate decides what the intake takes and seals it. ingest implements it. Its methods are called concurrently.
type Gate interface {
	// Admit checks one arrival completely: form, size, authority, consent, duplicates in the ledger. Its errors are answered to the publisher, so
	// they name field, problem and remedy, and hold no content. It must not keep the arrival, and may set its time forward.
	Admit(ctx context.Context, a *Arrival) (Admission, error)
	// Seal seals plain under the tenant's key of a day, bound to aad.
	Seal(t escrow.Tenant, day uint32, aad, plain []byte) ([]byte, error)
}

// Arrival is one publish as it came in.
type Arrival struct {
	Tenant    escrow.Tenant
	Channel   escrow.Channel
	Header    map[string][]string // as sent, without the server's Nats-Request-Info
	Data      []byte
	Publisher string // name of the platform; "" if unknown, or if it is the archive itself
	Import    bool   // an import: the larger limit applies, and the message is not new
	Received  time.Time
}

// Admission is what the gate wants stored.
type Admission struct {
	Plain      []byte   // what to seal
	ChannelTag [16]byte // keyed tag of tenant and channel; counters run within it
	Once       [16]byte // keyed tag of tenant, channel and id; zero: no deduplication
	Content    [32]byte // digest of the payload, which tells a retry from another message with the same id
	Known      bool     // the ledger has this very message already: it is acknowledged as a duplicate and not stored
	Seq        uint64   // the sequence to acknowledge, if Known
}

// ImportHeader marks a publish as an import. Only publishers named in IntakeConfig.Importers may send it.
const ImportHeader = "Escrow-Import"

const secondsPerDay = 24 * 60 * 60

// dayOf returns the ingest day of a time.
func dayOf(t time.Time) uint32 { return uint32(t.Unix() / secondsPerDay) }
