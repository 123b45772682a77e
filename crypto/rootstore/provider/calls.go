package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"escrow"
	"escrow/internal/vfs"
)

// Calls says how patiently a provider is called.
type Calls struct {
	TimeoutSeconds int `json:"timeout_seconds,omitempty"` // for each attempt; 0: 10 seconds

	Pauses []time.Duration `json:"-"` // between attempts; nil: two pauses within two seconds
}

// Check returns an error of kind Invalid if the settings cannot be used.
func (c Calls) Check(op string) error {
	if c.TimeoutSeconds < 0 || c.Timeout() > maxTimeout {
		return escrow.Errorf(op, escrow.Invalid, "timeout_seconds is %d, must be 1 to %d", c.TimeoutSeconds, int(maxTimeout.Seconds()))
	}
	return nil
}

// Timeout returns the limit of one attempt.
func (c Calls) Timeout() time.Duration {
	if c.TimeoutSeconds == 0 {
		return defaultTimeout
	}
	return time.Duration(c.TimeoutSeconds) * time.Second
}

// Once makes one attempt at a call that must not be repeated blindly.
func (c Calls) Once(ctx context.Context, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	within, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	return call(within)
}

// Try makes a call that may be repeated, and repeats it while its error is ErrBusy and attempts are left.
func (c Calls) Try(ctx context.Context, call func(context.Context) error) error {
	between := c.Pauses
	if between == nil {
		between = pauses
	}
	for _, pause := range between {
		err := c.Once(ctx, call)
		if !errors.Is(err, ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
	return c.Once(ctx, call)
}

// Status returns what an HTTP status means beside success: ErrBusy for throttling and failures of the provider, else nil.
func Status(code int) error {
	if code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500 && code != http.StatusNotImplemented {
		return ErrBusy
	}
	return nil
}

// CheckURL returns an error of kind Invalid unless s is an https address, or an http one on the loopback interface.
func CheckURL(op, s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return escrow.Errorf(op, escrow.Invalid, "the address %q must be a URL, as https://vault.example.org:8200", s)
	case u.User != nil:
		return escrow.Errorf(op, escrow.Invalid, "the address must not contain a user or password; use a token file")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return escrow.Errorf(op, escrow.Invalid, "the address %q must begin with https://; http is for the loopback interface only", s)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Within returns a transport that makes every request within ctx, for libraries that take none.
func Within(ctx context.Context, base http.RoundTripper) http.RoundTripper { return within{ctx, base} }

type within struct {
	ctx  context.Context
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	return w.base.RoundTrip(r.WithContext(w.ctx))
}

// ReadFile returns the content of a small file, as a token or a certificate. The error, of kind Invalid, names the setting it came from.
func ReadFile(fsys vfs.FS, op, setting, name string) (content []byte, err error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "%s: %w", setting, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err = io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	switch {
	case err != nil:
		return nil, escrow.Errorf(op, escrow.Invalid, "%s: %w", setting, err)
	case len(content) > maxTokenBytes:
		return nil, escrow.Errorf(op, escrow.Invalid, "%s: %s is larger than %d bytes", setting, name, maxTokenBytes)
	case strings.TrimSpace(string(content)) == "":
		return nil, escrow.Errorf(op, escrow.Invalid, "%s: %s is empty", setting, name)
	}
	return content, nil
}
