package awskms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
)

// keys implements provider.Keys.
type keys struct {
	client *kms.Client
	calls  provider.Calls
	name   string
	days   int32

	mu      sync.Mutex        // guards what follows
	known   map[uint64]root   // what this process has made or seen: lists of KMS lag behind, and forget what is deleted
	unnamed map[uint64]string // keys made whose alias is not known to be made
}

// root is a key with its alias.
type root struct {
	id      string
	size    escrow.TreeSize
	waiting bool // it was seen to wait for its end
	gone    bool // and then to be gone, so it need not be asked for again
}

const method = "cryptographic erase: ScheduleKeyDeletion makes the key unusable at once, AWS KMS deletes it and all its material when the waiting period is over"

// Make implements provider.Keys: the key, then the alias that remembers it.
func (k *keys) Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	roots, err := k.list(ctx)
	if err != nil {
		return err
	}
	r, there := roots[epoch]
	if there && r.size >= size {
		return nil
	}
	if !there {
		if r.id, err = k.create(ctx, epoch); err != nil {
			return err
		}
		if err := k.visible(ctx, r.id); err != nil {
			return err
		}
	}
	return k.remember(ctx, epoch, r.id, size)
}

// create makes a key without an alias. CreateKey is not idempotent, so it is called once; a key whose alias could not be made is used by the next
// attempt of this process.
func (k *keys) create(ctx context.Context, epoch uint64) (id string, err error) {
	k.mu.Lock()
	id, there := k.unnamed[epoch]
	k.mu.Unlock()
	if there {
		return id, nil
	}
	err = k.calls.Once(ctx, func(ctx context.Context) error {
		made, err := k.client.CreateKey(ctx, &kms.CreateKeyInput{
			Description: aws.String(fmt.Sprintf("escrow: root of epoch %d of %s", epoch, k.name)),
			KeySpec:     types.KeySpecSymmetricDefault,
			KeyUsage:    types.KeyUsageTypeEncryptDecrypt,
			Origin:      types.OriginTypeAwsKms,
			MultiRegion: aws.Bool(false),
			Tags: []types.Tag{{TagKey: aws.String("escrow-store"), TagValue: aws.String(k.name)},
				{TagKey: aws.String("escrow-epoch"), TagValue: aws.String(strconv.FormatUint(epoch, 10))}},
		})
		if err != nil {
			return meaning("CreateKey", err)
		}
		id = aws.ToString(made.KeyMetadata.KeyId)
		return nil
	})
	if err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unnamed[epoch] = id
	return id, nil
}

// visible waits until KMS, which is eventually consistent, shows a new key.
func (k *keys) visible(ctx context.Context, id string) error {
	return k.calls.Try(ctx, func(ctx context.Context) error {
		_, err := k.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(id)})
		if err = meaning("DescribeKey", err); errors.Is(err, provider.ErrGone) {
			return fmt.Errorf("%w: KMS does not show its new key %s yet", provider.ErrBusy, id)
		}
		return err
	})
}

// remember makes the alias. One that exists is ours: made by an attempt whose answer was lost.
func (k *keys) remember(ctx context.Context, epoch uint64, id string, size escrow.TreeSize) error {
	alias := fmt.Sprintf("alias/%s/%d/%d", k.name, epoch, size)
	err := k.calls.Try(ctx, func(ctx context.Context) error {
		_, err := k.client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String(alias), TargetKeyId: aws.String(id)})
		return meaning("CreateAlias", err)
	})
	if is(err, "AlreadyExistsException") {
		return k.adopt(ctx, epoch, alias)
	}
	if err != nil {
		return fmt.Errorf("key %s has no alias yet: %w", id, err)
	}
	k.learn(epoch, root{id: id, size: size})
	return nil
}

// adopt takes the key to which an alias points as the root.
func (k *keys) adopt(ctx context.Context, epoch uint64, alias string) error {
	meta, err := k.describe(ctx, alias)
	if err != nil {
		return err
	}
	_, size, _ := k.parse(alias)
	k.learn(epoch, root{id: aws.ToString(meta.KeyId), size: size})
	return nil
}

func (k *keys) learn(epoch uint64, r root) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[epoch] = r
	delete(k.unnamed, epoch)
}

// parse takes the name of an alias apart; false if it is not of this store.
func (k *keys) parse(alias string) (epoch uint64, size escrow.TreeSize, ours bool) {
	rest, ours := strings.CutPrefix(alias, "alias/"+k.name+"/")
	first, second, both := strings.Cut(rest, "/")
	epoch, errEpoch := strconv.ParseUint(first, 10, 64)
	n, errSize := strconv.ParseUint(second, 10, 64)
	return epoch, escrow.TreeSize(n), ours && both && errEpoch == nil && errSize == nil
}

// list returns the roots KMS lists and those this process knows already.
func (k *keys) list(ctx context.Context) (map[uint64]root, error) {
	var marker *string
	for range maxPages {
		var page *kms.ListAliasesOutput
		err := k.calls.Try(ctx, func(ctx context.Context) (err error) {
			page, err = k.client.ListAliases(ctx, &kms.ListAliasesInput{Limit: aws.Int32(100), Marker: marker})
			return meaning("ListAliases", err)
		})
		if err != nil {
			return nil, err
		}
		for _, alias := range page.Aliases {
			k.take(alias)
		}
		if marker = page.NextMarker; !page.Truncated {
			return k.all(), nil
		}
	}
	return nil, fmt.Errorf("ListAliases does not end after %d pages", maxPages)
}

