package awskms

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	tinkaws "github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"escrow"
	"escrow/crypto/rootstore/provider"
)

const kind = "awskms"

// Account says in which Region keys are and with which credentials. What is not said comes from the standard chain of the SDK: environment, shared
// files, web identity, role of the container or machine.
type Account struct {
	Region          string `json:"region,omitempty"`           // as eu-central-1
	Profile         string `json:"profile,omitempty"`          // of the shared files
	CredentialsFile string `json:"credentials_file,omitempty"` // shared credentials file
	Endpoint        string `json:"endpoint,omitempty"`         // of a VPC; https, or http on the loopback interface
	provider.Calls
}

// Config says what the roots are called and how long KMS waits.
type Config struct {
	Name string `json:"name"` // begins the aliases of all keys, as "escrow-mail-acme"; another archive needs another
	Account

	// PendingDays is the waiting period between Destroy and the end of the key material, 7 to 30; 0 is 7.
	PendingDays int `json:"pending_days,omitempty"`
}

// Open returns the store. It does not call KMS. Errors are of kind Invalid.
func Open(cfg Config) (*provider.Store, error) {
	const op = "awskms.Open"
	if err := escrow.CheckToken("the name of a root store", cfg.Name); err != nil {
		return nil, err
	}
	if cfg.PendingDays == 0 {
		cfg.PendingDays = minPendingDays
	}
	switch {
	case cfg.Name == "aws":
		return nil, escrow.Errorf(op, escrow.Invalid, "aliases that begin with aws/ belong to AWS; choose another name")
	case cfg.PendingDays < minPendingDays || cfg.PendingDays > maxPendingDays:
		return nil, escrow.Errorf(op, escrow.Invalid, "pending_days is %d, KMS allows %d to %d", cfg.PendingDays, minPendingDays, maxPendingDays)
	}
	client, err := cfg.Account.connect()
	if err != nil {
		return nil, err
	}
	k := &keys{client: client, calls: cfg.Calls, name: cfg.Name, days: int32(cfg.PendingDays), known: map[uint64]root{}, unnamed: map[uint64]string{}}
	return provider.New(kind, cfg.Name, k), nil
}

func (a Account) connect() (*kms.Client, error) {
	const op = "awskms.Open"
	if err := a.Calls.Check(op); err != nil {
		return nil, err
	}
	var options []func(*config.LoadOptions) error
	if a.Region != "" {
		options = append(options, config.WithRegion(a.Region))
	}
	if a.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(a.Profile))
	}
	if a.CredentialsFile != "" {
		options = append(options, config.WithSharedCredentialsFiles([]string{a.CredentialsFile}))
	}
	cfg, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Invalid, "the settings of AWS: %w", err)
	}
	if cfg.Region == "" {
		return nil, escrow.Errorf(op, escrow.Invalid, "there is no region; set it in the configuration, or AWS_REGION in the environment of the service")
	}
	client := kms.NewFromConfig(cfg, func(o *kms.Options) {
		o.Retryer = aws.NopRetryer{} // provider.Calls repeats what may be repeated
		if a.Endpoint != "" {
			o.BaseEndpoint = aws.String(a.Endpoint)
		}
	})
	if endpoint := client.Options().BaseEndpoint; endpoint != nil { // also from the environment
		if err := provider.CheckURL(op, *endpoint); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// KEKConfig says which key encrypts.
type KEKConfig struct {
	Key string `json:"key"` // ARN, id or alias/… of a symmetric key that exists; of another account: its ARN
	Account
}

// KEK returns a key encryption key on a key of KMS. It does not call KMS. Errors of KEK are of kind Invalid; those of the KEK are told by provider.NewKEK.
func KEK(cfg KEKConfig) (tink.AEAD, error) {
	if cfg.Key == "" {
		return nil, escrow.Errorf("awskms.KEK", escrow.Invalid, "key is missing: the ARN, id or alias of a symmetric key")
	}
	client, err := cfg.Account.connect()
	if err != nil {
		return nil, err
	}
	return provider.NewKEK(kind, cfg.Key, key{client, cfg.Calls, cfg.Key}), nil
}

// key is one key of KMS.
type key struct {
	client *kms.Client
	calls  provider.Calls
	id     string
}

func (k key) aead(ctx context.Context) (tink.AEADWithContext, error) {
	return tinkaws.NewAEADWithContext(ctx, k.id, tinkaws.WithKMS(k.client))
}

// Seal implements provider.Key.
func (k key) Seal(ctx context.Context, plain, aad []byte) (sealed []byte, err error) {
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		aead, err := k.aead(ctx)
		if err != nil {
			return err
		}
		sealed, err = aead.EncryptWithContext(ctx, plain, aad)
		return meaning("Encrypt", err)
	})
	return sealed, err
}

// Open implements provider.Key.
func (k key) Open(ctx context.Context, sealed, aad []byte) (plain []byte, err error) {
	if len(sealed) > maxCiphertext {
		return nil, fmt.Errorf("%w: %d bytes are too many", provider.ErrMisfit, len(sealed))
	}
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		aead, err := k.aead(ctx)
		if err != nil {
			return err
		}
		plain, err = aead.DecryptWithContext(ctx, sealed, aad)
		return meaning("Decrypt", err)
	})
	return plain, err
}

// wait is what is counted for a waiting period: AWS says that it may be up to 24 hours longer than what was asked for.
func wait(days int32) time.Duration { return time.Duration(days+1) * 24 * time.Hour }
