package awskms_test

import (
	"bytes"
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
	"time"
)

// fakeKMS answers as AWS KMS documents it in its API reference: JSON 1.1, errors by __type with status 400, aliases listed in pages, keys that wait for
// their end refused with KMSInvalidStateException, and gone with their aliases when the time is over.
type fakeKMS struct {
	mu      sync.Mutex
	now     time.Time
	lag     int // requests for which a new key is not shown yet
	keys    map[string]*fakeKey
	aliases map[string]string
	denied  string // an operation the role may not call
}

type fakeKey struct {
	aead     cipher.AEAD
	state    string
	deletion time.Time
	lag      int
	meta     map[string]any
}

func newFakeKMS(now time.Time) *fakeKMS {
	return &fakeKMS{now: now, keys: map[string]*fakeKey{}, aliases: map[string]string{}}
}

type request struct {
	KeyID               string `json:"KeyId"`
	TargetKeyID         string `json:"TargetKeyId"`
	AliasName           string
	Description         string
	MultiRegion         bool
	Origin              string
	Plaintext           []byte
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	PendingWindowInDays *int
	Limit               int
	Marker              string
}

// refusal is an error of KMS.
type refusal struct{ code, text string }

// ServeHTTP answers one request.
func (f *fakeKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep()
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDTEST/") {
		reply(w, http.StatusBadRequest, map[string]any{"__type": "UnrecognizedClientException", "message": "The security token included in the request is invalid."})
		return
	}
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"__type": "SerializationException"})
		return
	}
	out, refused := f.do(operation, in)
	if operation == f.denied {
		refused = &refusal{"AccessDeniedException", "User: arn:aws:iam::111122223333:role/escrow is not authorized to perform: kms:" + operation}
	}
	if refused != nil {
		reply(w, http.StatusBadRequest, map[string]any{"__type": refused.code, "message": refused.text})
		return
	}
	reply(w, http.StatusOK, out)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// sweep deletes what has waited long enough, with its aliases.
func (f *fakeKMS) sweep() {
	for id, k := range f.keys {
		if k.state == "PendingDeletion" && !f.now.Before(k.deletion) {
			delete(f.keys, id)
			maps.DeleteFunc(f.aliases, func(_, target string) bool { return target == id })
		}
	}
}

func (f *fakeKMS) do(operation string, in request) (map[string]any, *refusal) {
	switch operation {
	case "CreateKey":
		return f.createKey(in), nil
	case "CreateAlias":
		return f.createAlias(in)
	case "ListAliases":
		return f.listAliases(in), nil
	}
	id := in.KeyID
	if target, ok := f.aliases[id]; ok {
		id = target
	}
	k := f.keys[id]
	if k != nil && k.lag > 0 {
		k.lag--
		k = nil
	}
	if k == nil {
		return nil, &refusal{"NotFoundException", fmt.Sprintf("Key 'arn:aws:kms:eu-central-1:111122223333:key/%s' does not exist", id)}
	}
	switch operation {
	case "DescribeKey":
		return map[string]any{"KeyMetadata": k.describe()}, nil
	case "ScheduleKeyDeletion":
		return f.schedule(k, in)
	case "Encrypt", "Decrypt":
		if refused := k.usable(); refused != nil {
			return nil, refused
		}
		if operation == "Encrypt" {
			return k.encrypt(id, in), nil
		}
		return k.decrypt(id, in)
	}
	return nil, &refusal{"UnknownOperationException", operation}
}

func (f *fakeKMS) createKey(in request) map[string]any {
	material := make([]byte, 32)
	_, _ = rand.Read(material)
	block, _ := aes.NewCipher(material)
	aead, _ := cipher.NewGCM(block)
	id := fmt.Sprintf("%08d-0000-4000-8000-%012d", len(f.keys)+1, len(f.aliases))
	k := &fakeKey{aead: aead, state: "Enabled", lag: f.lag, meta: map[string]any{
		"KeyId": id, "Arn": "arn:aws:kms:eu-central-1:111122223333:key/" + id, "AWSAccountId": "111122223333", "Description": in.Description,
		"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "KeyManager": "CUSTOMER", "Origin": in.Origin, "MultiRegion": in.MultiRegion,
		"CreationDate": float64(f.now.Unix())}}
	f.keys[id] = k
	return map[string]any{"KeyMetadata": k.describe()}
}

