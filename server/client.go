package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"escrow"
)

// Client asks a running server. It is safe for concurrent use.
type Client struct {
	URL   string // "http://127.0.0.1:41234"
	Token string
	HTTP  *http.Client
}

// maxAnswerBytes bounds what a client reads: an original message in base64 and its frame.
const maxAnswerBytes = escrow.MaxImport/3*4 + 64<<20

// pingPatience is how long a server may take to say that it is there.
const pingPatience = 2 * time.Second

// Ping asks whether a server with this token answers.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	_, err := call[struct{}](ctx, c, "ping", struct{}{})
	return err
}

// Search implements API.
func (c *Client) Search(ctx context.Context, req SearchRequest) (SearchAnswer, error) {
	return call[SearchAnswer](ctx, c, "search", req)
}

// Show implements API.
func (c *Client) Show(ctx context.Context, req ShowRequest) (ShowAnswer, error) {
	return call[ShowAnswer](ctx, c, "show", req)
}

// Proof implements API.
func (c *Client) Proof(ctx context.Context, req ProofRequest) (ProofAnswer, error) {
	return call[ProofAnswer](ctx, c, "proof", req)
}

// Subject implements API.
func (c *Client) Subject(ctx context.Context, req SubjectRequest) (SubjectAnswer, error) {
	return call[SubjectAnswer](ctx, c, "subject", req)
}

// Preview implements API.
func (c *Client) Preview(ctx context.Context, req PreviewRequest) (PreviewAnswer, error) {
	return call[PreviewAnswer](ctx, c, "preview", req)
}

// Draft implements API.
func (c *Client) Draft(ctx context.Context, order ActOrder) (ActDraft, error) {
	return call[ActDraft](ctx, c, "draft", order)
}

// Submit implements API.
func (c *Client) Submit(ctx context.Context, signed SignedAct) (ActAnswer, error) {
	return call[ActAnswer](ctx, c, "submit", signed)
}

// Advance implements API.
func (c *Client) Advance(ctx context.Context, req AdvanceRequest) (AdvanceAnswer, error) {
	return call[AdvanceAnswer](ctx, c, "advance", req)
}

// Cases implements API.
func (c *Client) Cases(ctx context.Context, req CasesRequest) (CasesAnswer, error) {
	return call[CasesAnswer](ctx, c, "cases", req)
}

// Certificate implements API.
func (c *Client) Certificate(ctx context.Context, req CertificateRequest) (CertificateAnswer, error) {
	return call[CertificateAnswer](ctx, c, "certificate", req)
}

// Holds implements API.
func (c *Client) Holds(ctx context.Context, req HoldsRequest) (HoldsAnswer, error) {
	return call[HoldsAnswer](ctx, c, "holds", req)
}

// Officers implements API.
func (c *Client) Officers(ctx context.Context, req OfficersRequest) (OfficersAnswer, error) {
	return call[OfficersAnswer](ctx, c, "officers", req)
}

// Retention implements API.
func (c *Client) Retention(ctx context.Context, req RetentionRequest) (RetentionAnswer, error) {
	return call[RetentionAnswer](ctx, c, "retention", req)
}

// Verify implements API.
func (c *Client) Verify(ctx context.Context, req VerifyRequest) (VerifyAnswer, error) {
	return call[VerifyAnswer](ctx, c, "verify", req)
}

// Reindex implements API.
func (c *Client) Reindex(ctx context.Context, req ReindexRequest) (ReindexAnswer, error) {
	return call[ReindexAnswer](ctx, c, "reindex", req)
}

// Status implements API.
func (c *Client) Status(ctx context.Context, req StatusRequest) (StatusAnswer, error) {
	return call[StatusAnswer](ctx, c, "status", req)
}

// SetPlatform implements API.
func (c *Client) SetPlatform(ctx context.Context, req PlatformRequest) (PlatformAnswer, error) {
	return call[PlatformAnswer](ctx, c, "platform", req)
}

func call[Answer any](ctx context.Context, c *Client, verb string, req any) (answer Answer, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return answer, escrow.Errorf("server.Client", escrow.Internal, "%w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/"+verb, bytes.NewReader(body))
	if err != nil {
		return answer, escrow.Errorf("server.Client", escrow.Internal, "%w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return answer, escrow.Errorf("server.Client", escrow.Unavailable, "the server that owns this data directory does not answer: %w", err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(io.LimitReader(resp.Body, maxAnswerBytes))
	if resp.StatusCode != http.StatusOK {
		return answer, remote(d, resp.Status)
	}
	if err := d.Decode(&answer); err != nil {
		return answer, escrow.Errorf("server.Client", escrow.Corrupt, "read the server's answer: %w", err)
	}
	return answer, nil
}

// remote turns problem details back into the error the server had.
func remote(d *json.Decoder, status string) error {
	var p problemDetails
	if err := d.Decode(&p); err != nil || p.Kind == "" {
		return escrow.Errorf("server.Client", escrow.Unavailable, "something else than an archive answered %s", status)
	}
	if p.Op == "" {
		p.Op = "server"
	}
	return &escrow.Error{Op: p.Op, Kind: escrow.ParseKind(p.Kind), Record: p.Record, Err: errors.New(p.Detail)}
}
