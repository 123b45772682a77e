package awskms

import (
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"escrow/crypto/rootstore/provider"
)

// classes are the error codes of KMS that mean something to a root store.
var classes = map[string]error{
	"NotFoundException":          provider.ErrGone,
	"KMSInvalidStateException":   provider.ErrGone, // it waits for its end
	"DisabledException":          provider.ErrDisabled,
	"IncorrectKeyException":      provider.ErrMisfit,
	"InvalidCiphertextException": provider.ErrMisfit,
	"ThrottlingException":        provider.ErrBusy,
	"RequestLimitExceeded":       provider.ErrBusy,
	"KMSInternalException":       provider.ErrBusy,
	"DependencyTimeoutException": provider.ErrBusy,
	"KeyUnavailableException":    provider.ErrBusy,
}

// hints say how to mend what only an administrator can.
var hints = map[string]string{
	"AccessDeniedException":         "; the role of the service lacks this permission, see docs/roots.md",
	"UnrecognizedClientException":   "; the credentials are not valid",
	"ExpiredTokenException":         "; the credentials have expired",
	"InvalidSignatureException":     "; the credentials or the clock of this machine are wrong",
	"LimitExceededException":        "; a quota of the account is used up, ask AWS to raise it",
	"UnsupportedOperationException": "; is it a symmetric key for encryption?",
	"InvalidKeyUsageException":      "; is it a symmetric key for encryption?",
}

// meaning gives an error of the SDK its class, and keeps KMS's words. They name keys and requests, never secrets.
func meaning(operation string, err error) error {
	if err == nil {
		return nil
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok { // no connection, no credentials, no time
		return fmt.Errorf("%w: %s: %w", provider.ErrBusy, operation, err)
	}
	class := classes[api.ErrorCode()]
	if class == nil {
		class = statusClass(err)
	}
	text := fmt.Errorf("%s: %s: %s%s", operation, api.ErrorCode(), api.ErrorMessage(), hints[api.ErrorCode()])
	if class == nil {
		return coded{text, api.ErrorCode()}
	}
	return coded{fmt.Errorf("%w: %w", class, text), api.ErrorCode()}
}

func statusClass(err error) error {
	answer, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err)
	if !ok {
		return nil
	}
	return provider.Status(answer.HTTPStatusCode())
}

// coded is an error that knows KMS's code for it.
type coded struct {
	error
	code string
}

// Unwrap returns the error without its code.
func (c coded) Unwrap() error { return c.error }

// is reports whether KMS answered with a code.
func is(err error, code string) bool {
	c, ok := errors.AsType[coded](err)
	return ok && c.code == code
}