func (k *keys) take(alias types.AliasListEntry) {
	epoch, size, ours := k.parse(aws.ToString(alias.AliasName))
	if !ours || aws.ToString(alias.TargetKeyId) == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if r, there := k.known[epoch]; !there || size > r.size {
		k.known[epoch] = root{id: aws.ToString(alias.TargetKeyId), size: size}
		delete(k.unnamed, epoch)
	}
}

func (k *keys) all() map[uint64]root {
	k.mu.Lock()
	defer k.mu.Unlock()
	roots := make(map[uint64]root, len(k.known))
	for epoch, r := range k.known {
		roots[epoch] = r
	}
	return roots
}

// of returns the key of an epoch; ErrGone if there is none.
func (k *keys) of(ctx context.Context, epoch uint64) (key, error) {
	r, there := k.all()[epoch]
	if !there {
		roots, err := k.list(ctx)
		if err != nil {
			return key{}, err
		}
		if r, there = roots[epoch]; !there {
			return key{}, fmt.Errorf("%w: no alias alias/%s/%d/…", provider.ErrGone, k.name, epoch)
		}
	}
	return key{k.client, k.calls, r.id}, nil
}

// Seal implements provider.Keys.
func (k *keys) Seal(ctx context.Context, epoch uint64, plain, aad []byte) ([]byte, error) {
	key, err := k.of(ctx, epoch)
	if err != nil {
		return nil, err
	}
	return key.Seal(ctx, plain, aad)
}

// Open implements provider.Keys.
func (k *keys) Open(ctx context.Context, epoch uint64, sealed, aad []byte) ([]byte, error) {
	key, err := k.of(ctx, epoch)
	if err != nil {
		return nil, err
	}
	return key.Open(ctx, sealed, aad)
}

// End implements provider.Keys. A key that waits for its end already keeps its date.
func (k *keys) End(ctx context.Context, epoch uint64) error {
	key, err := k.of(ctx, epoch)
	if errors.Is(err, provider.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		_, err := k.client.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: aws.String(key.id), PendingWindowInDays: aws.Int32(k.days)})
		return meaning("ScheduleKeyDeletion", err)
	})
	if !errors.Is(err, provider.ErrGone) {
		return err
	}
	switch meta, readErr := k.describe(ctx, key.id); {
	case errors.Is(readErr, provider.ErrGone):
		return nil
	case readErr != nil:
		return readErr
	case meta.KeyState == types.KeyStatePendingDeletion:
		return nil
	}
	return err
}

func (k *keys) describe(ctx context.Context, id string) (meta *types.KeyMetadata, err error) {
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		answer, err := k.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(id)})
		if err != nil {
			return meaning("DescribeKey", err)
		}
		meta = answer.KeyMetadata
		return nil
	})
	return meta, err
}

// Look implements provider.Keys.
func (k *keys) Look(ctx context.Context) (rootstore.Evidence, error) {
	roots, err := k.list(ctx)
	if err != nil {
		return rootstore.Evidence{}, err
	}
	e := rootstore.Evidence{Method: method, Wait: wait(k.days)}
	for epoch, r := range roots {
		e.Newest, e.Size = max(e.Newest, epoch), max(e.Size, r.size)
		found, err := k.look(ctx, epoch, r)
		if err != nil {
			return rootstore.Evidence{}, err
		}
		e.Roots = append(e.Roots, found)
	}
	return e, nil
}

// look describes one root. Whatever is not waiting for its end is alive: what is disabled, as after CancelKeyDeletion, can be enabled again.
func (k *keys) look(ctx context.Context, epoch uint64, r root) (rootstore.Root, error) {
	gone := rootstore.Root{Epoch: epoch, State: rootstore.Destroyed, Detail: "DescribeKey: NotFoundException for key " + r.id}
	if r.gone {
		return gone, nil
	}
	meta, err := k.describe(ctx, r.id)
	switch {
	case errors.Is(err, provider.ErrGone):
		r.gone = r.waiting
		k.learn(epoch, r)
		return gone, nil
	case err != nil:
		return rootstore.Root{}, err
	}
	r.waiting = meta.KeyState == types.KeyStatePendingDeletion
	k.learn(epoch, r)
	detail := fmt.Sprintf("%s, key %s", meta.KeyState, aws.ToString(meta.Arn))
	if meta.Origin != types.OriginTypeAwsKms || aws.ToBool(meta.MultiRegion) {
		detail += fmt.Sprintf("; WARNING: origin %s, multi-Region %t: material may exist elsewhere", meta.Origin, aws.ToBool(meta.MultiRegion))
	}
	switch meta.KeyState {
	case types.KeyStatePendingDeletion:
		return rootstore.Root{Epoch: epoch, State: rootstore.Pending, Due: aws.ToTime(meta.DeletionDate).UTC().Truncate(time.Second), Detail: detail}, nil
	case types.KeyStateDisabled:
		detail += "; not usable until somebody enables it"
	}
	return rootstore.Root{Epoch: epoch, State: rootstore.Live, Detail: detail}, nil
}
