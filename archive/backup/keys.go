package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"escrow"
	"escrow/internal/vfs"
)

const keySuffix = ".state"

// keyFileName is version and digest; the digits of the version are filled up so that names sort like numbers.
func keyFileName(version uint64, digest string) string {
	return fmt.Sprintf("%020d-%s%s", version, digest, keySuffix)
}

func parseKeyFileName(name string) (version uint64, digest string, ok bool) {
	digits, rest, _ := strings.Cut(name, "-")
	digest, ok = strings.CutSuffix(rest, keySuffix)
	version, err := strconv.ParseUint(digits, 10, 64)
	return version, digest, ok && err == nil && isDigest(digest) && keyFileName(version, digest) == name
}

// Keys returns the sealed key state of a tenant from a backup of keys: the one taken with this backup if it is still there, and otherwise the newest. Whether
// it may serve is not decided here. Error kinds: NotFound, there is none; Conflict, dir is of another archive; Corrupt, it is damaged; Unavailable.
func (b *Backup) Keys(dir string, t escrow.Tenant) ([]byte, error) {
	id, err := identify(b.fsys, dir)
	if err != nil {
		return nil, err
	}
	if id.Holds != holdsKeys || id.Archive != b.Manifest.Archive {
		return nil, escrow.Errorf("backup.Keys", escrow.Conflict, "%s holds the %s of archive %s, not the keys of archive %s", dir, id.Holds, id.Archive, b.Manifest.Archive)
	}
	name, err := b.chooseKeys(dir, t)
	if err != nil {
		return nil, err
	}
	name = filepath.Join(dir, string(t), name)
	sealed, err := vfs.ReadFile(b.fsys, name, maxKeyStateBytes)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(sealed)
	if _, digest, _ := parseKeyFileName(filepath.Base(name)); hex.EncodeToString(sum[:]) != digest {
		return nil, escrow.Errorf("backup.Keys", escrow.Corrupt, "%s does not have the digest in its name: it is damaged; use another copy of it", name)
	}
	return sealed, nil
}

func (b *Backup) chooseKeys(dir string, t escrow.Tenant) (string, error) {
	entries, err := b.fsys.ReadDir(filepath.Join(dir, string(t)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", escrow.Errorf("backup.Keys", escrow.Unavailable, "%w", err)
	}
	want, newest := "", ""
	if part := b.Ledger(t); part != nil && part.Keys != nil {
		want = keyFileName(part.Keys.Version, part.Keys.SHA256)
	}
	for _, e := range entries { // ascending
		if _, _, ok := parseKeyFileName(e.Name()); !ok {
			continue
		}
		if newest = e.Name(); newest == want {
			break
		}
	}
	if newest == "" {
		return "", escrow.Errorf("backup.Keys", escrow.NotFound, "there are no keys of tenant %s in %s; without them nothing in the ledger can be read", t, dir)
	}
	return newest, nil
}
