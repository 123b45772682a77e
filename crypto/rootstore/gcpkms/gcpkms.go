package gcpkms

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/oauth2"
	"google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/option"
	transport "google.golang.org/api/transport/http"

	"escrow"
	"escrow/crypto/rootstore/provider"
)

const kind = "gcpkms"

// Account says how Google is reached and with which credentials.
type Account struct {
	CredentialsFile string `json:"credentials_file,omitempty"` // key of a service account; else the application default credentials
	Endpoint        string `json:"endpoint,omitempty"`         // https, or http on the loopback interface; else Google's
	provider.Calls
}

// Config says where roots are, what they are called and how long Google waits.
type Config struct {
	Name    string `json:"name"`     // begins the names of all keys, as "escrow-mail-acme", at most 41 characters; another archive needs another
	KeyRing string `json:"key_ring"` // projects/…/locations/…/keyRings/…; it must exist
	Account

	// DestroyHours is the time between Destroy and the end of the key material for roots made from now on, 24 to 2880; 0 is 24.
	DestroyHours int `json:"destroy_hours,omitempty"`
	// Protection is "software" or "hsm"; empty is software.
	Protection string `json:"protection,omitempty"`
}

// The forms of Google's resource names.
var (
	ringName = regexp.MustCompile(`^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}$`)
	keyName  = regexp.MustCompile(`^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$`)
)

// Open returns the store. It finds credentials, which may ask the machine's metadata server, but does not call KMS. Errors are of kind Invalid.
func Open(ctx context.Context, cfg Config) (*provider.Store, error) {
	if cfg.DestroyHours == 0 {
		cfg.DestroyHours = minDestroyHours
	}
	if cfg.Protection == "" {
		cfg.Protection = "software"
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	conn, err := cfg.Account.connect(ctx)
	if err != nil {
		return nil, err
	}
	k := &keys{conn: conn, ring: cfg.KeyRing, name: cfg.Name, destroy: time.Duration(cfg.DestroyHours) * time.Hour, protection: strings.ToUpper(cfg.Protection)}
	return provider.New(kind, cfg.Name, k), nil
}

func (c Config) check() error {
	const op = "gcpkms.Open"
	if err := escrow.CheckToken("the name of a root store", c.Name); err != nil {
		return err
	}
	switch {
	case len(c.Name) > maxName:
		return escrow.Errorf(op, escrow.Invalid, "the name %q has %d characters, at most %d fit into Google's names of keys", c.Name, len(c.Name), maxName)
	case !ringName.MatchString(c.KeyRing):
		return escrow.Errorf(op, escrow.Invalid, "key_ring is %q, must be projects/PROJECT/locations/LOCATION/keyRings/RING", c.KeyRing)
	case c.DestroyHours < minDestroyHours || c.DestroyHours > maxDestroyHours:
		return escrow.Errorf(op, escrow.Invalid, "destroy_hours is %d, Google allows %d to %d", c.DestroyHours, minDestroyHours, maxDestroyHours)
	case c.Protection != "software" && c.Protection != "hsm":
		return escrow.Errorf(op, escrow.Invalid, "protection is %q, must be software or hsm", c.Protection)
	}
	return nil
}

// KEKConfig says which key encrypts.
type KEKConfig struct {
	Key string `json:"key"` // projects/…/cryptoKeys/… of a key for ENCRYPT_DECRYPT that exists
	Account
}

// KEK returns a key encryption key on a key of KMS; its primary version encrypts, each of its versions decrypts. Errors of KEK are of kind Invalid;
// those of the KEK are told by provider.NewKEK.
func KEK(ctx context.Context, cfg KEKConfig) (tink.AEAD, error) {
	if !keyName.MatchString(cfg.Key) {
		return nil, escrow.Errorf("gcpkms.KEK", escrow.Invalid, "key is %q, must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY", cfg.Key)
	}
	conn, err := cfg.Account.connect(ctx)
	if err != nil {
		return nil, err
	}
	return provider.NewKEK(kind, cfg.Key, key{conn, cfg.Key}), nil
}

// connection calls Google. It is safe for concurrent use.
type connection struct {
	transport http.RoundTripper // with credentials
	endpoint  string            // with a slash at the end, or empty
	calls     provider.Calls
}

func (a Account) connect(ctx context.Context) (*connection, error) {
	const op = "gcpkms.Open"
	if err := a.Calls.Check(op); err != nil {
		return nil, err
	}
	conn := &connection{calls: a.Calls}
	if a.Endpoint != "" {
		if err := provider.CheckURL(op, a.Endpoint); err != nil {
			return nil, err
		}
		conn.endpoint = strings.TrimSuffix(a.Endpoint, "/") + "/"
	}
	options := []option.ClientOption{option.WithScopes(cloudkms.CloudkmsScope), option.WithTelemetryDisabled()}
	if a.CredentialsFile != "" {
		options = append(options, option.WithAuthCredentialsFile(option.ServiceAccount, a.CredentialsFile))
	}
	// Tokens are fetched long after Open and have no context of their own, so their client has a limit.
	tokens := context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Timeout: a.Calls.Timeout()})
	authorised, err := transport.NewTransport(tokens, &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}, options...)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "credentials of Google: %w", err)
	}
	conn.transport = authorised
	return conn, nil
}

// options makes every request of a client end with ctx.
func (c *connection) options(ctx context.Context) []option.ClientOption {
	options := []option.ClientOption{option.WithHTTPClient(&http.Client{Transport: provider.Within(ctx, c.transport)})}
	if c.endpoint != "" {
		options = append(options, option.WithEndpoint(c.endpoint))
	}
	return options
}

// try makes a call that may be repeated.
func (c *connection) try(ctx context.Context, what string, call func(context.Context, *cloudkms.ProjectsLocationsKeyRingsCryptoKeysService) error) error {
	return c.calls.Try(ctx, func(ctx context.Context) error {
		service, err := cloudkms.NewService(ctx, c.options(ctx)...)
		if err == nil {
			err = call(ctx, service.Projects.Locations.KeyRings.CryptoKeys)
		}
		return meaning(what, err)
	})
}
