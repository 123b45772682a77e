package committing_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"escrow/crypto/committing"
)

// hexBytes are bytes written as hex in the vector files.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vector is a test of any of the files; each uses some of the fields.
type vector struct {
	TcID    int      `json:"tcId"`
	Comment string   `json:"comment"`
	Result  string   `json:"result"`
	Key     hexBytes `json:"key"`
	IV      hexBytes `json:"iv"`
	AAD     hexBytes `json:"aad"`
	Msg     hexBytes `json:"msg"`
	CT      hexBytes `json:"ct"`
	Tag     hexBytes `json:"tag"`
	IKM     hexBytes `json:"ikm"`
	Salt    hexBytes `json:"salt"`
	Info    hexBytes `json:"info"`
	Size    uint32   `json:"size"`
	OKM     hexBytes `json:"okm"`
}

// vectors calls fn for every Project Wycheproof test in a file.
func vectors(t *testing.T, name string, fn func(*testing.T, vector)) {
	t.Helper()
	dir := os.Getenv("ESCROW_VECTORS")
	if dir == "" {
		t.Skip("ESCROW_VECTORS is not set: published test vectors were not run")
	}
	b, err := os.ReadFile(filepath.Join(dir, "wycheproof", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []struct {
			Tests []vector `json:"tests"`
		} `json:"testGroups"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.TestGroups {
		for _, v := range group.Tests {
			fn(t, v)
		}
	}
}

func TestWycheproofAESGCM(t *testing.T) {
	ran := 0
	vectors(t, "aes_gcm_test.json", func(t *testing.T, v vector) {
		if len(v.Key) != 32 || len(v.IV) != 12 || len(v.Tag) != 16 {
			return // sizes never used here
		}
		ran++
		sealed := bytes.Join([][]byte{v.IV, v.CT, v.Tag}, nil)
		got, err := committing.Decrypt(v.Key, sealed, v.AAD)
		if v.Result == "valid" && (err != nil || !bytes.Equal(got, v.Msg)) {
			t.Errorf("test %d (%s): does not decrypt: %v", v.TcID, v.Comment, err)
		}
		if v.Result == "invalid" && (err == nil || got != nil) {
			t.Errorf("test %d (%s): was accepted", v.TcID, v.Comment)
		}
	})
	if ran < 50 {
		t.Errorf("only %d vectors were applicable", ran)
	}
}

func TestWycheproofHKDF(t *testing.T) {
	vectors(t, "hkdf_sha256_test.json", func(t *testing.T, v vector) {
		got, err := committing.Derive(v.IKM, v.Salt, v.Info, v.Size)
		if v.Result == "valid" && (err != nil || !bytes.Equal(got, v.OKM)) {
			t.Errorf("test %d (%s): derives something else: %v", v.TcID, v.Comment, err)
		}
		if v.Result == "invalid" && err == nil {
			t.Errorf("test %d (%s): was accepted", v.TcID, v.Comment)
		}
	})
}

func TestWycheproofHMAC(t *testing.T) {
	vectors(t, "hmac_sha256_test.json", func(t *testing.T, v vector) {
		if len(v.Key) != 32 || len(v.Tag) != 16 {
			return // a token is a tag cut to 16 bytes
		}
		got, err := committing.Token([32]byte(v.Key), v.Msg)
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(got[:], v.Tag); same != (v.Result == "valid") {
			t.Errorf("test %d (%s): equal = %v, the vector is %s", v.TcID, v.Comment, same, v.Result)
		}
	})
}
