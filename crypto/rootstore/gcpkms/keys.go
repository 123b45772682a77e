package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/cloudkms/v1"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/provider"
)

// service is where Google's library has its calls for keys.
type service = cloudkms.ProjectsLocationsKeyRingsCryptoKeysService

// keys implements provider.Keys.
type keys struct {
	conn       *connection
	ring, name string
	destroy    time.Duration
	protection string
}

const (
	method    = "cryptographic erase: the key version is scheduled for destruction, which makes it unusable; Google destroys its material when the time is over"
	sizeLabel = "escrow-size"
)

func (k *keys) id(epoch uint64) string { return k.name + "-E" + strconv.FormatUint(epoch, 10) }

func (k *keys) of(epoch uint64) key { return key{k.conn, k.ring + "/cryptoKeys/" + k.id(epoch)} }

// parse returns the epoch of a key; false if it is not of this store.
func (k *keys) parse(name string) (uint64, bool) {
	digits, ours := strings.CutPrefix(name, k.ring+"/cryptoKeys/"+k.name+"-E")
	epoch, err := strconv.ParseUint(digits, 10, 64)
	return epoch, ours && err == nil && strconv.FormatUint(epoch, 10) == digits
}

// Make implements provider.Keys: key and label in one call. A key that is there already was made by an attempt whose answer was lost, or its size grows.
func (k *keys) Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	err := k.conn.try(ctx, "creating the key", func(ctx context.Context, keys *service) error {
		_, err := keys.Create(k.ring, &cloudkms.CryptoKey{
			Purpose:                  "ENCRYPT_DECRYPT",
			DestroyScheduledDuration: strconv.FormatInt(int64(k.destroy.Seconds()), 10) + "s",
			Labels:                   labels(size),
			VersionTemplate:          &cloudkms.CryptoKeyVersionTemplate{Algorithm: "GOOGLE_SYMMETRIC_ENCRYPTION", ProtectionLevel: k.protection},
		}).CryptoKeyId(k.id(epoch)).Context(ctx).Do()
		return err
	})
	if is(err, http.StatusConflict) {
		err = k.grow(ctx, epoch, size)
	}
	if err != nil {
		return err
	}
	return k.generated(ctx, epoch)
}

func labels(size escrow.TreeSize) map[string]string {
	return map[string]string{sizeLabel: strconv.FormatUint(uint64(size), 10)}
}

// grow raises the size a key remembers.
func (k *keys) grow(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	found, err := k.of(epoch).read(ctx)
	if err != nil {
		return err
	}
	known, err := sizeOf(found)
	if err != nil || known >= size {
		return err
	}
	return k.conn.try(ctx, "labelling the key", func(ctx context.Context, keys *service) error {
		_, err := keys.Patch(k.of(epoch).name, &cloudkms.CryptoKey{Labels: labels(size)}).UpdateMask("labels").Context(ctx).Do()
		return err
	})
}

// generated waits for a key that an HSM still generates.
func (k *keys) generated(ctx context.Context, epoch uint64) error {
	return k.conn.try(ctx, "reading the key", func(ctx context.Context, keys *service) error {
		found, err := keys.Get(k.of(epoch).name).Context(ctx).Do()
		if err != nil {
			return err
		}
		return usable(found)
	})
}

// sizeOf reads the label. One that was removed or changed is an error: the memory of the store is not to be trusted then.
func sizeOf(found *cloudkms.CryptoKey) (escrow.TreeSize, error) {
	size, err := strconv.ParseUint(found.Labels[sizeLabel], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the label %s of %s is %q, must be a number; somebody changed it", sizeLabel, found.Name, found.Labels[sizeLabel])
	}
	return escrow.TreeSize(size), nil
}

// Seal implements provider.Keys.
func (k *keys) Seal(ctx context.Context, epoch uint64, plain, aad []byte) ([]byte, error) {
	return k.of(epoch).Seal(ctx, plain, aad)
}

// Open implements provider.Keys.
func (k *keys) Open(ctx context.Context, epoch uint64, sealed, aad []byte) ([]byte, error) {
	return k.of(epoch).Open(ctx, sealed, aad)
}

// End implements provider.Keys. It takes all versions: there is one, unless somebody rotated the key.
func (k *keys) End(ctx context.Context, epoch uint64) error {
	versions, err := k.of(epoch).versions(ctx)
	if errors.Is(err, provider.ErrGone) {
		return nil
	}
	for _, v := range versions {
		err = errors.Join(err, k.endVersion(ctx, v.Name))
	}
	return err
}

