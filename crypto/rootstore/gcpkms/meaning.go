package gcpkms

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/api/googleapi"

	"escrow/crypto/rootstore/provider"
)

// meaning gives an error its class, and keeps Google's words. They name resources and permissions, never secrets.
func meaning(what string, err error) error {
	if err == nil || errors.Is(err, provider.ErrBusy) || errors.Is(err, provider.ErrGone) || errors.Is(err, provider.ErrDisabled) {
		return err
	}
	answer, ok := errors.AsType[*googleapi.Error](err)
	if !ok { // no connection, no token, no time, or a checksum that does not fit
		return fmt.Errorf("%w: %s: %w", provider.ErrBusy, what, err)
	}
	text := coded{fmt.Errorf("%s: google answers %d: %s", what, answer.Code, answer.Message), answer.Code}
	if class := provider.Status(answer.Code); class != nil {
		return fmt.Errorf("%w: %w", class, text)
	}
	switch {
	case answer.Code == http.StatusNotFound, status(answer) == "FAILED_PRECONDITION": // the version is in another state
		return fmt.Errorf("%w: %w", provider.ErrGone, text)
	}
	switch answer.Code {
	case http.StatusForbidden:
		return fmt.Errorf("%w; the service account lacks this permission, see docs/roots.md", text)
	case http.StatusUnauthorized:
		return fmt.Errorf("%w; the credentials are not valid", text)
	}
	return text
}

// status returns Google's canonical name of an error, which the library leaves in the body.
func status(answer *googleapi.Error) string {
	var body struct {
		Error struct{ Status string }
	}
	if err := json.Unmarshal([]byte(answer.Body), &body); err != nil {
		return "" // a proxy answered
	}
	return body.Error.Status
}

// coded is an error that knows Google's status for it.
type coded struct {
	error
	status int
}

// Unwrap returns the error without its status.
func (c coded) Unwrap() error { return c.error }

// is reports whether Google answered with a status.
func is(err error, status int) bool {
	c, ok := errors.AsType[coded](err)
	return ok && c.status == status
}
