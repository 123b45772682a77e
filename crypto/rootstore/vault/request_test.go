package vault_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
)

// withoutAssociatedData returns the request as an engine sees it that does not know the field.
func withoutAssociatedData(r *http.Request) *http.Request {
	raw, _ := io.ReadAll(r.Body)
	body := map[string]any{}
	if json.Unmarshal(raw, &body) == nil {
		delete(body, "associated_data")
		raw, _ = json.Marshal(body)
	}
	bare := r.Clone(r.Context())
	bare.Body = io.NopCloser(bytes.NewReader(raw))
	return bare
}

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