// endVersion looks before each attempt: a version that is scheduled cannot be scheduled again.
func (k *keys) endVersion(ctx context.Context, name string) error {
	return k.conn.try(ctx, "destroying the version", func(ctx context.Context, keys *service) error {
		version, err := keys.CryptoKeyVersions.Get(name).Context(ctx).Do()
		if err != nil || ended(version.State) {
			return err
		}
		version, err = keys.CryptoKeyVersions.Destroy(name, &cloudkms.DestroyCryptoKeyVersionRequest{}).Context(ctx).Do()
		if err == nil && !ended(version.State) {
			return fmt.Errorf("google says it destroys %s, but its state is %s", name, version.State)
		}
		return err
	})
}

func ended(state string) bool {
	switch state {
	case "DESTROY_SCHEDULED", "DESTROYED", "GENERATION_FAILED":
		return true
	}
	return false
}

// versions lists the versions of a key.
func (k key) versions(ctx context.Context) (all []*cloudkms.CryptoKeyVersion, err error) {
	token := ""
	for range maxPages {
		var page *cloudkms.ListCryptoKeyVersionsResponse
		err := k.conn.try(ctx, "listing the versions", func(ctx context.Context, keys *service) (err error) {
			page, err = keys.CryptoKeyVersions.List(k.name).PageSize(pageSize).PageToken(token).Context(ctx).Do()
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page.CryptoKeyVersions...)
		if token = page.NextPageToken; token == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the list of versions does not end after %d pages", maxPages)
}

// Look implements provider.Keys.
func (k *keys) Look(ctx context.Context) (rootstore.Evidence, error) {
	e := rootstore.Evidence{Method: method, Wait: k.destroy}
	token := ""
	for range maxPages {
		var page *cloudkms.ListCryptoKeysResponse
		err := k.conn.try(ctx, "listing the keys", func(ctx context.Context, keys *service) (err error) {
			page, err = keys.List(k.ring).PageSize(pageSize).PageToken(token).Context(ctx).Do()
			return err
		})
		if errors.Is(err, provider.ErrGone) {
			return e, fmt.Errorf("there is no key ring %s; make it first", k.ring)
		}
		if err != nil {
			return e, err
		}
		for _, found := range page.CryptoKeys {
			if err := k.take(&e, found); err != nil {
				return e, err
			}
		}
		if token = page.NextPageToken; token == "" {
			return e, nil
		}
	}
	return e, fmt.Errorf("the list of keys does not end after %d pages", maxPages)
}

// take adds what one key says to the evidence.
func (k *keys) take(e *rootstore.Evidence, found *cloudkms.CryptoKey) error {
	epoch, ours := k.parse(found.Name)
	if !ours {
		return nil
	}
	size, err := sizeOf(found)
	if err != nil {
		return err
	}
	root, err := describe(found)
	if err != nil {
		return err
	}
	if root.Epoch = epoch; root.State != rootstore.Destroyed {
		wait, err := waitOf(found)
		if err != nil {
			return err
		}
		e.Wait = max(e.Wait, wait)
	}
	e.Newest, e.Size = max(e.Newest, epoch), max(e.Size, size)
	e.Roots = append(e.Roots, root)
	return nil
}

// waitOf returns the time Google waits for the versions of a key.
func waitOf(found *cloudkms.CryptoKey) (time.Duration, error) {
	if found.DestroyScheduledDuration == "" {
		return defaultDestroy, nil
	}
	wait, err := time.ParseDuration(found.DestroyScheduledDuration)
	if err != nil {
		return 0, fmt.Errorf("destroyScheduledDuration of %s: %w", found.Name, err)
	}
	return wait, nil
}

// describe says what has become of a key. Whatever is not on its way to its end is alive: DISABLED, as after a restore, can be enabled again.
func describe(found *cloudkms.CryptoKey) (rootstore.Root, error) {
	v := found.Primary
	if v == nil {
		return rootstore.Root{State: rootstore.Live, Detail: "no primary version; versions of it may exist"}, nil
	}
	detail := v.State + ", " + v.Name
	if found.RotationPeriod != "" || !strings.HasSuffix(v.Name, "/cryptoKeyVersions/1") {
		detail += "; WARNING: somebody rotated the key or has it rotated, other versions may exist"
	}
	switch v.State {
	case "DESTROYED":
		return rootstore.Root{State: rootstore.Destroyed, Detail: detail + ", destroyEventTime " + v.DestroyEventTime}, nil
	case "DESTROY_SCHEDULED":
		due, err := time.Parse(time.RFC3339Nano, v.DestroyTime)
		if err != nil {
			return rootstore.Root{}, fmt.Errorf("destroyTime of %s: %w", v.Name, err)
		}
		return rootstore.Root{State: rootstore.Pending, Due: due.UTC(), Detail: detail}, nil
	case "DISABLED":
		detail += "; not usable until somebody enables it"
	}
	return rootstore.Root{State: rootstore.Live, Detail: detail}, nil
}
