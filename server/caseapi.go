package server

import (
	"time"

	"escrow"
	"escrow/events"
)

// PreviewRequest asks what an erasure would do, without anything being recorded.
type PreviewRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
	Target Target        `json:"target"`
}

// PreviewAnswer is what an erasure would do now.
type PreviewAnswer struct {
	Scope   string        `json:"scope"` // "person", "conversation", "message" or "tenant"
	Preview events.Counts `json:"preview"`
}

// AdvanceRequest asks for everything that is due to be carried out now.
type AdvanceRequest struct {
	Tenant       escrow.Tenant `json:"tenant,omitempty"`
	RootsNow     bool          `json:"roots_now,omitempty"`      // do not wait the time for which retired roots are kept
	ClockIsRight bool          `json:"clock_is_right,omitempty"` // somebody looked: that much time has passed since the last record
}

// AdvanceAnswer says what was carried out.
type AdvanceAnswer struct {
	Steps    []CaseStep `json:"steps"`              // events recorded by it, in order
	Pending  []string   `json:"pending,omitempty"`  // what waits for its time, and until when
	Blocked  []string   `json:"blocked,omitempty"`  // what is due and forbidden, by a hold or by a clock that cannot be believed
	Problems []string   `json:"problems,omitempty"` // what is due and could not be carried out
}

// CasesRequest asks about erasures.
type CasesRequest struct {
	Tenant  escrow.Tenant `json:"tenant,omitempty"`
	Request *escrow.Seq   `json:"request,omitempty"` // this one only
}

// CasesAnswer lists erasures, oldest first.
type CasesAnswer struct {
	Cases []Case `json:"cases"`
}

// Case is one erasure from its request on.
type Case struct {
	Request  escrow.Seq    `json:"request"` // number of the request, the record it is in
	State    string        `json:"state"`   // "requested", "cooling-off", "due", "executing", "certified" or "withdrawn"
	Scope    string        `json:"scope"`
	Basis    string        `json:"basis"`
	Case     string        `json:"case,omitempty"`
	By       string        `json:"by"`
	Approver string        `json:"approver,omitempty"`
	Until    *time.Time    `json:"until,omitempty"` // end of the cooling-off time
	Preview  events.Counts `json:"preview"`         // as it was requested
	Steps    []CaseStep    `json:"steps"`
	Pending  []string      `json:"pending,omitempty"` // in plain words, with times
}

// CaseStep is one event of an erasure.
type CaseStep struct {
	Step   string     `json:"step"` // name of the event
	Event  escrow.Seq `json:"event"`
	At     time.Time  `json:"at"`
	Detail string     `json:"detail,omitempty"`
}

// CertificateRequest asks for the certificate of an erasure.
type CertificateRequest struct {
	Tenant  escrow.Tenant `json:"tenant,omitempty"`
	Request escrow.Seq    `json:"request"` // record of the request, or of an order: retention days that are over, a hold that was released
}

// CertificateAnswer is a certificate of erasure (docs/format/certificate.md).
type CertificateAnswer struct {
	Final       bool   `json:"final"`       // no step is pending
	Certificate string `json:"certificate"` // the file, to be written as it is
	Key         string `json:"key"`         // verifier key of the log; compare it with one obtained elsewhere
}

// HoldsRequest asks for the holds.
type HoldsRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
}

// HoldsAnswer lists the holds, oldest first.
type HoldsAnswer struct {
	Holds []Hold `json:"holds"`
}

// Hold is a legal hold.
type Hold struct {
	Hold     uint32     `json:"hold"`
	Matter   string     `json:"matter"`
	Messages uint64     `json:"messages"`
	By       string     `json:"by"`
	Placed   time.Time  `json:"placed"`
	Released *time.Time `json:"released,omitempty"`
}

// OfficersRequest asks for the officers.
type OfficersRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
}

// OfficersAnswer lists the officers, in the order in which they came.
type OfficersAnswer struct {
	Officers []Officer `json:"officers"`
}

// Officer is who may sign acts.
type Officer struct {
	Officer string `json:"officer"`
	Key     string `json:"key"`
	Sponsor string `json:"sponsor,omitempty"` // who brought the officer in
	Removed bool   `json:"removed,omitempty"`
}

// RetentionRequest asks how the schedule stands.
type RetentionRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
}

// RetentionAnswer is the schedule and how far it was carried out.
type RetentionAnswer struct {
	Classes []RetentionClass `json:"classes"`
}

// RetentionClass is one class of the schedule.
type RetentionClass struct {
	Name    string `json:"name"`
	Number  uint16 `json:"number"`
	Days    int    `json:"days"`
	Expired string `json:"expired_to,omitempty"` // the last due day whose keys are gone
}
