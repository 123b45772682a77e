package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/server"

	"github.com/google/go-cmp/cmp"
)

// script is an API that gives prepared answers and remembers what it was asked.
type script struct {
	asked any
	err   error
}

var (
	seq  = escrow.Seq(7)
	noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

	searched = server.SearchAnswer{Query: "a AND b", Count: 1, AsOf: 9, Position: 9, Complete: true, Hits: []server.Hit{{ID: 7, Received: noon, Channel: "chat",
		From: escrow.Participant{ID: "email:ana@example.org", Name: "Ana"}, Snippet: "<b>", Marks: [][2]int{{0, 3}}}}}
	shown = server.ShowAnswer{ID: 7, Kind: "message", State: "present", Archived: noon, Leaf: "leaf\n", ErasedBy: &seq,
		Message: &server.ShownMessage{Text: "x", Received: noon, Original: []byte{0, 0xff}}, Event: map[string]any{"a": "b"}}
	proven      = server.ProofAnswer{ID: 7, Leaf: "l", Proof: "p", Key: "k"}
	about       = server.SubjectAnswer{Subject: 3, Messages: 4, Channels: map[string]uint64{"chat": 4}, First: &noon, Complete: true, Recent: []escrow.Seq{7}}
	counts      = events.Counts{Dies: 4, DiesOfOthers: 1, LosesIdentity: 2, Stays: 3, Held: 5, Why: map[string]uint64{"any-of": 3}}
	target      = server.Target{Person: []escrow.Identity{"a:b", "c:d"}, Channel: "x", Conversation: "y", Message: &seq, Everything: true}
	hold        = uint32(2)
	order       = server.ActOrder{Tenant: "main", Act: server.ActRequest, Officer: "dpo", Name: "n", Key: "k", Target: &target, Basis: "b", Case: "c", Request: &seq, Matter: "m", Query: "q", Messages: []escrow.Seq{1, 2}, Hold: &hold}
	previewed   = server.PreviewAnswer{Scope: "person", Preview: counts}
	drafted     = server.ActDraft{Order: order, Fact: json.RawMessage(`{"a":1}`), Text: "t\n", Scope: "person", Preview: &counts, Asked: &counts, Until: &noon, Messages: 3}
	acted       = server.ActAnswer{Act: server.ActApprove, Event: 7, Until: &noon, Hold: &hold, Messages: 3, Preview: &counts}
	taken       = []server.CaseStep{{Step: "ordered", Event: 7, At: noon, Detail: "d"}}
	advanced    = server.AdvanceAnswer{Steps: taken, Pending: []string{"p"}, Problems: []string{"q"}, Blocked: []string{"b"}}
	cases       = server.CasesAnswer{Cases: []server.Case{{Request: 7, State: "cooling-off", Scope: "person", Basis: "b", Case: "c", By: "dpo", Approver: "legal", Until: &noon, Preview: counts, Steps: taken, Pending: []string{"p"}}}}
	certified   = server.CertificateAnswer{Final: true, Certificate: "{\"a\": \"<&>\"}\n", Key: "k"}
	holds       = server.HoldsAnswer{Holds: []server.Hold{{Hold: 2, Matter: "m", Messages: 3, By: "dpo", Placed: noon, Released: &noon}}}
	known       = server.OfficersAnswer{Officers: []server.Officer{{Officer: "dpo", Key: "k", Sponsor: "legal", Removed: true}}}
	kept        = server.RetentionAnswer{Classes: []server.RetentionClass{{Name: "default", Number: 1, Days: 3650, Expired: "2026-01-01"}}}
	verified    = server.VerifyAnswer{OK: true, Size: 9, Root: "00", Findings: []server.Finding{{"a", "b", "c"}}}
	reindexed   = server.ReindexAnswer{Position: 9, Millis: 1}
	healthy     = server.StatusAnswer{Version: "v", Server: true, Started: &noon, Tenants: []server.TenantStatus{{Tenant: "main", Records: 9}}}
	credentials = server.PlatformAnswer{Platforms: []natslog.Platform{{Name: "crm", NKey: "U", Publish: []string{"escrow.in.main.*"}}}}
)

