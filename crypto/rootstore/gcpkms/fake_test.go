package gcpkms_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const ring = "projects/example/locations/europe-west3/keyRings/escrow"

// fakeKMS answers as Google documents the REST API of Cloud KMS, v1: 409 for a key that exists, FAILED_PRECONDITION for a version in the wrong state,
// INVALID_ARGUMENT for a ciphertext that does not fit, lists in pages, checksums, and versions that are destroyed when their time has come.
type fakeKMS struct {
	mu     sync.Mutex
	now    time.Time
	keys   map[string]*fakeKey // by the part of the name after cryptoKeys/
	denied string              // a permission the service account lacks
	slow   bool                // changes of state are not in force yet, for which Google takes up to three hours
}

type fakeKey struct {
	Name                     string                     `json:"name"`
	Purpose                  string                     `json:"purpose"`
	DestroyScheduledDuration string                     `json:"destroyScheduledDuration"`
	RotationPeriod           string                     `json:"rotationPeriod,omitempty"`
	Labels                   map[string]string          `json:"labels"`
	VersionTemplate          map[string]json.RawMessage `json:"versionTemplate"`
	Primary                  *fakeVersion               `json:"primary,omitempty"`

	versions []*fakeVersion
}

type fakeVersion struct {
	Name             string `json:"name"`
	State            string `json:"state"`
	DestroyTime      string `json:"destroyTime,omitempty"`
	DestroyEventTime string `json:"destroyEventTime,omitempty"`

	aead cipher.AEAD
	due  time.Time
}

func newFakeKMS(now time.Time) *fakeKMS { return &fakeKMS{now: now, keys: map[string]*fakeKey{}} }

