package events

import (
	"strings"

	"escrow"
)

// inPrefix is where platforms publish, logPrefix where sealed log entries are kept; the underscore marks subjects no platform may use.
const (
	inPrefix  = "escrow.in."
	logPrefix = "_escrow.log."
)

// InAll is the NATS subject pattern that matches everything platforms publish, right or wrong.
const InAll = inPrefix + ">"

// InSubject returns the NATS subject a platform publishes to: escrow.in.<tenant>.<channel>.
func InSubject(t escrow.Tenant, c escrow.Channel) string {
	return inPrefix + string(t) + "." + string(c)
}

// ParseInSubject is the inverse of InSubject. Errors are of kind Invalid and name the right form.
func ParseInSubject(natsSubject string) (escrow.Tenant, escrow.Channel, error) {
	rest, ok := strings.CutPrefix(natsSubject, inPrefix)
	tenant, channel, two := strings.Cut(rest, ".")
	if !ok || !two || strings.Contains(channel, ".") {
		return "", "", escrow.Errorf("events.ParseInSubject", escrow.Invalid, "publish to escrow.in.<tenant>.<channel>, not to %q", natsSubject)
	}
	if err := escrow.Tenant(tenant).Check(); err != nil {
		return "", "", err
	}
	if err := escrow.Channel(channel).Check(); err != nil {
		return "", "", err
	}
	return escrow.Tenant(tenant), escrow.Channel(channel), nil
}

// LogSubject returns the NATS subject under which a tenant's sealed log entries are stored.
func LogSubject(t escrow.Tenant) string { return logPrefix + string(t) }
