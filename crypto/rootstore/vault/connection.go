package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore/provider"
	"escrow/internal/vfs"
)

// Server says how Vault is reached.
type Server struct {
	Address   string `json:"address"`              // https://vault.example.org:8200; http on the loopback interface only
	Mount     string `json:"mount,omitempty"`      // of the transit engine; "transit" if empty
	Namespace string `json:"namespace,omitempty"`  // else VAULT_NAMESPACE
	TokenFile string `json:"token_file,omitempty"` // read at every call, so that an agent may renew it; else VAULT_TOKEN
	CAFile    string `json:"ca_file,omitempty"`    // PEM; else the authorities of the system
	provider.Calls

	FS vfs.FS `json:"-"` // for the two files; nil: the real one
}

// The grammars of Vault's names of keys and of paths of mounts.
var (
	keyName   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	mountPath = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)
)

// connection calls one transit engine. It is safe for concurrent use.
type connection struct {
	server    Server
	mount     string
	calls     provider.Calls
	transport *http.Transport
}

func (s Server) connect() (*connection, error) {
	const op = "vault.Open"
	if s.FS == nil {
		s.FS = vfs.OS()
	}
	if s.Mount == "" {
		s.Mount = "transit"
	}
	if err := provider.CheckURL(op, s.Address); err != nil {
		return nil, err
	}
	if err := s.Calls.Check(op); err != nil {
		return nil, err
	}
	if !mountPath.MatchString(s.Mount) {
		return nil, escrow.Errorf(op, escrow.Invalid, "mount is %q, must be a path as transit or kms/transit", s.Mount)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := provider.ReadFile(s.FS, op, "ca_file", s.CAFile)
		if err != nil {
			return nil, err
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, escrow.Errorf(op, escrow.Invalid, "ca_file: %s holds no certificate in PEM", s.CAFile)
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, ForceAttemptHTTP2: true}
	return &connection{server: s, mount: s.Mount, calls: s.Calls, transport: transport}, nil
}

// client returns a client all of whose requests end with ctx. The library repeats nothing by itself.
func (c *connection) client(ctx context.Context) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{
		Address: c.server.Address,
		HttpClient: &http.Client{
			Transport:     provider.Within(ctx, c.transport),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("the settings of vault in the environment: %w", err)
	}
	if c.server.Namespace != "" {
		client.SetNamespace(c.server.Namespace)
	}
	if c.server.TokenFile != "" {
		token, err := provider.ReadFile(c.server.FS, "vault.Open", "token_file", c.server.TokenFile)
		if err != nil {
			return nil, err
		}
		client.SetToken(strings.TrimSpace(string(token)))
	}
	if client.Token() == "" {
		return nil, escrow.Errorf("vault.Open", escrow.Invalid, "there is no token for vault; set token_file in the configuration, or VAULT_TOKEN in the environment of the service")
	}
	return client, nil
}

func (c *connection) aead(ctx context.Context, name string) (tink.AEAD, error) {
	client, err := c.client(ctx)
	if err != nil {
		return nil, err
	}
	return hcvault.NewAEAD("/"+c.mount+"/keys/"+name, client.Logical())
}

// try makes a request that may be repeated.
func (c *connection) try(ctx context.Context, what string, request func(context.Context, *api.Logical) error) error {
	return c.calls.Try(ctx, func(ctx context.Context) error {
		client, err := c.client(ctx)
		if err == nil {
			err = request(ctx, client.Logical())
		}
		return meaning(what, err)
	})
}

// read decodes the data at a path below the mount. It returns false if there is nothing.
func (c *connection) read(ctx context.Context, path string, query map[string][]string, data any) (found bool, err error) {
	err = c.try(ctx, "reading "+path, func(ctx context.Context, vault *api.Logical) error {
		response, err := vault.ReadRawWithDataWithContext(ctx, c.mount+"/"+path, query)
		if response != nil {
			defer response.Body.Close()
		}
		answer, isAnswer := errors.AsType[*api.ResponseError](err)
		if isAnswer && answer.StatusCode == http.StatusNotFound && len(answer.Errors) == 0 { // with a text the mount is missing
			found = false
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		return response.DecodeJSON(&struct {
			Data any `json:"data"`
		}{data})
	})
	return found, err
}

func (c *connection) write(ctx context.Context, path string, body map[string]any) error {
	return c.try(ctx, "writing "+path, func(ctx context.Context, vault *api.Logical) error {
		_, err := vault.WriteWithContext(ctx, c.mount+"/"+path, body)
		return err
	})
}

func (c *connection) delete(ctx context.Context, path string) error {
	return c.try(ctx, "deleting "+path, func(ctx context.Context, vault *api.Logical) error {
		_, err := vault.DeleteWithContext(ctx, c.mount+"/"+path)
		return err
	})
}

// meaning gives the error of a request its class and says how to mend it. The text of Vault's answers is kept; it names paths, never secrets.
func meaning(what string, err error) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		if escrow.KindOf(err) == escrow.Invalid { // a file of the configuration
			return err
		}
		return fmt.Errorf("%w: %s: %w", provider.ErrBusy, what, err)
	}
	text := fmt.Errorf("%s: vault answers %d: %s", what, answer.StatusCode, strings.Join(answer.Errors, "; "))
	switch class := provider.Status(answer.StatusCode); {
	case answer.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %w (vault may be sealed)", class, text)
	case class != nil:
		return fmt.Errorf("%w: %w", class, text)
	case answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w; the token has expired or its policy lacks this path, see docs/roots.md", text)
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w; is there a transit engine at this mount?", text)
	case answer.StatusCode == http.StatusBadRequest:
		return refusal{text}
	}
	return text
}

// refusal is an answer 400: Vault understood, and will not.
type refusal struct{ error }

// Unwrap returns the answer.
func (r refusal) Unwrap() error { return r.error }

func refused(err error) bool {
	_, ok := errors.AsType[refusal](err)
	return ok
}