func (s *script) Search(_ context.Context, r server.SearchRequest) (server.SearchAnswer, error) {
	s.asked = r
	return searched, s.err
}
func (s *script) Show(_ context.Context, r server.ShowRequest) (server.ShowAnswer, error) {
	s.asked = r
	return shown, s.err
}
func (s *script) Proof(_ context.Context, r server.ProofRequest) (server.ProofAnswer, error) {
	s.asked = r
	return proven, s.err
}
func (s *script) Subject(_ context.Context, r server.SubjectRequest) (server.SubjectAnswer, error) {
	s.asked = r
	return about, s.err
}
func (s *script) Preview(_ context.Context, r server.PreviewRequest) (server.PreviewAnswer, error) {
	s.asked = r
	return previewed, s.err
}
func (s *script) Draft(_ context.Context, r server.ActOrder) (server.ActDraft, error) {
	s.asked = r
	return drafted, s.err
}
func (s *script) Submit(_ context.Context, r server.SignedAct) (server.ActAnswer, error) {
	s.asked = r
	return acted, s.err
}
func (s *script) Advance(_ context.Context, r server.AdvanceRequest) (server.AdvanceAnswer, error) {
	s.asked = r
	return advanced, s.err
}
func (s *script) Cases(_ context.Context, r server.CasesRequest) (server.CasesAnswer, error) {
	s.asked = r
	return cases, s.err
}
func (s *script) Certificate(_ context.Context, r server.CertificateRequest) (server.CertificateAnswer, error) {
	s.asked = r
	return certified, s.err
}
func (s *script) Holds(_ context.Context, r server.HoldsRequest) (server.HoldsAnswer, error) {
	s.asked = r
	return holds, s.err
}
func (s *script) Officers(_ context.Context, r server.OfficersRequest) (server.OfficersAnswer, error) {
	s.asked = r
	return known, s.err
}
func (s *script) Retention(_ context.Context, r server.RetentionRequest) (server.RetentionAnswer, error) {
	s.asked = r
	return kept, s.err
}
func (s *script) Verify(_ context.Context, r server.VerifyRequest) (server.VerifyAnswer, error) {
	s.asked = r
	return verified, s.err
}
func (s *script) Reindex(_ context.Context, r server.ReindexRequest) (server.ReindexAnswer, error) {
	s.asked = r
	return reindexed, s.err
}
func (s *script) Status(_ context.Context, r server.StatusRequest) (server.StatusAnswer, error) {
	s.asked = r
	return healthy, s.err
}
func (s *script) SetPlatform(_ context.Context, r server.PlatformRequest) (server.PlatformAnswer, error) {
	s.asked = r
	return credentials, s.err
}
func (s *script) Backup(_ context.Context, r server.BackupRequest) (server.BackupAnswer, error) {
	s.asked = r
	return server.BackupAnswer{Number: 3, Digest: "ab", Bytes: 9, Copied: 4, Repaired: []string{"x"}, Tenants: []server.BackedTenant{{Tenant: "main", Records: 7}}}, s.err
}
func (s *script) BackupProgress(_ context.Context, r struct{}) (server.BackupProgress, error) {
	s.asked = r
	return server.BackupProgress{Done: 3, Total: 9}, s.err
}

const token = "0123456789abcdef"

func serve(t *testing.T, api server.API) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(server.Handler(api, token))
	t.Cleanup(s.Close)
	return s
}

