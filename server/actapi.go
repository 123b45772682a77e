package server

import (
	"encoding/json"
	"time"

	"escrow"
	"escrow/events"
)

// Act names what officers do under their signature.
type Act string

// The acts.
const (
	ActAddOfficer    Act = "officer-add"
	ActRemoveOfficer Act = "officer-remove"
	ActRequest       Act = "erase-request"
	ActApprove       Act = "erase-approve"
	ActWithdraw      Act = "erase-withdraw"
	ActPlaceHold     Act = "hold-place"
	ActReleaseHold   Act = "hold-release"
)

// ActOrder says what an officer wants done. Which members belong to which act stands beside them.
type ActOrder struct {
	Tenant   escrow.Tenant `json:"tenant,omitempty"`
	Act      Act           `json:"act"`
	Officer  string        `json:"officer,omitempty"`  // who will sign; "" for the first officers, who are brought in by nobody
	Name     string        `json:"name,omitempty"`     // officer-add, officer-remove: a function such as "dpo", never a personal name
	Key      string        `json:"key,omitempty"`      // officer-add: the verifier key (C2SP signed note)
	Target   *Target       `json:"target,omitempty"`   // erase-request
	Basis    string        `json:"basis,omitempty"`    // erase-request: legal basis code; "" means art17-1
	Case     string        `json:"case,omitempty"`     // erase-request: reference without personal data
	Request  *escrow.Seq   `json:"request,omitempty"`  // erase-approve, erase-withdraw
	Matter   string        `json:"matter,omitempty"`   // hold-place: reference without personal data
	Query    string        `json:"query,omitempty"`    // hold-place: every message it finds now
	Messages []escrow.Seq  `json:"messages,omitempty"` // hold-place: these messages
	Hold     *uint32       `json:"hold,omitempty"`     // hold-release
}

// Target names what is to be erased: a person, a conversation, a message or everything. Exactly one of them is set.
type Target struct {
	Person       []escrow.Identity `json:"person,omitempty"`  // identities of one person, at most MaxIdentities
	Channel      escrow.Channel    `json:"channel,omitempty"` // scope of a "user:" identity, or of Conversation
	Conversation string            `json:"conversation,omitempty"`
	Message      *escrow.Seq       `json:"message,omitempty"`
	Everything   bool              `json:"everything,omitempty"` // the whole tenant
}

// ActDraft is an act ready to be signed. The archive keeps nothing of it.
type ActDraft struct {
	Order    ActOrder        `json:"order"`
	Fact     json.RawMessage `json:"fact"`               // what will be recorded, without the statement
	Text     string          `json:"text"`               // what the officer signs: a digest of Fact is in it
	Scope    string          `json:"scope,omitempty"`    // erase-request, erase-approve: "person", "conversation", "message" or "tenant"
	Preview  *events.Counts  `json:"preview,omitempty"`  // erase-request, erase-approve: what it does now
	Asked    *events.Counts  `json:"asked,omitempty"`    // erase-approve: what it did when it was requested
	Until    *time.Time      `json:"until,omitempty"`    // erase-approve: end of the cooling-off time
	Messages uint64          `json:"messages,omitempty"` // hold-place: messages to be held
}

// SignedAct is a draft and the officer's signature over its text.
type SignedAct struct {
	Order     ActOrder        `json:"order"`
	Fact      json.RawMessage `json:"fact"`
	Statement string          `json:"statement"` // a C2SP signed note
}

// ActAnswer says what was recorded.
type ActAnswer struct {
	Act      Act            `json:"act"`
	Event    escrow.Seq     `json:"event"`              // the record; for a request its number
	Until    *time.Time     `json:"until,omitempty"`    // end of the cooling-off time
	Hold     *uint32        `json:"hold,omitempty"`     // number of the hold
	Messages uint64         `json:"messages,omitempty"` // messages held
	Preview  *events.Counts `json:"preview,omitempty"`  // what the officer was shown
}
