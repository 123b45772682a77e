package vault_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// fakeVault answers as the transit engine of Vault 1.20 does (builtin/logical/transit): creating a key that exists changes nothing, deleting needs
// deletion_allowed, encrypting makes a key that is missing if the token may create, decrypting says 400 for a missing key and for a bad ciphertext.
type fakeVault struct {
	token     string
	mayCreate bool // on encrypt/: the policy in docs/roots.md does not allow it

	mu      sync.Mutex
	sealed  bool
	keys    map[string]*fakeKey
	deleted map[string]*fakeKey // as in a snapshot
}

type fakeKey struct {
	aead                                   cipher.AEAD
	deletable, exportable, plaintextBackup bool
}

func newFakeVault() *fakeVault {
	return &fakeVault{token: "hvs.test", mayCreate: true, keys: map[string]*fakeKey{}, deleted: map[string]*fakeKey{}}
}

// ServeHTTP answers one request below /v1/transit/.
func (f *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest, ours := strings.CutPrefix(r.URL.Path, "/v1/transit/")
	switch {
	case f.sealed:
		answer(w, http.StatusServiceUnavailable, "Vault is sealed")
	case r.Header.Get("X-Vault-Token") != f.token:
		answer(w, http.StatusForbidden, "permission denied")
	case r.Header.Get("X-Vault-Namespace") != "" || !ours:
		answer(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", r.URL.Path))
	default:
		body := map[string]any{}
		if r.Body != nil {
			_ = json.NewDecoder(r.Body).Decode(&body)
		}
		f.route(w, r, rest, body)
	}
}

func (f *fakeVault) route(w http.ResponseWriter, r *http.Request, path string, body map[string]any) {
	verb, name, _ := strings.Cut(path, "/")
	name, config := strings.CutSuffix(name, "/config")
	switch {
	case path == "keys" && r.Method == http.MethodGet && r.URL.Query().Get("list") == "true":
		if len(f.keys) == 0 {
			answer(w, http.StatusNotFound)
			return
		}
		data(w, map[string]any{"keys": slices.Sorted(maps.Keys(f.keys))})
	case verb == "keys" && config && r.Method == http.MethodPut:
		f.config(w, name, body)
	case verb == "keys" && r.Method == http.MethodPut:
		f.create(name)
		f.read(w, name)
	case verb == "keys" && r.Method == http.MethodGet:
		f.read(w, name)
	case verb == "keys" && r.Method == http.MethodDelete:
		f.delete(w, name)
	case verb == "encrypt" && r.Method == http.MethodPut:
		f.encrypt(w, name, body)
	case verb == "decrypt" && r.Method == http.MethodPut:
		f.decrypt(w, name, body)
	default:
		answer(w, http.StatusMethodNotAllowed, "unsupported operation")
	}
}

func (f *fakeVault) create(name string) {
	if f.keys[name] != nil {
		return
	}
	material := make([]byte, 32)
	_, _ = rand.Read(material)
	block, _ := aes.NewCipher(material)
	aead, _ := cipher.NewGCM(block)
	f.keys[name] = &fakeKey{aead: aead}
}

func (f *fakeVault) read(w http.ResponseWriter, name string) {
	k := f.keys[name]
	if k == nil {
		answer(w, http.StatusNotFound)
		return
	}
	data(w, map[string]any{"name": name, "type": "aes256-gcm96", "latest_version": 1, "deletion_allowed": k.deletable,
		"exportable": k.exportable, "allow_plaintext_backup": k.plaintextBackup, "keys": map[string]any{"1": 1790000000}})
}

func (f *fakeVault) config(w http.ResponseWriter, name string, body map[string]any) {
	k := f.keys[name]
	if k == nil {
		answer(w, http.StatusBadRequest, "no existing key named "+name+" could be found")
		return
	}
	if allowed, ok := body["deletion_allowed"].(bool); ok {
		k.deletable = allowed
	}
	f.read(w, name)
}

func (f *fakeVault) delete(w http.ResponseWriter, name string) {
	k := f.keys[name]
	switch {
	case strings.Contains(name, ".made.") || strings.Contains(name, ".gone."):
		answer(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n") // by policy
	case k == nil:
		answer(w, http.StatusBadRequest, "error deleting policy "+name+": could not delete key; not found")
	case !k.deletable:
		answer(w, http.StatusBadRequest, "error deleting policy "+name+": deletion is not allowed for this key")
	default:
		f.deleted[name] = k
		delete(f.keys, name)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *fakeVault) encrypt(w http.ResponseWriter, name string, body map[string]any) {
	if f.keys[name] == nil {
		if !f.mayCreate {
			answer(w, http.StatusForbidden, "permission denied")
			return
		}
		f.create(name)
	}
	plain, aad := decode(body["plaintext"]), decode(body["associated_data"])
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	data(w, map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(f.keys[name].aead.Seal(nonce, nonce, plain, aad)), "key_version": 1})
}

func (f *fakeVault) decrypt(w http.ResponseWriter, name string, body map[string]any) {
	k := f.keys[name]
	text, _ := body["ciphertext"].(string)
	b64, ok := strings.CutPrefix(text, "vault:v1:")
	sealed, err := base64.StdEncoding.DecodeString(b64)
	switch {
	case text == "":
		answer(w, http.StatusBadRequest, "missing ciphertext to decrypt")
	case k == nil:
		answer(w, http.StatusBadRequest, "encryption key not found")
	case !ok:
		answer(w, http.StatusBadRequest, "invalid ciphertext: no prefix")
	case err != nil || len(sealed) < 12:
		answer(w, http.StatusBadRequest, "invalid ciphertext: could not decode base64")
	default:
		plain, err := k.aead.Open(nil, sealed[:12], sealed[12:], decode(body["associated_data"]))
		if err != nil {
			answer(w, http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		data(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)})
	}
}

// restore brings a deleted key back, as a restored snapshot does.
func (f *fakeVault) restore(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[name] = f.deleted[name]
}

// change alters a key as an administrator can.
func (f *fakeVault) change(name string, alter func(*fakeKey)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	alter(f.keys[name])
}

func (f *fakeVault) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.keys))
}

func decode(v any) []byte {
	s, _ := v.(string)
	b, _ := base64.StdEncoding.DecodeString(s)
	return b
}

func data(w http.ResponseWriter, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "0", "data": v})
}

func answer(w http.ResponseWriter, status int, errors ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": append([]string{}, errors...)})
}