// ServeHTTP answers one request.
func (f *fakeKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep()
	if r.Header.Get("Authorization") != "Bearer granted" {
		fail(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/"+ring+"/cryptoKeys")
	if !ok {
		fail(w, http.StatusNotFound, "NOT_FOUND", "KeyRing not found.")
		return
	}
	path, verb, _ := strings.Cut(strings.TrimPrefix(path, "/"), ":")
	if verb == "" {
		verb = r.Method
	}
	f.route(w, r, path, verb)
}

// sweep destroys what has waited long enough.
func (f *fakeKMS) sweep() {
	for _, k := range f.keys {
		for _, v := range k.versions {
			if v.State == "DESTROY_SCHEDULED" && !f.now.Before(v.due) {
				v.State, v.aead, v.DestroyTime, v.DestroyEventTime = "DESTROYED", nil, "", v.due.Format(time.RFC3339Nano)
			}
		}
	}
}

func (f *fakeKMS) route(w http.ResponseWriter, r *http.Request, path, verb string) {
	id, version, _ := strings.Cut(path, "/cryptoKeyVersions")
	version = strings.TrimPrefix(version, "/")
	permission := verb + strings.TrimRight(strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, strings.TrimPrefix(path, id)), "/")
	k := f.keys[id]
	switch {
	case permission == f.denied:
		fail(w, http.StatusForbidden, "PERMISSION_DENIED", "Permission 'cloudkms...' denied on resource (or it may not exist).")
	case id == "" && verb == "GET":
		f.list(w, r)
	case id == "" && verb == "POST":
		f.create(w, r)
	case k == nil:
		fail(w, http.StatusNotFound, "NOT_FOUND", "CryptoKey "+ring+"/cryptoKeys/"+id+" not found.")
	case verb == "PATCH":
		var in fakeKey
		_ = json.NewDecoder(r.Body).Decode(&in)
		if r.URL.Query().Get("updateMask") == "labels" {
			k.Labels = in.Labels
		}
		ok(w, k)
	case verb == "encrypt", verb == "decrypt":
		f.use(w, r, k, verb)
	case verb == "GET" && version == "" && strings.HasSuffix(path, "cryptoKeyVersions"):
		ok(w, map[string]any{"cryptoKeyVersions": k.versions})
	case version != "":
		f.version(w, k, version, verb)
	default:
		ok(w, k)
	}
}

func (f *fakeKMS) create(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("cryptoKeyId")
	if f.keys[id] != nil {
		fail(w, http.StatusConflict, "ALREADY_EXISTS", "CryptoKey "+ring+"/cryptoKeys/"+id+" already exists.")
		return
	}
	var k fakeKey
	if err := json.NewDecoder(r.Body).Decode(&k); err != nil || len(id) == 0 || len(id) > 63 {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", "bad request")
		return
	}
	if k.DestroyScheduledDuration == "" {
		k.DestroyScheduledDuration = "2592000s"
	}
	k.Name = ring + "/cryptoKeys/" + id
	f.keys[id] = &k
	k.rotate()
	ok(w, &k)
}

// rotate makes a version and makes it the primary one.
func (k *fakeKey) rotate() {
	material := make([]byte, 32)
	_, _ = rand.Read(material)
	block, _ := aes.NewCipher(material)
	aead, _ := cipher.NewGCM(block)
	k.Primary = &fakeVersion{Name: fmt.Sprintf("%s/cryptoKeyVersions/%d", k.Name, len(k.versions)+1), State: "ENABLED", aead: aead}
	k.versions = append(k.versions, k.Primary)
}

// list gives two keys a page, which Google may do as well: pageSize is an upper bound.
func (f *fakeKMS) list(w http.ResponseWriter, r *http.Request) {
	ids := slices.Sorted(maps.Keys(f.keys))
	start, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	end := min(start+2, len(ids))
	page := []*fakeKey{}
	for _, id := range ids[start:end] {
		page = append(page, f.keys[id])
	}
	out := map[string]any{"cryptoKeys": page, "totalSize": len(ids)}
	if end < len(ids) {
		out["nextPageToken"] = strconv.Itoa(end)
	}
	ok(w, out)
}

func (f *fakeKMS) version(w http.ResponseWriter, k *fakeKey, number, verb string) {
	n, _ := strconv.Atoi(number)
	if n < 1 || n > len(k.versions) {
		fail(w, http.StatusNotFound, "NOT_FOUND", "CryptoKeyVersion not found.")
		return
	}
	v := k.versions[n-1]
	wrong := func() {
		fail(w, http.StatusBadRequest, "FAILED_PRECONDITION", "The request cannot be fulfilled. Resource "+v.Name+" has value "+v.State+" in field crypto_key_version.state.")
	}
	switch verb {
	case "destroy":
		if v.State != "ENABLED" && v.State != "DISABLED" {
			wrong()
			return
		}
		wait, _ := time.ParseDuration(k.DestroyScheduledDuration)
		v.State, v.due = "DESTROY_SCHEDULED", f.now.Add(wait)
		v.DestroyTime = v.due.Format(time.RFC3339Nano)
	case "restore":
		if v.State != "DESTROY_SCHEDULED" {
			wrong()
			return
		}
		v.State, v.DestroyTime = "DISABLED", ""
	}
	ok(w, v)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) string { return strconv.FormatUint(uint64(crc32.Checksum(b, castagnoli)), 10) }

func (f *fakeKMS) use(w http.ResponseWriter, r *http.Request, k *fakeKey, verb string) {
	var in struct{ Plaintext, Ciphertext, AdditionalAuthenticatedData string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	aad, _ := base64.URLEncoding.DecodeString(in.AdditionalAuthenticatedData)
	if verb == "encrypt" {
		plain, _ := base64.URLEncoding.DecodeString(in.Plaintext)
		f.encrypt(w, k, plain, aad)
		return
	}
	sealed, _ := base64.URLEncoding.DecodeString(in.Ciphertext)
	f.decrypt(w, k, sealed, aad)
}

func (f *fakeKMS) encrypt(w http.ResponseWriter, k *fakeKey, plain, aad []byte) {
	if !f.slow && !k.Primary.enabled(w) {
		return
	}
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	sealed := k.Primary.aead.Seal(append([]byte{byte(len(k.versions))}, nonce...), nonce, plain, aad)
	ok(w, map[string]any{"name": k.Primary.Name, "ciphertext": base64.StdEncoding.EncodeToString(sealed), "ciphertextCrc32c": checksum(sealed),
		"verifiedPlaintextCrc32c": true, "verifiedAdditionalAuthenticatedDataCrc32c": true})
}

func (f *fakeKMS) decrypt(w http.ResponseWriter, k *fakeKey, sealed, aad []byte) {
	if len(sealed) < 13 || int(sealed[0]) < 1 || int(sealed[0]) > len(k.versions) {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Decryption failed: the ciphertext is invalid.")
		return
	}
	v := k.versions[sealed[0]-1]
	if !f.slow && !v.enabled(w) {
		return
	}
	plain, err := v.aead.Open(nil, sealed[1:13], sealed[13:], aad)
	if err != nil {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
		return
	}
	ok(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain), "plaintextCrc32c": checksum(plain)})
}

func (v *fakeVersion) enabled(w http.ResponseWriter) bool {
	if v.State != "ENABLED" {
		fail(w, http.StatusBadRequest, "FAILED_PRECONDITION", v.Name+" is not enabled, current state is: "+v.State+".")
	}
	return v.State == "ENABLED"
}

func ok(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, code int, status, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message, "status": status}})
}

// alter changes a key as an administrator can.
func (f *fakeKMS) alter(id string, change func(*fakeKey)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.keys[id])
}

// restore is cryptoKeyVersions.restore as an administrator calls it, which leaves the version disabled, with enabling it after that.
func (f *fakeKMS) restore(id string, enable bool) {
	f.alter(id, func(k *fakeKey) {
		k.Primary.State, k.Primary.DestroyTime = "DISABLED", ""
		if enable {
			k.Primary.State = "ENABLED"
		}
	})
}

func (f *fakeKMS) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}