// verbs calls every verb of an API with a full request and returns request, answer and error.
func verbs(ctx context.Context, api server.API) map[string]func() (req, answer any, err error) {
	return map[string]func() (any, any, error){
		"search": func() (any, any, error) {
			r := server.SearchRequest{Tenant: "main", Query: "a \"b\" <c>", Limit: 3, Offset: 4, Newest: true}
			a, err := api.Search(ctx, r)
			return r, a, err
		},
		"show": func() (any, any, error) {
			r := server.ShowRequest{Tenant: "main", ID: 1 << 60, Original: true}
			a, err := api.Show(ctx, r)
			return r, a, err
		},
		"proof": func() (any, any, error) {
			r := server.ProofRequest{Tenant: "main", ID: 7}
			a, err := api.Proof(ctx, r)
			return r, a, err
		},
		"subject": func() (any, any, error) {
			r := server.SubjectRequest{Tenant: "main", Identity: "user:ü", Channel: "chat"}
			a, err := api.Subject(ctx, r)
			return r, a, err
		},
		"preview": func() (any, any, error) {
			r := server.PreviewRequest{Tenant: "main", Target: target}
			a, err := api.Preview(ctx, r)
			return r, a, err
		},
		"draft": func() (any, any, error) {
			r := order
			a, err := api.Draft(ctx, r)
			return r, a, err
		},
		"submit": func() (any, any, error) {
			r := server.SignedAct{Order: order, Fact: json.RawMessage(`{"a":1}`), Statement: "s\n— é"}
			a, err := api.Submit(ctx, r)
			return r, a, err
		},
		"advance": func() (any, any, error) {
			r := server.AdvanceRequest{Tenant: "main", RootsNow: true, ClockIsRight: true}
			a, err := api.Advance(ctx, r)
			return r, a, err
		},
		"cases": func() (any, any, error) {
			r := server.CasesRequest{Tenant: "main", Request: &seq}
			a, err := api.Cases(ctx, r)
			return r, a, err
		},
		"certificate": func() (any, any, error) {
			r := server.CertificateRequest{Tenant: "main", Request: 7}
			a, err := api.Certificate(ctx, r)
			return r, a, err
		},
		"holds": func() (any, any, error) {
			r := server.HoldsRequest{Tenant: "main"}
			a, err := api.Holds(ctx, r)
			return r, a, err
		},
		"officers": func() (any, any, error) {
			r := server.OfficersRequest{Tenant: "main"}
			a, err := api.Officers(ctx, r)
			return r, a, err
		},
		"retention": func() (any, any, error) {
			r := server.RetentionRequest{Tenant: "main"}
			a, err := api.Retention(ctx, r)
			return r, a, err
		},
		"verify": func() (any, any, error) {
			r := server.VerifyRequest{Tenant: "main"}
			a, err := api.Verify(ctx, r)
			return r, a, err
		},
		"reindex": func() (any, any, error) {
			r := server.ReindexRequest{Tenant: "main"}
			a, err := api.Reindex(ctx, r)
			return r, a, err
		},
		"status": func() (any, any, error) {
			r := server.StatusRequest{Tenant: "main"}
			a, err := api.Status(ctx, r)
			return r, a, err
		},
		"backup": func() (any, any, error) {
			r := server.BackupRequest{To: "a", KeysTo: "b", Check: true}
			a, err := api.Backup(ctx, r)
			return r, a, err
		},
		"backup-progress": func() (any, any, error) {
			a, err := api.BackupProgress(ctx, struct{}{})
			return struct{}{}, a, err
		},
		"platform": func() (any, any, error) {
			r := server.PlatformRequest{Name: "crm", NKey: "U", Publish: []string{"escrow.in.main.*"}, Remove: true}
			a, err := api.SetPlatform(ctx, r)
			return r, a, err
		},
	}
}

