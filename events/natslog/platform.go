package natslog

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"escrow"
	"escrow/events"
)

// Platform is one publisher known to the embedded server. It gets an account of its own, so it sees neither the archive nor other platforms.
type Platform struct {
	Name    string   `json:"name"`    // grammar of a tenant name; the intake knows the publisher by it
	NKey    string   `json:"nkey"`    // public user key, "U…"
	Publish []string `json:"publish"` // "escrow.in.<tenant>.<channel>", "escrow.in.<tenant>.*" or "escrow.in.*.*"
}

const (
	archiveAccount = "ESCROW"
	systemAccount  = "SYS"
	// platformPrefix keeps the platforms' accounts apart from the archive's.
	platformPrefix = "PLATFORM_"
	// refusedAll is where the server diverts what a platform publishes below escrow.in without being allowed to, so that it can be told so. Without
	// this it would hear "no responders", or, publishing without a reply subject, nothing at all.
	refusedAll    = refusedPrefix + ">"
	refusedPrefix = "_escrow.refused."
)

// check returns an error of kind Invalid that says what is wrong with the platform.
func (p Platform) check() error {
	const op = "natslog.Platform"
	if err := escrow.Tenant(p.Name).Check(); err != nil {
		return escrow.Errorf(op, escrow.Invalid, "the name of a platform has the form of a tenant's: %w", err)
	}
	if !nkeys.IsValidPublicUserKey(p.NKey) {
		return escrow.Errorf(op, escrow.Invalid, "platform %s: its nkey must be a public user key, which begins with U", p.Name)
	}
	for _, subject := range p.Publish {
		if err := checkGrant(subject); err != nil {
			return escrow.Errorf(op, escrow.Invalid, "platform %s: %w", p.Name, err)
		}
	}
	return nil
}

func checkGrant(subject string) error {
	tokens := strings.Split(subject, ".")
	if len(tokens) == 4 && tokens[3] == "*" {
		tokens[3] = "any"
		if tokens[2] == "*" {
			tokens[2] = "any"
		}
	}
	if _, _, err := events.ParseInSubject(strings.Join(tokens, ".")); err != nil {
		return fmt.Errorf("%q must be escrow.in.<tenant>.<channel>, escrow.in.<tenant>.* or escrow.in.*.*", subject)
	}
	return nil
}

// grants returns the subjects without those a wider one covers: a message matching two service imports would arrive twice.
func (p Platform) grants() []string {
	var out []string
	for i, subject := range p.Publish {
		if !covered(subject, p.Publish[:i], false) && !covered(subject, p.Publish[i+1:], true) {
			out = append(out, subject)
		}
	}
	return out
}

// covered reports whether one of the others matches all that subject matches; strictly: more than that.
func covered(subject string, others []string, strictly bool) bool {
	for _, other := range others {
		if server.SubjectMatchesFilter(subject, other) && !(strictly && subject == other) {
			return true
		}
	}
	return false
}

// accountsConfig returns the accounts section of the server's configuration. Every name and key in it was checked, so nothing needs quoting.
func accountsConfig(platforms []Platform, archiveKey string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "system_account: %s\naccounts {\n  %s: {}\n", systemAccount, systemAccount)
	fmt.Fprintf(&b, "  %s: {\n    jetstream: enabled\n", archiveAccount)
	fmt.Fprintf(&b, "    users: [{ nkey: %s, allowed_connection_types: [IN_PROCESS] }]\n", archiveKey)
	fmt.Fprintf(&b, "    exports: [{ service: %q }, { service: %q }]\n  }\n", events.InAll, refusedAll)
	for _, p := range platforms {
		writePlatform(&b, p)
	}
	b.WriteString("}\n")
	return b.String()
}

func writePlatform(b *strings.Builder, p Platform) {
	fmt.Fprintf(b, "  %s%s: {\n", platformPrefix, p.Name)
	fmt.Fprintf(b, "    limits: { max_connections: %d, max_subscriptions: %d }\n", maxPlatformConns, maxPlatformSubs)
	fmt.Fprintf(b, "    users: [{ nkey: %s, permissions: { publish: [%q, %q], subscribe: [%q] } }]\n", p.NKey, events.InAll, refusedAll, "_INBOX.>")
	b.WriteString("    imports: [\n")
	for _, subject := range append(p.grants(), refusedAll) {
		fmt.Fprintf(b, "      { service: { account: %s, subject: %q }, share: true }\n", archiveAccount, subject)
	}
	b.WriteString("    ]\n  }\n")
}

// addMappings diverts everything a platform may not publish to refusedAll. The server takes the first mapping that matches, so the grants, which
// map to themselves, come first.
func addMappings(opts *server.Options, platforms []Platform) error {
	accounts := make(map[string]*server.Account, len(opts.Accounts))
	for _, a := range opts.Accounts {
		accounts[a.Name] = a
	}
	for _, p := range platforms {
		a := accounts[platformPrefix+p.Name]
		if a == nil {
			return fmt.Errorf("the account of platform %s is missing", p.Name)
		}
		for _, subject := range p.grants() {
			if err := a.AddMapping(subject, identity(subject)); err != nil {
				return err
			}
		}
		if err := a.AddMapping(events.InAll, refusedAll); err != nil {
			return err
		}
	}
	return nil
}

// identity spells the wildcards of a subject as references to themselves.
func identity(subject string) string {
	tokens, n := strings.Split(subject, "."), 0
	for i := range tokens {
		if tokens[i] == "*" {
			n++
			tokens[i] = fmt.Sprintf("{{wildcard(%d)}}", n)
		}
	}
	return strings.Join(tokens, ".")
}

func checkPlatforms(platforms []Platform) error {
	const op = "natslog.Platform"
	if len(platforms) > maxPlatforms {
		return escrow.Errorf(op, escrow.Invalid, "%d platforms are more than the %d one server takes", len(platforms), maxPlatforms)
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for _, p := range platforms {
		if err := p.check(); err != nil {
			return err
		}
		if names[p.Name] || keys[p.NKey] {
			return escrow.Errorf(op, escrow.Invalid, "platform %s: its name or its key is there twice", p.Name)
		}
		names[p.Name], keys[p.NKey] = true, true
	}
	return nil
}
