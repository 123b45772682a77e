package server

import (
	"time"

	"escrow"
	"escrow/events/natslog"
)

// TenantStatus is how one tenant's archive is.
type TenantStatus struct {
	Tenant     escrow.Tenant        `json:"tenant"`
	Origin     string               `json:"origin"`
	Terminated bool                 `json:"terminated,omitempty"` // erased as a whole: nothing but the ledger is left
	Records    escrow.TreeSize      `json:"records"`
	Indexed    escrow.TreeSize      `json:"indexed"`
	Partial    uint64               `json:"partial"`
	Channels   int                  `json:"channels"`
	Waiting    uint64               `json:"waiting"` // acknowledged, in the log, not sealed yet
	Incidents  uint64               `json:"incidents"`
	Erasures   uint64               `json:"erasures"` // orders carried out: of people, messages, days and holds
	Epoch      uint64               `json:"epoch"`
	Retired    []RetiredRoot        `json:"retired,omitempty"` // roots that still open older copies of the keys
	Stores     []StoreStatus        `json:"stores"`
	Terms      string               `json:"terms"`      // the arithmetic from approval to the end of the last root
	Requests   []Case               `json:"requests"`   // erasures that are not finished
	Restricted int                  `json:"restricted"` // people of whom nobody is shown anything
	Holds      int                  `json:"holds"`      // in force
	Expired    []RetentionClass     `json:"retention"`
	Readable   string               `json:"log_readable_from,omitempty"` // sealed log entries of this day and later can still be opened
	LastRecord *time.Time           `json:"last_record,omitempty"`
	Bytes      int64                `json:"ledger_bytes"`
	Checkpoint string               `json:"checkpoint"` // newest, signed; keep one elsewhere
	Key        string               `json:"key"`
	Intake     *natslog.IntakeStats `json:"intake,omitempty"`
	Halted     string               `json:"halted,omitempty"` // why sealing, indexing or erasing stopped, if it did
}

// RetiredRoot is a root no key state is sealed under any more.
type RetiredRoot struct {
	Epoch   uint64    `json:"epoch"`
	Retired time.Time `json:"retired"`
	Goes    time.Time `json:"goes"` // when it is destroyed
}

// StoreStatus is what a root store says of itself.
type StoreStatus struct {
	Store   string `json:"store"`
	Method  string `json:"method"`         // how it destroys, in the words of NIST SP 800-88
	Wait    string `json:"wait,omitempty"` // between destroying a root and the end of its material at the provider
	Live    int    `json:"live"`
	Pending int    `json:"pending"`
	Problem string `json:"problem,omitempty"`
}