// Every verb asks the server what it was asked and answers what the server answers; every kind of error arrives as it was sent.
func TestClientIsTheSameAPI(t *testing.T) {
	s := &script{}
	h := serve(t, s)
	remote := verbs(t.Context(), &server.Client{URL: h.URL, Token: token, HTTP: h.Client()})
	if want := reflect.TypeFor[server.API]().NumMethod(); len(remote) != want {
		t.Errorf("%d verbs are tested, there are %d", len(remote), want)
	}
	for verb, direct := range verbs(t.Context(), s) {
		t.Run(verb, func(t *testing.T) {
			s.err = nil
			_, want, _ := direct()
			req, got, err := remote[verb]()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(req, s.asked); d != "" {
				t.Errorf("request (-sent +received):\n%s", d)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("answer (-sent +received):\n%s", d)
			}
			for k := escrow.Internal; k <= escrow.Unavailable; k++ {
				s.err = &escrow.Error{Op: "archive.Read", Kind: k, Record: &seq, Err: errors.New("what is wrong: <and> how to mend it")}
				_, _, err := remote[verb]()
				if err == nil || escrow.KindOf(err) != k || err.Error() != s.err.Error() {
					t.Errorf("%v: %v", k, err)
				}
			}
			s.err = io.ErrUnexpectedEOF
			if _, _, err := remote[verb](); err == nil || escrow.KindOf(err) != escrow.Internal || !strings.Contains(err.Error(), "unexpected EOF") {
				t.Errorf("a foreign error: %v", err)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	s := &script{}
	h := serve(t, s)
	for _, tt := range []struct {
		name, method, path, auth, body string
		status                         int
		kind                           string
	}{
		{"no token", "POST", "/v1/status", "", "{}", 403, "denied"},
		{"wrong token", "POST", "/v1/status", "Bearer 0123456789abcdeF", "{}", 403, "denied"},
		{"longer token", "POST", "/v1/status", "Bearer " + token + "0", "{}", 403, "denied"},
		{"token without bearer", "POST", "/v1/status", token, "{}", 403, "denied"},
		{"unknown route without token", "POST", "/v1/nothing", "", "{}", 403, "denied"},
		{"unknown route", "POST", "/v1/nothing", "Bearer " + token, "{}", 404, "not found"},
		{"root", "POST", "/", "Bearer " + token, "{}", 404, "not found"},
		{"other method", "GET", "/v1/status", "Bearer " + token, "", 404, "not found"},
		{"bad JSON", "POST", "/v1/show", "Bearer " + token, "{", 400, "invalid"},
		{"nothing", "POST", "/v1/show", "Bearer " + token, "", 400, "invalid"},
		{"unknown field", "POST", "/v1/draft", "Bearer " + token, `{"persons":["a:b"]}`, 400, "invalid"},
		{"wrong type", "POST", "/v1/show", "Bearer " + token, `{"id":"7"}`, 400, "invalid"},
		{"negative id", "POST", "/v1/show", "Bearer " + token, `{"id":-1}`, 400, "invalid"},
		{"something after it", "POST", "/v1/show", "Bearer " + token, `{"id":1}{"id":2}`, 400, "invalid"},
		{"too large", "POST", "/v1/search", "Bearer " + token, `{"query":"` + strings.Repeat("x", 1<<20) + `"}`, 400, "invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.asked = nil
			r, err := http.NewRequestWithContext(t.Context(), tt.method, h.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.auth != "" {
				r.Header.Set("Authorization", tt.auth)
			}
			resp, err := h.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var p struct {
				Title, Detail, Kind string
				Status              int
			}
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || p.Status != tt.status || p.Kind != tt.kind || p.Detail == "" || p.Title == "" ||
				resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s: %+v", resp.StatusCode, resp.Header.Get("Content-Type"), p)
			}
			if s.asked != nil {
				t.Errorf("the archive was asked %+v", s.asked)
			}
		})
	}
}

// Who answers instead of a server is not taken for one.
func TestClientAndStrangers(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		kind   escrow.Kind
	}{
		"error page":   {http.NotFound, escrow.Unavailable},
		"web page":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, escrow.Corrupt},
		"wrong secret": {server.Handler(&script{}, "other").ServeHTTP, escrow.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			h := httptest.NewServer(tt.answer)
			defer h.Close()
			_, err := (&server.Client{URL: h.URL, Token: token, HTTP: h.Client()}).Status(t.Context(), server.StatusRequest{})
			if err == nil || escrow.KindOf(err) != tt.kind {
				t.Errorf("%v, want kind %v", err, tt.kind)
			}
		})
	}
	_, err := (&server.Client{URL: "http://127.0.0.1:1", Token: token, HTTP: &http.Client{}}).Status(t.Context(), server.StatusRequest{})
	if err == nil || escrow.KindOf(err) != escrow.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
}