func (f *fakeKMS) createAlias(in request) (map[string]any, *refusal) {
	if _, there := f.aliases[in.AliasName]; there {
		return nil, &refusal{"AlreadyExistsException", "An alias with the name " + in.AliasName + " already exists"}
	}
	k := f.keys[in.TargetKeyID]
	switch {
	case k == nil:
		return nil, &refusal{"NotFoundException", "Key does not exist"}
	case k.state == "PendingDeletion":
		return nil, &refusal{"KMSInvalidStateException", k.meta["Arn"].(string) + " is pending deletion."}
	}
	f.aliases[in.AliasName] = in.TargetKeyID
	return map[string]any{}, nil
}

// listAliases gives two aliases a page, whatever Limit says: callers must not rely on its being honoured.
func (f *fakeKMS) listAliases(in request) map[string]any {
	names := append(slices.Sorted(maps.Keys(f.aliases)), "alias/aws/s3") // those of AWS have no target until they are used
	start := 0
	if in.Marker != "" {
		_, _ = fmt.Sscan(in.Marker, &start)
	}
	end := min(start+2, len(names))
	page := []map[string]any{}
	for _, name := range names[start:end] {
		entry := map[string]any{"AliasName": name, "AliasArn": "arn:aws:kms:eu-central-1:111122223333:" + name}
		if target := f.aliases[name]; target != "" {
			entry["TargetKeyId"] = target
		}
		page = append(page, entry)
	}
	out := map[string]any{"Aliases": page, "Truncated": end < len(names)}
	if end < len(names) {
		out["NextMarker"] = fmt.Sprint(end)
	}
	return out
}

func (k *fakeKey) describe() map[string]any {
	meta := maps.Clone(k.meta)
	meta["KeyState"], meta["Enabled"] = k.state, k.state == "Enabled"
	if k.state == "PendingDeletion" {
		meta["DeletionDate"] = float64(k.deletion.Unix())
	}
	return meta
}

func (f *fakeKMS) schedule(k *fakeKey, in request) (map[string]any, *refusal) {
	days := 30
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	switch {
	case days < 7 || days > 30:
		return nil, &refusal{"ValidationException", "PendingWindowInDays must be between 7 and 30"}
	case k.state == "PendingDeletion":
		return nil, &refusal{"KMSInvalidStateException", k.meta["Arn"].(string) + " is pending deletion."}
	}
	k.state, k.deletion = "PendingDeletion", f.now.AddDate(0, 0, days)
	return map[string]any{"KeyId": k.meta["Arn"], "DeletionDate": float64(k.deletion.Unix()), "KeyState": k.state, "PendingWindowInDays": days}, nil
}

func (k *fakeKey) usable() *refusal {
	arn := k.meta["Arn"].(string)
	switch k.state {
	case "PendingDeletion":
		return &refusal{"KMSInvalidStateException", arn + " is pending deletion."}
	case "Disabled":
		return &refusal{"DisabledException", arn + " is disabled."}
	}
	return nil
}

// encrypt makes id ‖ nonce ‖ ciphertext: KMS knows from a ciphertext which key made it.
func (k *fakeKey) encrypt(id string, in request) map[string]any {
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	blob := k.aead.Seal(append([]byte(id), nonce...), nonce, in.Plaintext, encode(in.EncryptionContext))
	return map[string]any{"CiphertextBlob": base64.StdEncoding.EncodeToString(blob), "KeyId": k.meta["Arn"], "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
}

func (k *fakeKey) decrypt(id string, in request) (map[string]any, *refusal) {
	if len(in.CiphertextBlob) < len(id)+12 || !strings.Contains(string(in.CiphertextBlob[:len(id)]), "-0000-4000-8000-") {
		return nil, &refusal{"InvalidCiphertextException", ""}
	}
	if !bytes.HasPrefix(in.CiphertextBlob, []byte(id)) {
		return nil, &refusal{"IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation."}
	}
	rest := in.CiphertextBlob[len(id):]
	plain, err := k.aead.Open(nil, rest[:12], rest[12:], encode(in.EncryptionContext))
	if err != nil {
		return nil, &refusal{"InvalidCiphertextException", ""}
	}
	return map[string]any{"Plaintext": base64.StdEncoding.EncodeToString(plain), "KeyId": k.meta["Arn"]}, nil
}

func encode(context map[string]string) []byte {
	b, _ := json.Marshal(context)
	return b
}

// cancel is CancelKeyDeletion as an administrator calls it, with EnableKey after it if enable is set: by itself it leaves the key disabled.
func (f *fakeKMS) cancel(prefix string, enable bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for alias, id := range f.aliases {
		if k := f.keys[id]; strings.HasPrefix(alias, prefix) && k.state == "PendingDeletion" {
			k.state = "Disabled"
			if enable {
				k.state = "Enabled"
			}
		}
	}
}

func (f *fakeKMS) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.keys)
}

func (f *fakeKMS) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}
