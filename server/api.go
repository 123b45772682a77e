package server

import (
	"context"
	"time"

	"escrow"
	"escrow/events/natslog"
)

// API is what can be asked of an archive. Every request names a tenant; "" means the only one there is.
type API interface {
	Search(context.Context, SearchRequest) (SearchAnswer, error)
	Show(context.Context, ShowRequest) (ShowAnswer, error)
	Proof(context.Context, ProofRequest) (ProofAnswer, error)
	Subject(context.Context, SubjectRequest) (SubjectAnswer, error)
	Preview(context.Context, PreviewRequest) (PreviewAnswer, error)
	Draft(context.Context, ActOrder) (ActDraft, error)
	Submit(context.Context, SignedAct) (ActAnswer, error)
	Advance(context.Context, AdvanceRequest) (AdvanceAnswer, error)
	Cases(context.Context, CasesRequest) (CasesAnswer, error)
	Certificate(context.Context, CertificateRequest) (CertificateAnswer, error)
	Holds(context.Context, HoldsRequest) (HoldsAnswer, error)
	Officers(context.Context, OfficersRequest) (OfficersAnswer, error)
	Retention(context.Context, RetentionRequest) (RetentionAnswer, error)
	Verify(context.Context, VerifyRequest) (VerifyAnswer, error)
	Reindex(context.Context, ReindexRequest) (ReindexAnswer, error)
	Status(context.Context, StatusRequest) (StatusAnswer, error)
	SetPlatform(context.Context, PlatformRequest) (PlatformAnswer, error)
	Backup(context.Context, BackupRequest) (BackupAnswer, error)
	BackupProgress(context.Context, struct{}) (BackupProgress, error)
}

// SearchRequest asks for the messages that match Query (docs/search.md).
type SearchRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
	Query  string        `json:"query"`
	Limit  int           `json:"limit,omitempty"`  // hits to return, 1 … index.MaxPage; 0 means 20
	Offset int           `json:"offset,omitempty"` // hits to skip
	Newest bool          `json:"newest,omitempty"` // newest first instead of best first
}

// SearchAnswer says what was found and how complete that is.
type SearchAnswer struct {
	Query      string          `json:"query"`                // as understood, in normal form
	Count      uint64          `json:"count"`                // all that match, not only the hits returned
	AsOf       escrow.TreeSize `json:"as_of"`                // records in the ledger
	Position   escrow.TreeSize `json:"position"`             // records the index reflects
	Complete   bool            `json:"complete"`             // Position reached AsOf
	Partial    uint64          `json:"partial"`              // messages in the index that were not fully understood
	Restricted bool            `json:"restricted,omitempty"` // messages are left out whose erasure is approved
	Millis     int64           `json:"ms"`
	Hits       []Hit           `json:"hits"`
}

// Hit is one message found.
type Hit struct {
	ID       escrow.Seq           `json:"id"`
	Received time.Time            `json:"received"`
	Sent     *time.Time           `json:"sent,omitempty"`
	Channel  escrow.Channel       `json:"channel"`
	From     escrow.Participant   `json:"from"`
	To       []escrow.Participant `json:"to,omitempty"` // the first few
	Title    string               `json:"title,omitempty"`
	Snippet  string               `json:"snippet"`
	Marks    [][2]int             `json:"marks,omitempty"` // byte ranges of the snippet that matched
	Partial  []string             `json:"partial,omitempty"`
}

// ShowRequest asks for one record.
type ShowRequest struct {
	Tenant   escrow.Tenant `json:"tenant,omitempty"`
	ID       escrow.Seq    `json:"id"`
	Original bool          `json:"original,omitempty"` // with the original bytes
}

// ShowAnswer is one record in clear, as far as it is still readable.
type ShowAnswer struct {
	ID       escrow.Seq     `json:"id"`
	Kind     string         `json:"kind"`  // "message" or the kind of event
	State    string         `json:"state"` // "present", "restricted" or "erased"
	Archived time.Time      `json:"archived"`
	Leaf     string         `json:"leaf"` // canonical leaf text
	KeptTo   string         `json:"kept_to,omitempty"`
	ErasedBy *escrow.Seq    `json:"erased_by,omitempty"` // the event that ordered it
	Message  *ShownMessage  `json:"message,omitempty"`
	Event    map[string]any `json:"event,omitempty"`
	Defects  []string       `json:"defects,omitempty"`
	Gone     int            `json:"erased_parts,omitempty"`   // participants and mentions that are gone
	Withheld int            `json:"withheld_parts,omitempty"` // those whose erasure is approved
}

