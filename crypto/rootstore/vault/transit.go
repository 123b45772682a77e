package vault

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"escrow"
	"escrow/crypto/rootstore"
)

// transit implements provider.Keys.
type transit struct {
	conn *connection
	name string
	wait time.Duration
	now  func() time.Time
}

// method is what Destroy does, for Evidence.
const method = "cryptographic erase: the transit key is deleted with all its versions at once; snapshots and storage of Vault keep it under Vault's own " +
	"encryption for the declared time"

func (t *transit) root(epoch uint64) string { return t.name + "." + strconv.FormatUint(epoch, 10) }

// Make implements provider.Keys. Both steps do nothing if they were done before.
func (t *transit) Make(ctx context.Context, epoch uint64, size escrow.TreeSize) error {
	if err := t.create(ctx, t.root(epoch)); err != nil {
		return err
	}
	return t.create(ctx, fmt.Sprintf("%s.made.%d.%d", t.name, epoch, size))
}

func (t *transit) create(ctx context.Context, name string) error {
	err := t.conn.write(ctx, "keys/"+name, map[string]any{"type": "aes256-gcm96", "exportable": false, "allow_plaintext_backup": false})
	if err != nil {
		return err
	}
	return t.conn.mustExist(ctx, name) // the library takes an empty answer 404 for success
}

// Seal implements provider.Keys.
func (t *transit) Seal(ctx context.Context, epoch uint64, plain, aad []byte) ([]byte, error) {
	return t.conn.encrypt(ctx, t.root(epoch), plain, aad)
}

// Open implements provider.Keys.
func (t *transit) Open(ctx context.Context, epoch uint64, sealed, aad []byte) ([]byte, error) {
	return t.conn.decrypt(ctx, t.root(epoch), sealed, aad)
}

// End implements provider.Keys: allow the deletion, delete, read back, leave a mark.
func (t *transit) End(ctx context.Context, epoch uint64) error {
	name := t.root(epoch)
	k, err := t.conn.key(ctx, name)
	if err != nil {
		return err
	}
	if k != nil {
		if err := t.remove(ctx, name); err != nil {
			return err
		}
	}
	known, err := t.list(ctx)
	if err != nil {
		return err
	}
	if m := known[epoch]; m == nil || !m.made || k == nil && m.gone {
		return nil
	}
	return t.create(ctx, fmt.Sprintf("%s.gone.%d.%d", t.name, epoch, t.now().Unix()))
}

func (t *transit) remove(ctx context.Context, name string) error {
	err := t.conn.write(ctx, "keys/"+name+"/config", map[string]any{"deletion_allowed": true})
	if err == nil {
		err = t.conn.delete(ctx, "keys/"+name)
	}
	left, readErr := t.conn.key(ctx, name)
	switch {
	case readErr != nil:
		return readErr
	case left == nil: // also if a repeated request was told there is no such key
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("vault says it deleted %s, but it is still there", name)
}

// key describes a transit key as Vault does.
type key struct {
	Type                 string `json:"type"`
	LatestVersion        int    `json:"latest_version"`
	Exportable           bool   `json:"exportable"`
	AllowPlaintextBackup bool   `json:"allow_plaintext_backup"`
}

// key reads a key; nil if there is none.
func (c *connection) key(ctx context.Context, name string) (*key, error) {
	var k key
	found, err := c.read(ctx, "keys/"+name, nil, &k)
	if err != nil || !found {
		return nil, err
	}
	return &k, nil
}

// marks is what the names say of one epoch.
type marks struct {
	live, made, gone bool
	size             escrow.TreeSize
	goneAt           time.Time // the latest
}

// list reads all names of this store.
func (t *transit) list(ctx context.Context) (map[uint64]*marks, error) {
	var names struct {
		Keys []string `json:"keys"`
	}
	if _, err := t.conn.read(ctx, "keys", map[string][]string{"list": {"true"}}, &names); err != nil {
		return nil, err
	}
	known := map[uint64]*marks{}
	for _, name := range names.Keys {
		if rest, ours := strings.CutPrefix(name, t.name+"."); ours {
			read(known, strings.Split(rest, "."))
		}
	}
	return known, nil
}

// read takes in one name, split at its dots; what has another form is not ours.
func read(known map[uint64]*marks, parts []string) {
	number := func(i int) (uint64, bool) {
		n, err := strconv.ParseUint(parts[i], 10, 63)
		return n, err == nil && strconv.FormatUint(n, 10) == parts[i]
	}
	of := func(epoch uint64) *marks {
		if known[epoch] == nil {
			known[epoch] = &marks{}
		}
		return known[epoch]
	}
	if epoch, ok := number(0); ok && len(parts) == 1 {
		of(epoch).live = true
	}
	if len(parts) != 3 {
		return
	}
	epoch, okEpoch := number(1)
	value, okValue := number(2)
	switch {
	case !okEpoch || !okValue:
	case parts[0] == "made":
		m := of(epoch)
		m.made, m.size = true, max(m.size, escrow.TreeSize(value))
	case parts[0] == "gone":
		m, at := of(epoch), time.Unix(int64(value), 0).UTC()
		if m.gone = true; at.After(m.goneAt) {
			m.goneAt = at
		}
	}
}

// Look implements provider.Keys. A root whose mark is missing was being made when the service died: it is not one yet.
func (t *transit) Look(ctx context.Context) (rootstore.Evidence, error) {
	known, err := t.list(ctx)
	if err != nil {
		return rootstore.Evidence{}, err
	}
	e := rootstore.Evidence{Method: method, Wait: t.wait}
	for epoch, m := range known {
		if !m.made {
			continue
		}
		e.Newest, e.Size = max(e.Newest, epoch), max(e.Size, m.size)
		root, err := t.describe(ctx, epoch, m)
		if err != nil {
			return rootstore.Evidence{}, err
		}
		e.Roots = append(e.Roots, root)
	}
	return e, nil
}

func (t *transit) describe(ctx context.Context, epoch uint64, m *marks) (rootstore.Root, error) {
	if !m.live {
		return t.deleted(epoch, m), nil
	}
	k, err := t.conn.key(ctx, t.root(epoch))
	if err != nil {
		return rootstore.Root{}, err
	}
	if k == nil { // deleted since it was listed
		return t.deleted(epoch, m), nil
	}
	detail := fmt.Sprintf("%s, %d version(s)", k.Type, k.LatestVersion)
	if k.Exportable || k.AllowPlaintextBackup {
		detail += "; WARNING: somebody made it exportable, copies may exist outside Vault"
	}
	if m.gone {
		detail += "; WARNING: it was deleted on " + m.goneAt.Format(time.RFC3339) + " and is there again: Vault was set back, or somebody restored it"
	}
	return rootstore.Root{Epoch: epoch, State: rootstore.Live, Detail: detail}, nil
}

// deleted describes a root that is not there any more. Without a mark somebody else deleted it; the wait then begins anew at every look, until Destroy
// leaves the mark.
func (t *transit) deleted(epoch uint64, m *marks) rootstore.Root {
	since, detail := t.now(), "no such key; it was not deleted by this store"
	if m.gone {
		since, detail = m.goneAt, "no such key since "+m.goneAt.Format(time.RFC3339)
	}
	if due := since.Add(t.wait); due.After(t.now()) {
		return rootstore.Root{Epoch: epoch, State: rootstore.Pending, Due: due, Detail: detail + "; snapshots of Vault may hold it"}
	}
	return rootstore.Root{Epoch: epoch, State: rootstore.Destroyed, Detail: detail}
}