// ShownMessage is a message as it is displayed.
type ShownMessage struct {
	MessageID    string               `json:"message_id,omitempty"`
	Type         string               `json:"type"`
	RefersTo     string               `json:"refers_to,omitempty"`
	Conversation string               `json:"conversation,omitempty"`
	Channel      escrow.Channel       `json:"channel"`
	Publisher    string               `json:"publisher,omitempty"`
	ContentType  string               `json:"content_type"`
	Sent         *time.Time           `json:"sent,omitempty"`
	Received     time.Time            `json:"received"`
	From         escrow.Participant   `json:"from"`
	To           []escrow.Participant `json:"to,omitempty"`
	Title        string               `json:"title,omitempty"`
	Text         string               `json:"text"`
	Attachments  []ShownAttachment    `json:"attachments,omitempty"`
	Tags         []string             `json:"tags,omitempty"`
	Metadata     map[string]string    `json:"metadata,omitempty"`
	Original     []byte               `json:"original,omitempty"`
}

// ShownAttachment describes an attachment.
type ShownAttachment struct {
	Name       string `json:"name"`
	MediaType  string `json:"media_type"`
	Bytes      int    `json:"bytes"`
	Transcript string `json:"transcript,omitempty"`
}

// ProofRequest asks for the inclusion proof of one record.
type ProofRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
	ID     escrow.Seq    `json:"id"`
}

// ProofAnswer holds what an auditor needs to check that a leaf is in the log, without the archive.
type ProofAnswer struct {
	ID    escrow.Seq `json:"id"`
	Leaf  string     `json:"leaf"`  // canonical leaf text; its hash is SHA-256(0x00 ‖ text)
	Proof string     `json:"proof"` // C2SP tlog-proof, the signed checkpoint included
	Key   string     `json:"key"`   // C2SP verifier key of the log; compare it with one obtained elsewhere
}

// SubjectRequest asks about the person behind an identity.
type SubjectRequest struct {
	Tenant   escrow.Tenant   `json:"tenant,omitempty"`
	Identity escrow.Identity `json:"identity"`
	Channel  escrow.Channel  `json:"channel,omitempty"` // scope of a "user:" identity
}

// SubjectAnswer is what the archive holds about a person.
type SubjectAnswer struct {
	Subject    uint32            `json:"subject"` // number of the subject
	Identities []escrow.Identity `json:"identities"`
	Names      []string          `json:"names,omitempty"`
	Messages   uint64            `json:"messages"`
	Authored   uint64            `json:"authored"`
	Channels   map[string]uint64 `json:"channels"`
	First      *time.Time        `json:"first,omitempty"`
	Last       *time.Time        `json:"last,omitempty"`
	Recent     []escrow.Seq      `json:"recent,omitempty"` // the latest records, newest first
	Complete   bool              `json:"complete"`         // the index had caught up
}

// VerifyRequest asks for the verification of the whole archive.
type VerifyRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
	Kept   []string      `json:"kept,omitempty"` // signed checkpoints that were kept elsewhere
}

// VerifyAnswer is the integrity report.
type VerifyAnswer struct {
	OK         bool            `json:"ok"`
	Size       escrow.TreeSize `json:"size"`
	Root       string          `json:"root"`
	Checkpoint string          `json:"checkpoint"`
	Kept       int             `json:"kept,omitempty"` // checkpoints kept elsewhere that the ledger continues
	Messages   uint64          `json:"messages"`
	Present    uint64          `json:"present"`
	Erased     uint64          `json:"erased"`
	Redacted   uint64          `json:"redacted"` // present, with identities erased
	Events     uint64          `json:"events"`
	Incidents  uint64          `json:"incidents"`
	Bytes      int64           `json:"bytes"`
	Millis     int64           `json:"ms"`
	Findings   []Finding       `json:"findings"`
	More       int             `json:"more_findings,omitempty"`
}

// Finding is one thing that is wrong.
type Finding struct {
	Place string `json:"place"`
	Kind  string `json:"kind"`
	Text  string `json:"text"`
}

// ReindexRequest asks for the index to be built anew.
type ReindexRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
}

// ReindexAnswer says what the new index holds.
type ReindexAnswer struct {
	Position escrow.TreeSize `json:"position"`
	Millis   int64           `json:"ms"`
}

// StatusRequest asks how the archive is.
type StatusRequest struct {
	Tenant escrow.Tenant `json:"tenant,omitempty"`
}

// StatusAnswer is how the archive is.
type StatusAnswer struct {
	Version string         `json:"version"`
	Server  bool           `json:"server"` // answered by a running server
	NATS    string         `json:"nats,omitempty"`
	Started *time.Time     `json:"started,omitempty"`
	Tenants []TenantStatus `json:"tenants"`
}

// PlatformRequest adds or removes a platform's credentials.
type PlatformRequest struct {
	Name    string   `json:"name"`
	NKey    string   `json:"nkey,omitempty"`    // public user nkey
	Publish []string `json:"publish,omitempty"` // NATS subjects
	Remove  bool     `json:"remove,omitempty"`
}

// PlatformAnswer lists the platforms after the change.
type PlatformAnswer struct {
	Platforms []natslog.Platform `json:"platforms"`
}
